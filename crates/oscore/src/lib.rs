//! Sans-IO OSCORE (RFC 8613): CoAP messages that are protected one by one.
//!
//! Owns: security contexts, the split of a message into what is encrypted and what is not, replay
//! protection, the binding of responses to requests, the Echo challenge after a lost replay window
//! (RFC 9175), and the encoding of a context that another process can go on with. Never: opens a
//! socket, reads a clock, draws randomness from anywhere but its seed, uses a nonce twice, or hands
//! up a request that could be a replay.
//!
//! ```text
//!  carrier ─▶ Server::handle_datagram ─┬─▶ Plain: unprotected CoAP
//!             Server::handle_message   ├─▶ UnknownContext (import, feed again)
//!                                      ├─▶ Transmit: 4.01 with Echo, 4.00, 4.02
//!                                      └─▶ Inner ─▶ coap::Endpoint, whose peer is the context
//!  carrier ◀─ Transmit ◀─ Server::send, send_message ◀─ Output::Transmit, Send of coap::Endpoint
//! ```
//!
//! The layer lies below the CoAP endpoint. Type, message id and token are the same on both sides
//! of it, so acknowledgements and resets pass as they are, and retransmission and deduplication
//! stay with the endpoint. What carries the messages is the caller's to name ([`Carrier`]): an
//! address, a DTLS session, a stream (RFC 8323), where messages have neither type nor id. When a
//! peer changes its carrier, everything of the old one is forgotten. [`Server`] has the contexts of many devices, [`Client`] is a device's
//! side. Both roles of CoAP go both ways. [`SecurityContext`] is the part for single messages.
//!
//! ```
//! use std::net::SocketAddr;
//! use std::time::Instant;
//! use coap::{Code, Message, MessageId, Type};
//! use oscore::{Client, ClientOutput, Config, ContextState, Output, Secrets, Server};
//!
//! let now = Instant::now();
//! let secrets = Secrets {
//!     algorithm: oscore::Algorithm::default(),
//!     master_secret: b"sixteen byte key",
//!     master_salt: b"salt",
//!     id_context: None,
//!     sender_id: b"server",
//!     recipient_id: b"device",
//! };
//! let mut server = Server::new(Config::default(), [1; 32]);
//! let id = server.import(ContextState::provision(&secrets)?, 1)?;
//! let device = Secrets { sender_id: b"device", recipient_id: b"server", ..secrets };
//! let state = ContextState::provision(&device)?;
//! let mut client = Client::new(Config::default(), state, 1, [2; 32])?;
//! let address: SocketAddr = "192.0.2.1:5683".parse()?;
//!
//! let request = Message::new(Type::Confirmable, Code::GET, MessageId(7));
//! client.send(now, &request.to_datagram())?;
//! // The server does not know what it accepted before, so the first request goes twice.
//! while let Some(ClientOutput::Transmit(message)) = client.poll_output() {
//!     server.handle(now, address, &message);
//!     match server.poll_output() {
//!         Some(Output::Transmit { message, .. }) => client.handle(now, &message),
//!         Some(Output::Inner { context, message }) => {
//!             assert_eq!(context, id);
//!             assert!(message.is_request());
//!         }
//!         other => panic!("{other:?}"),
//!     }
//! }
//! assert_eq!(server.counters().requests, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod algorithm;
mod carrier;
mod cbor;
mod class;
mod client;
mod config;
mod context;
mod error;
mod identifier;
mod option;
mod partial_iv;
mod protect;
mod random;
mod server;
mod session;
mod state;

pub use algorithm::Algorithm;
pub use carrier::{Carried, Carrier};
pub use client::{Client, ClientOutput};
pub use config::{Config, Counters};
pub use context::{Secrets, SecurityContext};
pub use error::{DeriveError, ImportError, ProtectError, SendError, UnprotectError};
pub use identifier::{IdContext, Identifier};
pub use option::{MalformedOption, OSCORE, OscoreOption};
pub use partial_iv::PartialIv;
pub use protect::{ReceivedRequest, SentRequest};
pub use server::{ContextId, Disposition, Output, Server};
pub use state::{ContextState, DecodeStateError};
