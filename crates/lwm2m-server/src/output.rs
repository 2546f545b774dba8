//! What goes into the engine and comes out of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coap::ExchangeId;
use device_state::{
    Command, Digest, Observation, OperationOutcome, SecurityIdentity, SessionCid, ShardId,
    Timestamp, Transport,
};
use lwm2m::{EndpointName, RegistrationId};

/// The two clocks, read by the caller at the same moment.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For timers.
    pub instant: Instant,
    /// For what is stored.
    pub wall: Timestamp,
}

/// What the transport knows of the sender of a message.
#[derive(Clone, Debug)]
pub struct Origin {
    pub address: SocketAddr,
    pub transport: Transport,
    /// Shared by all messages of a session.
    pub principal: Arc<Principal>,
    pub session: Option<SessionCid>,
}

/// Who a peer is, and which endpoints it may register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub identity: SecurityIdentity,
    /// The first one is registered where a device names none. Empty: any, for want of security.
    pub endpoints: Vec<EndpointName>,
}

impl Principal {
    /// Somebody who is who they say they are.
    pub const fn anyone() -> Self {
        Self {
            identity: SecurityIdentity::Unauthenticated,
            endpoints: Vec::new(),
        }
    }
}

/// A commit that the engine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(pub(crate) u64);

/// An operation, as numbered by whoever asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationTag(pub u64);

/// Why a commit is not known to have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    #[error("the state tier did not answer in time")]
    Unavailable,
    #[error("the state tier has too much to do")]
    Overloaded,
}

/// What the caller has to do.
#[derive(Debug)]
pub enum Output<P> {
    /// Send a datagram.
    Transmit { peer: P, datagram: Vec<u8> },
    /// Send a message on the stream of the peer.
    Send { peer: P, message: coap::Message },
    /// Propose a command and report back with [`Engine::handle_committed`](crate::Engine::handle_committed).
    Commit {
        id: CommitId,
        shard: ShardId,
        command: Command,
    },
    /// Fetch a registration that this engine does not hold and, if there is one, report back with
    /// [`Engine::take_on`](crate::Engine::take_on) and the observations given here.
    LookUp {
        registration: RegistrationId,
        peer: P,
        observations: Vec<Observation>,
        /// Where the device talked from before, for [`Engine::came_from`](crate::Engine::came_from).
        moved_from: Option<SocketAddr>,
    },
    /// A device wants a package, or is to be brought one: fetch it and report back with
    /// [`Engine::take_package`](crate::Engine::take_package).
    Package {
        request: PackageRequest,
        digest: Digest,
    },
    /// An operation names packages of the cluster: say where the device at `peer` reaches this server, with
    /// [`Engine::take_address`](crate::Engine::take_address).
    Address { tag: OperationTag, peer: P },
    /// An operation ended.
    OperationDone {
        tag: OperationTag,
        result: Result<OperationReply, OperationFailure>,
    },
    /// A device that may have operations waiting listens now.
    Awake { endpoint: EndpointName },
    /// Somebody was refused who wanted to register as this endpoint.
    Refused {
        endpoint: EndpointName,
        from: SocketAddr,
        /// Why, in words.
        reason: String,
    },
}

/// What waits for a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PackageRequest(pub(crate) Delivery);

/// How a package comes to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Delivery {
    /// It asks for it.
    Fetch(ExchangeId),
    /// It is written to it.
    Push(OperationTag),
}

/// The device's answer to an operation.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationReply {
    pub outcome: OperationOutcome,
    /// Discover: the links as the device sent them.
    pub links: String,
}

/// Why an operation has no answer of the device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperationFailure {
    #[error("this node does not hold the device's registration")]
    NotHere,
    #[error("the device sleeps")]
    Asleep,
    #[error("the device did not answer")]
    Timeout,
    #[error("too many requests to this device are under way")]
    Busy { retry_after: Duration },
    #[error("the device's answer cannot be used: {0}")]
    BadAnswer(String),
    #[error("the operation cannot be sent: {0}")]
    Invalid(String),
}
