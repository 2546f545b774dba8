//! How the exchange of messages with a device goes, as the ingress node has seen it that talks with it.
//!
//! Nothing of this is replicated: nodes count in memory, and a device that comes to another node begins there with
//! nothing.

use std::net::SocketAddr;

use crate::id::Timestamp;

/// Counts of what was exchanged with one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// When the node began to count.
    pub since: Timestamp,
    /// When the device was heard from last.
    pub heard_at: Timestamp,
    /// Requests made of the device.
    pub requests: u32,
    /// Requests that it did not answer, however often they were sent.
    pub unanswered: u32,
    /// How often a message to it was sent again, for want of an acknowledgement (RFC 7252 §4.2).
    pub sent_again: u32,
    /// Messages of the device.
    pub heard: u32,
    /// Those of them that had come before: the answer to the first was lost or late.
    pub heard_again: u32,
    /// How often it registered, after the first time.
    pub registered_again: u32,
    /// How often its address became another one.
    pub moves: u32,
    pub last_move: Option<Box<Move>>,
}

/// A change of the address from which a device talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    pub at: Timestamp,
    pub from: SocketAddr,
    pub to: SocketAddr,
}

impl Contact {
    /// Nothing was exchanged yet.
    pub const fn beginning(since: Timestamp) -> Self {
        Self {
            since,
            heard_at: since,
            requests: 0,
            unanswered: 0,
            sent_again: 0,
            heard: 0,
            heard_again: 0,
            registered_again: 0,
            moves: 0,
            last_move: None,
        }
    }
}

/// What somebody was refused who claimed to be a device, or refused itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedAttempt {
    /// When it was last refused.
    pub at: Timestamp,
    pub from: SocketAddr,
    pub what: Attempt,
    /// Why, in words.
    pub reason: String,
    /// How often it was refused since the node began to count.
    pub count: u32,
}

/// What is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attempt {
    Handshake,
    Registration,
    /// The other way round: the device gave a handshake up, with an alert.
    OfServer,
}

impl Attempt {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Handshake, Self::Registration, Self::OfServer];
}
