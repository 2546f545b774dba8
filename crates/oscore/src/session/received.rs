//! Requests that we received, and our responses.

use std::time::Instant;

use coap::{Code, Message, MessageId, Token, number};

use super::{Outcome, Ownership, Session, Surroundings, answer_to};
use crate::carrier::Form;
use crate::class::ECHO;
use crate::context::Recipient;
use crate::error::{SendError, UnprotectError};
use crate::protect::ReceivedRequest;
use crate::random::Random;
use replay::Freshness;

/// Copies of a request that are handed up. Its sender repeats it four times at most (RFC 7252
/// §4.8); each copy may cost a sequence number, and anyone can send one.
const MAX_REPEATS: u8 = 8;

/// A request that we received.
pub(super) struct Received {
    token: Token,
    id: MessageId,
    binding: ReceivedRequest,
    answer: Answer,
    repeats: u8,
    /// Unused while an observation lasts.
    expires: Instant,
}

#[derive(PartialEq, Eq)]
enum Answer {
    Awaited,
    Given,
    /// It is observed: notifications may follow.
    Notifying,
}

/// What the peer is asked to return while the replay window is lost.
pub(super) struct Challenge {
    /// Drawn anew with every session: no request of the past can hold it.
    echo: [u8; 8],
    last: Option<Instant>,
}

impl Challenge {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            echo: random.bytes(),
            last: None,
        }
    }
}

impl Session {
    /// RFC 8613 §8.2.
    pub(crate) fn receive_request(
        &mut self,
        with: &mut Surroundings<'_>,
        outer: &Message,
    ) -> Outcome {
        let Recipient::Synchronised(window) = self.context.recipient else {
            return self.synchronise(with, outer);
        };
        match self.context.unprotect_request(outer) {
            Ok((inner, binding)) => Outcome {
                newest: window.check(binding.partial_iv().number()) == Freshness::Newest,
                ..self.accept(with, inner, binding)
            },
            // On a stream nothing is sent twice, and nobody above would recognise it.
            Err(UnprotectError::Replayed) if with.form == Form::Datagram => {
                self.repeat(with, outer)
            }
            Err(error) => Self::refuse(with, outer, error),
        }
    }

    /// Whether a request is known not to be the peer's newest, before it is authenticated.
    pub(crate) fn is_overtaken(&self, outer: &Message) -> bool {
        match (
            self.context.recipient,
            self.context.material.request_option(outer),
        ) {
            (Recipient::Synchronised(window), Ok(number)) => {
                window.check(number.number()) != Freshness::Newest
            }
            // The session has an answer of its own.
            _ => false,
        }
    }

    /// RFC 8613 appendix B.1.2: only a request that returns the Echo option is known to be fresh.
    fn synchronise(&mut self, with: &mut Surroundings<'_>, outer: &Message) -> Outcome {
        let (inner, mut binding) = match self.context.material.open_request(outer) {
            Ok(opened) => opened,
            Err(error) => return Self::refuse(with, outer, error),
        };
        if inner.options.first(ECHO) == Some(&self.challenge.echo) {
            self.context.synchronise(binding.partial_iv());
            return Outcome {
                newest: true,
                ..self.accept(with, inner, binding)
            };
        }
        let soonest = self
            .challenge
            .last
            .map(|last| last + with.config.challenge_interval);
        if soonest.is_some_and(|soonest| with.now < soonest) {
            return Outcome::default();
        }
        let mut response = answer_to(outer, Code::UNAUTHORIZED_4_01, with.random);
        response.options.push(ECHO, &self.challenge.echo);
        // The request may be a replay, whose nonce an earlier owner of the context has used.
        binding.spend_nonce();
        let Ok(challenge) = self.context.protect_response(&response, &mut binding) else {
            return Outcome::default();
        };
        self.challenge.last = Some(with.now);
        with.counters.challenges += 1;
        Outcome::down(challenge)
    }

    fn accept(
        &mut self,
        with: &mut Surroundings<'_>,
        inner: Message,
        mut binding: ReceivedRequest,
    ) -> Outcome {
        if self.ownership == Ownership::Moving {
            binding.spend_nonce();
        }
        with.counters.requests += 1;
        let now = with.now;
        self.received.retain(|received| {
            received.token != inner.token
                && (received.answer == Answer::Notifying || received.expires > now)
        });
        if self.received.len() >= with.config.max_received {
            let is_idle = |received: &Received| received.answer != Answer::Notifying;
            let oldest = self.received.iter().position(is_idle).unwrap_or(0);
            if oldest < self.received.len() {
                self.received.remove(oldest);
            }
        }
        self.received.push(Received {
            token: inner.token,
            id: inner.id,
            binding,
            answer: Answer::Awaited,
            repeats: 0,
            expires: now + with.config.request_lifetime,
        });
        Outcome::up(inner)
    }

    /// A request whose number was seen before: a retransmission, or a replay.
    fn repeat(&mut self, with: &mut Surroundings<'_>, outer: &Message) -> Outcome {
        let number = self.context.material.request_option(outer);
        let copied = self.received.iter_mut().find(|received| {
            received.token == outer.token
                && received.id == outer.id
                && number == Ok(received.binding.partial_iv())
        });
        let Some(copied) = copied else {
            return Self::refuse(with, outer, UnprotectError::Replayed);
        };
        if copied.repeats >= MAX_REPEATS {
            with.counters.replayed += 1;
            return Outcome::default();
        }
        match self.context.material.open_request(outer) {
            Ok((inner, _)) => {
                copied.repeats += 1;
                with.counters.repeated += 1;
                Outcome::up(inner)
            }
            Err(error) => Self::refuse(with, outer, error),
        }
    }

    /// Whether a request was accepted and not answered.
    pub(super) fn owes_an_answer(&self) -> bool {
        let mut received = self.received.iter();
        received.any(|received| received.answer == Answer::Awaited)
    }

    /// RFC 8613 §8.3.
    pub(super) fn send_response(
        &mut self,
        with: &mut Surroundings<'_>,
        response: &Message,
    ) -> Result<Message, SendError> {
        let received = self
            .received
            .iter_mut()
            .find(|received| received.token == response.token)
            .ok_or(SendError::UnknownRequest)?;
        received.expires = with.now + with.config.request_lifetime;
        received.answer = if response.options.first(number::OBSERVE).is_some() {
            Answer::Notifying
        } else {
            Answer::Given
        };
        let binding = &mut received.binding;
        Ok(self.context.protect_response(response, binding)?)
    }
}
