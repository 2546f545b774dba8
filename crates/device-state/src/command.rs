//! The commands that change a shard, and what each answers.

mod level;

use std::net::SocketAddr;
use std::time::Duration;

use lwm2m::{
    Binding, ChildPrefix, Lifetime, NotificationAttributes, ObjectModel, ObjectVersion, Observed,
    Operation, Path, RegistrationId, Value,
};

use crate::artefact::{Artefact, ArtefactChunk, ArtefactName};
use crate::bootstrap::{BootstrapProfile, BootstrapRecord};
use crate::campaign::{Abort, Campaign, CampaignId, Course, Part, Sweep};
use crate::enrollment::EnrollmentPolicy;
use crate::feature::FeatureLevel;
use crate::group::Group;
use crate::guard::Guard;
use crate::id::{NodeId, OperationId, RequestId, SessionGeneration, Timestamp};
use crate::label::{LabelValue, MapChange};
use crate::name::{DeviceName, Namespace};
use crate::profile::{Profile, Standing};
use crate::record::{
    BoundCredential, ContextOwner, Credential, CredentialKey, CredentialName, DesiredValue, Member,
    Observation, OperationOutcome, Queueing, Quirks, Registration, Resumption, ResumptionId,
    SecurityIdentity, Session, SessionCid, StateNode, Transport, ValueOrigin,
};

/// A command as it stands in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// A repeated id gets the first outcome again and changes nothing. `None` for what the leader
    /// itself proposes.
    pub request_id: Option<RequestId>,
    /// The leader's clock when it proposed the command; the only time that `apply` knows.
    pub leader_time: Timestamp,
    pub command: Command,
}

/// A change of one shard.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Replaces any registration of the endpoint. Times in `registration` are overwritten with the
    /// leader's.
    Register {
        registration: Box<Registration>,
    },
    /// Refreshes the lifetime and changes what is `Some` (LwM2M Core 1.2 §6.2.2).
    Update {
        /// Whose device asks: ids of others are not known to it.
        namespace: Namespace,
        id: RegistrationId,
        identity: SecurityIdentity,
        owner: NodeId,
        peer: SocketAddr,
        /// Unknown in what earlier releases stored: then it stays as it was.
        transport: Option<Transport>,
        session: Option<SessionCid>,
        lifetime: Option<Lifetime>,
        binding: Option<Binding>,
        links: Option<String>,
    },
    /// Makes `owner` the node that talks to the device, if it registered in `session`. The device
    /// itself asked for nothing, so its lifetime runs on.
    MoveRegistration {
        id: RegistrationId,
        session: SessionCid,
        owner: NodeId,
    },
    Deregister {
        /// Whose device asks.
        namespace: Namespace,
        id: RegistrationId,
        identity: SecurityIdentity,
    },
    /// Removes what ended at or before the leader's time, at most `limit` rows; proposed by the
    /// leader only.
    ExpireUpTo {
        limit: u32,
    },
    /// Refused when the CID is taken, or the id of the resumption. Both are of one shard.
    StoreSession {
        session: Box<Session>,
        /// What the device can resume the session by; its own `session` does not count.
        resumption: Option<Box<Resumption>>,
    },
    /// For a device without a Connection ID, whose session has no row.
    StoreResumption {
        resumption: Box<Resumption>,
    },
    /// The device resumed: what it resumed by stands for `session` from now on, and the session
    /// before is removed. Of one shard.
    Resume {
        id: ResumptionId,
        /// `None` for a device without a Connection ID.
        session: Option<Box<Session>>,
    },
    /// The session that came of it stays.
    RemoveResumption {
        id: ResumptionId,
    },
    /// Compare-and-swap of a session's owner; must commit before the new owner's first send.
    ClaimSession {
        cid: SessionCid,
        owner: NodeId,
        expected: SessionGeneration,
    },
    /// What the device can resume by stays.
    RemoveSession {
        cid: SessionCid,
    },
    /// Makes `member` a member until `lease` after the leader's time, or keeps it one; its own
    /// `lease_until` does not count. To shard 0 only.
    RenewMembership {
        member: Member,
        lease: Duration,
    },
    PutCredential {
        credential: Credential,
    },
    /// As [`Command::PutCredential`], unless another endpoint has the identity.
    AddCredential {
        credential: Credential,
    },
    RemoveCredential {
        credential: CredentialName,
    },
    /// The endpoint registers with security only while it has this credential, and under a
    /// credential only while it has it; what it registered without security ends. To the endpoint's
    /// shard, before the credential is stored in its own.
    BindEndpoint {
        endpoint: DeviceName,
        credential: BoundCredential,
    },
    /// The endpoint has this credential no longer, and what it registered under it ends. To the
    /// endpoint's shard, after the credential is removed from its own.
    UnbindEndpoint {
        endpoint: DeviceName,
        credential: CredentialKey,
    },
    /// Makes `owner` the owner of the OSCORE context of a credential, in the next generation. To the
    /// credential's shard.
    ClaimContext {
        namespace: Namespace,
        oscore_id: Vec<u8>,
        owner: NodeId,
        /// The generation that the claimer knows; 0 if nobody has owned the context.
        expected: SessionGeneration,
    },
    /// `owner` accepts nothing in the context any more. What it had accepted is for the next owner,
    /// once. To the credential's shard.
    ReleaseContext {
        namespace: Namespace,
        oscore_id: Vec<u8>,
        owner: NodeId,
        generation: SessionGeneration,
        window: Vec<u8>,
    },
    /// Replaces the whole desired set of the endpoint; an older `generation` than the stored one is
    /// refused.
    SetDesired {
        endpoint: DeviceName,
        generation: u64,
        resources: Vec<DesiredValue>,
    },
    /// Accepts an operation for delivery until `deadline`.
    Enqueue {
        endpoint: DeviceName,
        operation: Operation,
        deadline: Timestamp,
        queueing: Queueing,
    },
    /// Marks an operation as handed over; must commit before an at-most-once operation is sent.
    Start {
        endpoint: DeviceName,
        operation: OperationId,
        owner: NodeId,
    },
    /// The exchange was lost: back to pending, or ended if it may happen at most once.
    Requeue {
        endpoint: DeviceName,
        operation: OperationId,
    },
    Finish {
        endpoint: DeviceName,
        operation: OperationId,
        outcome: OperationOutcome,
    },
    /// Takes back an operation that is still pending.
    Cancel {
        endpoint: DeviceName,
        operation: OperationId,
    },
    /// Creates or renews a hold on an observation. All holders of one want the same parameters.
    HoldObservation {
        endpoint: DeviceName,
        observed: Observed,
        parameters: NotificationAttributes,
        holder: u64,
        lease_until: Timestamp,
    },
    ReleaseObservation {
        endpoint: DeviceName,
        observed: Observed,
        holder: u64,
    },
    /// Adds a bootstrap profile or replaces the one of its name in its namespace. To shard 0 only.
    PutBootstrapProfile {
        profile: BootstrapProfile,
    },
    /// To shard 0 only.
    RemoveBootstrapProfile {
        namespace: Namespace,
        name: String,
    },
    /// A bootstrap of an endpoint ended; its own `at` does not count.
    RecordBootstrap {
        record: BootstrapRecord,
    },
    /// Adds the definition of an object or replaces the one of its id and version. To shard 0 only.
    PutObjectModel {
        model: Box<ObjectModel>,
    },
    /// To shard 0 only.
    RemoveObjectModel {
        object: u16,
        /// All of them if there is none.
        version: Option<ObjectVersion>,
    },
    /// Every replica of the shard supports this level; proposed by the leader only.
    RaiseFeatureLevel {
        level: FeatureLevel,
    },
    /// Says what is wanted of a state node from now on. To shard 0 only.
    PutStateNode {
        node: StateNode,
    },
    /// Nothing is wanted of the node any more: it has left, or was replaced. To shard 0 only.
    ForgetStateNode {
        node: NodeId,
    },
    /// The device of a registration answered otherwise than its release says. To what is known of
    /// it already, and for as long as it registers with the same release.
    LearnQuirks {
        registration: RegistrationId,
        quirks: Quirks,
    },
    /// Values that a device reported; refused when `registration` is no longer the live one.
    RecordValues {
        endpoint: DeviceName,
        registration: RegistrationId,
        /// The device behind it that they are of, if it is a gateway that reported them.
        child: Option<ChildPrefix>,
        origin: ValueOrigin,
        values: Vec<(Path, Value, Timestamp)>,
    },
    /// Every replica hashes its rows as they are behind the log entry with this; proposed by the
    /// leader only.
    CompareRows,
    /// Changes what is attached to a device.
    ChangeMetadata {
        endpoint: DeviceName,
        labels: MapChange<LabelValue>,
        annotations: MapChange<String>,
        missing: Missing,
    },
    /// Deletes everything that is known of a device but its credentials: what waits for it ends.
    Forget {
        endpoint: DeviceName,
        live: Live,
        missing: Missing,
    },
    /// Begins a campaign; its own id, course and time do not count. To shard 0 only.
    PutCampaign {
        campaign: Box<Campaign>,
    },
    /// To shard 0 only.
    ControlCampaign {
        namespace: Namespace,
        name: String,
        /// `None`: as it is.
        paused: Option<bool>,
        /// `None`: as it is. The name of a wave, or empty.
        approved_through: Option<String>,
        abort: Abort,
    },
    /// The planner's: refused unless [`Course::step`] is the stored one and one more. To shard 0 only.
    SteerCampaign {
        id: CampaignId,
        namespace: Namespace,
        name: String,
        course: Course,
    },
    /// One that has ended. To shard 0 only.
    RemoveCampaign {
        namespace: Namespace,
        name: String,
    },
    /// The shard takes part in a campaign; nothing changes if it does already.
    OpenCampaign {
        part: Box<Part>,
    },
    /// Asks further devices whether they take part, about as many as `limit`.
    EnrolDevices {
        id: CampaignId,
        limit: u32,
    },
    /// Further devices have their turn in a wave, until so many have had it, ever; at most
    /// [`MAX_ADMITTED`](crate::limit::MAX_ADMITTED) at once.
    AdmitDevices {
        id: CampaignId,
        wave: u8,
        until: u64,
        /// At which [`Course::step`] this was decided: nobody is admitted if the shard was told of a later one. 0 of
        /// releases before [`FeatureLevel::CAMPAIGN_HEALTH`].
        step: u64,
        /// [`Course::census`]; with a new one the shard begins to count.
        census: u64,
    },
    /// No device begins any more, and further ones are taken back, about as many as `limit`.
    HaltCampaign {
        id: CampaignId,
        limit: u32,
    },
    /// Removes about `limit` rows of a campaign that is gone.
    DropCampaign {
        id: CampaignId,
        limit: u32,
    },
    /// Adds a profile or replaces the one of its name in its namespace; its revision is given by `apply`. To shard 0 only.
    PutProfile {
        profile: Box<Profile>,
    },
    /// To shard 0 only.
    RemoveProfile {
        namespace: Namespace,
        name: String,
    },
    /// The shard goes by this revision of a profile; nothing changes if it knows it, or a newer one.
    InstallProfile {
        profile: Box<Profile>,
        standing: Standing,
    },
    /// Asks further devices whether they have a profile, about as many as `limit`.
    SpreadProfile {
        namespace: Namespace,
        name: String,
        limit: u32,
    },
    /// It is the turn of the next devices of a profile with a rollout: of `examine`, or fewer if `limit` of them have something
    /// to do. Nothing happens unless the shard is where the sender knows it to be: at this revision, everybody asked, and
    /// these released.
    ReleaseProfile {
        namespace: Namespace,
        name: String,
        revision: u64,
        released: Sweep,
        limit: u32,
        examine: u32,
    },
    /// Adds a group or replaces the one of its name in its namespace. To shard 0 only.
    PutGroup {
        group: Group,
    },
    /// To shard 0 only.
    RemoveGroup {
        namespace: Namespace,
        name: String,
    },
    /// Makes room for a package; its own state and time do not count. To the package's shard, as all that follow.
    BeginArtefact {
        artefact: Artefact,
    },
    /// Stores a part of a package that has begun. The last one completes it.
    PutArtefactChunk {
        chunk: ArtefactChunk,
    },
    /// Removes a package, however much of it is there.
    RemoveArtefact {
        artefact: ArtefactName,
    },
    /// Adds an enrollment policy or replaces the one of its name in its namespace. To shard 0 only.
    PutEnrollmentPolicy {
        policy: Box<EnrollmentPolicy>,
    },
    /// To shard 0 only.
    RemoveEnrollmentPolicy {
        namespace: Namespace,
        name: String,
    },
    /// A command of a caller ([`Command::is_of_caller`]) that is carried out under conditions.
    Guarded {
        guard: Guard,
        command: Box<Self>,
    },
}

impl Command {
    /// The namespace in which something can begin with the command: everything else is about what is there. `None` for
    /// what is of the cluster, too.
    pub fn begins_in(&self) -> Option<Namespace> {
        Some(match self {
            Self::Register { registration } => registration.endpoint.namespace(),
            Self::StoreSession { session, .. } => session.namespace.clone(),
            Self::StoreResumption { resumption } => resumption.namespace.clone(),
            Self::RenewMembership { member, .. } => member.namespace.clone(),
            Self::PutCredential { credential } | Self::AddCredential { credential } => {
                credential.endpoint.namespace()
            }
            Self::PutBootstrapProfile { profile } => profile.namespace.clone(),
            Self::RecordBootstrap { record } => record.endpoint.namespace(),
            Self::PutCampaign { campaign } => campaign.namespace.clone(),
            Self::PutGroup { group } => group.namespace.clone(),
            Self::PutEnrollmentPolicy { policy } => policy.namespace.clone(),
            Self::PutProfile { profile } => profile.namespace.clone(),
            Self::BeginArtefact { artefact } => artefact.name.namespace.clone(),
            Self::BindEndpoint { endpoint, .. }
            | Self::SetDesired { endpoint, .. }
            | Self::Enqueue { endpoint, .. }
            | Self::HoldObservation { endpoint, .. }
            | Self::ChangeMetadata { endpoint, .. } => endpoint.namespace(),
            Self::Guarded { command, .. } => return command.begins_in(),
            _ => return None,
        })
    }
}

/// What becomes of a change of a device that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Missing {
    Refused,
    Allowed,
}

/// What becomes of deleting a device that is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Live {
    Refused,
    /// Its registration ends; the device has to register anew.
    Deregistered,
}

impl Command {
    /// Whether a caller of the API asks for it: neither a device nor a leader, and nothing secret in it is in clear.
    pub const fn is_of_caller(&self) -> bool {
        matches!(
            self,
            Self::PutCredential { .. }
                | Self::AddCredential { .. }
                | Self::RemoveCredential { .. }
                | Self::BindEndpoint { .. }
                | Self::UnbindEndpoint { .. }
                | Self::SetDesired { .. }
                | Self::Enqueue { .. }
                | Self::Cancel { .. }
                | Self::HoldObservation { .. }
                | Self::ReleaseObservation { .. }
                | Self::PutBootstrapProfile { .. }
                | Self::RemoveBootstrapProfile { .. }
                | Self::PutObjectModel { .. }
                | Self::RemoveObjectModel { .. }
                | Self::ChangeMetadata { .. }
                | Self::Forget { .. }
                | Self::PutCampaign { .. }
                | Self::ControlCampaign { .. }
                | Self::RemoveCampaign { .. }
                | Self::PutGroup { .. }
                | Self::RemoveGroup { .. }
                | Self::PutProfile { .. }
                | Self::RemoveProfile { .. }
                | Self::RemoveArtefact { .. }
                | Self::PutEnrollmentPolicy { .. }
                | Self::RemoveEnrollmentPolicy { .. }
        )
    }
}

/// What a command answers to its caller.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The registration stands; the observations are those to establish now.
    Registered {
        id: RegistrationId,
        expires_at: Timestamp,
        observations: Vec<Observation>,
        quirks: Quirks,
        /// Where the device was registered from before, if that was elsewhere.
        moved_from: Option<SocketAddr>,
    },
    /// The registration was updated or moved. The observations are those to establish now: all of
    /// them if another node holds the device from now on or it sends from another address, and
    /// none otherwise.
    Updated {
        endpoint: DeviceName,
        expires_at: Timestamp,
        /// What is wanted of the device.
        observations: Vec<Observation>,
        /// Where the device talked from before, if that was elsewhere.
        moved_from: Option<SocketAddr>,
    },
    Deregistered {
        endpoint: DeviceName,
    },
    /// How many rows ended.
    Expired {
        rows: u32,
    },
    /// The session's owner and generation moved; the session as it now stands.
    Claimed {
        session: Box<Session>,
    },
    /// The OSCORE context has this owner now. The window is what the owner before it left; it is
    /// stored no longer.
    ContextClaimed {
        context: ContextOwner,
    },
    Enqueued {
        operation: OperationId,
    },
    /// The profile has this revision now.
    Revised {
        revision: u64,
    },
    /// A part of a package is stored, or room is made for it.
    Arrived {
        /// Whether all of it is there.
        complete: bool,
    },
    /// The membership was renewed.
    Members {
        /// Whether the caller's own lease stood until now. If not, others may have become the
        /// owners of what it held.
        stood: bool,
        /// All that are members now, by node.
        members: Vec<Member>,
    },
    /// A credential of this endpoint was removed, or given to another endpoint.
    CredentialTaken {
        endpoint: DeviceName,
        serial: u64,
    },
    /// Done, with nothing to tell.
    Done,
    /// Nothing changed.
    Rejected(Rejection),
}

/// Why a command changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejection {
    #[error("no such registration")]
    UnknownRegistration,
    #[error("no such device")]
    UnknownDevice,
    #[error("no such operation, or it is no longer in a state that allows this")]
    UnknownOperation,
    #[error("no such session")]
    UnknownSession,
    #[error("no such credential")]
    UnknownCredential,
    #[error("this endpoint registers with security only")]
    SecurityRequired,
    #[error("more credentials than an endpoint may have")]
    TooManyCredentials,
    #[error("another endpoint has this identity")]
    CredentialTaken,
    #[error("the connection id is taken")]
    CidTaken,
    #[error("another owner claimed the session first")]
    GenerationMoved,
    #[error("a newer generation of the desired state is stored")]
    StaleGeneration,
    #[error("the device's queue of operations is full")]
    QueueFull,
    #[error("too many observed paths or holders on this device")]
    TooManyObservations,
    #[error("it is observed already, with other parameters")]
    ObservedOtherwise,
    #[error("more desired resources than a device may have")]
    TooManyDesired,
    #[error("too many ingress nodes")]
    TooManyMembers,
    #[error("no such bootstrap profile")]
    UnknownProfile,
    #[error("too many bootstrap profiles")]
    TooManyProfiles,
    #[error("no such object model")]
    UnknownModel,
    #[error("too many object models, or too many versions of one object")]
    TooManyModels,
    #[error("too many state nodes")]
    TooManyStateNodes,
    #[error("no such state node")]
    UnknownStateNode,
    #[error("the state node was removed from the cluster, and comes back under another id only")]
    StateNodeLeaves,
    #[error("nothing to resume by this id")]
    UnknownResumption,
    #[error("the id of the resumption is taken")]
    ResumptionTaken,
    #[error("what to resume from is too long")]
    ResumptionTooLong,
    #[error("it is not as the caller has seen it")]
    EtagMismatch,
    #[error("the id was used for another request")]
    RequestIdReused,
    #[error("the device is registered")]
    StillRegistered,
    #[error("more labels than a device may have")]
    TooManyLabels,
    #[error("longer annotations than a device may have")]
    AnnotationsTooLong,
    #[error("no such device profile")]
    UnknownDeviceProfile,
    #[error("too many device profiles")]
    TooManyDeviceProfiles,
    #[error("no such group")]
    UnknownGroup,
    #[error("too many groups")]
    TooManyGroups,
    #[error("no such package")]
    UnknownArtefact,
    #[error("no room for the package: too many, or too large together")]
    TooManyArtefacts,
    #[error("the part is not one of the package")]
    WrongChunk,
    #[error("no such campaign")]
    UnknownCampaign,
    #[error("a campaign of this name is there already")]
    CampaignExists,
    #[error("the campaign has not ended")]
    CampaignRuns,
    #[error("the campaign has ended, or is coming to its end")]
    CampaignEnded,
    #[error(
        "the campaign stopped by itself: once somebody has looked at it, pause it, and let it go on"
    )]
    CampaignStopped,
    #[error("too many campaigns")]
    TooManyCampaigns,
    #[error("the campaign has no such wave")]
    UnknownWave,
    #[error("another planner was faster")]
    CourseMoved,
    /// Of nodes that admit commands; `apply` never says so.
    #[error("the namespace has as much as it may have")]
    QuotaExceeded,
    #[error("no such enrollment policy")]
    UnknownEnrollmentPolicy,
    #[error("too many enrollment policies")]
    TooManyEnrollmentPolicies,
    /// As [`Rejection::QuotaExceeded`], of nodes only.
    #[error("an enrollment policy denies it")]
    EnrollmentDenied,
    /// As [`Rejection::QuotaExceeded`], of nodes only.
    #[error("the enrollment policy has as many devices as it may have")]
    EnrollmentFull,
    /// As [`Rejection::QuotaExceeded`], of nodes only.
    #[error("more devices come by the enrollment policy than may come at once")]
    EnrollmentTooFast,
}
