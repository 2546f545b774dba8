//! What must hold between the rows of a shard after every command.

use std::collections::{BTreeMap, BTreeSet};

use lwm2m::{Observed, Path};

use crate::artefact::{Artefact, ArtefactChunk, ArtefactName, ArtefactState};
use crate::campaign::{CampaignId, Ledger, Membership, Phase, Reach, Tally};
use crate::enrollment::{Enrollment, EnrollmentTally};
use crate::goal::goal_path;
use crate::id::Timestamp;
use crate::index::{IndexEntry, Indexed};
use crate::label::Metadata;
use crate::limit::{
    DEDUP_BATCH, FEED_SLACK, FEED_SLACK_BYTES, MAX_CHILD_VALUES, MAX_DEDUP_ROWS, MAX_DESIRED,
    MAX_ENDPOINT_CREDENTIALS, MAX_FEED_BYTES, MAX_FEED_ROWS, MAX_FINISHED_OPERATIONS,
    MAX_QUEUED_OPERATIONS, MAX_RESUMPTION_STATE, MAX_VALUES,
};
use crate::memory::MemoryTables;
use crate::name::DeviceName;
use crate::profile::{ProfileDevice, ProfileTally};
use crate::query;
use crate::record::{
    DesiredOrigin, DesiredResource, DesiredState, Observation, OperationRecord, OperationSource,
    Registration, Resumption, ResumptionId,
};
use crate::table::{Counters, Expiring, Row, RowKey, Tables};

/// A rule that the rows break: the state of this replica is not to be trusted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Violation {
    #[error("registration of {0:?} and the index of ids disagree")]
    RegistrationIndex(DeviceName),
    #[error("{what:?} ends at {at:?} without an expiry row")]
    MissingExpiry { at: Timestamp, what: Expiring },
    #[error("an expiry row at {at:?} has nothing that ends then: {what:?}")]
    DanglingExpiry { at: Timestamp, what: Expiring },
    #[error("{0:?} holds more to resume from than allowed")]
    ResumptionState(ResumptionId),
    #[error("{0:?} has a row for credentials with none or too many")]
    EndpointCredentials(DeviceName),
    #[error("{0:?} has more than one operation in flight")]
    SeveralInFlight(DeviceName),
    #[error("operation {sequence} of {endpoint:?} has a sequence that was not given out")]
    UnknownSequence { endpoint: DeviceName, sequence: u64 },
    #[error("desired {path} of {endpoint:?} waits for a write that does not exist")]
    MissingWrite { endpoint: DeviceName, path: Path },
    #[error("desired {path} of {endpoint:?} is newer than the generation of its set")]
    DesiredGeneration { endpoint: DeviceName, path: Path },
    #[error(
        "{observed} of {endpoint:?} is observed for nobody, for somebody twice, or for too many"
    )]
    Holders {
        endpoint: DeviceName,
        observed: Observed,
    },
    #[error("{0:?} has no labels or annotations and a row for them, or more than allowed")]
    Metadata(DeviceName),
    #[error("{0:?} is not in the index of devices")]
    NotIndexed(IndexEntry),
    #[error("{0:?} is in the index of devices and is not so")]
    DanglingIndex(IndexEntry),
    #[error(
        "{0:?} waits for its turn in a campaign, is not in line and not held by another one, or the other way round"
    )]
    CampaignQueue(DeviceName),
    #[error("{0:?} is on its way in a campaign and not held by it, or the other way round")]
    CampaignLock(DeviceName),
    #[error("campaign {campaign} has another number of devices in slot {slot} than it counts")]
    CampaignTally { campaign: CampaignId, slot: u8 },
    #[error("{0:?} is registered and not counted so by a campaign, or the other way round")]
    CampaignPresence(DeviceName),
    #[error("campaign {0} has other devices registered than it counts")]
    CampaignReach(CampaignId),
    #[error("desired {path} of {endpoint:?} is of a profile that the device does not have")]
    DesiredOrigin { endpoint: DeviceName, path: Path },
    #[error("profile {0:?} has other devices than it counts")]
    ProfileTally(String),
    #[error("{endpoint:?} has the profile {profile:?}, which the shard does not know")]
    ProfileDevice {
        endpoint: DeviceName,
        profile: String,
    },
    #[error("enrollment policy {0:?} has other devices than it counts")]
    EnrollmentTally(String),
    #[error("package {0:?} has other parts than it counts")]
    Artefact(ArtefactName),
    #[error("a request's outcome and its place in the order of requests disagree")]
    DedupOrder,
    #[error("the feed has an entry below its floor")]
    FeedFloor,
    #[error("counters are {stored:?} but the rows say {counted:?}")]
    Counters {
        stored: Box<Counters>,
        counted: Box<Counters>,
    },
    #[error("{endpoint:?} has {rows} rows of {bound}, more than allowed")]
    TooMany {
        endpoint: DeviceName,
        bound: Bound,
        rows: usize,
    },
    #[error("more than {allowed} of {bound}")]
    TooManyInShard { bound: Bound, allowed: u64 },
}

/// What is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bound {
    QueuedOperations,
    FinishedOperations,
    Desired,
    ObservedPaths,
    LastValues,
    ChildValues,
    Dedup,
    Feed,
    FeedBytes,
}

impl Bound {
    const fn per_device(self) -> usize {
        match self {
            Self::QueuedOperations => MAX_QUEUED_OPERATIONS,
            Self::FinishedOperations => MAX_FINISHED_OPERATIONS,
            Self::Desired => MAX_DESIRED,
            Self::ObservedPaths => Observation::MAX_PATHS,
            Self::LastValues => MAX_VALUES,
            Self::ChildValues => MAX_CHILD_VALUES,
            Self::Dedup | Self::Feed | Self::FeedBytes => usize::MAX,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::QueuedOperations => "queued operations",
            Self::FinishedOperations => "finished operations",
            Self::Desired => "desired resources",
            Self::ObservedPaths => "observed paths",
            Self::LastValues => "last values",
            Self::ChildValues => "last values behind it",
            Self::Dedup => "outcomes",
            Self::Feed => "entries of the feed",
            Self::FeedBytes => "bytes of the feed",
        })
    }
}

/// Checks all rows of a shard. A store on a disk collects its rows into [`MemoryTables`] first.
///
/// The feed's own bound is not checked while one log entry alone exceeds it, because its entries
/// all stay.
pub fn check(tables: &MemoryTables) -> Result<(), Violation> {
    let mut audit = Audit {
        tables,
        counted: Counters::default(),
        order_rows: 0,
        in_flight: BTreeSet::new(),
        rows: BTreeMap::new(),
        tallies: BTreeMap::new(),
        counted_tallies: BTreeMap::new(),
        reaches: BTreeMap::new(),
        counted_reaches: BTreeMap::new(),
        profile_tallies: BTreeMap::new(),
        counted_profile_tallies: BTreeMap::new(),
        enrollment_tallies: BTreeMap::new(),
        counted_enrollment_tallies: BTreeMap::new(),
    };
    for row in tables.rows() {
        audit.row(row)?;
    }
    audit.totals()
}

struct Audit<'t> {
    tables: &'t MemoryTables,
    counted: Counters,
    order_rows: u64,
    in_flight: BTreeSet<DeviceName>,
    rows: BTreeMap<(DeviceName, Bound), usize>,
    tallies: BTreeMap<(CampaignId, u8), Tally>,
    counted_tallies: BTreeMap<(CampaignId, u8), Tally>,
    reaches: BTreeMap<CampaignId, Reach>,
    counted_reaches: BTreeMap<CampaignId, Reach>,
    profile_tallies: BTreeMap<String, ProfileTally>,
    counted_profile_tallies: BTreeMap<String, ProfileTally>,
    enrollment_tallies: BTreeMap<String, EnrollmentTally>,
    counted_enrollment_tallies: BTreeMap<String, EnrollmentTally>,
}

impl Audit<'_> {
    #[expect(clippy::too_many_lines, reason = "one arm for each kind of row")]
    fn row(&mut self, row: &Row) -> Result<(), Violation> {
        match row {
            Row::Registration(registration) => self.registration(registration),
            Row::RegistrationIndex { id, endpoint } => {
                let registration = query::registration_by_id(self.tables, id);
                let agrees =
                    registration.is_some_and(|registration| registration.endpoint == *endpoint);
                ensure(agrees, || Violation::RegistrationIndex(endpoint.clone()))
            }
            Row::Session(session) => {
                self.counted.sessions += 1;
                self.ends(session.expires_at, Expiring::Session(session.cid))
            }
            Row::Resumption(resumption) => self.resumption(resumption),
            Row::Operation(record) => self.operation(record),
            Row::Desired(resource) => self.desired(resource),
            Row::ProfilePart(_) => {
                self.counted.profiles += 1;
                Ok(())
            }
            Row::ProfileDevice(device) => self.profile_device(device),
            Row::ProfileTally {
                namespace,
                profile,
                tally,
            } => {
                self.profile_tallies
                    .insert(namespace.qualify(profile), *tally);
                Ok(())
            }
            Row::EnrollmentTally {
                namespace,
                policy,
                tally,
            } => {
                self.enrollment_tallies
                    .insert(namespace.qualify(policy), *tally);
                Ok(())
            }
            Row::Observation(observation) => self.observation(observation),
            Row::LastValue(value) => {
                self.count(&value.endpoint, Bound::LastValues);
                let entry = IndexEntry::of_value(&value.endpoint, value.path, &value.value);
                entry.map_or(Ok(()), |entry| self.indexed(entry))
            }
            Row::ChildValue(kept) => {
                self.count(&kept.value.endpoint, Bound::ChildValues);
                Ok(())
            }
            Row::Expiry { at, what } => ensure(self.end_of(what) == Some(*at), || {
                Violation::DanglingExpiry {
                    at: *at,
                    what: what.clone(),
                }
            }),
            Row::Feed(entry) => {
                self.counted.feed_rows += 1;
                self.counted.feed_bytes += entry.weight();
                let floor = query::counters(self.tables).feed_floor;
                ensure(entry.revision >= floor, || Violation::FeedFloor)
            }
            Row::Dedup { .. } => {
                self.counted.dedup_rows += 1;
                Ok(())
            }
            Row::DedupOrder { request_id, .. } => {
                // As many order rows as outcomes, and each with an outcome: one to one, unless a
                // request has two.
                self.order_rows += 1;
                let known = self.tables.get(&RowKey::Dedup(*request_id)).is_some();
                ensure(known, || Violation::DedupOrder)
            }
            Row::Member(member) => self.ends(member.lease_until, Expiring::Member(member.node)),
            Row::EndpointCredentials {
                endpoint,
                credentials,
            } => ensure(
                (1..=MAX_ENDPOINT_CREDENTIALS).contains(&credentials.len()),
                || Violation::EndpointCredentials(endpoint.clone()),
            ),
            Row::Metadata(metadata) => self.metadata(metadata),
            Row::Index(entry) => {
                ensure(self.has(entry), || Violation::DanglingIndex(entry.clone()))
            }
            Row::CampaignDevice(ledger) => self.ledger(ledger),
            Row::CampaignQueue {
                campaign, endpoint, ..
            } => {
                let ledger = query::ledger(self.tables, *campaign, endpoint);
                let waits = ledger.is_some_and(|ledger| ledger.phase == Phase::Waiting);
                ensure(waits, || Violation::CampaignQueue(endpoint.clone()))
            }
            Row::CampaignTally {
                campaign,
                slot,
                tally,
            } => {
                self.tallies.insert((*campaign, *slot), tally.clone());
                Ok(())
            }
            Row::DeviceCampaign { endpoint, campaign } => {
                self.counted.campaign_devices += 1;
                let ledger = query::ledger(self.tables, *campaign, endpoint);
                let active = ledger.is_some_and(|ledger| ledger.phase.is_active());
                ensure(active, || Violation::CampaignLock(endpoint.clone()))
            }
            Row::CampaignPart(part) => {
                let joins = part.membership == Membership::Dynamic;
                self.counted.dynamic_campaigns += u64::from(joins);
                self.counted.counting_campaigns += u64::from(part.reach.is_some());
                if let Some(reach) = part.reach {
                    self.reaches.insert(part.id, reach);
                }
                Ok(())
            }
            Row::Artefact(artefact) => self.artefact(artefact),
            Row::ArtefactChunk(chunk) => self.artefact_chunk(chunk),
            Row::Campaign(_)
            | Row::Group(_)
            | Row::EnrollmentPolicy(_)
            | Row::Profile(_)
            | Row::Credential(_)
            | Row::ContextOwner(_)
            | Row::BootstrapProfile(_)
            | Row::Bootstrap(_)
            | Row::ObjectModel(_)
            | Row::StateNode(_)
            | Row::Counters(_)
            | Row::DesiredGeneration { .. } => Ok(()),
        }
    }

    fn profile_device(&mut self, device: &ProfileDevice) -> Result<(), Violation> {
        let key = device.namespace.qualify(&device.profile);
        let part = self.tables.get(&RowKey::ProfilePart(key.clone()));
        *self
            .counted_profile_tallies
            .entry(key)
            .or_default()
            .of(device.state) += 1;
        ensure(part.is_some(), || Violation::ProfileDevice {
            endpoint: device.endpoint.clone(),
            profile: device.profile.clone(),
        })
    }

    fn profile_tallies(&self) -> Result<(), Violation> {
        let wrong = first_difference(&self.profile_tallies, &self.counted_profile_tallies);
        wrong.map_or(Ok(()), |profile| Err(Violation::ProfileTally(profile)))
    }

    fn enrollment_tallies(&self) -> Result<(), Violation> {
        let wrong = first_difference(&self.enrollment_tallies, &self.counted_enrollment_tallies);
        wrong.map_or(Ok(()), |policy| Err(Violation::EnrollmentTally(policy)))
    }

    fn enrollment(&mut self, endpoint: &DeviceName, enrollment: &Enrollment) {
        self.counted.enrolled += 1;
        let key = endpoint.namespace().qualify(&enrollment.policy);
        let tally = self.counted_enrollment_tallies.entry(key).or_default();
        *tally.of(enrollment.standing) += 1;
    }

    fn ledger(&mut self, ledger: &Ledger) -> Result<(), Violation> {
        self.presence(ledger)?;
        let Ledger {
            campaign, endpoint, ..
        } = ledger;
        let tally = self.counted_tallies.entry((*campaign, ledger.slot()));
        let tally = tally.or_default();
        *tally.count(ledger.phase) += 1;
        if ledger.phase == Phase::Waiting {
            let key =
                RowKey::CampaignQueue(*campaign, ledger.slot(), ledger.rank, endpoint.clone());
            let queued = self.tables.get(&key).is_some();
            tally.held += u64::from(!queued);
            let holder = query::campaign_of(self.tables, endpoint);
            let held = holder.is_some_and(|holder| holder != *campaign);
            return ensure(queued || held, || {
                Violation::CampaignQueue(endpoint.clone())
            });
        }
        if !ledger.phase.is_active() {
            return Ok(());
        }
        let locked = query::campaign_of(self.tables, endpoint) == Some(*campaign);
        ensure(locked, || Violation::CampaignLock(endpoint.clone()))?;
        self.ends(ledger.due, Expiring::CampaignDevice(endpoint.clone()))
    }

    fn presence(&mut self, ledger: &Ledger) -> Result<(), Violation> {
        let part = query::campaign_part(self.tables, ledger.campaign);
        let Some(reach) = part.and_then(|part| part.reach) else {
            return Ok(());
        };
        let presence = ledger.presence;
        let is_registered = query::registration(self.tables, &ledger.endpoint).is_some();
        ensure(presence.registered == is_registered, || {
            Violation::CampaignPresence(ledger.endpoint.clone())
        })?;
        let counted = self.counted_reaches.entry(ledger.campaign).or_default();
        counted.census = reach.census;
        counted.registered += u64::from(presence.registered);
        let counts = presence.counts(reach.census);
        counted.counted += u64::from(counts);
        counted.lost += u64::from(counts && !presence.registered);
        Ok(())
    }

    fn reaches(&self) -> Result<(), Violation> {
        for (campaign, reach) in &self.reaches {
            let counted = self.counted_reaches.get(campaign).copied();
            let counted = counted.unwrap_or_else(|| Reach {
                census: reach.census,
                ..Reach::default()
            });
            ensure(counted == *reach, || Violation::CampaignReach(*campaign))?;
        }
        Ok(())
    }

    /// Counts only: which failures there were is not in the ledger of a device that was tried again.
    fn tallies(&self) -> Result<(), Violation> {
        let slots: BTreeSet<_> = self
            .tallies
            .keys()
            .chain(self.counted_tallies.keys())
            .collect();
        for slot in slots {
            let bare = |tallies: &BTreeMap<_, Tally>| Tally {
                failures: Vec::new(),
                samples: Vec::new(),
                ..tallies.get(slot).cloned().unwrap_or_default()
            };
            ensure(bare(&self.tallies) == bare(&self.counted_tallies), || {
                Violation::CampaignTally {
                    campaign: slot.0,
                    slot: slot.1,
                }
            })?;
        }
        Ok(())
    }

    fn registration(&mut self, registration: &Registration) -> Result<(), Violation> {
        let endpoint = &registration.endpoint;
        self.counted.registrations += 1;
        let indexed = query::endpoint_of(self.tables, &registration.id);
        ensure(indexed.as_ref() == Some(endpoint), || {
            Violation::RegistrationIndex(endpoint.clone())
        })?;
        if let Some(enrollment) = &registration.enrollment {
            self.enrollment(endpoint, enrollment);
        }
        self.ends(
            registration.expires_at,
            Expiring::Registration(endpoint.clone()),
        )
    }

    fn metadata(&self, metadata: &Metadata) -> Result<(), Violation> {
        let sound = !metadata.is_empty() && metadata.fits().is_ok();
        ensure(sound, || Violation::Metadata(metadata.endpoint.clone()))?;
        let mut labels = metadata.labels.iter();
        labels.try_for_each(|(key, value)| {
            self.indexed(IndexEntry::of_label(&metadata.endpoint, key, value))
        })
    }

    fn indexed(&self, entry: IndexEntry) -> Result<(), Violation> {
        let found = self.tables.get(&entry.key()).is_some();
        ensure(found, || Violation::NotIndexed(entry))
    }

    /// Whether what an entry of the index says is so.
    fn has(&self, entry: &IndexEntry) -> bool {
        let endpoint = &entry.endpoint;
        match (&entry.attribute, entry.attribute.path()) {
            (Indexed::Label(key), _) => query::metadata(self.tables, endpoint)
                .and_then(|metadata| metadata.labels.get(key).cloned())
                .is_some_and(|value| value.as_str() == entry.value),
            (_, Some(path)) => query::last_value(self.tables, endpoint, path)
                .and_then(|known| IndexEntry::of_value(endpoint, path, &known.value))
                .is_some_and(|found| found == *entry),
            (_, None) => false,
        }
    }

    fn resumption(&mut self, resumption: &Resumption) -> Result<(), Violation> {
        self.counted.resumptions += 1;
        ensure(resumption.state.len() <= MAX_RESUMPTION_STATE, || {
            Violation::ResumptionState(resumption.id)
        })?;
        self.ends(resumption.expires_at, Expiring::Resumption(resumption.id))
    }

    fn artefact(&self, artefact: &Artefact) -> Result<(), Violation> {
        if let Some(at) = artefact.ends_at() {
            self.ends(at, Expiring::Artefact(artefact.name.clone()))?;
        }
        let chunk = |number| query::artefact_chunk(self.tables, &artefact.name, number);
        let found = (0..artefact.chunks()).filter_map(chunk);
        let found: u64 = found.map(|chunk| chunk.bytes.len() as u64).sum();
        let counted = match artefact.state {
            ArtefactState::Arriving { stored, .. } => stored,
            ArtefactState::Complete => artefact.size,
        };
        let is_short = matches!(artefact.state, ArtefactState::Arriving { .. });
        ensure(
            found == counted && is_short == (counted < artefact.size),
            || Violation::Artefact(artefact.name.clone()),
        )
    }

    fn artefact_chunk(&self, chunk: &ArtefactChunk) -> Result<(), Violation> {
        let artefact = query::artefact(self.tables, &chunk.artefact);
        let length = artefact.and_then(|artefact| artefact.chunk_length(chunk.number));
        ensure(length == Some(chunk.bytes.len() as u64), || {
            Violation::Artefact(chunk.artefact.clone())
        })
    }

    fn operation(&mut self, record: &OperationRecord) -> Result<(), Violation> {
        let OperationRecord { endpoint, id, .. } = record;
        let known = id.sequence < query::counters(self.tables).next_operation;
        ensure(known, || Violation::UnknownSequence {
            endpoint: endpoint.clone(),
            sequence: id.sequence,
        })?;
        if record.is_in_flight() {
            let first = self.in_flight.insert(endpoint.clone());
            ensure(first, || Violation::SeveralInFlight(endpoint.clone()))?;
        }
        if record.is_finished() {
            self.count(endpoint, Bound::FinishedOperations);
        } else if record.source == OperationSource::Caller {
            self.count(endpoint, Bound::QueuedOperations);
        }
        self.ends(
            record.ends_at(),
            Expiring::Operation(endpoint.clone(), id.sequence),
        )
    }

    fn desired(&mut self, resource: &DesiredResource) -> Result<(), Violation> {
        let DesiredResource {
            endpoint,
            path,
            generation,
            origin,
            ..
        } = resource;
        self.count(endpoint, Bound::Desired);
        if let Some(at) = resource.correction_at() {
            self.ends(at, Expiring::Correction(endpoint.clone(), *path))?;
        }
        match origin {
            DesiredOrigin::Device => {
                let newest = query::desired_generation(self.tables, endpoint);
                ensure(newest.is_some_and(|newest| *generation <= newest), || {
                    Violation::DesiredGeneration {
                        endpoint: endpoint.clone(),
                        path: *path,
                    }
                })?;
            }
            DesiredOrigin::Profile(profile) => {
                let key = endpoint.namespace().qualify(profile);
                let key = RowKey::ProfileDevice(key, endpoint.clone());
                ensure(self.tables.get(&key).is_some(), || {
                    Violation::DesiredOrigin {
                        endpoint: endpoint.clone(),
                        path: *path,
                    }
                })?;
            }
        }
        let DesiredState::Pending { operation } = resource.state else {
            return Ok(());
        };
        let write = query::operation(self.tables, endpoint, operation);
        let waits = write.is_some_and(|write| {
            !write.is_finished()
                && write.source == OperationSource::Desired
                && goal_path(&write.operation) == *path
        });
        ensure(waits, || Violation::MissingWrite {
            endpoint: endpoint.clone(),
            path: *path,
        })
    }

    fn observation(&mut self, observation: &Observation) -> Result<(), Violation> {
        let Observation {
            endpoint,
            observed,
            holders,
            ..
        } = observation;
        self.count(endpoint, Bound::ObservedPaths);
        let distinct: BTreeSet<u64> = holders.iter().map(|holder| holder.id).collect();
        let sound = (1..=Observation::MAX_HOLDERS).contains(&holders.len())
            && distinct.len() == holders.len();
        ensure(sound, || Violation::Holders {
            endpoint: endpoint.clone(),
            observed: observed.clone(),
        })?;
        for holder in holders {
            self.ends(
                holder.lease_until,
                Expiring::Hold(endpoint.clone(), observed.clone(), holder.id),
            )?;
        }
        Ok(())
    }

    fn totals(self) -> Result<(), Violation> {
        self.tallies()?;
        self.reaches()?;
        self.profile_tallies()?;
        self.enrollment_tallies()?;
        ensure(self.order_rows == self.counted.dedup_rows, || {
            Violation::DedupOrder
        })?;
        let stored = query::counters(self.tables);
        let counted = Counters {
            next_operation: stored.next_operation,
            feed_floor: stored.feed_floor,
            model_changes: stored.model_changes,
            context_floor: stored.context_floor,
            feature_level: stored.feature_level,
            ..self.counted
        };
        ensure(stored == counted, || Violation::Counters {
            stored: Box::new(stored),
            counted: Box::new(counted),
        })?;
        for ((endpoint, bound), rows) in self.rows {
            ensure(rows <= bound.per_device(), || Violation::TooMany {
                endpoint,
                bound,
                rows,
            })?;
        }
        let allowed = MAX_DEDUP_ROWS + DEDUP_BATCH;
        let bound = Bound::Dedup;
        ensure(counted.dedup_rows <= allowed, || {
            Violation::TooManyInShard { bound, allowed }
        })?;
        let allowed = MAX_FEED_ROWS + FEED_SLACK;
        let bound = Bound::Feed;
        let several = several_revisions(self.tables);
        ensure(counted.feed_rows <= allowed || !several, || {
            Violation::TooManyInShard { bound, allowed }
        })?;
        let allowed = MAX_FEED_BYTES + FEED_SLACK_BYTES;
        let bound = Bound::FeedBytes;
        ensure(counted.feed_bytes <= allowed || !several, || {
            Violation::TooManyInShard { bound, allowed }
        })
    }

    fn count(&mut self, endpoint: &DeviceName, bound: Bound) {
        *self.rows.entry((endpoint.clone(), bound)).or_default() += 1;
    }

    /// What ends needs an expiry row; what never ends needs none.
    fn ends(&self, at: Timestamp, what: Expiring) -> Result<(), Violation> {
        let scheduled =
            at == Timestamp::NEVER || self.tables.get(&RowKey::Expiry(at, what.clone())).is_some();
        ensure(scheduled, || Violation::MissingExpiry { at, what })
    }

    fn end_of(&self, what: &Expiring) -> Option<Timestamp> {
        match what {
            Expiring::Registration(endpoint) => query::registration(self.tables, endpoint)
                .map(|registration| registration.expires_at),
            Expiring::Session(cid) => {
                query::session(self.tables, *cid).map(|session| session.expires_at)
            }
            Expiring::Resumption(id) => {
                query::resumption(self.tables, *id).map(|resumption| resumption.expires_at)
            }
            Expiring::Member(node) => {
                query::member(self.tables, *node).map(|member| member.lease_until)
            }
            Expiring::Operation(endpoint, sequence) => {
                query::operation_at(self.tables, endpoint, *sequence).map(|record| record.ends_at())
            }
            Expiring::CampaignDevice(endpoint) => {
                let campaign = query::campaign_of(self.tables, endpoint)?;
                query::ledger(self.tables, campaign, endpoint).map(|ledger| ledger.due)
            }
            Expiring::Artefact(name) => query::artefact(self.tables, name)?.ends_at(),
            Expiring::Correction(endpoint, path) => {
                query::desired_resource(self.tables, endpoint, *path)?.correction_at()
            }
            Expiring::Hold(endpoint, observed, holder) => {
                let observation = query::observation(self.tables, endpoint, observed)?;
                observation
                    .holders
                    .iter()
                    .find(|held| held.id == *holder)
                    .map(|held| held.lease_until)
            }
        }
    }
}

fn several_revisions(tables: &MemoryTables) -> bool {
    let mut revisions = tables.rows().filter_map(|row| match row {
        Row::Feed(entry) => Some(entry.revision),
        _ => None,
    });
    let first = revisions.next();
    revisions.any(|revision| Some(revision) != first)
}

/// The first key under which one has what the other has not.
fn first_difference<T: PartialEq>(
    told: &BTreeMap<String, T>,
    counted: &BTreeMap<String, T>,
) -> Option<String> {
    let mut keys = told.keys().chain(counted.keys());
    keys.find(|key| told.get(*key) != counted.get(*key))
        .cloned()
}

/// Turns a comparison into the result of a check.
fn ensure(holds: bool, violation: impl FnOnce() -> Violation) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(violation()) }
}
