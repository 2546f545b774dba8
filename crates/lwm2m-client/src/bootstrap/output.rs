//! What comes out of a bootstrap client.

use std::time::Duration;

use coap::Code;

use super::account::StoredAccount;

/// What a bootstrap client wants of its caller.
#[derive(Clone, Debug, PartialEq)]
pub enum BootstrapOutput {
    /// Send this datagram to the bootstrap server.
    Transmit(Vec<u8>),
    /// Send this message on the stream to the bootstrap server.
    Send(coap::Message),
    /// Something happened.
    Event(BootstrapEvent),
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum BootstrapEvent {
    /// The bootstrap server took the request; it goes on from there.
    Accepted,
    /// There is no pack, or it is of no use: the device goes on with a Bootstrap-Request.
    PackRejected,
    /// The server does not have the preferred format; the device asks again without one.
    FormatRejected,
    /// The server said that it was done and is not.
    Inconsistent,
    /// The device has its accounts. The server may repeat its last request for a while if the answer to it was lost, so
    /// keep the session and the client that long if you can.
    Finished { accounts: Vec<StoredAccount> },
    /// The bootstrap failed. [`BootstrapClient::start`](super::BootstrapClient::start) begins another one.
    Failed {
        reason: BootstrapFailure,
        /// When the server, which has too much to do, wants to be asked again.
        retry_after: Option<Duration>,
    },
}

/// Why a bootstrap failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootstrapFailure {
    /// The server answered the Bootstrap-Request with this code.
    Refused(Code),
    /// No answer to it came, or one that is none.
    NoAnswer,
    /// The server began and then was silent.
    Silence,
}
