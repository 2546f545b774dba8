//! What is stored: one struct per kind of row.

use std::net::SocketAddr;

use lwm2m::{
    Binding, EndpointName, Lifetime, LwM2mVersion, Operation, Path, RegistrationId, Value,
};

use crate::id::{NodeId, OperationId, SessionGeneration, ShardId, Timestamp};
use crate::limit::EXCHANGE_GRACE;

/// Who a device proved to be when its session was set up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecurityIdentity {
    /// CoAP without security; only accepted when switched on.
    Unauthenticated,
    /// The PSK identity of the DTLS session.
    PskIdentity(Vec<u8>),
}

/// How a device reaches the ingress node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// CoAP over UDP without security.
    Udp,
    /// CoAP over DTLS over UDP.
    Dtls,
    /// CoAP over TCP without security (RFC 8323).
    Tcp,
    /// CoAP over TLS over TCP.
    Tls,
}

/// The 8-byte Connection ID that the server gave a DTLS session; bytes 1–2 name the partition that
/// stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionCid(pub [u8; 8]);

impl SessionCid {
    /// The shard that stores the session.
    pub const fn shard(self) -> ShardId {
        let [_, high, low, ..] = self.0;
        ShardId(u16::from_be_bytes([high, low]))
    }
}

/// A live registration (LwM2M Core 1.2 §6.2).
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    pub endpoint: EndpointName,
    /// Last segment of the location `/rd/<id>`; its first four hex digits are the shard.
    pub id: RegistrationId,
    pub identity: SecurityIdentity,
    /// The ingress node that talks to the device.
    pub owner: NodeId,
    pub peer: SocketAddr,
    pub transport: Transport,
    /// The DTLS session it arrived on.
    pub session: Option<SessionCid>,
    pub lifetime: Lifetime,
    pub version: LwM2mVersion,
    pub binding: Binding,
    /// The object list as the device sent it, CoRE link format.
    pub links: String,
    pub registered_at: Timestamp,
    pub updated_at: Timestamp,
    /// When the lifetime plus its grace ends; [`Timestamp::NEVER`] for lifetime 0.
    pub expires_at: Timestamp,
}

/// A DTLS session as exported before the server's Finished was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub cid: SessionCid,
    /// The versioned export of `dtls`, opaque here; sealed with the cluster key by the caller.
    pub export: Vec<u8>,
    pub identity: SecurityIdentity,
    pub peer: SocketAddr,
    pub owner: NodeId,
    pub generation: SessionGeneration,
    pub stored_at: Timestamp,
    pub expires_at: Timestamp,
}

/// Whether a member may become an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemberPhase {
    Ready,
    /// It ends soon, and owns nothing any more.
    Leaving,
}

/// An ingress node that is reachable for the others, for as long as it renews its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub node: NodeId,
    /// For people; at most [`Member::MAX_NAME`] bytes.
    pub name: String,
    pub phase: MemberPhase,
    /// Where each of its workers takes datagrams from other members; at most
    /// [`Member::MAX_WORKERS`].
    pub workers: Vec<SocketAddr>,
    pub lease_until: Timestamp,
}

impl Member {
    pub const MAX_NAME: usize = 256;
    pub const MAX_WORKERS: usize = 64;
}

/// A pre-shared key and the endpoint that it may register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// PSK identity, 1–128 bytes.
    pub identity: Vec<u8>,
    pub endpoint: EndpointName,
    /// The key, sealed with the cluster key by the state node's service layer; never in clear here.
    pub sealed_key: Vec<u8>,
    pub created_at: Timestamp,
}

/// Who asked for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationSource {
    /// A call of the API.
    Caller,
    /// The desired state of the resource that the operation writes.
    Desired,
}

/// An operation on a device, kept until it ended and its result was retained for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationRecord {
    pub id: OperationId,
    pub endpoint: EndpointName,
    pub operation: Operation,
    pub source: OperationSource,
    pub enqueued_at: Timestamp,
    /// Not delivered by then: it expires.
    pub deadline: Timestamp,
    pub state: OperationState,
}

/// Where an operation is on its way.
#[derive(Clone, Debug, PartialEq)]
pub enum OperationState {
    /// Waits for its turn or for the device to wake up.
    Pending,
    /// Handed to the ingress node `owner`; committed first for what may happen at most once.
    InFlight { owner: NodeId, since: Timestamp },
    /// Ended; the row is kept until `retain_until`.
    Finished {
        outcome: OperationOutcome,
        at: Timestamp,
        retain_until: Timestamp,
    },
}

impl OperationRecord {
    /// Whether it waits for its turn.
    pub fn is_pending(&self) -> bool {
        self.state == OperationState::Pending
    }

    /// Whether an ingress node has it.
    pub fn is_in_flight(&self) -> bool {
        matches!(self.state, OperationState::InFlight { .. })
    }

    /// Whether it ended.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, OperationState::Finished { .. })
    }

    /// When it ended, if it did.
    pub fn finished_at(&self) -> Option<Timestamp> {
        match self.state {
            OperationState::Finished { at, .. } => Some(at),
            OperationState::Pending | OperationState::InFlight { .. } => None,
        }
    }

    /// When time takes it to its next state: a pending one expires at its deadline, one in flight
    /// not before its exchange can be over, and an ended one is forgotten.
    pub fn ends_at(&self) -> Timestamp {
        match self.state {
            OperationState::Pending => self.deadline,
            OperationState::InFlight { since, .. } => {
                self.deadline.max(since.saturating_add(EXCHANGE_GRACE))
            }
            OperationState::Finished { retain_until, .. } => retain_until,
        }
    }
}

/// The one end that every operation has.
#[derive(Clone, Debug, PartialEq)]
pub enum OperationOutcome {
    /// The device answered with success; `code` is the CoAP code byte, `values` what it returned.
    Delivered {
        code: u8,
        values: Vec<(Path, Value)>,
    },
    /// The device answered with an error; `code` is the CoAP code byte.
    Rejected { code: u8, diagnostic: String },
    /// The deadline passed, or the result of an at-most-once operation was lost.
    Expired,
    /// The caller took it back before it was sent.
    Cancelled,
    /// A newer desired value replaced it before it was sent.
    Superseded,
}

/// One resource that an operator wants to have a value.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredResource {
    pub endpoint: EndpointName,
    pub path: Path,
    pub value: Value,
    /// The generation of the intent that set it (`metadata.generation` of the custom resource).
    pub generation: u64,
    pub state: DesiredState,
}

/// How far the device is from a desired value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DesiredState {
    /// The write waits or is under way.
    Pending { operation: OperationId },
    /// The device confirmed the write.
    InSync { since: Timestamp },
    /// The device refused the write; `code` is the CoAP code byte.
    Rejected {
        code: u8,
        diagnostic: String,
        since: Timestamp,
    },
}

/// Somebody who wants a resource observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservationHolder {
    /// Random, chosen by the holder.
    pub id: u64,
    /// When the hold ends unless renewed.
    pub lease_until: Timestamp,
}

/// The intent that a path of a device be observed; established again whenever the device registers
/// (LwM2M Core 1.2 §6.4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    pub endpoint: EndpointName,
    pub path: Path,
    /// At least one, at most [`Observation::MAX_HOLDERS`].
    pub holders: Vec<ObservationHolder>,
}

impl Observation {
    /// More holders of one path are refused.
    pub const MAX_HOLDERS: usize = 32;
    /// More observed paths of one device are refused.
    pub const MAX_PATHS: usize = 64;
}

/// How a value came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueOrigin {
    Notify,
    Send,
    Read,
    Write,
}

/// The newest value that is known of a resource.
#[derive(Clone, Debug, PartialEq)]
pub struct LastValue {
    pub endpoint: EndpointName,
    pub path: Path,
    pub value: Value,
    pub origin: ValueOrigin,
    pub at: Timestamp,
}
