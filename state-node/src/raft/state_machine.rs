//! One shard's rows as openraft's state machine: decodes entries, applies them with `device-state`, commits to the store.

use std::io;
use std::sync::Arc;

use device_state::{Applied, Effect, Envelope, Outcome, Revision, Timestamp, apply_entry};
use futures::{Stream, StreamExt};
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::comparison::Hashes;
use crate::fail_stop::FailStop;
use crate::raft::{Entry, LogId, Outcomes, SnapshotMeta, StoredMembership, TypeConfig};
use crate::shard_events::ShardEvents;
use crate::store::{Checkpoint, ShardStore, WriteTables};

/// A batch of entries is committed to the store when it has changed this many rows.
const COMMIT_ROWS: usize = 8_192;

/// A snapshot in openraft's sense: a checkpoint folder.
pub type Snapshot = openraft::alias::SnapshotOf<TypeConfig, Arc<Checkpoint>>;

/// The position that a shard's rows stand at; stored with them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    pub last: Option<LogId>,
    pub membership: StoredMembership,
    /// The highest leader time applied, in milliseconds: the next leader must not stamp less.
    pub leader_time_ms: u64,
}

impl Position {
    /// Reads a stored position; no bytes stand for "nothing applied".
    pub fn decode(bytes: &[u8]) -> io::Result<Self> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        postcard::from_bytes(bytes).map_err(io::Error::other)
    }
}

/// Why an entry cannot be applied. The replica stops rather than differ from the others.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    #[error("the entry is not an encoded entry")]
    Malformed(#[from] prost::DecodeError),
    #[error("the entry is invalid, or of a newer version: then upgrade this node")]
    Invalid(#[from] proto::convert::ConvertError),
}

/// The state machine of one group.
#[derive(Debug)]
pub struct StateMachine {
    store: Arc<ShardStore>,
    position: Position,
    events: Arc<ShardEvents>,
    hashes: Arc<Hashes>,
    fail_stop: FailStop,
}

/// Changes that are not committed yet, and who waits for them.
struct Batch {
    tables: WriteTables,
    answers: Vec<(ApplyResponder<TypeConfig>, Vec<Outcome>)>,
    applied: Vec<Applied>,
    /// Whether the rows as the newest entry leaves them are to be hashed.
    compare: Compare,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compare {
    Not,
    Now,
}

impl StateMachine {
    /// Starts from what the store holds.
    pub fn open(
        store: Arc<ShardStore>,
        events: Arc<ShardEvents>,
        hashes: Arc<Hashes>,
        fail_stop: FailStop,
    ) -> io::Result<Self> {
        let what = "the position of the rows cannot be read";
        let applied = store.applied().map_err(|error| store.failed(what, error))?;
        let position = Position::decode(&applied.unwrap_or_default())
            .inspect_err(|error| store.corrupt(what, error.to_string()))?;
        let machine = Self {
            store,
            position,
            events,
            hashes,
            fail_stop,
        };
        machine.publish();
        Ok(machine)
    }

    /// Where the newest entry leaves the rows.
    fn revision(&self) -> Revision {
        Revision(self.position.last.map_or(0, |last| last.index))
    }

    fn publish(&self) {
        self.events
            .applied(self.revision(), Timestamp(self.position.leader_time_ms));
    }

    fn batch(&self) -> Batch {
        Batch {
            tables: self.store.write(),
            answers: Vec::new(),
            applied: Vec::new(),
            compare: Compare::Not,
        }
    }

    fn apply_one(&mut self, batch: &mut Batch, entry: Entry) -> Result<Vec<Outcome>, EntryError> {
        let mut outcomes = Vec::new();
        match entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Membership(membership) => {
                self.position.membership = StoredMembership::new(Some(entry.log_id), membership);
            }
            EntryPayload::Normal(data) => {
                let envelopes = decode(&data.0)?;
                let latest = envelopes
                    .iter()
                    .map(|envelope| envelope.leader_time.0)
                    .max();
                self.position.leader_time_ms =
                    self.position.leader_time_ms.max(latest.unwrap_or(0));
                let shard = self.store.shard();
                let revision = Revision(entry.log_id.index);
                for applied in apply_entry(&mut batch.tables, shard, revision, &envelopes) {
                    outcomes.push(applied.outcome.clone());
                    if applied.effects.contains(&Effect::RowsToCompare) {
                        batch.compare = Compare::Now;
                    }
                    batch.applied.push(applied);
                }
            }
        }
        self.position.last = Some(entry.log_id);
        Ok(outcomes)
    }

    fn commit(&self, batch: Batch) -> io::Result<()> {
        let position = postcard::to_stdvec(&self.position).map_err(io::Error::other)?;
        self.store
            .commit(batch.tables, &position)
            .map_err(|error| {
                self.store
                    .failed("the rows of a shard cannot be written", error)
            })?;
        // Effects first: whoever gets an answer finds what follows from it already under way.
        for applied in batch.applied {
            self.events.effects(applied.effects);
        }
        self.publish();
        for (responder, outcomes) in batch.answers {
            responder.send(Outcomes { list: outcomes });
        }
        Ok(())
    }

    fn snapshot_of(checkpoint: Arc<Checkpoint>) -> io::Result<Snapshot> {
        // The checkpoint's own record counts: it may hold more than was applied when it was asked for.
        let position = Position::decode(checkpoint.applied())?;
        let meta = SnapshotMeta {
            last_log_id: position.last,
            last_membership: position.membership,
        };
        Ok(Snapshot {
            meta,
            snapshot: checkpoint,
        })
    }
}

/// The commands of an entry.
pub fn decode(data: &[u8]) -> Result<Vec<Envelope>, EntryError> {
    Ok(Vec::try_from(proto::storage::v1::Entry::decode(data)?)?)
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = Arc<Checkpoint>;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.position.last, self.position.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut batch = self.batch();
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            let outcomes = self.apply_one(&mut batch, entry).map_err(|error| {
                self.fail_stop
                    .fatal("an entry of the log cannot be applied", &error);
                io::Error::other(error)
            })?;
            batch
                .answers
                .extend(responder.map(|responder| (responder, outcomes)));
            let compare = batch.compare == Compare::Now;
            let reserved = compare.then(|| self.hashes.reserve(self.revision()));
            if compare || batch.tables.len() >= COMMIT_ROWS {
                self.commit(std::mem::replace(&mut batch, self.batch()))?;
            }
            if let Some(Some(reserved)) = reserved {
                // The next entry waits until the view is taken, not until it is hashed.
                self.hashes.begin(&self.store, reserved).await;
            }
        }
        self.commit(batch)
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            store: self.store.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        _meta: &SnapshotMeta,
        snapshot: Arc<Checkpoint>,
    ) -> Result<(), io::Error> {
        let store = self.store.clone();
        let source = snapshot.clone();
        let installed = tokio::task::spawn_blocking(move || store.install(&source))
            .await
            .map_err(io::Error::other)?;
        // Whatever is wrong with what was received is no damage to what this node has.
        installed.map_err(|error| {
            self.fail_stop
                .fatal("a snapshot cannot be installed", &error);
            io::Error::other(error)
        })?;
        self.position = Position::decode(snapshot.applied())?;
        self.events.rows_replaced();
        self.publish();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        self.store.checkpoint().map(Self::snapshot_of).transpose()
    }
}

/// Makes checkpoints.
#[derive(Debug)]
pub struct SnapshotBuilder {
    store: Arc<ShardStore>,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = Arc<Checkpoint>;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let store = self.store.clone();
        let made = tokio::task::spawn_blocking(move || store.make_checkpoint())
            .await
            .map_err(io::Error::other)?;
        let what = "a checkpoint of the rows cannot be made";
        StateMachine::snapshot_of(made.map_err(|error| self.store.failed(what, error))?)
    }
}
