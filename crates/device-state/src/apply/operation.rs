//! The queue of operations of a device.
//!
//! ```text
//!  Enqueue ─▶ Pending ── Start ──▶ InFlight ── Finish ──▶ Finished ── retention ──▶ gone
//!                ▲  │                 │  │                   ▲
//!                │  └── Finish, Cancel, deadline, superseded ┤
//!                └── Requeue, Register, new owner ┘ └────────┘ lost, and at most once
//! ```

use lwm2m::Operation;

use super::Change;
use crate::command::{Outcome, Rejection};
use crate::effect::Effect;
use crate::event::Event;
use crate::id::{NodeId, OperationId, Timestamp};
use crate::limit::{MAX_FINISHED_OPERATIONS, MAX_QUEUED_OPERATIONS, OPERATION_RETENTION};
use crate::name::DeviceName;
use crate::query;
use crate::record::{OperationOutcome, OperationRecord, OperationSource, OperationState, Queueing};
use crate::table::{Expiring, Row};

impl Change<'_> {
    pub(super) fn enqueue(
        &mut self,
        endpoint: &DeviceName,
        operation: &Operation,
        deadline: Timestamp,
        queueing: Queueing,
    ) -> Result<Outcome, Rejection> {
        if queueing.supersedes {
            self.supersede(endpoint, operation);
        }
        let queue = query::operations(self.tables, endpoint);
        let queued = queue
            .iter()
            .filter(|record| record.source == OperationSource::Caller && !record.is_finished())
            .count();
        if queued >= MAX_QUEUED_OPERATIONS {
            return Err(Rejection::QueueFull);
        }
        let operation = self.add_operation(
            endpoint,
            operation.clone(),
            OperationSource::Caller,
            deadline,
            queueing.priority,
        );
        if queueing.supersedes {
            self.settle_queue(endpoint);
        } else if !queue.iter().any(OperationRecord::is_in_flight) {
            // Nothing has ended, so that is all there is to settle, and a long queue is read once.
            self.tell_ready(endpoint);
        }
        Ok(Outcome::Enqueued { operation })
    }

    /// Gives up what callers asked for and what waits, if `newer` leaves nothing of it.
    fn supersede(&mut self, endpoint: &DeviceName, newer: &Operation) {
        for record in query::operations(self.tables, endpoint) {
            let obsolete = record.is_pending()
                && record.source == OperationSource::Caller
                && newer.makes_obsolete(&record.operation);
            if obsolete {
                self.conclude(record, OperationOutcome::Superseded);
            }
        }
    }

    pub(super) fn start(
        &mut self,
        endpoint: &DeviceName,
        operation: OperationId,
        owner: NodeId,
    ) -> Result<Outcome, Rejection> {
        let record = self.queued_operation(endpoint, operation)?;
        let startable = record.state == OperationState::Pending && record.deadline > self.now;
        let busy = || {
            query::operations(self.tables, endpoint)
                .iter()
                .any(OperationRecord::is_in_flight)
        };
        // One operation in flight per device: constrained devices have memory for one exchange.
        if !startable || busy() {
            return Err(Rejection::UnknownOperation);
        }
        let since = self.now;
        self.move_operation(record, OperationState::InFlight { owner, since });
        Ok(Outcome::Done)
    }

    pub(super) fn requeue(
        &mut self,
        endpoint: &DeviceName,
        operation: OperationId,
    ) -> Result<Outcome, Rejection> {
        let record = self.queued_operation(endpoint, operation)?;
        if !record.is_in_flight() {
            return Err(Rejection::UnknownOperation);
        }
        self.release(record.clone());
        self.compare_unanswered(&record);
        self.settle_queue(endpoint);
        Ok(Outcome::Done)
    }

    pub(super) fn finish_operation(
        &mut self,
        endpoint: &DeviceName,
        operation: OperationId,
        outcome: &OperationOutcome,
    ) -> Result<Outcome, Rejection> {
        let record = self.queued_operation(endpoint, operation)?;
        let answered = matches!(
            outcome,
            OperationOutcome::Delivered { .. }
                | OperationOutcome::Rejected { .. }
                | OperationOutcome::Answered { .. }
        );
        if answered || record.source != OperationSource::Desired {
            if let OperationOutcome::Delivered { values, .. } = outcome {
                self.keep_delivered(endpoint, &record.operation, values);
                if record.source != OperationSource::Campaign {
                    self.campaign_heard(endpoint, values.iter().map(|(path, _)| *path));
                }
            }
            self.settle_desired(&record, outcome);
            let operation = record.operation.clone();
            self.conclude(record, outcome.clone());
            self.keep_instances(endpoint, &operation, outcome);
        } else if record.is_in_flight() {
            // Without an answer of the device a desired value stays desired, so its write goes on.
            self.release(record.clone());
            self.compare_unanswered(&record);
        }
        self.settle_queue(endpoint);
        Ok(Outcome::Done)
    }

    /// Takes an operation of a caller back. The write of a desired value is taken back by changing
    /// what is desired.
    pub(super) fn cancel(
        &mut self,
        endpoint: &DeviceName,
        operation: OperationId,
    ) -> Result<Outcome, Rejection> {
        let record = self.queued_operation(endpoint, operation)?;
        if record.state != OperationState::Pending || record.source != OperationSource::Caller {
            return Err(Rejection::UnknownOperation);
        }
        self.conclude(record, OperationOutcome::Cancelled);
        self.settle_queue(endpoint);
        Ok(Outcome::Done)
    }

    /// Puts an operation at the end of the device's queue.
    pub(super) fn add_operation(
        &mut self,
        endpoint: &DeviceName,
        operation: Operation,
        source: OperationSource,
        deadline: Timestamp,
        priority: u8,
    ) -> OperationId {
        let id = OperationId {
            shard: self.shard,
            sequence: self.counters.next_operation,
        };
        self.counters.next_operation += 1;
        let what = Expiring::Operation(endpoint.clone(), id.sequence);
        self.reschedule(None, Some(deadline), what);
        self.tables.put(Row::Operation(OperationRecord {
            id,
            endpoint: endpoint.clone(),
            operation,
            source,
            priority,
            enqueued_at: self.now,
            deadline,
            state: OperationState::Pending,
        }));
        id
    }

    /// Gives an operation its one end and tells everybody.
    pub(super) fn conclude(&mut self, record: OperationRecord, outcome: OperationOutcome) {
        let endpoint = record.endpoint.clone();
        let id = record.id;
        let of_campaign =
            (record.source == OperationSource::Campaign).then(|| record.operation.clone());
        let event = Event::OperationFinished {
            operation: record.id,
            name: record.operation.name().to_owned(),
            target: record.operation.target().to_string(),
            outcome: outcome.clone(),
        };
        self.effects.push(Effect::OperationFinished {
            endpoint: endpoint.clone(),
            operation: record.id,
        });
        let retain_until = self.now.saturating_add(OPERATION_RETENTION);
        self.move_operation(
            record,
            OperationState::Finished {
                outcome: outcome.clone(),
                at: self.now,
                retain_until,
            },
        );
        self.emit(&endpoint, event);
        if let Some(operation) = of_campaign {
            self.campaign_operation_ended(&endpoint, id, (&operation, &outcome));
        }
    }

    /// Gives up the exchanges of the device that are in flight at another node than `except`.
    pub(super) fn release_in_flight(&mut self, endpoint: &DeviceName, except: Option<NodeId>) {
        for record in query::operations(self.tables, endpoint) {
            if let OperationState::InFlight { owner, .. } = record.state
                && Some(owner) != except
            {
                self.release(record);
            }
        }
    }

    /// Keeps the queue in shape after a change: drops the oldest results above the bound and tells
    /// the dispatcher when there is something to deliver. Once per command, because it reads the
    /// whole queue.
    pub(super) fn settle_queue(&mut self, endpoint: &DeviceName) {
        let queue = query::operations(self.tables, endpoint);
        if query::first_deliverable(&queue).is_some() {
            self.tell_ready(endpoint);
        }
        let mut finished: Vec<_> = queue
            .iter()
            .filter_map(|record| Some((record.finished_at()?, record)))
            .collect();
        let excess = finished.len().saturating_sub(MAX_FINISHED_OPERATIONS);
        finished.sort_by_key(|(at, record)| (*at, record.id.sequence));
        for (_, record) in finished.into_iter().take(excess) {
            let what = Expiring::Operation(endpoint.clone(), record.id.sequence);
            self.reschedule(Some(record.ends_at()), None, what);
            self.tables.delete(&Row::Operation(record.clone()).key());
        }
    }

    fn tell_ready(&mut self, endpoint: &DeviceName) {
        self.effects.push(Effect::OperationReady {
            endpoint: endpoint.clone(),
        });
    }

    /// The exchange is lost: what may happen at most once ends, what is no longer wanted ends, the
    /// rest waits again.
    pub(super) fn release(&mut self, record: OperationRecord) {
        if let Some(outcome) = self.end_of_outdated_write(&record) {
            self.conclude(record, outcome);
        } else if record.happens_once() {
            self.conclude(record, OperationOutcome::Expired);
        } else {
            self.move_operation(record, OperationState::Pending);
        }
    }

    /// An operation that has not ended.
    fn queued_operation(
        &self,
        endpoint: &DeviceName,
        operation: OperationId,
    ) -> Result<OperationRecord, Rejection> {
        query::operation(self.tables, endpoint, operation)
            .filter(|record| !record.is_finished())
            .ok_or(Rejection::UnknownOperation)
    }

    fn move_operation(&mut self, mut record: OperationRecord, state: OperationState) {
        let previous_end = record.ends_at();
        record.state = state;
        let what = Expiring::Operation(record.endpoint.clone(), record.id.sequence);
        self.reschedule(Some(previous_end), Some(record.ends_at()), what);
        self.tables.put(Row::Operation(record));
    }
}
