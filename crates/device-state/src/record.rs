//! What is stored: one struct per kind of row.

use std::fmt;
use std::net::SocketAddr;

use lwm2m::{
    Binding, ChildPrefix, ContentFormat, Lifetime, LwM2mVersion, NotificationAttributes, Observed,
    Operation, Path, RegistrationId, Value,
};

use crate::enrollment::Enrollment;
use crate::goal::Goal;
use crate::id::{NodeId, OperationId, SessionGeneration, ShardId, Timestamp};
use crate::limit::{CORRECTION_GAP, EXCHANGE_GRACE};
use crate::name::{DeviceName, Namespace};

/// Who a device proved to be when its session was set up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecurityIdentity {
    /// CoAP without security; only accepted when switched on.
    Unauthenticated,
    /// It has the secret of this credential.
    Credential(CredentialId),
    /// It has the key of a certificate with these names, which a trust anchor vouches for.
    CertificateNames(Vec<String>),
}

/// What a credential is found by: what a device shows before it has proved anything.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CredentialId {
    /// PSK identity (RFC 4279), 1–128 bytes.
    PskIdentity(Vec<u8>),
    /// SHA-256 of the SubjectPublicKeyInfo of a raw public key (RFC 7250) or of a certificate.
    PublicKey([u8; 32]),
    /// The device's OSCORE Sender ID (RFC 8613 §3.1), at most [`CredentialId::MAX_OSCORE_ID`] bytes.
    OscoreId(Vec<u8>),
}

impl CredentialId {
    /// The longest Sender ID that leaves room in the nonces of AES-CCM-16-64-128 (RFC 8613 §3.3).
    pub const MAX_OSCORE_ID: usize = 7;

    /// The id without its kind.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::PskIdentity(id) | Self::OscoreId(id) => id,
            Self::PublicKey(fingerprint) => fingerprint,
        }
    }
}

/// A credential among those of all namespaces: two tenants may have different secrets under one id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialName {
    pub namespace: Namespace,
    pub id: CredentialId,
}

impl CredentialName {
    pub fn new(namespace: &Namespace, id: CredentialId) -> Self {
        Self {
            namespace: namespace.clone(),
            id,
        }
    }
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

impl Transport {
    /// As people and filters call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Dtls => "DTLS",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }
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
    pub endpoint: DeviceName,
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
    /// Learnt of the device while it registered with this release.
    pub quirks: Quirks,
    /// By which policy it is registered; `None` if none is about it.
    pub enrollment: Option<Enrollment>,
}

/// What a device turned out not to do as its release says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Quirks {
    /// It does not know composite operations (LwM2M Core 1.2 §6.3.8: they are optional).
    pub no_composite: bool,
    /// It refuses an Observe with parameters (LwM2M Core 1.2 §6.4.1).
    pub no_observe_parameters: bool,
    /// It labels payloads with the first format and writes them in the second.
    pub mislabelled: Option<(ContentFormat, ContentFormat)>,
}

impl Quirks {
    /// These quirks and those.
    #[must_use]
    pub fn and(self, learnt: Self) -> Self {
        Self {
            no_composite: self.no_composite || learnt.no_composite,
            no_observe_parameters: self.no_observe_parameters || learnt.no_observe_parameters,
            mislabelled: learnt.mislabelled.or(self.mislabelled),
        }
    }
}

/// Where a device talks from, and by what. Observations may end where that changes.
pub(crate) type Place = (SocketAddr, Transport, Option<SessionCid>);

impl Registration {
    pub(crate) fn place(&self) -> Place {
        (self.peer, self.transport, self.session)
    }
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
    /// Whose device it is with: nodes of other namespaces do not go on with it.
    pub namespace: Namespace,
}

/// What a DTLS session is resumed by (RFC 5246 §7.4.1.2, `session_id`). Byte 0 is the format,
/// [`ResumptionId::FORMAT`], bytes 1–2 name the partition that stores it, and the rest is random.
/// Never change: devices keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResumptionId(pub [u8; 32]);

impl ResumptionId {
    /// What byte 0 is.
    pub const FORMAT: u8 = 1;

    /// The shard that stores the resumption, and the sessions that come of it.
    pub const fn shard(self) -> ShardId {
        let [_, high, low, ..] = self.0;
        ShardId(u16::from_be_bytes([high, low]))
    }
}

/// What a device that shook hands once can resume by, without proving its credential again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumption {
    pub id: ResumptionId,
    /// What `dtls` resumes from, opaque here and secret; sealed with the cluster key by the state
    /// node's service layer. At most [`MAX_RESUMPTION_STATE`](crate::limit::MAX_RESUMPTION_STATE)
    /// bytes when sealed.
    pub state: Vec<u8>,
    /// Who the device proved to be in the full handshake.
    pub identity: SecurityIdentity,
    /// The newest session that came of it, if it has a Connection ID. It may be gone by now.
    pub session: Option<SessionCid>,
    pub stored_at: Timestamp,
    /// Counts from the full handshake: resuming does not put it off.
    pub expires_at: Timestamp,
    /// Whose device it is for: nodes of other namespaces do not resume from it.
    pub namespace: Namespace,
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
    /// Whose devices it serves.
    pub namespace: Namespace,
}

impl Member {
    pub const MAX_NAME: usize = 256;
    pub const MAX_WORKERS: usize = 64;
}

/// What is wanted of a state node. Nodes without such a record are what their groups were made with: voters that may
/// lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateNode {
    pub node: NodeId,
    /// `host:port` of the internal service; at most [`StateNode::MAX_ADDRESS`] bytes, as the other.
    pub internal: String,
    /// `host:port` of the public service.
    pub api: String,
    pub role: StateNodeRole,
    pub leadership: Leadership,
}

impl StateNode {
    pub const MAX_ADDRESS: usize = 300;
}

/// What a state node is to every shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StateNodeRole {
    /// Counts for the quorum.
    Voter,
    /// Has a replica and counts for nothing.
    Learner,
    /// On its way out, for good: its id does not come back.
    Leaving,
}

/// Whether a voter may lead shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Leadership {
    Allowed,
    /// Others lead, as long as there are any.
    Avoided,
}

/// A credential among all that ever had its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialKey {
    pub id: CredentialId,
    pub serial: u64,
}

/// A credential as the shard of its endpoint knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundCredential {
    pub key: CredentialKey,
    pub origin: CredentialOrigin,
}

/// Who made a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialOrigin {
    /// Somebody stored it, and it stays until somebody removes it.
    Stored,
    /// A bootstrap made it; later ones replace it.
    Bootstrap,
}

/// What a device proves itself with, and the endpoint that it may register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    pub id: CredentialId,
    pub endpoint: DeviceName,
    /// The secret, sealed with the cluster key by the state node's service layer; never in clear here. Empty for a
    /// public key.
    pub sealed_secret: Vec<u8>,
    pub created_at: Timestamp,
    /// Drawn at random by whoever stores it: tells it apart from others of the same id.
    pub serial: u64,
}

/// Who protects messages in the OSCORE context of a credential. Every owner has a generation of its own, and with it
/// sequence numbers of its own (RFC 8613 §7.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextOwner {
    pub namespace: Namespace,
    /// As in [`CredentialId::OscoreId`].
    pub oscore_id: Vec<u8>,
    pub owner: NodeId,
    pub generation: SessionGeneration,
    /// What that owner had accepted when it let the context go: the replay window, as the OSCORE
    /// layer writes it. Empty while it holds the context, or if it ended without telling.
    pub window: Vec<u8>,
}

impl ContextOwner {
    pub const MAX_WINDOW: usize = 64;

    /// What tells contexts of all namespaces apart, in keys: never change. In the default namespace it is the id alone;
    /// in others it begins with more bytes than an id has.
    pub(crate) fn key_of(namespace: &Namespace, oscore_id: &[u8]) -> Vec<u8> {
        if namespace.is_default() {
            return oscore_id.to_vec();
        }
        let mut key = vec![u8::MAX; CredentialId::MAX_OSCORE_ID + 1];
        key.extend(namespace.qualify("").as_bytes());
        key.extend(oscore_id);
        key
    }
}

/// The secret of a credential, in clear.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    PreSharedKey(Vec<u8>),
    /// None: the device keeps its key to itself.
    PublicKey,
    Oscore(OscoreSecret),
}

/// What an OSCORE security context is derived from (RFC 8613 §3.2), beside the device's Sender ID.
#[derive(Clone, PartialEq, Eq)]
pub struct OscoreSecret {
    pub master_secret: Vec<u8>,
    pub master_salt: Vec<u8>,
    /// The server's Sender ID.
    pub server_id: Vec<u8>,
    pub id_context: Option<Vec<u8>>,
}

impl Credential {
    /// What it is found by: it is in the namespace of its device.
    pub fn name(&self) -> CredentialName {
        CredentialName {
            namespace: self.endpoint.namespace(),
            id: self.id.clone(),
        }
    }
}

impl fmt::Debug for Secret {
    /// Nothing that is secret gets into logs.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::PreSharedKey(_) => "PreSharedKey",
            Self::PublicKey => "PublicKey",
            Self::Oscore(_) => "Oscore",
        })
    }
}

/// Who asked for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationSource {
    /// A call of the API.
    Caller,
    /// What is desired of the device: a resource that the operation writes or reads, or what it observes.
    Desired,
    /// The campaign that the device is in.
    Campaign,
}

/// How an operation stands to others of its device's queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Queueing {
    /// Higher goes first; among equals the oldest.
    pub priority: u8,
    /// Older ones of callers that wait and that it [makes obsolete](Operation::makes_obsolete) are
    /// given up.
    pub supersedes: bool,
}

/// An operation on a device, kept until it ended and its result was retained for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationRecord {
    pub id: OperationId,
    pub endpoint: DeviceName,
    pub operation: Operation,
    pub source: OperationSource,
    /// Higher goes first; among equals the oldest.
    pub priority: u8,
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

    /// Whether it is never sent again when its answer was lost. What is desired stays desired: a device that has an
    /// instance already refuses to create it once more, and says in its list of objects that it has it.
    pub fn happens_once(&self) -> bool {
        self.operation.happens_once() && self.source != OperationSource::Desired
    }

    /// Whether it is committed as started before it is sent: what happens once, so that it does, and what makes a desired
    /// instance come or go, so that nobody takes the list of objects that a device sends meanwhile for its end.
    pub fn starts_first(&self) -> bool {
        let is_desired = self.source == OperationSource::Desired;
        self.operation.happens_once()
            || is_desired && matches!(self.operation, Operation::Delete { .. })
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
    /// What the device answered to a raw request, whatever it is; `code` is the CoAP code byte.
    Answered {
        code: u8,
        content_format: Option<ContentFormat>,
        payload: Vec<u8>,
    },
    /// The deadline passed, or the result of an at-most-once operation was lost.
    Expired,
    /// The caller took it back before it was sent.
    Cancelled,
    /// A newer desired value replaced it before it was sent.
    Superseded,
}

/// What somebody wants of a device: a value of a resource, or an object instance.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredValue {
    pub path: Path,
    pub goal: Goal,
    pub drift: DriftPolicy,
}

impl DesiredValue {
    /// One that is written once, and then the device's own business.
    pub const fn initial(path: Path, value: Value) -> Self {
        Self {
            path,
            goal: Goal::Value(value),
            drift: DriftPolicy::InitOnly,
        }
    }

    /// What is to be where.
    pub const fn wish(&self) -> (Path, &Goal) {
        (self.path, &self.goal)
    }
}

/// What happens when a device tells another value than the one that is desired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DriftPolicy {
    /// It is written again, not more often than [`CORRECTION_GAP`](crate::limit::CORRECTION_GAP) says.
    #[default]
    Enforce,
    /// It is told.
    Report,
    /// Nothing: the value was written once.
    InitOnly,
}

/// One resource that is to have a value, or one object instance that is to be there or not.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredResource {
    pub endpoint: DeviceName,
    pub path: Path,
    pub goal: Goal,
    pub drift: DriftPolicy,
    pub origin: DesiredOrigin,
    /// The generation of the intent that set it (`metadata.generation` of the custom resource), or
    /// the revision of the profile.
    pub generation: u64,
    pub state: DesiredState,
    /// When it was written last because the device had another value.
    pub corrected_at: Option<Timestamp>,
}

impl DesiredResource {
    /// When the value that the device does not have is written once more; `None` while that is not to be.
    pub fn correction_at(&self) -> Option<Timestamp> {
        let DesiredState::Drifted { since } = self.state else {
            return None;
        };
        let gap = |last: Timestamp| last.saturating_add(CORRECTION_GAP);
        (self.drift == DriftPolicy::Enforce).then(|| self.corrected_at.map_or(since, gap))
    }
}

/// Who wants a resource to have a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum DesiredOrigin {
    /// Somebody who spoke of the device itself.
    #[default]
    Device,
    /// The profile of this name.
    Profile(String),
}

impl DesiredOrigin {
    /// Whether it is this profile.
    pub fn is_profile(&self, name: &str) -> bool {
        matches!(self, Self::Profile(profile) if profile == name)
    }
}

/// How far the device is from what is desired. An instance is told by the list of objects that the device registers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DesiredState {
    /// The write waits or is under way.
    Pending { operation: OperationId },
    /// The device confirmed the write.
    InSync { since: Timestamp },
    /// The device told another value afterwards.
    Drifted { since: Timestamp },
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
    /// Random, chosen by the holder; or [`ObservationHolder::DECLARED`].
    pub id: u64,
    /// When the hold ends unless renewed.
    pub lease_until: Timestamp,
}

impl ObservationHolder {
    /// Who holds what was declared, for ever.
    pub const DECLARED: u64 = 0;
}

/// The intent that something of a device be observed; established again whenever the device
/// registers (LwM2M Core 1.2 §6.4.1).
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    pub endpoint: DeviceName,
    pub observed: Observed,
    /// When the device is to notify, instead of what is written to its paths.
    pub parameters: NotificationAttributes,
    /// At least one, at most [`Observation::MAX_HOLDERS`].
    pub holders: Vec<ObservationHolder>,
}

impl Observation {
    /// More holders of one observation are refused.
    pub const MAX_HOLDERS: usize = 32;
    /// More observations of one device are refused.
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
    pub endpoint: DeviceName,
    pub path: Path,
    pub value: Value,
    pub origin: ValueOrigin,
    pub at: Timestamp,
}

/// The newest value that is known of a resource of a device behind a gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildValue {
    /// What the gateway calls the device in paths.
    pub child: ChildPrefix,
    /// The endpoint is the gateway, the path that of the child.
    pub value: LastValue,
}
