//! The Raft logs of a node: append-only segment files shared by all groups.
//!
//! [`LogStore::open`] reads the segments back and starts the [`writer`] thread; [`LogStore::group`] hands out the log of
//! one group. An entry is readable as soon as it is appended (from memory) and reported durable after the `fdatasync` of
//! its batch. Every record is checked whenever it is read from the disk; damage stops the node.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use futures::{Stream, StreamExt};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use tokio::sync::{mpsc, oneshot};

use crate::fail_stop::FailStop;
use crate::raft::{Entry, LogId, TypeConfig, Vote};
use disk::{Disk, Folder, Segment};
use index::{Found, GroupLog};
use reading::ReadError;
pub use recovery::OpenError;
use writer::{Request, SEGMENT_BYTES, Writer};

#[cfg(test)]
pub(super) mod crash;
mod disk;
mod index;
mod reading;
mod record;
mod recovery;
#[cfg(test)]
mod tests;
pub(super) mod writer;

/// Requests that may wait for the writer; a group that finds the queue full waits.
const QUEUE: usize = 4_096;
/// Payload bytes that one read for replication returns at most, beyond its first entry.
const READ_BYTES: usize = 2 << 20;

/// What the groups and the writer share.
#[derive(Debug)]
struct Shared {
    disk: Arc<dyn Disk>,
    logs: Vec<Mutex<GroupLog>>,
    segments: Mutex<BTreeMap<u32, Arc<dyn Segment>>>,
}

impl Shared {
    fn groups(&self) -> u16 {
        self.logs.len() as u16
    }

    fn log(&self, group: u16) -> MutexGuard<'_, GroupLog> {
        self.logs[usize::from(group)]
            .lock()
            .expect("no holder of a group's log panics")
    }

    fn segments(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<dyn Segment>>> {
        self.segments
            .lock()
            .expect("no holder of the segment map panics")
    }
}

/// The logs of all groups of a node.
#[derive(Clone, Debug)]
pub struct LogStore {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
    fail_stop: FailStop,
}

impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Request")
    }
}

impl LogStore {
    /// Opens the log in `dir`, which is created if need be, for a node with `groups` groups.
    pub fn open(dir: &Path, groups: u16, fail_stop: FailStop) -> Result<Self, OpenError> {
        let failed = |action| {
            move |source| OpenError::Io {
                action,
                path: dir.to_owned(),
                source,
            }
        };
        let disk = Folder::open(dir).map_err(failed("create"))?;
        let (store, writer, queue) = Self::on(Arc::new(disk), groups, fail_stop, SEGMENT_BYTES)?;
        std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(failed("start the writer of"))?;
        Ok(store)
    }

    /// Opens the log on `disk`. Nothing is written until the writer is given what waits.
    pub(super) fn on(
        disk: Arc<dyn Disk>,
        groups: u16,
        fail_stop: FailStop,
        segment_bytes: u32,
    ) -> Result<(Self, Writer, mpsc::Receiver<Request>), OpenError> {
        let recovered = recovery::recover(&*disk, groups)?;
        if recovered.torn_bytes > 0 {
            tracing::info!(
                bytes = recovered.torn_bytes,
                "cut the unsynced end off the log"
            );
        }
        let shared = Arc::new(Shared {
            disk: disk.clone(),
            logs: recovered.groups.into_iter().map(Mutex::new).collect(),
            segments: Mutex::new(recovered.segments),
        });
        let writer = Writer::open(
            disk.clone(),
            shared.clone(),
            fail_stop.clone(),
            segment_bytes,
        );
        let writer = writer.map_err(|source| OpenError::Io {
            action: "open the last segment beside",
            path: disk.path(0),
            source,
        })?;
        let (requests, queue) = mpsc::channel(QUEUE);
        let store = Self {
            shared,
            requests,
            fail_stop,
        };
        Ok((store, writer, queue))
    }

    /// The log of one group. `group` must be below the number of groups given to [`Self::open`].
    pub fn group(&self, group: u16) -> GroupLogStore {
        GroupLogStore {
            group,
            store: self.clone(),
        }
    }

    /// How many segment files there are.
    pub fn segments(&self) -> usize {
        self.shared.segments().len()
    }

    /// The groups whose entries keep the oldest segment.
    pub fn groups_in_oldest_segment(&self) -> Vec<u16> {
        let oldest = self
            .shared
            .segments()
            .first_key_value()
            .map(|(number, _)| *number);
        (0..self.shared.groups())
            .filter(|group| self.shared.log(*group).oldest_segment() == oldest)
            .collect()
    }

    /// Writes what waits and stops the writer.
    pub async fn close(&self) -> io::Result<()> {
        self.call(|done| Request::Stop { done }).await
    }

    async fn send(&self, request: Request) -> io::Result<()> {
        self.requests
            .send(request)
            .await
            .map_err(|_| io::Error::other("the log writer has stopped"))
    }

    async fn call(
        &self,
        request: impl FnOnce(oneshot::Sender<io::Result<()>>) -> Request,
    ) -> io::Result<()> {
        let (done, result) = oneshot::channel();
        self.send(request(done)).await?;
        result
            .await
            .map_err(|_| io::Error::other("the log writer has stopped"))?
    }
}

/// The log of one group.
#[derive(Clone, Debug)]
pub struct GroupLogStore {
    group: u16,
    store: LogStore,
}

impl GroupLogStore {
    fn log(&self) -> MutexGuard<'_, GroupLog> {
        self.store.shared.log(self.group)
    }

    /// The last entry, durable or not.
    pub fn last(&self) -> Option<LogId> {
        self.log().last()
    }

    /// The vote as it is saved.
    pub fn vote(&self) -> Option<Vote> {
        self.log().vote
    }

    /// Whether the group had a term in an earlier life of this node.
    pub fn has_voted(&self) -> bool {
        self.log().vote.is_some()
    }

    /// The entries of `range` that exist, at most `max_bytes` of payload beyond the first.
    async fn read(&self, range: Range<u64>, max_bytes: usize) -> io::Result<Vec<Entry>> {
        let (found, files) = {
            // The files are taken under the log's lock: a segment is deleted only after its entries left the log.
            let log = self.log();
            (
                log.find(range, max_bytes),
                self.store.shared.segments().clone(),
            )
        };
        let on_disk = found.iter().any(|found| matches!(found, Found::OnDisk(..)));
        let (group, shared) = (self.group, self.store.shared.clone());
        let load = move || -> Result<Vec<Entry>, ReadError> {
            let entries = found.into_iter();
            entries
                .map(|found| reading::load(found, group, &files, &*shared.disk))
                .collect()
        };
        let read = if on_disk {
            tokio::task::spawn_blocking(load)
                .await
                .map_err(io::Error::other)?
        } else {
            load()
        };
        read.map_err(|error| {
            let what = "the log cannot be read";
            match error.corruption() {
                Some(corruption) => self.store.fail_stop.corrupt(what, &corruption),
                None => self.store.fail_stop.fatal(what, &error),
            }
            io::Error::other(error)
        })
    }
}

/// The half-open range of indices of any range.
fn half_open(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl RaftLogReader<TypeConfig> for GroupLogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + fmt::Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        self.read(half_open(&range), usize::MAX).await
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        self.read(start..end, READ_BYTES).await
    }

    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + fmt::Debug + OptionalSend,
    {
        // In chunks: after a restart the range may span more of the log than fits in memory.
        let chunks = futures::stream::try_unfold(
            (self.clone(), half_open(&range)),
            |(log, range)| async move {
                let entries = log.read(range.clone(), READ_BYTES).await?;
                let next = entries.last().map(|entry| entry.log_id.index + 1);
                Ok::<_, io::Error>(next.map(|next| (entries, (log, next..range.end))))
            },
        );
        let entries = chunks.flat_map(|chunk| {
            let (entries, error) = match chunk {
                Ok(entries) => (entries, None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            futures::stream::iter(entries.into_iter().map(Ok).chain(error))
        });
        Box::pin(entries)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.log().vote)
    }
}

impl RaftLogStorage<TypeConfig> for GroupLogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let log = self.log();
        Ok(LogState {
            last_purged_log_id: log.purged,
            last_log_id: log.last(),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let (group, vote) = (self.group, *vote);
        self.log().vote = Some(vote);
        self.store
            .call(|done| Request::Vote { group, vote, done })
            .await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let Some(upto) = committed else { return Ok(()) };
        self.log().committed = Some(upto);
        self.store
            .send(Request::Committed {
                group: self.group,
                upto,
            })
            .await
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.log().committed)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: IOFlushed<TypeConfig>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        {
            let mut log = self.log();
            for entry in &entries {
                log.append(entry.clone()).map_err(|expected| {
                    io::Error::other(format!(
                        "entry {} does not follow: expected {expected}",
                        entry.log_id
                    ))
                })?;
            }
        }
        self.store
            .send(Request::Append {
                group: self.group,
                entries,
                done: callback,
            })
            .await
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        self.log().truncate(last_log_id);
        let group = self.group;
        self.store
            .call(|done| Request::Truncate {
                group,
                keep: last_log_id,
                done,
            })
            .await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        self.log().purge(log_id);
        let group = self.group;
        self.store
            .call(|done| Request::Purge {
                group,
                upto: log_id,
                done,
            })
            .await
    }
}
