//! What can go wrong, one enum per operation.

use std::time::Duration;

use thiserror::Error;

/// Why a datagram is not a CoAP message (RFC 7252 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Fewer than the four header bytes.
    #[error("datagram shorter than the header")]
    TooShort,
    /// The version is not 1; such a message is ignored without any answer.
    #[error("unknown protocol version {0}")]
    UnknownVersion(u8),
    /// A token length of 9 to 15.
    #[error("reserved token length {0}")]
    TokenLength(u8),
    /// The token or an option runs past the end of the datagram.
    #[error("message is cut off")]
    Truncated,
    /// Code 0.00 with anything after the message id.
    #[error("empty message with content")]
    EmptyWithContent,
    /// An option delta or length nibble of 15 that is no payload marker.
    #[error("reserved option nibble")]
    ReservedNibble,
    /// The option deltas add up to more than 65,535.
    #[error("option number above 65535")]
    OptionNumber,
    /// An option of more than 65,535 bytes, which only a stream can carry.
    #[error("option longer than 65535 bytes")]
    OptionLength,
    /// A payload marker with no payload behind it.
    #[error("payload marker without payload")]
    EmptyPayload,
}

/// Why a request or notification was not accepted for sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// As many exchanges as [`crate::Config::max_exchanges_per_peer`] are under way or waiting.
    #[error("too many exchanges with the peer, retry after {retry_after:?}")]
    PeerBusy {
        /// When another attempt makes sense.
        retry_after: Duration,
    },
    /// More than half of the 65,536 message ids were used with this peer within the exchange lifetime (RFC 7252 §4.4),
    /// so each of the others waits for its turn.
    #[error("message ids of the peer run out, retry after {retry_after:?}")]
    OutOfMessageIds {
        /// When another attempt makes sense.
        retry_after: Duration,
    },
    /// An option value or the body is longer than the protocol can carry.
    #[error("option or body too large")]
    TooLarge,
    /// The endpoint is at its bound of peers or exchanges.
    #[error("endpoint is at its bound of peers or exchanges")]
    Overloaded,
    /// An exchange with this peer already uses the token the caller asked for.
    #[error("token is in use by another exchange with the peer")]
    TokenInUse,
    /// The observation to cancel is not known.
    #[error("observation is not known")]
    UnknownObservation,
}
