//! Reads of a shard: what the rows say about a device, and what a leader needs to know.

mod campaign;
mod feed;
mod known;
mod list;
mod profile;
mod records;
mod select;

use std::cmp::Reverse;
use std::time::Duration;

use lwm2m::{
    ChildPrefix, ObjectModel, Observed, Operation, Path, PowerSaving, QueueMode, RegistrationId,
};

pub use self::campaign::{
    FirmwareCampaign, LedgerPage, LedgerQuery, campaign, campaign_can_admit, campaign_of,
    campaign_part, campaign_parts, campaign_tallies, campaigns, firmware_campaign, ledger,
    select_ledger,
};
pub(crate) use self::campaign::{campaign_queue, campaign_tally, ledgers_after, updated_by};
pub use self::feed::{FeedPage, FeedPosition, feed};
pub use self::known::is_known;
pub use self::list::{
    CredentialPage, PendingCursor, PendingPage, any_credentials, list_credentials, list_devices,
    list_present, pending_devices,
};
pub(crate) use self::profile::profile_members;
pub use self::profile::{
    ProfileDevicePage, all_profile_parts, profile, profile_device, profile_devices, profile_part,
    profile_parts, profile_tally, profiles,
};
pub use self::records::{OperationPage, OperationPlace, is_selected, select_operations};
pub use self::select::{DevicePage, DeviceQuery, DeviceSummary, select_devices};
pub(crate) use self::select::{has_object, meets_filter};
use crate::artefact::{Artefact, ArtefactChunk, ArtefactName};
use crate::bootstrap::{BootstrapProfile, BootstrapRecord};
use crate::enrollment::{EnrollmentPolicy, EnrollmentStanding, EnrollmentTally};
use crate::goal::goal_path;
use crate::group::Group;
use crate::id::{NodeId, OperationId, RequestId, Timestamp};
use crate::label::Metadata;
use crate::limit;
use crate::name::{DeviceName, Namespace};
use crate::range::{self, Range};
use crate::record::{
    BoundCredential, ChildValue, ContextOwner, Credential, CredentialName, DesiredResource,
    DesiredState, LastValue, Member, Observation, OperationRecord, OperationSource, Registration,
    Resumption, ResumptionId, Session, SessionCid, StateNode, ValueOrigin,
};
use crate::table::{Counters, Row, RowKey, Tables};

/// Everything that is stored of one device.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceView {
    pub endpoint: DeviceName,
    /// `None` while the device is not registered.
    pub registration: Option<Registration>,
    /// By path.
    pub desired: Vec<DesiredResource>,
    /// The generation of the intent that was set last; `None` if there is none.
    pub desired_generation: Option<u64>,
    /// By path.
    pub values: Vec<LastValue>,
    /// Of the devices behind it, by prefix and path.
    pub child_values: Vec<ChildValue>,
    /// In the order in which they were enqueued.
    pub operations: Vec<OperationRecord>,
    /// By path.
    pub observations: Vec<Observation>,
    /// What came of its last bootstrap, if it had any.
    pub bootstrap: Option<BootstrapRecord>,
    /// Its labels and annotations, if it has any.
    pub metadata: Option<Metadata>,
    /// The campaign that says which firmware it should have, if any does.
    pub firmware: Option<FirmwareCampaign>,
}

impl DeviceView {
    /// Of a device of which nothing is stored.
    const fn nothing(endpoint: DeviceName) -> Self {
        Self {
            endpoint,
            registration: None,
            desired: Vec::new(),
            desired_generation: None,
            values: Vec::new(),
            child_values: Vec::new(),
            operations: Vec::new(),
            observations: Vec::new(),
            bootstrap: None,
            metadata: None,
            firmware: None,
        }
    }

    /// When the last value came, of the device or of one behind it.
    pub fn newest_value(&self) -> Option<Timestamp> {
        newest(&self.values, &self.child_values)
    }

    /// Whether nothing at all is stored of the device.
    pub fn is_unknown(&self) -> bool {
        self.registration.is_none()
            && self.desired_generation.is_none()
            && self.values.is_empty()
            && self.child_values.is_empty()
            && self.operations.is_empty()
            && self.observations.is_empty()
            && self.bootstrap.is_none()
            && self.metadata.is_none()
    }

    /// The values of a device behind it, or without one its own.
    pub fn values_of<'v>(
        &'v self,
        child: Option<&'v ChildPrefix>,
    ) -> impl Iterator<Item = &'v LastValue> {
        let own = self.values.iter().filter(move |_| child.is_none());
        let behind = self
            .child_values
            .iter()
            .filter(move |kept| Some(&kept.child) == child);
        own.chain(behind.map(|kept| &kept.value))
    }
}

/// Everything that is stored of a device.
pub fn device(tables: &dyn Tables, endpoint: &DeviceName) -> DeviceView {
    DeviceView {
        endpoint: endpoint.clone(),
        registration: registration(tables, endpoint),
        desired: desired(tables, endpoint),
        desired_generation: desired_generation(tables, endpoint),
        values: values(tables, endpoint),
        child_values: child_values(tables, endpoint),
        operations: operations(tables, endpoint),
        observations: observations(tables, endpoint),
        bootstrap: bootstrap(tables, endpoint),
        metadata: metadata(tables, endpoint),
        firmware: firmware_campaign(tables, endpoint),
    }
}

/// Of what is stored of a device only one operation.
pub fn device_with_operation(
    tables: &dyn Tables,
    endpoint: &DeviceName,
    id: OperationId,
) -> DeviceView {
    DeviceView {
        operations: operation(tables, endpoint, id).into_iter().collect(),
        ..DeviceView::nothing(endpoint.clone())
    }
}

/// The row under a key, taken out of its variant of [`Row`].
macro_rules! row {
    ($tables:expr, $key:expr, $kind:ident) => {
        match $tables.get(&$key) {
            Some(Row::$kind(row)) => Some(row),
            _ => None,
        }
    };
}

/// The rows of a range, taken out of their variant of [`Row`].
macro_rules! rows {
    ($tables:expr, $range:expr, $limit:expr, $kind:ident) => {{
        let (from, to): Range = $range;
        let taken = |row| match row {
            Row::$kind(row) => Some(row),
            _ => None,
        };
        $tables
            .scan(&from, &to, $limit)
            .into_iter()
            .filter_map(taken)
            .collect()
    }};
}

/// The live registration of a device.
pub fn registration(tables: &dyn Tables, endpoint: &DeviceName) -> Option<Registration> {
    row!(tables, RowKey::Registration(endpoint.clone()), Registration)
}

/// The live registration with an id.
pub fn registration_by_id(tables: &dyn Tables, id: &RegistrationId) -> Option<Registration> {
    registration(tables, &endpoint_of(tables, id)?).filter(|registration| registration.id == *id)
}

/// The endpoint that is registered under an id.
pub fn endpoint_of(tables: &dyn Tables, id: &RegistrationId) -> Option<DeviceName> {
    match tables.get(&RowKey::RegistrationIndex(id.clone())) {
        Some(Row::RegistrationIndex { endpoint, .. }) => Some(endpoint),
        _ => None,
    }
}

/// The stored session with a Connection ID.
pub fn session(tables: &dyn Tables, cid: SessionCid) -> Option<Session> {
    row!(tables, RowKey::Session(cid), Session)
}

/// What a device can resume by, until it is removed.
pub fn resumption(tables: &dyn Tables, id: ResumptionId) -> Option<Resumption> {
    row!(tables, RowKey::Resumption(id), Resumption)
}

/// The credentials of an endpoint, in the endpoint's shard.
pub fn endpoint_credentials(tables: &dyn Tables, endpoint: &DeviceName) -> Vec<BoundCredential> {
    match tables.get(&RowKey::EndpointCredentials(endpoint.clone())) {
        Some(Row::EndpointCredentials { credentials, .. }) => credentials,
        _ => Vec::new(),
    }
}

/// The ingress nodes that are members, by node.
pub fn members(tables: &dyn Tables) -> Vec<Member> {
    rows!(tables, range::members(), limit::MAX_MEMBERS, Member)
}

/// An ingress node, if it is a member.
pub fn member(tables: &dyn Tables, node: NodeId) -> Option<Member> {
    row!(tables, RowKey::Member(node), Member)
}

/// What is wanted of state nodes, by node.
pub fn state_nodes(tables: &dyn Tables) -> Vec<StateNode> {
    rows!(
        tables,
        range::state_nodes(),
        limit::MAX_STATE_NODES,
        StateNode
    )
}

/// What is wanted of a state node, if that was ever said.
pub fn state_node(tables: &dyn Tables, node: NodeId) -> Option<StateNode> {
    row!(tables, RowKey::StateNode(node), StateNode)
}

/// Who protects messages in an OSCORE context; `None` if nobody ever has.
pub fn context_owner(
    tables: &dyn Tables,
    namespace: &Namespace,
    oscore_id: &[u8],
) -> Option<ContextOwner> {
    let key = ContextOwner::key_of(namespace, oscore_id);
    row!(tables, RowKey::ContextOwner(key), ContextOwner)
}

/// The credential with an id in a namespace.
pub fn credential(tables: &dyn Tables, name: &CredentialName) -> Option<Credential> {
    row!(tables, RowKey::Credential(name.clone()), Credential)
}

/// The operations of a device, ended ones as well, in the order in which they were enqueued.
pub fn operations(tables: &dyn Tables, endpoint: &DeviceName) -> Vec<OperationRecord> {
    rows!(
        tables,
        range::operations(endpoint),
        limit::MAX_OPERATION_ROWS,
        Operation
    )
}

/// An operation of a device.
pub fn operation(
    tables: &dyn Tables,
    endpoint: &DeviceName,
    id: OperationId,
) -> Option<OperationRecord> {
    operation_at(tables, endpoint, id.sequence).filter(|record| record.id == id)
}

/// What to deliver to the device now, if nothing is in flight: of what waits, the oldest of those with
/// the highest priority.
pub fn next_operation(tables: &dyn Tables, endpoint: &DeviceName) -> Option<OperationRecord> {
    let mut queue = operations(tables, endpoint);
    let next = first_deliverable(&queue)?;
    // What changes nothing is sent to a device in quarantine, too.
    if is_quarantined(tables, endpoint) {
        queue.retain(|record| !record.is_pending() || record.operation.is_safe());
        return first_deliverable(&queue).cloned();
    }
    Some(next.clone())
}

/// Whether a request was applied lately, so that it gets the same outcome again.
pub fn is_remembered(tables: &dyn Tables, request: RequestId) -> bool {
    tables.get(&RowKey::Dedup(request)).is_some()
}

/// The desired resources of a device, by path.
pub fn desired(tables: &dyn Tables, endpoint: &DeviceName) -> Vec<DesiredResource> {
    rows!(
        tables,
        range::desired(endpoint),
        limit::MAX_DESIRED,
        Desired
    )
}

/// A desired resource of a device.
pub fn desired_resource(
    tables: &dyn Tables,
    endpoint: &DeviceName,
    path: Path,
) -> Option<DesiredResource> {
    row!(tables, RowKey::Desired(endpoint.clone(), path), Desired)
}

/// What is desired and waits for this very operation.
pub fn desired_by(tables: &dyn Tables, record: &OperationRecord) -> Option<DesiredResource> {
    let path = goal_path(&record.operation);
    let operation = record.id;
    desired_resource(tables, &record.endpoint, path)
        .filter(|row| row.state == DesiredState::Pending { operation })
}

/// Whether an operation was to make a device as somebody desired, and nobody desires that any more.
pub fn is_obsolete(tables: &dyn Tables, record: &OperationRecord) -> bool {
    let changes = matches!(
        record.operation,
        Operation::Write { .. } | Operation::Create { .. } | Operation::Delete { .. }
    );
    record.source == OperationSource::Desired && changes && desired_by(tables, record).is_none()
}

/// The generation of the intent that was set last for a device.
pub fn desired_generation(tables: &dyn Tables, endpoint: &DeviceName) -> Option<u64> {
    match tables.get(&RowKey::DesiredGeneration(endpoint.clone())) {
        Some(Row::DesiredGeneration { generation, .. }) => Some(generation),
        _ => None,
    }
}

/// The observation intents of a device, by what is observed.
pub fn observations(tables: &dyn Tables, endpoint: &DeviceName) -> Vec<Observation> {
    rows!(
        tables,
        range::observations(endpoint),
        Observation::MAX_PATHS,
        Observation
    )
}

/// The intent to observe this.
pub fn observation(
    tables: &dyn Tables,
    endpoint: &DeviceName,
    observed: &Observed,
) -> Option<Observation> {
    row!(
        tables,
        RowKey::Observation(endpoint.clone(), observed.clone()),
        Observation
    )
}

/// All bootstrap profiles of a namespace, by name. In shard 0 only.
pub fn bootstrap_profiles(tables: &dyn Tables, namespace: &Namespace) -> Vec<BootstrapProfile> {
    rows!(
        tables,
        range::bootstrap_profiles(namespace),
        BootstrapProfile::MAX_PROFILES,
        BootstrapProfile
    )
}

/// The profile by which an endpoint gets its accounts. In shard 0 only.
pub fn bootstrap_profile(tables: &dyn Tables, endpoint: &DeviceName) -> Option<BootstrapProfile> {
    bootstrap_profiles(tables, &endpoint.namespace())
        .into_iter()
        .filter(|profile| profile.fits(endpoint))
        .max_by_key(|profile| profile.endpoint_prefix.len())
}

/// All groups of a namespace, by name.
pub fn groups(tables: &dyn Tables, namespace: &Namespace) -> Vec<Group> {
    let (from, to) = range::groups(namespace);
    let rows = tables.scan(&from, &to, usize::MAX);
    let groups = rows.into_iter().filter_map(|row| match row {
        Row::Group(group) => Some(group),
        _ => None,
    });
    groups.collect()
}

/// All enrollment policies of a namespace, by name.
pub fn enrollment_policies(tables: &dyn Tables, namespace: &Namespace) -> Vec<EnrollmentPolicy> {
    let (from, to) = range::enrollment_policies(namespace);
    let rows = tables.scan(&from, &to, usize::MAX);
    let policies = rows.into_iter().filter_map(|row| match row {
        Row::EnrollmentPolicy(policy) => Some(*policy),
        _ => None,
    });
    policies.collect()
}

/// The enrollment policy of this name.
pub fn enrollment_policy(
    tables: &dyn Tables,
    namespace: &Namespace,
    name: &str,
) -> Option<EnrollmentPolicy> {
    match tables.get(&RowKey::EnrollmentPolicy(namespace.qualify(name))) {
        Some(Row::EnrollmentPolicy(policy)) if policy.namespace == *namespace => Some(*policy),
        _ => None,
    }
}

/// How many devices of the shard are registered by a policy, which may be gone by now.
pub fn enrollment_tally(
    tables: &dyn Tables,
    namespace: &Namespace,
    policy: &str,
) -> EnrollmentTally {
    match tables.get(&RowKey::EnrollmentTally(namespace.qualify(policy))) {
        Some(Row::EnrollmentTally { tally, .. }) => tally,
        _ => EnrollmentTally::default(),
    }
}

/// Whether a device is registered in quarantine: nothing that changes it is sent.
pub fn is_quarantined(tables: &dyn Tables, endpoint: &DeviceName) -> bool {
    registration(tables, endpoint)
        .and_then(|registration| registration.enrollment)
        .is_some_and(|enrollment| enrollment.standing == EnrollmentStanding::Quarantined)
}

/// The group of this name.
pub fn group(tables: &dyn Tables, namespace: &Namespace, name: &str) -> Option<Group> {
    let found = row!(tables, RowKey::Group(namespace.qualify(name)), Group);
    // A name that looks as if it were in another namespace names nothing.
    found.filter(|group: &Group| group.namespace == *namespace)
}

/// The packages of a namespace in this shard, by digest.
pub fn artefacts(tables: &dyn Tables, namespace: &Namespace) -> Vec<Artefact> {
    rows!(
        tables,
        range::artefacts(namespace),
        limit::MAX_ARTEFACTS,
        Artefact
    )
}

/// The package of a digest, however much of it is there.
pub fn artefact(tables: &dyn Tables, name: &ArtefactName) -> Option<Artefact> {
    row!(tables, RowKey::Artefact(name.clone()), Artefact)
}

/// A part of a package.
pub fn artefact_chunk(
    tables: &dyn Tables,
    name: &ArtefactName,
    number: u32,
) -> Option<ArtefactChunk> {
    row!(
        tables,
        RowKey::ArtefactChunk(name.clone(), number),
        ArtefactChunk
    )
}

/// The objects that vendors define, by id and version. In shard 0 only.
pub fn object_models(tables: &dyn Tables) -> Vec<ObjectModel> {
    rows!(
        tables,
        range::object_models(),
        limit::MAX_MODELS,
        ObjectModel
    )
}

/// What came of the last bootstrap of an endpoint.
pub fn bootstrap(tables: &dyn Tables, endpoint: &DeviceName) -> Option<BootstrapRecord> {
    row!(tables, RowKey::Bootstrap(endpoint.clone()), Bootstrap)
}

/// The labels and annotations of a device; `None` if it has none.
pub fn metadata(tables: &dyn Tables, endpoint: &DeviceName) -> Option<Metadata> {
    row!(tables, RowKey::Metadata(endpoint.clone()), Metadata)
}

/// The last values of a device, by path.
pub fn values(tables: &dyn Tables, endpoint: &DeviceName) -> Vec<LastValue> {
    rows!(
        tables,
        range::values(endpoint),
        limit::MAX_VALUES,
        LastValue
    )
}

/// The last values of the devices behind a gateway, by prefix and path.
pub fn child_values(tables: &dyn Tables, endpoint: &DeviceName) -> Vec<ChildValue> {
    rows!(
        tables,
        range::child_values(endpoint),
        limit::MAX_CHILD_VALUES,
        ChildValue
    )
}

/// The newest value that is known of a resource of a device behind a gateway.
pub fn child_value(
    tables: &dyn Tables,
    endpoint: &DeviceName,
    child: &ChildPrefix,
    path: Path,
) -> Option<ChildValue> {
    let key = RowKey::ChildValue(endpoint.clone(), child.clone(), path);
    row!(tables, key, ChildValue)
}

/// The newest value that is known of a resource.
pub fn last_value(tables: &dyn Tables, endpoint: &DeviceName, path: Path) -> Option<LastValue> {
    row!(tables, RowKey::LastValue(endpoint.clone(), path), LastValue)
}

/// When a registered device was last heard from, as far as that is stored: it registered or updated, reported a value or
/// answered.
pub fn heard_at(tables: &dyn Tables, registration: &Registration) -> Timestamp {
    let endpoint = &registration.endpoint;
    let newest = newest(&values(tables, endpoint), &child_values(tables, endpoint));
    newest.map_or(registration.updated_at, |at| {
        at.max(registration.updated_at)
    })
}

/// Whether a registered device sleeps, as far as that is stored: it is in queue mode, and was not heard from within its awake
/// window. `otherwise` is the window of devices that say nothing of how they save power.
pub fn is_asleep(
    tables: &dyn Tables,
    registration: &Registration,
    otherwise: Duration,
    now: Timestamp,
) -> bool {
    if registration.binding.queue_mode() == QueueMode::Off {
        return false;
    }
    let power_saving = power_saving(tables, &registration.endpoint);
    let window = power_saving.awake_window(otherwise);
    heard_at(tables, registration).saturating_add(window) <= now
}

/// When the newest of these values came.
fn newest(own: &[LastValue], behind: &[ChildValue]) -> Option<Timestamp> {
    let behind = behind.iter().map(|kept| &kept.value);
    own.iter().chain(behind).map(|value| value.at).max()
}

/// What a device last said of how it saves power. What was only written to it says nothing: the
/// network may have granted something else.
pub fn power_saving(tables: &dyn Tables, endpoint: &DeviceName) -> PowerSaving {
    let mut known = PowerSaving::default();
    for path in PowerSaving::paths() {
        let last = last_value(tables, endpoint, path);
        if let Some(last) = last.filter(|last| last.origin != ValueOrigin::Write) {
            known.learn(path, &last.value);
        }
    }
    known
}

/// When the next row ends: from then on the leader should propose
/// [`ExpireUpTo`](crate::Command::ExpireUpTo). `None` if nothing ever ends.
pub fn next_expiry(tables: &dyn Tables) -> Option<Timestamp> {
    let (from, to) = range::expiry(Timestamp::NEVER);
    match tables.scan(&from, &to, 1).first() {
        Some(Row::Expiry { at, .. }) => Some(*at),
        _ => None,
    }
}

/// The counters of the shard.
pub fn counters(tables: &dyn Tables) -> Counters {
    stored_counters(tables).unwrap_or_default()
}

pub(crate) fn stored_counters(tables: &dyn Tables) -> Option<Counters> {
    row!(tables, RowKey::Counters, Counters)
}

pub(crate) fn operation_at(
    tables: &dyn Tables,
    endpoint: &DeviceName,
    sequence: u64,
) -> Option<OperationRecord> {
    row!(
        tables,
        RowKey::Operation(endpoint.clone(), sequence),
        Operation
    )
}

pub(crate) fn first_deliverable(queue: &[OperationRecord]) -> Option<&OperationRecord> {
    if queue.iter().any(OperationRecord::is_in_flight) {
        return None;
    }
    queue
        .iter()
        .filter(|record| record.is_pending())
        .max_by_key(|record| (record.priority, Reverse(record.id.sequence)))
}
