//! What becomes of the rows of a shard that a new cluster begins with.
//!
//! The cluster that they are from went on after they were copied, and nobody knows how far. What would be wrong if it
//! did is changed here, once, before the first command is applied:
//!
//! 1. **DTLS sessions and what they are resumed by go.** Who sends on a session counts its owners, and the count of the
//!    copy may have been passed: the next owner would use nonces a second time. Devices shake hands again.
//! 2. **OSCORE contexts skip generations**, for the same reason: a device cannot be asked to make another context. What
//!    an owner had left of its replay window is forgotten, so that the device is challenged.
//! 3. **What may happen once does not happen again.** An operation of that kind that waits may have been sent since, so
//!    it is cancelled; one that was under way has lost its answer.
//! 4. **Ingress nodes are others.**
//! 5. **Ids of operations are not given out twice.**
//!
//! It is one entry of the shard's history: what it ends is told in the feed under a revision of its own.

use super::{Change, Context};
use crate::id::{Revision, SessionGeneration, ShardId, Timestamp};
use crate::name::{DeviceName, DevicePrefix};
use crate::query;
use crate::range;
use crate::record::{ContextOwner, OperationOutcome, OperationRecord, OperationState};
use crate::table::{Expiring, Row, RowKey, Tables};

/// Generations of OSCORE contexts that a restore skips: so often may a context have got another owner between the
/// backup and the end of its cluster. An eighth of all that it has.
pub const SKIPPED_GENERATIONS: u16 = 8_192;

/// Ids of operations that a restore skips.
pub const SKIPPED_OPERATIONS: u64 = 1_000_000;

/// The change of one shard's rows, in steps of a bounded size, because there may be millions.
#[derive(Clone, Debug)]
pub struct Restoration {
    context: Context,
    now: Timestamp,
    stage: Stage,
    restored: Restored,
}

/// What was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Sessions that were dropped.
    pub sessions: u64,
    /// What they were resumed by.
    pub resumptions: u64,
    /// OSCORE contexts that skip generations.
    pub contexts: u64,
    /// Operations that were cancelled because they may have been carried out.
    pub cancelled: u64,
}

/// What is looked at next.
#[derive(Clone, Debug)]
enum Stage {
    /// First: what is made on the way has an id, too.
    Counters,
    Sessions,
    Resumptions,
    Members,
    Registrations {
        after: Option<DeviceName>,
    },
    Contexts {
        from: Vec<u8>,
    },
    Operations {
        from: Option<(DeviceName, u64)>,
    },
    Done,
}

impl Restoration {
    /// Begins. `revision` is above that of the rows, and `now` no earlier than their newest time of a leader.
    pub fn new(shard: ShardId, revision: Revision, now: Timestamp) -> Self {
        Self {
            context: Context {
                shard,
                revision,
                first_index: 0,
            },
            now,
            stage: Stage::Counters,
            restored: Restored::default(),
        }
    }

    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// What was changed up to now.
    pub fn restored(&self) -> Restored {
        self.restored
    }

    /// Goes on with about `rows` rows.
    pub fn step(&mut self, tables: &mut dyn Tables, rows: usize) {
        let mut change = Change::new(tables, &self.context, self.now);
        let stage = std::mem::replace(&mut self.stage, Stage::Done);
        self.stage = change.restore(stage, rows, &mut self.restored);
        self.context.first_index = change.next_index;
        change.write_counters();
    }
}

impl Change<'_> {
    fn restore(&mut self, stage: Stage, rows: usize, restored: &mut Restored) -> Stage {
        match stage {
            Stage::Sessions => self.forget_sessions(rows, restored),
            Stage::Resumptions => self.forget_resumptions(rows, restored),
            Stage::Members => {
                for member in query::members(self.tables) {
                    let what = Expiring::Member(member.node);
                    self.reschedule(Some(member.lease_until), None, what);
                    self.tables.delete(&RowKey::Member(member.node));
                }
                Stage::Registrations { after: None }
            }
            Stage::Registrations { after } => self.detach(after, rows),
            Stage::Contexts { from } => self.skip_generations(&from, rows, restored),
            Stage::Operations { from } => self.end_what_happens_once(from, rows, restored),
            Stage::Counters => {
                let counters = &mut self.counters;
                counters.next_operation += SKIPPED_OPERATIONS;
                counters.context_floor = skipped(counters.context_floor);
                Stage::Sessions
            }
            Stage::Done => Stage::Done,
        }
    }

    fn forget_sessions(&mut self, rows: usize, restored: &mut Restored) -> Stage {
        let (from, to) = range::sessions();
        let found = self.tables.scan(&from, &to, rows);
        for row in &found {
            if let Row::Session(session) = row {
                self.drop_session(session);
                restored.sessions += 1;
            }
        }
        if found.is_empty() {
            Stage::Resumptions
        } else {
            Stage::Sessions
        }
    }

    fn forget_resumptions(&mut self, rows: usize, restored: &mut Restored) -> Stage {
        let (from, to) = range::resumptions();
        let found = self.tables.scan(&from, &to, rows);
        for row in &found {
            if let Row::Resumption(resumption) = row {
                self.drop_resumption(resumption);
                restored.resumptions += 1;
            }
        }
        if found.is_empty() {
            Stage::Members
        } else {
            Stage::Resumptions
        }
    }

    /// Registrations stay, but the sessions that they were made in are gone.
    fn detach(&mut self, after: Option<DeviceName>, rows: usize) -> Stage {
        let found = query::list_devices(
            self.tables,
            after.as_ref(),
            &DevicePrefix::everything(),
            rows,
        );
        let Some(last) = found.last().map(|last| last.endpoint.clone()) else {
            return Stage::Contexts { from: Vec::new() };
        };
        for mut registration in found {
            if registration.session.take().is_some() {
                self.tables.put(Row::Registration(registration));
            }
        }
        Stage::Registrations { after: Some(last) }
    }

    /// A context whose generations are used up needs to be made anew, with another credential.
    fn skip_generations(&mut self, from: &[u8], rows: usize, restored: &mut Restored) -> Stage {
        let (from, to) = range::context_owners(from);
        let found = self.tables.scan(&from, &to, rows);
        let mut next = None;
        for row in found {
            if let Row::ContextOwner(context) = row {
                let mut above = ContextOwner::key_of(&context.namespace, &context.oscore_id);
                above.push(0);
                next = Some(above);
                restored.contexts += 1;
                self.tables.put(Row::ContextOwner(ContextOwner {
                    generation: skipped(context.generation),
                    window: Vec::new(),
                    ..context
                }));
            }
        }
        match next {
            Some(from) => Stage::Contexts { from },
            None => Stage::Operations { from: None },
        }
    }

    fn end_what_happens_once(
        &mut self,
        from: Option<(DeviceName, u64)>,
        rows: usize,
        restored: &mut Restored,
    ) -> Stage {
        let (from, to) = range::all_operations(from);
        let found = self.tables.scan(&from, &to, rows);
        let mut next = None;
        for row in found {
            let Row::Operation(record) = row else {
                continue;
            };
            let endpoint = record.endpoint.clone();
            next = Some((endpoint.clone(), record.id.sequence.saturating_add(1)));
            if self.end_if_it_happens_once(record, restored) {
                self.settle_queue(&endpoint);
            }
        }
        match next {
            Some(from) => Stage::Operations { from: Some(from) },
            None => Stage::Done,
        }
    }

    /// Whether the operation was moved.
    fn end_if_it_happens_once(&mut self, record: OperationRecord, restored: &mut Restored) -> bool {
        match record.state {
            OperationState::Finished { .. } => false,
            OperationState::InFlight { .. } => {
                self.release(record);
                true
            }
            OperationState::Pending if record.happens_once() => {
                restored.cancelled += 1;
                self.conclude(record, OperationOutcome::Cancelled);
                true
            }
            OperationState::Pending => false,
        }
    }
}

fn skipped(generation: SessionGeneration) -> SessionGeneration {
    SessionGeneration(generation.0.saturating_add(SKIPPED_GENERATIONS))
}
