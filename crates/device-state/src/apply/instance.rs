//! Object instances that are to be there or not.
//!
//! What a device registered with says which instances it has. So an instance is in sync without any operation if the
//! device lists it as it should, and what it lists later is compared with what is desired, as values are that it tells.
//! Until the next list, what it answered to a Create or a Delete is written into the list that there is.

use lwm2m::{Entry, ObjectLinks, Operation, Path};

use super::Change;
use crate::event::Event;
use crate::feature::FeatureLevel;
use crate::goal::{Goal, Presence, came_about, goal_path};
use crate::id::{OperationId, Timestamp};
use crate::name::DeviceName;
use crate::query;
use crate::record::{
    DesiredResource, DesiredState, DriftPolicy, OperationOutcome, OperationRecord, Registration,
};

/// Which object instances a device has.
pub(super) struct Inventory {
    /// As it lists them; `None` if it is not registered.
    links: Option<ObjectLinks>,
    queue: Vec<OperationRecord>,
}

impl Inventory {
    /// Whether a device has what is wanted, and keeps it: nothing has to be sent.
    pub(super) fn is_so(&self, path: Path, goal: &Goal) -> bool {
        let (Some(presence), Some(links)) = (goal.presence(), &self.links) else {
            return false;
        };
        presence.is_met(lists(links, path))
            && !self.queue.iter().any(|record| is_about(record, path))
    }
}

impl Change<'_> {
    /// Takes what became of the instances of a device by an operation that ended into its list of objects.
    pub(super) fn keep_instances(
        &mut self,
        endpoint: &DeviceName,
        operation: &Operation,
        outcome: &OperationOutcome,
    ) {
        if self.counters.feature_level < FeatureLevel::INSTANCES {
            return;
        }
        let Some((instance, presence)) = came_about(operation, outcome) else {
            return;
        };
        let Some(before) = query::registration(self.tables, endpoint) else {
            return;
        };
        let Ok(mut links) = ObjectLinks::parse(&before.links) else {
            return;
        };
        if presence.is_met(lists(&links, instance)) {
            return;
        }
        match presence {
            Presence::Present => links.add_instance(instance),
            Presence::Absent => links.remove_instance(instance),
        }
        let links = links.to_string();
        if ObjectLinks::parse(&links).is_err() {
            // Longer than a list may be: the device's next one tells.
            return;
        }
        let row = Registration {
            links,
            ..before.clone()
        };
        self.put_registration(Some(before.expires_at), &row);
        self.emit(
            endpoint,
            Event::Updated {
                registration: Box::new(row),
            },
        );
        self.settle_profiles(endpoint);
        self.compare_with_links(endpoint);
    }

    /// Compares the objects that a device told with the instances that are desired.
    pub(super) fn compare_with_links(&mut self, endpoint: &DeviceName) {
        let rows: Vec<(Presence, DesiredResource)> = query::desired(self.tables, endpoint)
            .into_iter()
            .filter_map(|row| Some((row.goal.presence()?, row)))
            .collect();
        if rows.is_empty() {
            return;
        }
        let Some(registration) = query::registration(self.tables, endpoint) else {
            return;
        };
        let links = ObjectLinks::parse(&registration.links).unwrap_or_default();
        let queue = query::operations(self.tables, endpoint);
        let mut changed = false;
        for (presence, row) in rows {
            let own = match row.state {
                DesiredState::Pending { operation } => Some(operation),
                _ => None,
            };
            // What is about to come or go is not as the device lists it.
            if queue
                .iter()
                .any(|record| Some(record.id) != own && is_about(record, row.path))
            {
                continue;
            }
            let origin = row.origin.clone();
            if self.compare_instance(row, presence, &links) {
                self.refresh_profile(endpoint, &origin);
                changed = true;
            }
        }
        if changed {
            self.settle_queue(endpoint);
        }
    }

    /// What made an instance come or go lost its answer, and waits again: the device may have told meanwhile that it did.
    pub(super) fn compare_unanswered(&mut self, record: &OperationRecord) {
        if let Some(row) = self.desired_of(record)
            && let Some(presence) = row.goal.presence()
            && let Some(registration) = query::registration(self.tables, &row.endpoint)
        {
            let links = ObjectLinks::parse(&registration.links).unwrap_or_default();
            let origin = row.origin.clone();
            if self.compare_instance(row, presence, &links) {
                self.refresh_profile(&record.endpoint, &origin);
            }
        }
    }

    /// Whether the state of the instance changed.
    fn compare_instance(
        &mut self,
        row: DesiredResource,
        presence: Presence,
        links: &ObjectLinks,
    ) -> bool {
        let is_met = presence.is_met(lists(links, row.path));
        match row.state {
            // The answer is still to come.
            DesiredState::Pending { operation }
                if query::operation(self.tables, &row.endpoint, operation)
                    .is_some_and(|record| record.is_in_flight()) =>
            {
                false
            }
            DesiredState::Pending { .. } | DesiredState::Rejected { .. } if !is_met => false,
            DesiredState::InSync { .. } if is_met => false,
            DesiredState::InSync { .. } if row.drift == DriftPolicy::InitOnly => false,
            DesiredState::InSync { .. } | DesiredState::Drifted { .. } if !is_met => {
                self.take_drift(row)
            }
            _ => {
                self.end_waiting_write(&row, OperationOutcome::Cancelled);
                let (endpoint, path, since) = (row.endpoint.clone(), row.path, self.now);
                let came_anew = match row.state {
                    DesiredState::Pending { .. } => row.corrected_at,
                    _ => None,
                };
                self.put_desired(DesiredResource {
                    state: DesiredState::InSync { since },
                    ..row
                });
                self.write_again_below(&endpoint, path, came_anew);
                true
            }
        }
    }

    /// What a device lists, and what may change that.
    pub(super) fn inventory(&self, endpoint: &DeviceName) -> Inventory {
        let registration = query::registration(self.tables, endpoint);
        Inventory {
            links: registration.map(|row| ObjectLinks::parse(&row.links).unwrap_or_default()),
            queue: query::operations(self.tables, endpoint),
        }
    }

    /// Whether the device lists what is wanted.
    fn is_listed(&self, endpoint: &DeviceName, path: Path, goal: &Goal) -> bool {
        goal.presence().is_some_and(|presence| {
            query::registration(self.tables, endpoint).is_some_and(|registration| {
                let links = ObjectLinks::parse(&registration.links).unwrap_or_default();
                presence.is_met(lists(&links, path))
            })
        })
    }

    /// Whether what a device refused is so all the same.
    pub(super) fn is_met_anyway(
        &self,
        record: &OperationRecord,
        outcome: &OperationOutcome,
    ) -> bool {
        let Some(row) = self.desired_of(record) else {
            return false;
        };
        let so = came_about(&record.operation, outcome).map(|(_, presence)| presence);
        let lacks_it = so == Some(Presence::Absent) && so == row.goal.presence();
        lacks_it || self.is_listed(&row.endpoint, row.path, &row.goal)
    }

    /// What is desired below instances whose own state has just changed. A value that waits to be written is refused until
    /// there is one, so it goes behind a Create that was made anew, and with that to the end of the queue; and what was
    /// refused may not be so below one that the device has.
    pub(super) fn write_below(&mut self, endpoint: &DeviceName, instances: &[Path]) {
        if instances.is_empty() {
            return;
        }
        let rows = query::desired(self.tables, endpoint);
        let above = |row: &DesiredResource| {
            rows.iter().find(|above| {
                above.path != row.path
                    && row.path.starts_with(above.path)
                    && instances.contains(&above.path)
            })
        };
        for row in &rows {
            let Some(above) = above(row) else {
                continue;
            };
            match (&above.state, &row.state) {
                (
                    DesiredState::Pending { operation: create },
                    DesiredState::Pending { operation },
                ) if operation.sequence < create.sequence
                    && self.is_waiting(endpoint, *operation) =>
                {
                    self.end_waiting_write(row, OperationOutcome::Superseded);
                    self.write_again(row.clone());
                }
                (DesiredState::InSync { .. }, DesiredState::Rejected { .. }) => {
                    self.write_again(row.clone());
                    self.refresh_profile(endpoint, &row.origin);
                }
                _ => {}
            }
        }
    }

    /// The instance is there by now: what was refused below it may have been so because it was not. If it went and came
    /// back by itself, it has none of the values that it had before `came_anew`.
    fn write_again_below(
        &mut self,
        endpoint: &DeviceName,
        instance: Path,
        came_anew: Option<Timestamp>,
    ) {
        let is_lost = |row: &DesiredResource| match row.state {
            DesiredState::Rejected { .. } => true,
            DesiredState::InSync { since } | DesiredState::Drifted { since } => {
                came_anew.is_some_and(|anew| since <= anew)
            }
            DesiredState::Pending { .. } => false,
        };
        let rows: Vec<DesiredResource> = query::desired(self.tables, endpoint)
            .into_iter()
            .filter(|row| row.path.starts_with(instance) && row.goal.value().is_some())
            .filter(is_lost)
            .collect();
        for row in rows {
            let origin = row.origin.clone();
            self.write_again(row);
            self.refresh_profile(endpoint, &origin);
        }
    }

    fn write_again(&mut self, row: DesiredResource) {
        let write = row.goal.operation(row.path, std::iter::empty());
        let operation = self.enqueue_desired(&row.endpoint, write);
        self.put_desired(DesiredResource {
            state: DesiredState::Pending { operation },
            ..row
        });
    }

    fn is_waiting(&self, endpoint: &DeviceName, operation: OperationId) -> bool {
        query::operation(self.tables, endpoint, operation).is_some_and(|record| record.is_pending())
    }

    /// Whether the Create that an instance waits for would give it other values than it should have by now.
    pub(super) fn creates_otherwise(
        &self,
        known: &DesiredResource,
        create: impl Fn() -> Operation,
    ) -> bool {
        let (Some(Presence::Present), DesiredState::Pending { operation }) =
            (known.goal.presence(), &known.state)
        else {
            return false;
        };
        query::operation(self.tables, &known.endpoint, *operation)
            .is_some_and(|record| record.is_pending() && record.operation != create())
    }

    /// What is desired below an instance that is in sync by the end of an operation. What it was created with it has:
    /// nothing of that is written once more.
    pub(super) fn settle_below(
        &mut self,
        endpoint: &DeviceName,
        operation: &Operation,
        outcome: &OperationOutcome,
    ) {
        let Operation::Create { values, .. } = operation else {
            return;
        };
        if let OperationOutcome::Delivered { .. } = outcome {
            self.settle_given(endpoint, values);
        }
        self.write_again_below(endpoint, goal_path(operation), None);
    }

    fn settle_given(&mut self, endpoint: &DeviceName, given: &[Entry]) {
        for Entry { path, value, .. } in given {
            let row = query::desired_resource(self.tables, endpoint, *path);
            let has_it = |row: &DesiredResource| row.goal.value() == Some(value);
            let Some(row) = row.filter(has_it) else {
                continue;
            };
            if matches!(row.state, DesiredState::InSync { .. }) {
                continue;
            }
            self.end_waiting_write(&row, OperationOutcome::Superseded);
            let (since, origin) = (self.now, row.origin.clone());
            self.put_desired(DesiredResource {
                state: DesiredState::InSync { since },
                ..row
            });
            self.refresh_profile(endpoint, &origin);
        }
    }
}

/// Whether an operation that has not ended may make the instance come or go.
fn is_about(record: &OperationRecord, instance: Path) -> bool {
    let comes_or_goes = matches!(
        record.operation,
        Operation::Create { .. } | Operation::Delete { .. }
    );
    comes_or_goes && !record.is_finished() && instance.starts_with(goal_path(&record.operation))
}

fn lists(links: &ObjectLinks, path: Path) -> bool {
    path.object_id()
        .zip(path.object_instance_id())
        .is_some_and(|(object, instance)| links.instances(object).any(|id| id == instance))
}
