//! Sans-IO DTLS 1.2 (RFC 6347) with Connection IDs (RFC 9146) and session export.
//!
//! Owns: records, handshakes, retransmission, replay protection, the server's session table and
//! the encoding of a session that another process can go on with. Never: opens a socket, reads a
//! clock, draws randomness from anywhere but its seed (but for the nonces of signatures, which the
//! cryptographic library keeps to itself), keeps state for a peer that has not shown
//! its address with a cookie, or starts a handshake as a server.
//!
//! ```text
//!  datagram ─► record ─┬─ Connection ID ─► session table ─┬─► Plaintext, Closed, PeerMoved
//!                      │                                  └─► UnknownCid (import, feed again)
//!                      ├─ epoch 1, no CID ─► session table by peer address
//!                      └─ epoch 0 ─► cookie ─► handshake ─┬─► PskNeeded ────────┬─► StoreSession
//!                                                        ├─► PeerKeyPresented ─┤   ─► Connected
//!                                                        └─► ResumptionNeeded ─┘
//! ```
//!
//! A peer proves who it is by a pre-shared key, a raw public key (RFC 7250) or an X.509 certificate
//! ([`PeerIdentity`]). The engine checks that it has the key; whether the key may connect is for the
//! driver to say, with [`TrustAnchors`] to validate certificates. A peer that comes back may prove
//! instead that it has the master secret of an earlier session ([`ResumptionExport`]).
//!
//! [`Server`] and [`Client`] are the entry types. Both are driven the same way: hand in datagrams
//! and the time, then drain `poll_output` until it is empty, then sleep until `poll_timeout` and
//! call `handle_timeout`.
//!
//! ```
//! use std::time::Instant;
//! use dtls::{Client, ClientConfig, ClientOutput, Config, CookieSecret, Output, Psk, Server};
//! use dtls::StoreOutcome;
//!
//! let now = Instant::now();
//! let mut server = Server::new(Config::default(), &CookieSecret::new([1; 32]), [2; 32]);
//! let psk = Psk::new(b"sixteen byte key")?;
//! let mut client = Client::new(ClientConfig::new(b"device".to_vec(), psk.clone()), [3; 32]);
//! let address = "192.0.2.1:5684".parse()?;
//! client.start(now);
//! loop {
//!     match client.poll_output() {
//!         Some(ClientOutput::Transmit(mut datagram)) => {
//!             server.handle_datagram(now, address, &mut datagram);
//!         }
//!         Some(ClientOutput::Connected { .. }) => break,
//!         other => assert!(other.is_none(), "{other:?}"),
//!     }
//!     while let Some(output) = server.poll_output() {
//!         match output {
//!             Output::Transmit { mut datagram, .. } => client.handle_datagram(now, &mut datagram),
//!             Output::PskNeeded { handshake, .. } => {
//!                 server.provide_psk(now, handshake, Some(&psk));
//!             }
//!             Output::StoreSession { handshake, .. } => {
//!                 server.session_stored(now, handshake, StoreOutcome::Stored);
//!             }
//!             _ => {}
//!         }
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod alert;
mod certificates;
mod cid;
mod client;
mod config;
mod cookie;
mod counters;
mod credentials;
mod error;
mod export;
mod extension;
mod flight;
mod handshake;
mod identity;
mod key_agreement;
mod key_schedule;
mod prf;
mod protection;
mod random;
mod rate;
mod reassembly;
mod record;
mod resumption;
mod sequence;
mod server;
mod session;
mod signature;
mod slab;
mod source;
mod suite;
mod table;
mod wire;
mod x509;

pub use alert::AlertDescription;
pub use certificates::{ExpiredLists, TrustAnchors, TrustAnchorsError};
pub use cid::ConnectionId;
pub use client::{
    CidOffer, Client, ClientConfig, ClientCredentials, ClientOutput, ClientResumption, ServerTrust,
};
pub use config::Config;
pub use cookie::CookieSecret;
pub use counters::Counters;
pub use credentials::{CertificateType, Credential, CredentialError, ServerCredentials};
pub use error::{CloseReason, HandshakeFailure, ImportError, SendError};
pub use export::{DecodeExportError, SessionExport};
pub use flight::Retransmission;
pub use identity::{
    CertifiedIdentity, Fingerprint, PeerIdentity, PeerKey, PeerRejection, SubjectNames,
};
pub use key_schedule::{MasterSecretKind, Psk, PskLengthError};
pub use rate::{HandshakeBudget, HandshakeRate};
pub use resumption::{HandshakeKind, ResumptionExport, ResumptionId};
pub use server::{Found, HandshakeId, Output, Server, SessionOrigin, StoreOutcome};
pub use session::SessionId;
pub use signature::{SigningKey, SigningKeyError};
pub use source::source_of;
pub use suite::CipherSuite;
