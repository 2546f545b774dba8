//! The hashes of one shard's rows that this node has made, and the making of them.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use device_state::Revision;
use node_runtime::Drain;
use tokio::sync::watch;

use crate::store::{RowsHash, ShardStore};

/// Hashes that are remembered.
const KEPT: usize = 8;
/// Shards of a node that are hashed at the same time: each has a thread and keeps old rows on the disk.
const AT_ONCE: usize = 4;
/// What all of them read in a second.
const BYTES_PER_SECOND: usize = 64 << 20;

/// How many shards of a node are hashed, and how fast.
#[derive(Debug, Default)]
pub struct Pace {
    running: AtomicUsize,
    /// When the next bytes may be read.
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// How long to wait after `bytes` were read.
    fn after(&self, bytes: usize, now: Instant) -> Duration {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let from = next.map_or(now, |next| next.max(now));
        let then = from + Duration::from_secs(bytes as u64) / BYTES_PER_SECOND as u32;
        *next = Some(then);
        then - now
    }
}

/// What is known of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashState {
    Known(RowsHash),
    Pending,
    Unknown,
}

/// `None`: it is being made.
type Made = VecDeque<(Revision, Option<RowsHash>)>;

/// The hashes of a shard.
#[derive(Debug)]
pub struct Hashes {
    made: watch::Sender<Made>,
    pace: Arc<Pace>,
    drain: Drain,
    checking: AtomicBool,
    compared_revision: AtomicU64,
    compared_at_seconds: AtomicU64,
    mismatches: AtomicU64,
}

/// Room for a hash.
#[derive(Debug)]
pub struct Reserved {
    revision: Revision,
    running: Running,
}

/// One of the hashes that a node makes at the same time.
#[derive(Debug)]
struct Running(Arc<Pace>);

impl Running {
    fn begin(pace: &Arc<Pace>) -> Option<Self> {
        // Made first, so that it is taken back whatever comes.
        let before = pace.running.fetch_add(1, Ordering::AcqRel);
        let running = Self(pace.clone());
        (before < AT_ONCE).then_some(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

/// While it lives, a shard is checked.
#[derive(Debug)]
pub struct Checking<'a>(&'a AtomicBool);

impl Drop for Checking<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// What other nodes compare, for figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    pub revision: u64,
    /// Since 1970; 0 if this node has compared nothing.
    pub at_seconds: u64,
    pub mismatches: u64,
}

impl Hashes {
    /// None yet; the making ends with `drain`.
    pub fn new(pace: Arc<Pace>, drain: Drain) -> Self {
        Self {
            made: watch::Sender::new(VecDeque::new()),
            pace,
            drain,
            checking: AtomicBool::new(false),
            compared_revision: AtomicU64::new(0),
            compared_at_seconds: AtomicU64::new(0),
            mismatches: AtomicU64::new(0),
        }
    }

    /// The revision of the newest hash that is made or being made.
    pub fn newest(&self) -> Option<Revision> {
        self.made.borrow().back().map(|(revision, _)| *revision)
    }

    /// What is known of the hash at `revision`.
    pub fn state(&self, revision: Revision) -> HashState {
        find(&self.made.borrow(), revision)
    }

    /// The hash at `revision`, once it is made. `None` if it is not and will not be.
    pub async fn wait(&self, revision: Revision) -> Option<RowsHash> {
        let mut made = self.made.subscribe();
        let settled = made
            .wait_for(|made| find(made, revision) != HashState::Pending)
            .await;
        match find(&*settled.ok()?, revision) {
            HashState::Known(hash) => Some(hash),
            HashState::Pending | HashState::Unknown => None,
        }
    }

    /// Makes room for a hash at `revision`, which is about to be reached; `None` if too much is being hashed already.
    /// From now on the hash is [`HashState::Pending`].
    pub fn reserve(&self, revision: Revision) -> Option<Reserved> {
        let pending = self.made.borrow().iter().any(|(_, hash)| hash.is_none());
        let running = Running::begin(&self.pace).filter(|_| !pending);
        let Some(running) = running else {
            tracing::info!(revision = revision.0, "rows are not hashed: others are");
            return None;
        };
        self.made.send_modify(|made| {
            made.push_back((revision, None));
            if made.len() > KEPT {
                made.pop_front();
            }
        });
        Some(Reserved { revision, running })
    }

    /// Has the rows, which stand at the reserved revision, hashed in the background. Returns once later changes do not
    /// count any more.
    pub async fn begin(self: &Arc<Self>, store: &Arc<ShardStore>, reserved: Reserved) {
        let (hashes, store) = (self.clone(), store.clone());
        let (begun, view_taken) = tokio::sync::oneshot::channel();
        drop(tokio::task::spawn_blocking(move || {
            // Nobody waits any more if the group ends.
            let hash = hashes.make(&store, || {
                let _gone = begun.send(());
            });
            hashes.finish(reserved.revision, hash);
            drop(reserved.running);
        }));
        // An error means that the runtime ends.
        drop(view_taken.await);
    }

    fn make(&self, store: &ShardStore, begun: impl FnOnce()) -> Option<RowsHash> {
        let hashed = store.hash_rows(begun, |bytes| {
            let pause = self.pace.after(bytes, Instant::now());
            if self.drain.has_started() {
                return ControlFlow::Break(());
            }
            // A wake-up without a reason costs nothing but a little haste.
            std::thread::park_timeout(pause);
            ControlFlow::Continue(())
        });
        hashed.unwrap_or_else(|error| {
            store.failed("the rows of a shard cannot be read", error);
            None
        })
    }

    fn finish(&self, revision: Revision, hash: Option<RowsHash>) {
        self.made.send_modify(|made| match hash {
            Some(_) => {
                for entry in made.iter_mut().filter(|(at, _)| *at == revision) {
                    entry.1 = hash;
                }
            }
            None => made.retain(|(at, _)| *at != revision),
        });
    }

    /// Begins to check this node's own rows; `None` if that is being done.
    pub fn begin_check(&self) -> Option<Checking<'_>> {
        let begun = !self.checking.swap(true, Ordering::AcqRel);
        begun.then_some(Checking(&self.checking))
    }

    /// The leader compared the replicas at `revision`.
    pub fn compared(&self, revision: Revision, at_seconds: u64) {
        self.compared_revision.store(revision.0, Ordering::Relaxed);
        self.compared_at_seconds
            .store(at_seconds, Ordering::Relaxed);
    }

    /// The leader found replicas that differ.
    pub fn mismatched(&self) {
        self.mismatches.fetch_add(1, Ordering::Relaxed);
    }

    /// Figures for people.
    pub fn figures(&self) -> Compared {
        Compared {
            revision: self.compared_revision.load(Ordering::Relaxed),
            at_seconds: self.compared_at_seconds.load(Ordering::Relaxed),
            mismatches: self.mismatches.load(Ordering::Relaxed),
        }
    }
}

fn find(made: &Made, revision: Revision) -> HashState {
    match made.iter().find(|(at, _)| *at == revision) {
        Some((_, Some(hash))) => HashState::Known(*hash),
        Some((_, None)) => HashState::Pending,
        None => HashState::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shards_together_keep_to_the_pace() {
        let pace = Pace::default();
        let now = Instant::now();
        let second = Duration::from_secs(1);
        assert_eq!(pace.after(BYTES_PER_SECOND, now), second);
        assert_eq!(pace.after(BYTES_PER_SECOND, now), 2 * second);
        assert_eq!(pace.after(BYTES_PER_SECOND, now + 9 * second), second);
    }
}
