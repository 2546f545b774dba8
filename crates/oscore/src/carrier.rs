//! What carries the messages of a context.

use std::fmt::Debug;
use std::hash::Hash;
use std::net::SocketAddr;

use coap::{Message, MessageId, Type};

/// Names where the messages of a context come from and go to: an address, a session, a stream. The
/// name of a session or stream that ended is not used again.
pub trait Carrier: Copy + Eq + Hash + Debug {
    /// Whether a peer that is now at `other` goes on as it did here, with the same message ids and
    /// exchanges. If not, nothing that was under way here ends there.
    fn continues_at(self, other: Self) -> bool;
}

impl Carrier for SocketAddr {
    /// A translator may give a peer another address, of which it knows nothing.
    fn continues_at(self, _other: Self) -> bool {
        true
    }
}

/// A CoAP message in the form that its carrier takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carried {
    /// Encoded, with type and message id (RFC 7252 §3).
    Datagram(Vec<u8>),
    /// On a stream, without them (RFC 8323 §3): `kind` and `id` say nothing.
    Message(Message),
}

impl Carried {
    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        match self {
            // RFC 7252 §3: class 0, and not empty.
            Self::Datagram(datagram) => matches!(datagram.get(1), Some(1..=31)),
            Self::Message(message) => message.code.is_request(),
        }
    }

    /// What it says; `None` if it is no CoAP message.
    pub fn decode(&self) -> Option<Message> {
        match self {
            Self::Datagram(datagram) => coap::decode(datagram).ok(),
            Self::Message(message) => Some(message.clone()),
        }
    }
}

/// The form of a carrier's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Datagram,
    /// The stream delivers once and in order: nothing is acknowledged, repeated or reset.
    Message,
}

impl Form {
    pub(crate) fn carry(self, message: Message) -> Carried {
        match self {
            Self::Datagram => Carried::Datagram(message.to_datagram()),
            Self::Message => Carried::Message(message),
        }
    }
}

/// The message with what stands for type and id on a stream.
pub(crate) fn on_stream(message: &Message) -> Message {
    Message {
        kind: Type::NonConfirmable,
        id: MessageId(0),
        ..message.clone()
    }
}
