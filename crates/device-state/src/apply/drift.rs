//! Drift: devices that have another value than the one that is desired.
//!
//! ```text
//!  InSync ── the device tells another value ──▶ Enforce: a write (Pending), once in a while
//!     ▲                                         Enforce, too soon after a write: Drifted until it is not
//!     └── it tells the value ── Drifted         Report: Drifted; InitOnly: nothing
//! ```
//!
//! What somebody wrote to a device counts as told by it: it has taken it, and what it reports of that may come before the
//! answer to the write does, and count as older. What a device does not report by itself it is asked for when it
//! registers: that is when it comes back from a reset.

use lwm2m::{Observed, Operation, Path, Value};

use super::Change;
use crate::goal::Presence;
use crate::id::Timestamp;
use crate::limit::{CORRECTION_GAP, MAX_READ_BACK, READ_BACK_GAP};
use crate::name::DeviceName;
use crate::query;
use crate::record::{DesiredResource, DesiredState, DriftPolicy, OperationRecord, OperationSource};
use crate::table::Row;

impl Change<'_> {
    /// Compares what a device told with what is desired.
    pub(super) fn compare_with_desired(&mut self, endpoint: &DeviceName, told: &[Path]) {
        let mut changed = false;
        for path in told {
            if let Some(row) = query::desired_resource(self.tables, endpoint, *path)
                && let Some(value) = query::last_value(self.tables, endpoint, *path)
            {
                let origin = row.origin.clone();
                if self.compare(row, &value.value, value.at) {
                    self.refresh_profile(endpoint, &origin);
                    changed = true;
                }
            }
        }
        if changed {
            self.settle_queue(endpoint);
        }
    }

    /// Whether the state of the resource changed.
    fn compare(&mut self, row: DesiredResource, told: &Value, at: Timestamp) -> bool {
        let since = match row.state {
            DesiredState::InSync { since } | DesiredState::Drifted { since } => since,
            DesiredState::Pending { .. } | DesiredState::Rejected { .. } => return false,
        };
        // A device may send what it measured before the write.
        if row.drift == DriftPolicy::InitOnly || at < since {
            return false;
        }
        let has_drifted = has_drifted(&row);
        let since = self.now;
        let Some(desired) = row.goal.value() else {
            return false;
        };
        if same(told, desired) {
            if has_drifted {
                self.put_desired(DesiredResource {
                    state: DesiredState::InSync { since },
                    ..row
                });
            }
            return has_drifted;
        }
        self.take_drift(row)
    }

    /// Whether the state of what the device has otherwise changed.
    pub(super) fn take_drift(&mut self, row: DesiredResource) -> bool {
        let (has_drifted, since) = (has_drifted(&row), self.now);
        let may_correct = row
            .corrected_at
            .is_none_or(|last| last.saturating_add(CORRECTION_GAP) <= self.now);
        if row.drift == DriftPolicy::Enforce && may_correct {
            self.correct(row);
            return true;
        }
        if !has_drifted {
            self.put_desired(DesiredResource {
                state: DesiredState::Drifted { since },
                ..row
            });
        }
        !has_drifted
    }

    /// A value that drifted is written again: the device told nothing better meanwhile.
    pub(super) fn end_drift(&mut self, endpoint: &DeviceName, path: Path) -> bool {
        let row = query::desired_resource(self.tables, endpoint, path);
        let due = |row: &DesiredResource| row.correction_at().is_some_and(|at| at <= self.now);
        let Some(row) = row.filter(due) else {
            return false;
        };
        let origin = row.origin.clone();
        self.correct(row);
        self.refresh_profile(endpoint, &origin);
        self.settle_queue(endpoint);
        true
    }

    fn correct(&mut self, row: DesiredResource) {
        let set = query::desired(self.tables, &row.endpoint);
        let set = set.iter().map(|one| (one.path, &one.goal));
        let operation = row.goal.operation(row.path, set);
        let operation = self.enqueue_desired(&row.endpoint, operation);
        let (endpoint, path) = (row.endpoint.clone(), row.path);
        let makes_instance = row.goal.presence() == Some(Presence::Present);
        self.put_desired(DesiredResource {
            state: DesiredState::Pending { operation },
            corrected_at: Some(self.now),
            ..row
        });
        if makes_instance {
            self.write_below(&endpoint, &[path]);
        }
    }

    /// Asks a device that registered what it has, as far as it does not report it by itself or has another value than
    /// it should.
    pub(super) fn read_back(&mut self, endpoint: &DeviceName) {
        let mut rows: Vec<(Timestamp, Path)> = query::desired(self.tables, endpoint)
            .into_iter()
            .filter(|row| row.drift != DriftPolicy::InitOnly && row.goal.value().is_some())
            .filter(|row| has_drifted(row) || !self.is_observed(endpoint, row.path))
            .filter_map(|row| Some((self.heard_of(&row)?, row.path)))
            .filter(|(heard, _)| heard.saturating_add(READ_BACK_GAP) <= self.now)
            .collect();
        if rows.is_empty() {
            return;
        }
        rows.sort_unstable();
        let queue = query::operations(self.tables, endpoint);
        let asked = |path: Path| queue.iter().any(|record| reads_back(record, path));
        let rows = rows.into_iter().map(|(_, path)| path);
        let unasked: Vec<Path> = rows
            .filter(|path| !asked(*path))
            .take(MAX_READ_BACK)
            .collect();
        for path in unasked {
            let read = Operation::Read { path, accept: None };
            let source = OperationSource::Desired;
            self.add_operation(endpoint, read, source, Timestamp::NEVER, 0);
        }
    }

    /// A value that was asked for and did not turn out to be another one: others have their turn before it is asked for
    /// again, also if the device does not let it be read.
    pub(super) fn was_read_back(&mut self, record: &OperationRecord) {
        let Operation::Read { path, .. } = record.operation else {
            return;
        };
        let row = query::desired_resource(self.tables, &record.endpoint, path);
        if let Some(row) = row.filter(|_| record.source == OperationSource::Desired)
            && let DesiredState::InSync { .. } = row.state
        {
            let state = DesiredState::InSync { since: self.now };
            self.tables
                .put(Row::Desired(DesiredResource { state, ..row }));
        }
    }

    /// When a value that was confirmed was heard of last.
    fn heard_of(&self, row: &DesiredResource) -> Option<Timestamp> {
        let (DesiredState::InSync { since } | DesiredState::Drifted { since }) = row.state else {
            return None;
        };
        let told = query::last_value(self.tables, &row.endpoint, row.path);
        Some(told.map_or(since, |told| told.at.max(since)))
    }

    fn is_observed(&self, endpoint: &DeviceName, path: Path) -> bool {
        query::observation(self.tables, endpoint, &Observed::Path(path)).is_some()
    }
}

const fn has_drifted(row: &DesiredResource) -> bool {
    matches!(row.state, DesiredState::Drifted { .. })
}

/// Whether an operation asks a device for a desired value, and has not ended.
fn reads_back(record: &OperationRecord, path: Path) -> bool {
    record.source == OperationSource::Desired
        && !record.is_finished()
        && matches!(record.operation, Operation::Read { path: read, .. } if read == path)
}

/// Whether a device that tells `told` has what it was given. It may keep a number in another width than it was written.
fn same(told: &Value, desired: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Integer(number) => Some(i128::from(*number)),
        Value::Unsigned(number) => Some(i128::from(*number)),
        _ => None,
    };
    match (told, desired) {
        (Value::Float(told), Value::Float(desired)) => {
            (told - desired).abs() <= desired.abs() * f64::from(f32::EPSILON)
        }
        _ => told == desired || (number(told).is_some() && number(told) == number(desired)),
    }
}
