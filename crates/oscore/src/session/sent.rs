//! Requests that we sent, and their responses.

use std::time::Instant;

use coap::{Code, Message, MessageId, Token, Type, number};

use super::{Outcome, Session, Surroundings, empty};
use crate::carrier::Form;
use crate::class::ECHO;
use crate::error::{ProtectError, SendError, UnprotectError};
use crate::protect::SentRequest;

/// A request that we sent.
pub(super) struct Sent {
    token: Token,
    id: MessageId,
    binding: SentRequest,
    state: State,
    /// Unused while an observation lasts.
    expires: Instant,
}

#[derive(PartialEq, Eq)]
enum State {
    /// The request as the layer above gave it, to recognise its retransmission.
    Waiting {
        request: Box<[u8]>,
        challenge: Option<Answered>,
    },
    /// With the message id of [`Answered`], for late copies.
    Concluded { id: Option<MessageId> },
    /// Notifications may follow.
    Observing { id: Option<MessageId> },
}

/// The peer challenged the request, and it was sent again.
#[derive(Clone, PartialEq, Eq)]
struct Answered {
    echo: Box<[u8]>,
    /// Under a message id of its own: the peer has answered the first.
    id: MessageId,
}

impl Answered {
    fn apply_to(&self, request: &mut Message) {
        request.options = crate::class::without(&request.options, ECHO);
        request.options.push(ECHO, &self.echo);
        request.id = self.id;
    }
}

impl Sent {
    fn outer_id(&self) -> MessageId {
        match &self.state {
            State::Waiting { challenge, .. } => challenge.as_ref().map(|answered| answered.id),
            State::Concluded { id } | State::Observing { id } => *id,
        }
        .unwrap_or(self.id)
    }
}

impl Session {
    pub(super) fn send_request(
        &mut self,
        with: &mut Surroundings<'_>,
        request: &Message,
    ) -> Result<Message, SendError> {
        let datagram = request.to_datagram();
        let known = self
            .sent
            .iter()
            .position(|sent| sent.token == request.token);
        if let Some(sent) = known.and_then(|at| self.sent.get(at))
            && let State::Waiting {
                request: first,
                challenge,
            } = &sent.state
            && with.form == Form::Datagram
            && **first == *datagram
        {
            let mut again = request.clone();
            if let Some(answered) = challenge {
                answered.apply_to(&mut again);
            }
            // The same message under the same number is the same bytes.
            let number = sent.binding.partial_iv();
            return Ok(self.context.material.seal_request(&again, number)?);
        }
        if known.is_none() {
            self.make_room(with)?;
        }
        let (outer, binding) = self.context.protect_request(request)?;
        if let Some(at) = known {
            self.sent.remove(at);
        }
        self.sent.push(Sent {
            token: request.token,
            id: request.id,
            binding,
            state: State::Waiting {
                request: datagram.into(),
                challenge: None,
            },
            expires: with.now + with.config.request_lifetime,
        });
        Ok(outer)
    }

    fn make_room(&mut self, with: &Surroundings<'_>) -> Result<(), SendError> {
        let now = with.now;
        self.sent
            .retain(|sent| matches!(sent.state, State::Observing { .. }) || sent.expires > now);
        if self.sent.len() < with.config.max_requests {
            return Ok(());
        }
        // An observation that is forgotten ends with a reset to its next notification.
        let concluded = |sent: &Sent| matches!(sent.state, State::Concluded { .. });
        let observing = |sent: &Sent| matches!(sent.state, State::Observing { .. });
        let oldest = self.sent.iter().position(concluded);
        let oldest = oldest.or_else(|| self.sent.iter().position(observing));
        self.sent.remove(oldest.ok_or(SendError::TooManyRequests)?);
        Ok(())
    }

    /// Whether a response with this token would be read.
    pub(crate) fn awaits(&self, token: Token) -> bool {
        self.sent.iter().any(|sent| sent.token == token)
    }

    /// The message id under which the layer above knows a message that we sent.
    pub(super) fn inner_id(&self, kind: Type, id: MessageId) -> MessageId {
        if !matches!(kind, Type::Acknowledgement | Type::Reset) {
            return id;
        }
        let sent = self
            .sent
            .iter()
            .find(|sent| sent.id != id && sent.outer_id() == id);
        sent.map_or(id, |sent| sent.id)
    }

    /// RFC 8613 §8.4.
    pub(crate) fn receive_response(
        &mut self,
        with: &mut Surroundings<'_>,
        outer: &Message,
    ) -> Outcome {
        let confirmable = outer.kind == Type::Confirmable;
        let on_stream = with.form == Form::Message;
        let position = self.sent.iter().position(|sent| sent.token == outer.token);
        let Some(sent) = position.and_then(|at| self.sent.get_mut(at)) else {
            // RFC 7252 §4.2 and §4.3, RFC 7641 §3.6: what nobody waits for is rejected, and so an
            // observation that was forgotten ends.
            with.counters.unknown_token += 1;
            if on_stream {
                // RFC 8323 appendix A.4: there is no reset.
                return Outcome::default();
            }
            if confirmable || outer.options.first(number::OBSERVE).is_some() {
                return Outcome::down(empty(Type::Reset, outer.id));
            }
            return Outcome::default();
        };
        let mut inner = match self.context.unprotect_response(outer, &mut sent.binding) {
            Ok(inner) => inner,
            Err(UnprotectError::Stale) => {
                // It is dropped for its order only; unacknowledged, it would come again and in the
                // end cost the observation.
                with.counters.stale_notifications += 1;
                return if confirmable {
                    Outcome::down(empty(Type::Acknowledgement, outer.id))
                } else {
                    Outcome::default()
                };
            }
            Err(_) => {
                // RFC 8613 §8.4: processing stops. A real response may still come.
                with.counters.unauthentic += 1;
                return Outcome::default();
            }
        };
        with.counters.responses += 1;
        if let Some(answered) = self.answer_challenge(with, &inner) {
            return answered;
        }
        inner.id = self.inner_id(inner.kind, inner.id);
        if let Some(sent) = position.and_then(|at| self.sent.get_mut(at)) {
            let id = Some(sent.outer_id());
            sent.expires = with.now + with.config.request_lifetime;
            sent.state = if inner.options.first(number::OBSERVE).is_some() {
                State::Observing { id }
            } else {
                State::Concluded { id }
            };
        }
        Outcome::up(inner)
    }

    /// RFC 9175 §2.3: a 4.01 with an Echo option asks for the request with that option. It is
    /// answered once; the answer to a second one goes up.
    fn answer_challenge(
        &mut self,
        with: &mut Surroundings<'_>,
        response: &Message,
    ) -> Option<Outcome> {
        if response.code != Code::UNAUTHORIZED_4_01 {
            return None;
        }
        let echo = response.options.first(ECHO)?;
        let sent = self
            .sent
            .iter_mut()
            .find(|sent| sent.token == response.token)?;
        let State::Waiting { request, challenge } = &mut sent.state else {
            return None;
        };
        if challenge.is_some() {
            return None;
        }
        let mut again = coap::decode(request).ok()?;
        let answered = Answered {
            echo: echo.into(),
            id: fresh_id(with, sent.id),
        };
        answered.apply_to(&mut again);
        let (outer, binding) = match self.context.protect_request(&again) {
            Ok(protected) => protected,
            Err(ProtectError::SequenceExhausted) => return Some(Outcome::default()),
            Err(_) => return None,
        };
        sent.binding = binding;
        *challenge = Some(answered);
        with.counters.challenged += 1;
        let mut outcome = Outcome::down(outer);
        if response.kind == Type::Confirmable {
            let acknowledgement = empty(Type::Acknowledgement, response.id);
            outcome.down.insert(0, acknowledgement);
        }
        Some(outcome)
    }
}

fn fresh_id(with: &mut Surroundings<'_>, other: MessageId) -> MessageId {
    let id = with.random.message_id();
    if id == other {
        MessageId(id.0.wrapping_add(1))
    } else {
        id
    }
}
