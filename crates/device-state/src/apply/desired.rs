//! The desired set of a device: what changed is written to it, what did not change is left alone.

use std::collections::BTreeMap;

use lwm2m::{Entry, Operation, Path, Value, WriteMode};

use super::Change;
use crate::command::{Outcome, Rejection};
use crate::event::Event;
use crate::id::{OperationId, Timestamp};
use crate::limit::MAX_DESIRED;
use crate::name::DeviceName;
use crate::query;
use crate::record::{
    DesiredResource, DesiredState, OperationOutcome, OperationRecord, OperationSource,
    OperationState,
};
use crate::table::{Row, RowKey};

impl Change<'_> {
    /// Replaces the desired set. An empty set of generation 0 withdraws the intent and forgets the
    /// generation, because the generations of an intent that is made anew start again at 1.
    pub(super) fn set_desired(
        &mut self,
        endpoint: &DeviceName,
        generation: u64,
        resources: &[(Path, Value)],
    ) -> Result<Outcome, Rejection> {
        let withdrawn = generation == 0 && resources.is_empty();
        let stored = query::desired_generation(self.tables, endpoint);
        if !withdrawn && stored.is_some_and(|stored| generation < stored) {
            return Err(Rejection::StaleGeneration);
        }
        let wanted: BTreeMap<Path, &Value> = resources
            .iter()
            .map(|(path, value)| (*path, value))
            .collect();
        if wanted.len() > MAX_DESIRED {
            return Err(Rejection::TooManyDesired);
        }
        let retry_rejected = stored.is_none_or(|stored| generation > stored);
        if self.replace_desired(endpoint, generation, &wanted, retry_rejected) > 0 {
            self.settle_queue(endpoint);
        }
        if withdrawn {
            self.tables
                .delete(&RowKey::DesiredGeneration(endpoint.clone()));
        } else if stored != Some(generation) {
            self.tables.put(Row::DesiredGeneration {
                endpoint: endpoint.clone(),
                generation,
            });
        }
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
            self.put_desired(DesiredResource { state, ..row });
        }
    }

    /// How a write ends that is not in flight any more and that nobody wants, if it is one.
    pub(super) fn end_of_outdated_write(
        &self,
        record: &OperationRecord,
    ) -> Option<OperationOutcome> {
        if record.source != OperationSource::Desired || self.desired_of(record).is_some() {
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

    /// The number of resources that changed.
    fn replace_desired(
        &mut self,
        endpoint: &DeviceName,
        generation: u64,
        wanted: &BTreeMap<Path, &Value>,
        retry_rejected: bool,
    ) -> usize {
        let mut changes = 0;
        let mut current = BTreeMap::new();
        for row in query::desired(self.tables, endpoint) {
            if wanted.contains_key(&row.path) {
                current.insert(row.path, row);
            } else {
                self.drop_desired(&row, generation);
                changes += 1;
            }
        }
        for (path, value) in wanted {
            let known = current.get(path);
            let settled = known.is_some_and(|known| {
                let retried =
                    retry_rejected && matches!(known.state, DesiredState::Rejected { .. });
                known.value == **value && !retried
            });
            if settled {
                continue;
            }
            if let Some(known) = known {
                self.end_waiting_write(known, OperationOutcome::Superseded);
            }
            let operation = self.enqueue_write(endpoint, *path, (*value).clone());
            self.put_desired(DesiredResource {
                endpoint: endpoint.clone(),
                path: *path,
                value: (*value).clone(),
                generation,
                state: DesiredState::Pending { operation },
            });
            changes += 1;
        }
        changes
    }

    fn drop_desired(&mut self, row: &DesiredResource, generation: u64) {
        self.end_waiting_write(row, OperationOutcome::Cancelled);
        self.tables
            .delete(&RowKey::Desired(row.endpoint.clone(), row.path));
        self.emit(
            &row.endpoint,
            Event::DesiredChanged {
                path: row.path,
                generation,
                state: None,
            },
        );
    }

    fn enqueue_write(&mut self, endpoint: &DeviceName, path: Path, value: Value) -> OperationId {
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

    fn put_desired(&mut self, row: DesiredResource) {
        let event = Event::DesiredChanged {
            path: row.path,
            generation: row.generation,
            state: Some(row.state.clone()),
        };
        self.emit(&row.endpoint, event);
        self.tables.put(Row::Desired(row));
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
