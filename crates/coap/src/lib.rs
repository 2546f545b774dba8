//! CoAP messages, exchanges, block-wise transfer and observation, without IO.
//!
//! This crate owns everything between a datagram and a whole request or response: the message
//! format (RFC 7252 §3), reliability and deduplication (§4), the matching of responses (§5.3),
//! block-wise transfer (RFC 7959) and the bookkeeping of observations (RFC 7641).
//!
//! ```text
//!  datagram ─▶ codec ─▶ dedup ─▶ exchange ─▶ blockwise ─▶ observe ─▶ Event
//!  datagram ◀─ codec ◀─ retransmit ◀─ exchange ◀─ blockwise ◀────── send_request / respond / notify
//! ```
//!
//! A peer on a stream (RFC 8323) takes the way by [`reliable::Connection`] and
//! [`Endpoint::handle_message`] instead, past deduplication and retransmission.
//!
//! It never opens a socket, reads a clock, draws from a global random generator or blocks: time
//! is an argument, randomness is seeded at construction. Nothing that a peer sends is an `Err`
//! of the engine: it is dropped and counted, answered with a code, or fails one exchange.
//! Everything a peer controls is bounded by [`Config`].
//!
//! The entry type is [`Endpoint`], which plays both roles at once (server and client) towards
//! any number of peers. After every input, drain [`Endpoint::poll_output`]; when
//! [`Endpoint::poll_timeout`] has passed, call [`Endpoint::handle_timeout`].
//!
//! ```
//! use std::time::Instant;
//! use coap::{Code, Config, Endpoint, Event, Output, Request, Response};
//!
//! let now = Instant::now();
//! let mut device: Endpoint<u8> = Endpoint::new(Config::default(), 1);
//! let mut server: Endpoint<u8> = Endpoint::new(Config::default(), 2);
//!
//! device.send_request(now, 0, Request::new(Code::GET, ["3", "0"])).expect("nothing in flight");
//! while let Some(Output::Transmit { datagram, .. }) = device.poll_output() {
//!     server.handle_datagram(now, 7, &datagram);
//! }
//! while let Some(output) = server.poll_output() {
//!     match output {
//!         Output::Event(Event::Request { exchange, request, .. }) => {
//!             assert_eq!(request.path, ["3", "0"]);
//!             server.respond(now, exchange, Response::new(Code::CONTENT_2_05));
//!         }
//!         Output::Transmit { datagram, .. } => device.handle_datagram(now, 0, &datagram),
//!         Output::Event(_) | Output::Send { .. } => {}
//!     }
//! }
//! assert!(matches!(device.poll_output(), Some(Output::Event(Event::Response { .. }))));
//! ```

mod blockwise;
mod codec;
mod config;
mod dedup;
mod endpoint;
mod error;
mod exchange;
mod message;
mod message_id;
mod observe;
mod option;
mod peer;
pub mod reliable;
mod request;
mod response;
mod retransmit;

pub use blockwise::{Block, BlockSize};
pub use codec::{decode, decode_header};
pub use config::{Config, Counters};
pub use endpoint::{Endpoint, Event, Output, Receipt};
pub use error::{DecodeError, SendError};
pub use exchange::{ExchangeId, Failure, NotificationId};
pub use message::{Code, Message, MessageId, Token, Type};
pub use option::{ETag, ExtraOption, Options, number};
pub use peer::PeerKey;
pub use request::{Reliability, Request};
pub use response::Response;
