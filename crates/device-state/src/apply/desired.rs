//! The desired set of a device: what changed is written to it, what did not change is left alone.
//!
//! What is desired of the device itself and what its profiles say is one set here, path by path; see
//! [`profile`](super::profile) for how it is put together.

use std::collections::BTreeMap;

use lwm2m::{Entry, Operation, Path, Value, WriteMode};

use super::Change;
use crate::command::{Outcome, Rejection};
use crate::event::Event;
use crate::feature::FeatureLevel;
use crate::id::{OperationId, Timestamp};
use crate::limit::MAX_DESIRED;
use crate::name::DeviceName;
use crate::profile::Profile;
use crate::query;
use crate::record::{
    DesiredOrigin, DesiredResource, DesiredState, DesiredValue, DriftPolicy, OperationOutcome,
    OperationRecord, OperationSource, OperationState,
};
use crate::table::{Expiring, Row, RowKey};

/// What a resource of a device is to be.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    value: Value,
    drift: DriftPolicy,
    origin: DesiredOrigin,
    generation: u64,
    /// Whether a value that the device refused is tried again.
    retry: Retry,
}

/// Whether a value that a device refused is written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    Never,
    /// If it was refused before this generation.
    IfOlder,
    Now,
}

impl Wanted {
    pub(super) fn of_profile(profile: &Profile, resource: &DesiredValue) -> Self {
        Self {
            value: resource.value.clone(),
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
            value: row.value,
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
            value: resource.value.clone(),
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
            OperationOutcome::Delivered { .. } => DesiredState::InSync { since },
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
        if let Some(row) = self.desired_of(record) {
            let (endpoint, origin) = (row.endpoint.clone(), row.origin.clone());
            self.put_desired(DesiredResource { state, ..row });
            self.refresh_profile(&endpoint, &origin);
        } else {
            self.was_read_back(record);
        }
    }

    /// How a write ends that is not in flight any more and that nobody wants, if it is one.
    pub(super) fn end_of_outdated_write(
        &self,
        record: &OperationRecord,
    ) -> Option<OperationOutcome> {
        let writes = matches!(record.operation, Operation::Write { .. });
        if record.source != OperationSource::Desired || !writes || self.desired_of(record).is_some()
        {
            return None;
        }
        let path = record.operation.path();
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
        for (path, wanted) in wanted {
            changes += usize::from(self.want(endpoint, *path, wanted, current.get(path)));
        }
        changes
    }

    /// Whether the resource changed.
    fn want(
        &mut self,
        endpoint: &DeviceName,
        path: Path,
        wanted: &Wanted,
        known: Option<&DesiredResource>,
    ) -> bool {
        if let Some(known) = known {
            if known.value == wanted.value && !wanted.retries(known) {
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
        let operation = self.enqueue_write(endpoint, path, wanted.value.clone());
        self.put_desired(DesiredResource {
            endpoint: endpoint.clone(),
            path,
            value: wanted.value.clone(),
            drift: wanted.drift,
            origin: wanted.origin.clone(),
            generation: wanted.generation,
            state: DesiredState::Pending { operation },
            corrected_at: None,
        });
        true
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

    pub(super) fn enqueue_write(
        &mut self,
        endpoint: &DeviceName,
        path: Path,
        value: Value,
    ) -> OperationId {
        let values = vec![Entry::new(path, value)];
        let write = Operation::Write {
            path,
            mode: WriteMode::Replace,
            values,
        };
        self.add_operation(
            endpoint,
            write,
            OperationSource::Desired,
            Timestamp::NEVER,
            0,
        )
    }

    /// Ends the write of a desired value that has not been sent. One that is in flight goes on: the
    /// device may have carried it out already.
    fn end_waiting_write(&mut self, row: &DesiredResource, outcome: OperationOutcome) {
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
    fn desired_of(&self, record: &OperationRecord) -> Option<DesiredResource> {
        query::desired_resource(self.tables, &record.endpoint, record.operation.path()).filter(
            |row| {
                row.state
                    == DesiredState::Pending {
                        operation: record.id,
                    }
            },
        )
    }
}

impl Wanted {
    /// Whether what the device refused is written again.
    fn retries(&self, known: &DesiredResource) -> bool {
        let refused = matches!(known.state, DesiredState::Rejected { .. });
        refused
            && match self.retry {
                Retry::Never => false,
                Retry::IfOlder => known.generation < self.generation,
                Retry::Now => true,
            }
    }
}
