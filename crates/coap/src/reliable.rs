//! CoAP over reliable transports (RFC 8323): TCP and TLS.
//!
//! ```text
//!  bytes ─▶ frame ─▶ Connection ─▶ Message ─▶ Endpoint::handle_message
//!  bytes ◀─ frame ◀─ Connection ◀─ Message ◀─ Output::Send of the endpoint
//! ```
//!
//! A [`Connection`] belongs to one connection of the transport and keeps to itself what concerns
//! only that: the framing (§3.2) and the signals (§5). Requests and responses pass through it to
//! and from an [`Endpoint`](crate::Endpoint), which serves peers on datagrams and on streams
//! alike.

mod config;
mod connection;
mod frame;
mod output;
mod signal;

pub use config::Config;
pub use connection::Connection;
pub use frame::{FrameError, decode, encode, encoded_len};
pub use output::{Capabilities, CloseReason, NotSent, Output};

/// The base value of Max-Message-Size (§5.3.1): holds until the peer's CSM says otherwise.
pub const BASE_MESSAGE_SIZE: usize = 1152;
