//! The desired set of a device: what changed is written to it, what did not change is left alone.
//!
//! What is desired of the device itself and what its profiles say is one set here, path by path; see
//! [`profile`](super::profile) for how it is put together.

use std::collections::BTreeMap;

use lwm2m::{Operation, Path};

use super::Change;
use super::instance::Inventory;
use crate::command::{Outcome, Rejection};
use crate::event::Event;
use crate::feature::FeatureLevel;
use crate::goal::{Goal, Presence, came_about, goal_path};
use crate::id::{OperationId, Timestamp};
use crate::limit::{CORRECTION_GAP, MAX_DESIRED};
use crate::name::DeviceName;
use crate::profile::Profile;
use crate::query;
use crate::record::{
    DesiredOrigin, DesiredResource, DesiredState, DesiredValue, DriftPolicy, OperationOutcome,
    OperationRecord, OperationSource, OperationState,
};
use crate::table::{Expiring, Row, RowKey};

/// What a resource or an object instance of a device is to be.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    goal: Goal,
    drift: DriftPolicy,
    origin: DesiredOrigin,
    generation: u64,
    /// Whether a value that the device refused is tried again.
    retry: Retry,
}

/// The class of codes of answers to what a device did (RFC 7252 §5.9.1).
const SUCCESS: u8 = 2;

/// Whether a value that a device refused is written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    Never,
    /// If it was refused before this generation.
    IfOlder,
    Now,
}

/// What of two profiles that contradict each other the one makes of what the other one did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Now {
        now: Timestamp,
    },
    /// It waits, as the last turn was not long ago.
    TooSoon {
        last: Timestamp,
    },
}

impl Turn {
    const fn last(self) -> Timestamp {
        match self {
            Self::Now { now } => now,
            Self::TooSoon { last } => last,
        }
    }
}

impl Wanted {
    pub(super) const fn goal(&self) -> &Goal {
        &self.goal
    }

    pub(super) fn of_profile(profile: &Profile, resource: &DesiredValue) -> Self {
        Self {
            goal: resource.goal.clone(),
            drift: resource.drift,
            origin: DesiredOrigin::Profile(profile.name.clone()),
            generation: profile.revision,
            retry: Retry::IfOlder,
        }
    }
}

impl From<DesiredResource> for Wanted {
    /// What is there already.
    fn from(row: DesiredResource) -> Self {
        Self {
            goal: row.goal,
            drift: row.drift,
            origin: row.origin,
            generation: row.generation,
            retry: Retry::Never,
        }
    }
}

impl Change<'_> {
    /// Replaces what is desired of the device itself. An empty set of generation 0 withdraws the intent and forgets the
    /// generation, because the generations of an intent that is made anew start again at 1.
    pub(super) fn set_desired(
        &mut self,
        endpoint: &DeviceName,
        generation: u64,
        resources: &[DesiredValue],
    ) -> Result<Outcome, Rejection> {
        let withdrawn = generation == 0 && resources.is_empty();
        let stored = query::desired_generation(self.tables, endpoint);
        if !withdrawn && stored.is_some_and(|stored| generation < stored) {
            return Err(Rejection::StaleGeneration);
        }
        let retry = if stored.is_none_or(|stored| generation > stored) {
            Retry::Now
        } else {
            Retry::Never
        };
        let wanted = |resource: &DesiredValue| Wanted {
            goal: resource.goal.clone(),
            // Replicas of releases before write a value once, and keep no policy.
            drift: if self.counters.feature_level < FeatureLevel::PROFILES {
                DriftPolicy::InitOnly
            } else {
                resource.drift
            },
            origin: DesiredOrigin::Device,
            generation,
            retry,
        };
        let own: BTreeMap<Path, Wanted> = resources
            .iter()
            .map(|resource| (resource.path, wanted(resource)))
            .collect();
        if own.len() > MAX_DESIRED {
            return Err(Rejection::TooManyDesired);
        }
        // First: it may be what makes the device known, and profiles look at that.
        if withdrawn {
            self.tables
                .delete(&RowKey::DesiredGeneration(endpoint.clone()));
        } else if stored != Some(generation) {
            self.tables.put(Row::DesiredGeneration {
                endpoint: endpoint.clone(),
                generation,
            });
        }
        self.settle_desired_set(endpoint, own);
        Ok(Outcome::Done)
    }

    /// Takes the end of the write of a desired value into its state. A write that a newer value
    /// made obsolete says nothing about the state.
    pub(super) fn settle_desired(&mut self, record: &OperationRecord, outcome: &OperationOutcome) {
        let since = self.now;
        let state = match outcome {
            OperationOutcome::Delivered { code, .. } => match other_instance(record, outcome) {
                Some(other) => DesiredState::Rejected {
                    code: *code,
                    diagnostic: format!("the device made {other} instead"),
                    since,
                },
                None => DesiredState::InSync { since },
            },
            OperationOutcome::Rejected { .. } if self.is_met_anyway(record, outcome) => {
                DesiredState::InSync { since }
            }
            OperationOutcome::Rejected { code, diagnostic } => DesiredState::Rejected {
                code: *code,
                diagnostic: diagnostic.clone(),
                since,
            },
            // Only raw requests are answered so, and no desired value is written by one.
            OperationOutcome::Answered { .. }
            | OperationOutcome::Expired
            | OperationOutcome::Cancelled
            | OperationOutcome::Superseded => return,
        };
        let is_met = matches!(state, DesiredState::InSync { .. });
        if let Some(row) = self.desired_of(record) {
            let (endpoint, origin) = (row.endpoint.clone(), row.origin.clone());
            self.put_desired(DesiredResource { state, ..row });
            self.refresh_profile(&endpoint, &origin);
            if is_met {
                self.settle_below(&endpoint, &record.operation, outcome);
            }
        } else {
            self.was_read_back(record);
        }
    }

    /// How a write ends that is not in flight any more and that nobody wants, if it is one.
    pub(super) fn end_of_outdated_write(
        &self,
        record: &OperationRecord,
    ) -> Option<OperationOutcome> {
        if !query::is_obsolete(self.tables, record) {
            return None;
        }
        let path = goal_path(&record.operation);
        Some(
            match query::desired_resource(self.tables, &record.endpoint, path) {
                Some(_) => OperationOutcome::Superseded,
                None => OperationOutcome::Cancelled,
            },
        )
    }

    /// What is desired of the device itself.
    pub(super) fn own_desired(&self, endpoint: &DeviceName) -> BTreeMap<Path, Wanted> {
        query::desired(self.tables, endpoint)
            .into_iter()
            .filter(|row| row.origin == DesiredOrigin::Device)
            .map(|row| (row.path, row.into()))
            .collect()
    }

    /// The number of resources that changed.
    pub(super) fn replace_desired(
        &mut self,
        endpoint: &DeviceName,
        wanted: &BTreeMap<Path, Wanted>,
    ) -> usize {
        let mut changes = 0;
        let mut current = BTreeMap::new();
        for row in query::desired(self.tables, endpoint) {
            if wanted.contains_key(&row.path) {
                current.insert(row.path, row);
            } else {
                self.drop_desired(&row);
                changes += 1;
            }
        }
        let of_instances = wanted.values().any(|one| one.goal.presence().is_some());
        let inventory = of_instances.then(|| self.inventory(endpoint));
        let mut instances = Vec::new();
        for (path, one) in wanted {
            let known = current.get(path);
            if self.want(endpoint, *path, wanted, (known, inventory.as_ref())) {
                changes += 1;
                if one.goal.presence() == Some(Presence::Present) {
                    instances.push(*path);
                }
            }
        }
        // Now that all values are there.
        self.write_below(endpoint, &instances);
        changes
    }

    /// Whether the resource changed.
    fn want(
        &mut self,
        endpoint: &DeviceName,
        path: Path,
        all: &BTreeMap<Path, Wanted>,
        (known, inventory): (Option<&DesiredResource>, Option<&Inventory>),
    ) -> bool {
        let Some(wanted) = all.get(&path) else {
            return false;
        };
        let operation = || {
            let set = all.iter().map(|(path, one)| (*path, &one.goal));
            wanted.goal.operation(path, set)
        };
        if let Some(known) = known {
            let stands = known.goal == wanted.goal && !self.creates_otherwise(known, operation);
            if stands && !wanted.retries(known) {
                if known.drift != wanted.drift || known.origin != wanted.origin {
                    self.keep_desired(DesiredResource {
                        drift: wanted.drift,
                        origin: wanted.origin.clone(),
                        generation: wanted.generation,
                        ..known.clone()
                    });
                }
                return false;
            }
            self.end_waiting_write(known, OperationOutcome::Superseded);
        }
        let turn = known.and_then(|known| self.turn(known, wanted));
        let state = if inventory.is_some_and(|inventory| inventory.is_so(path, &wanted.goal)) {
            DesiredState::InSync { since: self.now }
        } else if matches!(turn, Some(Turn::TooSoon { .. })) {
            DesiredState::Drifted { since: self.now }
        } else {
            let operation = self.enqueue_desired(endpoint, operation());
            DesiredState::Pending { operation }
        };
        self.put_desired(DesiredResource {
            endpoint: endpoint.clone(),
            path,
            goal: wanted.goal.clone(),
            drift: wanted.drift,
            origin: wanted.origin.clone(),
            generation: wanted.generation,
            state,
            corrected_at: turn.map(Turn::last),
        });
        true
    }

    /// Whether one profile denies of an instance what another one has said so far. Profiles that select by what devices
    /// list could take turns for ever, so they take them as often as values are corrected.
    fn turn(&self, known: &DesiredResource, wanted: &Wanted) -> Option<Turn> {
        let turns = known.goal.presence().is_some() && known.goal != wanted.goal;
        let by_profile = matches!(wanted.origin, DesiredOrigin::Profile(_));
        if !turns || !by_profile || known.origin == wanted.origin {
            return None;
        }
        let is_recent = |last: &Timestamp| last.saturating_add(CORRECTION_GAP) > self.now;
        Some(match known.corrected_at.filter(is_recent) {
            Some(last) => Turn::TooSoon { last },
            None => Turn::Now { now: self.now },
        })
    }

    fn drop_desired(&mut self, row: &DesiredResource) {
        self.end_waiting_write(row, OperationOutcome::Cancelled);
        self.delete_desired(row);
        let generation = match row.origin {
            // Of the set that has it no longer.
            DesiredOrigin::Device => {
                query::desired_generation(self.tables, &row.endpoint).unwrap_or_default()
            }
            DesiredOrigin::Profile(_) => row.generation,
        };
        self.emit(
            &row.endpoint,
            Event::DesiredChanged {
                path: row.path,
                generation,
                state: None,
            },
        );
    }

    pub(super) fn enqueue_desired(
        &mut self,
        endpoint: &DeviceName,
        operation: Operation,
    ) -> OperationId {
        let source = OperationSource::Desired;
        self.add_operation(endpoint, operation, source, Timestamp::NEVER, 0)
    }

    /// Ends the write of a desired value that has not been sent. One that is in flight goes on: the
    /// device may have carried it out already.
    pub(super) fn end_waiting_write(&mut self, row: &DesiredResource, outcome: OperationOutcome) {
        let DesiredState::Pending { operation } = row.state else {
            return;
        };
        let waiting = query::operation(self.tables, &row.endpoint, operation)
            .filter(|record| record.state == OperationState::Pending);
        if let Some(record) = waiting {
            self.conclude(record, outcome);
        }
    }

    pub(super) fn put_desired(&mut self, row: DesiredResource) {
        let event = Event::DesiredChanged {
            path: row.path,
            generation: row.generation,
            state: Some(row.state.clone()),
        };
        self.emit(&row.endpoint, event);
        self.keep_desired(row);
    }

    /// Stores the row, and has it looked at when its value may be corrected.
    fn keep_desired(&mut self, row: DesiredResource) {
        let before = query::desired_resource(self.tables, &row.endpoint, row.path);
        let before = before.and_then(|before| before.correction_at());
        let what = Expiring::Correction(row.endpoint.clone(), row.path);
        self.reschedule(before, row.correction_at(), what);
        self.tables.put(Row::Desired(row));
    }

    pub(super) fn delete_desired(&mut self, row: &DesiredResource) {
        let what = Expiring::Correction(row.endpoint.clone(), row.path);
        self.reschedule(row.correction_at(), None, what);
        self.tables
            .delete(&RowKey::Desired(row.endpoint.clone(), row.path));
    }

    /// The desired resource that waits for this very operation.
    pub(super) fn desired_of(&self, record: &OperationRecord) -> Option<DesiredResource> {
        query::desired_by(self.tables, record)
    }
}

impl Wanted {
    /// Whether what the device refused is written again.
    fn retries(&self, known: &DesiredResource) -> bool {
        // A device that made another instance would make one more each time.
        let refused =
            matches!(known.state, DesiredState::Rejected { code, .. } if code >> 5 != SUCCESS);
        refused
            && match self.retry {
                Retry::Never => false,
                Retry::IfOlder => known.generation < self.generation,
                Retry::Now => true,
            }
    }
}

/// The instance that a Create made in place of the one that it named.
fn other_instance(record: &OperationRecord, outcome: &OperationOutcome) -> Option<Path> {
    came_about(&record.operation, outcome)
        .map(|(path, _)| path)
        .filter(|path| *path != goal_path(&record.operation))
}
