//! The rows and the door through which `apply` and the queries reach them.

use lwm2m::{ChildPrefix, ObjectModel, ObjectVersion, Observed, Path, RegistrationId};

use crate::artefact::{Artefact, ArtefactChunk, ArtefactName};
use crate::bootstrap::{BootstrapProfile, BootstrapRecord};
use crate::campaign::{Campaign, CampaignId, Ledger, Part, Tally};
use crate::command::Outcome;
use crate::enrollment::{EnrollmentPolicy, EnrollmentTally};
use crate::event::FeedEntry;
use crate::feature::FeatureLevel;
use crate::group::Group;
use crate::id::{NodeId, RequestId, Revision, SessionGeneration, Timestamp};
use crate::index::{IndexEntry, Indexed};
use crate::label::Metadata;
use crate::name::{DeviceName, Namespace};
use crate::profile::{Profile, ProfileDevice, ProfilePart, ProfileTally};
use crate::record::{
    BoundCredential, ChildValue, ContextOwner, Credential, CredentialName, DesiredResource,
    LastValue, Member, Observation, OperationRecord, Registration, Resumption, ResumptionId,
    Session, SessionCid, StateNode,
};

/// What an expiry row points at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expiring {
    Registration(DeviceName),
    Session(SessionCid),
    Operation(DeviceName, u64),
    /// A hold on an observation: endpoint, what is observed, holder.
    Hold(DeviceName, Observed, u64),
    /// The lease of an ingress node.
    Member(NodeId),
    Resumption(ResumptionId),
    /// The device is to be looked after by its campaign.
    CampaignDevice(DeviceName),
    /// A desired value that is to be corrected.
    Correction(DeviceName, Path),
    /// A package that does not arrive as a whole.
    Artefact(ArtefactName),
}

/// The key of a row. The order of variants and of keys within a variant is the order of a scan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKey {
    Registration(DeviceName),
    /// Index from a registration id to its endpoint.
    RegistrationIndex(RegistrationId),
    Session(SessionCid),
    Credential(CredentialName),
    Operation(DeviceName, u64),
    Desired(DeviceName, Path),
    Observation(DeviceName, Observed),
    LastValue(DeviceName, Path),
    Expiry(Timestamp, Expiring),
    Feed(Revision, u32),
    /// Outcome of a request, for retries.
    Dedup(RequestId),
    /// Order in which dedup rows were written, so that the oldest can be dropped.
    DedupOrder(Timestamp, RequestId),
    /// Counters of the shard.
    Counters,
    /// Highest generation of the desired set that an endpoint has seen.
    DesiredGeneration(DeviceName),
    /// An ingress node; in shard 0 only.
    Member(NodeId),
    /// By namespace and OSCORE id, as bytes.
    ContextOwner(Vec<u8>),
    Resumption(ResumptionId),
    EndpointCredentials(DeviceName),
    /// By namespace and name, as text; in shard 0 only.
    BootstrapProfile(String),
    /// The last bootstrap of an endpoint.
    Bootstrap(DeviceName),
    /// A version of an object that a vendor defines; in shard 0 only.
    ObjectModel(u16, ObjectVersion),
    /// Of a device behind the endpoint.
    ChildValue(DeviceName, ChildPrefix, Path),
    Metadata(DeviceName),
    /// Index from a value of an attribute to the devices that have it.
    Index(Indexed, String, DeviceName),
    /// In shard 0 only.
    StateNode(NodeId),
    /// By namespace and name, as text; in shard 0 only.
    Campaign(String),
    CampaignPart(CampaignId),
    CampaignDevice(CampaignId, DeviceName),
    /// A device that waits for its turn: by lane ([`Ledger::slot`]) and rank.
    CampaignQueue(CampaignId, u8, u64, DeviceName),
    /// By [`Ledger::slot`].
    CampaignTally(CampaignId, u8),
    /// The one campaign that a device is in.
    DeviceCampaign(DeviceName),
    /// By namespace and name, as text; in shard 0 only.
    Group(String),
    /// By namespace and name, as text; in shard 0 only.
    Profile(String),
    /// By namespace and name of the profile, as the others.
    ProfilePart(String),
    ProfileDevice(String, DeviceName),
    ProfileTally(String),
    Artefact(ArtefactName),
    ArtefactChunk(ArtefactName, u32),
    /// By namespace and name, as text; in shard 0 only.
    EnrollmentPolicy(String),
    /// By namespace and name of the policy.
    EnrollmentTally(String),
}

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    Registration(Registration),
    RegistrationIndex {
        id: RegistrationId,
        endpoint: DeviceName,
    },
    Session(Session),
    Credential(Credential),
    Operation(OperationRecord),
    Desired(DesiredResource),
    Observation(Observation),
    LastValue(LastValue),
    Expiry {
        at: Timestamp,
        what: Expiring,
    },
    Feed(FeedEntry),
    Dedup {
        request_id: RequestId,
        outcome: Outcome,
        /// Of what was asked for, if the caller told: another request must not have the same id.
        fingerprint: Option<u64>,
    },
    DedupOrder {
        at: Timestamp,
        request_id: RequestId,
    },
    Counters(Counters),
    DesiredGeneration {
        endpoint: DeviceName,
        generation: u64,
    },
    Member(Member),
    ContextOwner(ContextOwner),
    Resumption(Resumption),
    /// What the endpoint can prove itself by; one at least.
    EndpointCredentials {
        endpoint: DeviceName,
        credentials: Vec<BoundCredential>,
    },
    BootstrapProfile(BootstrapProfile),
    Bootstrap(BootstrapRecord),
    ObjectModel(ObjectModel),
    ChildValue(ChildValue),
    /// Not there for a device without any.
    Metadata(Metadata),
    Index(IndexEntry),
    StateNode(StateNode),
    Campaign(Box<Campaign>),
    CampaignPart(Box<Part>),
    CampaignDevice(Ledger),
    CampaignQueue {
        campaign: CampaignId,
        lane: u8,
        rank: u64,
        endpoint: DeviceName,
    },
    CampaignTally {
        campaign: CampaignId,
        slot: u8,
        tally: Tally,
    },
    /// Not there for a device that is in none.
    DeviceCampaign {
        endpoint: DeviceName,
        campaign: CampaignId,
    },
    Group(Group),
    Profile(Box<Profile>),
    ProfilePart(Box<ProfilePart>),
    ProfileDevice(ProfileDevice),
    /// Not there for a profile without devices.
    ProfileTally {
        namespace: Namespace,
        profile: String,
        tally: ProfileTally,
    },
    Artefact(Artefact),
    ArtefactChunk(ArtefactChunk),
    EnrollmentPolicy(Box<EnrollmentPolicy>),
    /// Not there for a policy without registered devices.
    EnrollmentTally {
        namespace: Namespace,
        policy: String,
        tally: EnrollmentTally,
    },
}

/// Numbers that `apply` keeps about its shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub next_operation: u64,
    /// Live registrations.
    pub registrations: u64,
    pub sessions: u64,
    pub resumptions: u64,
    pub dedup_rows: u64,
    pub feed_rows: u64,
    /// What the entries of the feed weigh together ([`FeedEntry::weight`]).
    pub feed_bytes: u64,
    /// Feed entries below this revision are gone.
    pub feed_floor: Revision,
    /// How often definitions of objects were put or removed: who knows this number knows the
    /// definitions.
    pub model_changes: u64,
    /// What all replicas are known to understand.
    pub feature_level: FeatureLevel,
    /// Generations up to this one may have been used by owners of OSCORE contexts that have no
    /// row, because a restore lost it.
    pub context_floor: SessionGeneration,
    /// Devices that are in a campaign.
    pub campaign_devices: u64,
    /// Campaigns that devices join later.
    pub dynamic_campaigns: u64,
    /// Profiles that the shard goes by.
    pub profiles: u64,
    /// Devices that are registered by an enrollment policy.
    pub enrolled: u64,
    /// Campaigns that count who is registered.
    pub counting_campaigns: u64,
}

impl Row {
    /// The key under which the row is stored.
    pub fn key(&self) -> RowKey {
        match self {
            Self::Registration(row) => RowKey::Registration(row.endpoint.clone()),
            Self::RegistrationIndex { id, .. } => RowKey::RegistrationIndex(id.clone()),
            Self::Session(row) => RowKey::Session(row.cid),
            Self::Credential(row) => RowKey::Credential(row.name()),
            Self::Operation(row) => RowKey::Operation(row.endpoint.clone(), row.id.sequence),
            Self::Desired(row) => RowKey::Desired(row.endpoint.clone(), row.path),
            Self::Observation(row) => {
                RowKey::Observation(row.endpoint.clone(), row.observed.clone())
            }
            Self::LastValue(row) => RowKey::LastValue(row.endpoint.clone(), row.path),
            Self::Expiry { at, what } => RowKey::Expiry(*at, what.clone()),
            Self::Feed(entry) => RowKey::Feed(entry.revision, entry.index),
            Self::Dedup { request_id, .. } => RowKey::Dedup(*request_id),
            Self::DedupOrder { at, request_id } => RowKey::DedupOrder(*at, *request_id),
            Self::Counters(_) => RowKey::Counters,
            Self::DesiredGeneration { endpoint, .. } => RowKey::DesiredGeneration(endpoint.clone()),
            Self::Member(row) => RowKey::Member(row.node),
            Self::ContextOwner(row) => {
                RowKey::ContextOwner(ContextOwner::key_of(&row.namespace, &row.oscore_id))
            }
            Self::Resumption(row) => RowKey::Resumption(row.id),
            Self::EndpointCredentials { endpoint, .. } => {
                RowKey::EndpointCredentials(endpoint.clone())
            }
            Self::BootstrapProfile(row) => {
                RowKey::BootstrapProfile(row.namespace.qualify(&row.name))
            }
            Self::Bootstrap(row) => RowKey::Bootstrap(row.endpoint.clone()),
            Self::ObjectModel(row) => RowKey::ObjectModel(row.id, row.version),
            Self::ChildValue(ChildValue { child, value }) => {
                RowKey::ChildValue(value.endpoint.clone(), child.clone(), value.path)
            }
            Self::Metadata(row) => RowKey::Metadata(row.endpoint.clone()),
            Self::Index(entry) => entry.key(),
            Self::StateNode(row) => RowKey::StateNode(row.node),
            Self::Campaign(row) => RowKey::Campaign(row.namespace.qualify(&row.name)),
            Self::CampaignPart(row) => RowKey::CampaignPart(row.id),
            Self::CampaignDevice(row) => RowKey::CampaignDevice(row.campaign, row.endpoint.clone()),
            Self::CampaignQueue {
                campaign,
                lane,
                rank,
                endpoint,
            } => RowKey::CampaignQueue(*campaign, *lane, *rank, endpoint.clone()),
            Self::CampaignTally { campaign, slot, .. } => RowKey::CampaignTally(*campaign, *slot),
            Self::DeviceCampaign { endpoint, .. } => RowKey::DeviceCampaign(endpoint.clone()),
            Self::Group(row) => RowKey::Group(row.namespace.qualify(&row.name)),
            Self::Profile(row) => RowKey::Profile(row.key()),
            Self::ProfilePart(row) => RowKey::ProfilePart(row.profile.key()),
            Self::ProfileDevice(row) => {
                RowKey::ProfileDevice(row.namespace.qualify(&row.profile), row.endpoint.clone())
            }
            Self::ProfileTally {
                namespace, profile, ..
            } => RowKey::ProfileTally(namespace.qualify(profile)),
            Self::Artefact(row) => RowKey::Artefact(row.name.clone()),
            Self::ArtefactChunk(row) => RowKey::ArtefactChunk(row.artefact.clone(), row.number),
            Self::EnrollmentPolicy(row) => {
                RowKey::EnrollmentPolicy(row.namespace.qualify(&row.name))
            }
            Self::EnrollmentTally {
                namespace, policy, ..
            } => RowKey::EnrollmentTally(namespace.qualify(policy)),
        }
    }
}

impl IndexEntry {
    pub(crate) fn key(&self) -> RowKey {
        RowKey::Index(
            self.attribute.clone(),
            self.value.clone(),
            self.endpoint.clone(),
        )
    }
}

/// The rows of one shard. Reads see the writes made before them; an implementation on a disk
/// buffers the writes of a log entry and makes them durable together with the entry's index.
pub trait Tables {
    fn get(&self, key: &RowKey) -> Option<Row>;

    fn put(&mut self, row: Row);

    fn delete(&mut self, key: &RowKey);

    /// Rows of one kind in key order, from `from` (included) to `to` (excluded; same variant), at
    /// most `limit`, which can be far more than there are.
    fn scan(&self, from: &RowKey, to: &RowKey, limit: usize) -> Vec<Row>;
}
