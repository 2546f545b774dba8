//! Our client against our server over an emulated network, hostile input, and real peers.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests over real sockets need the real time"
)]

mod export;
mod fixtures;
mod handshake;
mod hostile;
mod keys;
mod network;
mod pair;
mod rates;
mod real_peers;
mod resumption;
mod suites;
mod traffic;
