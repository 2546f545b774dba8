//! One context at work: which response belongs to which request, repetitions, and the Echo option.
//!
//! 1. A request of the layer above is protected and remembered by its token. Its retransmission
//!    is the same bytes again: the peer's deduplication answers it with what is bound to the first.
//! 2. A request of the peer is checked against the replay window. A copy of one that is remembered
//!    goes up again, where CoAP deduplication repeats the answer.
//! 3. With a lost window the peer is challenged first (RFC 8613 appendix B.1.2, RFC 9175 §2.3).
//! 4. If the peer challenges us, the request is sent again with the Echo option and a message id
//!    of its own; the layer above only sees the answer to that.

mod received;
mod sent;

use std::time::Instant;

use coap::{Code, Message, MessageId, Type};

use crate::carrier::Form;
use crate::config::{Config, Counters};
use crate::context::SecurityContext;
use crate::error::{SendError, UnprotectError};
use crate::random::Random;
use crate::state::ContextState;

use received::{Challenge, Received};
use sent::Sent;

/// What a session needs of the layer that it belongs to.
pub(crate) struct Surroundings<'a> {
    pub(crate) now: Instant,
    /// In which the peer's messages come and go.
    pub(crate) form: Form,
    pub(crate) config: &'a Config,
    pub(crate) counters: &'a mut Counters,
    pub(crate) random: &'a mut Random,
}

/// What a message led to.
#[derive(Default)]
pub(crate) struct Outcome {
    /// For the layer above.
    pub(crate) up: Option<Message>,
    /// For the peer.
    pub(crate) down: Vec<Message>,
    /// The message is the newest of the peer: its source is the peer's address.
    pub(crate) newest: bool,
}

impl Outcome {
    fn up(message: Message) -> Self {
        Self {
            up: Some(message),
            ..Self::default()
        }
    }

    fn down(message: Message) -> Self {
        Self {
            down: vec![message],
            ..Self::default()
        }
    }
}

/// How many processes may hold the context at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// One, ever: a response may take the nonce of its request, which saves six bytes.
    Sole,
    /// Two may believe that they own the context, and both may be handed the same request. Each
    /// response takes a number of its owner's generation, so that they never use the same nonce.
    Moving,
}

pub(crate) struct Session {
    pub(crate) context: SecurityContext,
    ownership: Ownership,
    challenge: Challenge,
    /// In the order of their sending.
    sent: Vec<Sent>,
    /// In the order of their arrival.
    received: Vec<Received>,
}

impl Session {
    pub(crate) fn new(context: SecurityContext, ownership: Ownership, random: &mut Random) -> Self {
        Self {
            context,
            ownership,
            challenge: Challenge::new(random),
            sent: Vec::new(),
            received: Vec::new(),
        }
    }

    /// Protects a message of the layer above. Empty messages pass as they are (RFC 8613 §4.2).
    pub(crate) fn send(
        &mut self,
        with: &mut Surroundings<'_>,
        message: &Message,
    ) -> Result<Message, SendError> {
        if message.code.is_empty() {
            return Ok(message.clone());
        }
        let outer = if message.code.is_request() {
            self.send_request(with, message)?
        } else {
            self.send_response(with, message)?
        };
        with.counters.protected += 1;
        Ok(outer)
    }

    /// Nothing that is under way ends any more: neither side will answer, repeat or notify.
    pub(crate) fn forget_exchanges(&mut self) {
        self.sent.clear();
        self.received.clear();
    }

    /// The same, but for the request that was just accepted.
    pub(crate) fn forget_all_but_the_newest_request(&mut self) {
        self.sent.clear();
        let newest = self.received.pop();
        self.received.clear();
        self.received.extend(newest);
    }

    /// The context as its next owner goes on with it. A request that was accepted and will not be answered is sent again
    /// there, where it must not be taken for a replay: then the window is lost.
    pub(crate) fn release(self) -> ContextState {
        if self.owes_an_answer() {
            return self.context.export();
        }
        ContextState::of_released(self.context)
    }

    /// Takes an acknowledgement or reset.
    pub(crate) fn receive_empty(&self, mut message: Message) -> Outcome {
        message.id = self.inner_id(message.kind, message.id);
        Outcome::up(message)
    }

    /// The answer to a request that was not accepted (RFC 8613 §8.2).
    pub(crate) fn refuse(
        with: &mut Surroundings<'_>,
        request: &Message,
        error: UnprotectError,
    ) -> Outcome {
        match error {
            UnprotectError::Replayed => with.counters.replayed += 1,
            UnprotectError::MalformedOption | UnprotectError::NotProtected => {
                with.counters.malformed += 1;
            }
            UnprotectError::OtherContext => with.counters.unknown_context += 1,
            _ => with.counters.unauthentic += 1,
        }
        let Some((code, diagnostic)) = error.answer() else {
            return Outcome::default();
        };
        let mut answer = answer_to(request, code, with.random);
        // RFC 8613 §8.2: no proxy may answer another request with it.
        answer.options.push_uint(coap::number::MAX_AGE, 0);
        answer.payload = diagnostic.as_bytes().to_vec();
        Outcome::down(answer)
    }
}

/// A response that goes with the acknowledgement of a confirmable request.
fn answer_to(request: &Message, code: Code, random: &mut Random) -> Message {
    let (kind, id) = match request.kind {
        Type::Confirmable => (Type::Acknowledgement, request.id),
        _ => (Type::NonConfirmable, random.message_id()),
    };
    Message {
        token: request.token,
        ..Message::new(kind, code, id)
    }
}

fn empty(kind: Type, id: MessageId) -> Message {
    Message::new(kind, Code::EMPTY, id)
}
