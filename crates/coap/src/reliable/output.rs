//! What a connection says to its caller.

use std::time::Duration;

use thiserror::Error;

use super::{BASE_MESSAGE_SIZE, FrameError};
use crate::message::Message;

/// What the peer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Bytes of a whole message, header and all (RFC 8323 §5.3.1).
    pub max_message_size: usize,
    /// Whether a block may be several times 1024 bytes (§6).
    pub bert: bool,
}

impl Default for Capabilities {
    /// What holds before the peer's CSM.
    fn default() -> Self {
        Self {
            max_message_size: BASE_MESSAGE_SIZE,
            bert: false,
        }
    }
}

/// What a connection wants of its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The peer has said what it takes; before every message, and again when that changes.
    Ready(Capabilities),
    /// A request or response arrived.
    Message(Message),
    /// The connection is over: write what [`Connection::poll_transmit`](super::Connection::poll_transmit) still gives, then close.
    Closed(CloseReason),
}

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CloseReason {
    #[error("the stream is no CoAP: {0}")]
    Malformed(#[source] FrameError),
    #[error("no CSM at the beginning")]
    NoSettings,
    #[error("a signal has the unknown critical option {0}")]
    UnknownOption(u16),
    #[error("released by the peer")]
    Released {
        /// How long to wait before connecting again.
        hold_off: Option<Duration>,
    },
    #[error("aborted by the peer: {diagnostic}")]
    Aborted { diagnostic: String },
    #[error("released by this side, or closed by the peer")]
    Ended,
    #[error("aborted by this side: {diagnostic}")]
    Refused { diagnostic: String },
    #[error("silent for too long")]
    Idle,
    #[error("no answer to a ping")]
    Unresponsive,
    #[error("the peer does not read what is sent to it")]
    Overflow,
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotSent {
    #[error("the message is larger than the peer takes")]
    TooLarge,
    #[error("the connection is over")]
    Closed,
}
