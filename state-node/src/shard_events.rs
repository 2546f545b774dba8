//! What a shard's applied commands tell the rest of the node.
//!
//! Everything here is a hint about rows that are already stored: who misses one finds the same by reading the rows. So
//! all of it is bounded, and overflow only means "look at everything".

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use device_state::{CredentialName, DeviceName, Effect, OperationId, Revision, Timestamp};
use lwm2m::Observed;
use tokio::sync::{Notify, oneshot, watch};

/// Devices that may be remembered as "look at it"; beyond, everything is looked at.
const MAX_DIRTY: usize = 100_000;
/// Cancellations that may wait for the dispatcher.
const MAX_UNWANTED: usize = 10_000;
/// Revocations that may wait for the dispatcher.
const MAX_REVOKED: usize = 10_000;

/// What the dispatcher has to look at.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Devices that have something to be delivered, or whose operation ended.
    pub ready: HashSet<DeviceName>,
    /// Devices that registered or updated, or that an ingress node heard from: they can take operations now.
    pub awake: HashSet<DeviceName>,
    /// Observations that nobody holds any more.
    pub unwanted: Vec<(DeviceName, Observed)>,
    /// Credentials whose sessions are to end.
    pub revoked: Vec<CredentialName>,
    pub scope: Scope,
}

/// Whether the devices named are all that changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    #[default]
    Named,
    /// Too much changed to name it.
    Everything,
}

/// The signals of one shard.
#[derive(Debug)]
pub struct ShardEvents {
    work: Mutex<Work>,
    work_ready: Notify,
    finished: Mutex<HashMap<OperationId, Vec<oneshot::Sender<()>>>>,
    applied: watch::Sender<Revision>,
    feed: watch::Sender<Revision>,
    leader_time_ms: AtomicU64,
}

impl Default for ShardEvents {
    fn default() -> Self {
        Self {
            work: Mutex::default(),
            work_ready: Notify::new(),
            finished: Mutex::default(),
            applied: watch::Sender::new(Revision(0)),
            feed: watch::Sender::new(Revision(0)),
            leader_time_ms: AtomicU64::new(0),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ShardEvents {
    /// The rows stand at `revision`.
    pub fn applied(&self, revision: Revision, leader_time: Timestamp) {
        self.leader_time_ms
            .fetch_max(leader_time.0, Ordering::Relaxed);
        self.applied.send_replace(revision);
    }

    /// The revision that the rows stand at.
    pub fn revision(&self) -> Revision {
        *self.applied.borrow()
    }

    /// Waits until the rows stand at `revision` or later.
    pub async fn reached(&self, revision: Revision) {
        // The sender lives as long as this does.
        drop(
            self.applied
                .subscribe()
                .wait_for(|applied| *applied >= revision)
                .await,
        );
    }

    /// The highest leader time that was applied.
    pub fn leader_time(&self) -> Timestamp {
        Timestamp(self.leader_time_ms.load(Ordering::Relaxed))
    }

    /// Changes whenever the feed has new entries.
    pub fn feed(&self) -> watch::Receiver<Revision> {
        self.feed.subscribe()
    }

    /// All rows were replaced by a snapshot.
    pub fn rows_replaced(&self) {
        lock(&self.work).scope = Scope::Everything;
        self.work_ready.notify_one();
        lock(&self.finished).clear();
        self.feed.send_modify(|_| {});
    }

    /// What a command brought about.
    pub fn effects(&self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::RegistrationChanged { endpoint } => self.awake(endpoint),
                Effect::OperationReady { endpoint } => self.ready(endpoint),
                Effect::OperationFinished {
                    endpoint,
                    operation,
                } => {
                    // Dropping the senders wakes the waiters: they read the record.
                    drop(lock(&self.finished).remove(&operation));
                    self.ready(endpoint);
                }
                Effect::ObservationUnwanted { endpoint, observed } => {
                    self.unwanted(endpoint, observed);
                }
                Effect::FeedAdvanced => self.feed.send_modify(|_| {}),
                Effect::CredentialRevoked { credential } => self.revoked(credential),
                // The state machine looks after it, at the very entry.
                Effect::RowsToCompare => {}
                // The owner that lost a session learns it from the compare-and-swap on its next claim.
                Effect::ObservationWanted { .. }
                | Effect::SessionMoved { .. }
                | Effect::SessionRemoved { .. } => {}
            }
        }
    }

    /// The device can take operations now.
    pub fn awake(&self, endpoint: DeviceName) {
        self.note(endpoint, |work| &mut work.awake);
    }

    fn ready(&self, endpoint: DeviceName) {
        self.note(endpoint, |work| &mut work.ready);
    }

    fn note(&self, endpoint: DeviceName, list: impl FnOnce(&mut Work) -> &mut HashSet<DeviceName>) {
        let mut work = lock(&self.work);
        let devices = list(&mut work);
        if devices.len() < MAX_DIRTY {
            devices.insert(endpoint);
        } else {
            work.scope = Scope::Everything;
        }
        drop(work);
        self.work_ready.notify_one();
    }

    /// Has the dispatcher look at every device with pending operations.
    pub fn look_at_everything(&self) {
        lock(&self.work).scope = Scope::Everything;
        self.work_ready.notify_one();
    }

    fn unwanted(&self, endpoint: DeviceName, observed: Observed) {
        let mut work = lock(&self.work);
        // One that is forgotten costs a notification that nobody wants, until the device registers again.
        if work.unwanted.len() < MAX_UNWANTED {
            work.unwanted.push((endpoint, observed));
        }
        drop(work);
        self.work_ready.notify_one();
    }

    fn revoked(&self, credential: CredentialName) {
        let mut work = lock(&self.work);
        // One that is forgotten is found by the ingress nodes, which ask for their sessions' credentials in turn.
        if work.revoked.len() < MAX_REVOKED {
            work.revoked.push(credential);
        }
        drop(work);
        self.work_ready.notify_one();
    }

    /// Waits for work and takes all of it.
    pub async fn take_work(&self) -> Work {
        loop {
            let work = std::mem::take(&mut *lock(&self.work));
            if work != Work::default() {
                return work;
            }
            self.work_ready.notified().await;
        }
    }

    /// Completes (with an error, as nothing is sent) when the operation ended or the rows were replaced. The caller
    /// reads the operation's record after getting the receiver and again after it completed.
    pub fn operation_finished(&self, operation: OperationId) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut finished = lock(&self.finished);
        let waiters = finished.entry(operation).or_default();
        waiters.retain(|waiter| !waiter.is_closed());
        waiters.push(sender);
        receiver
    }

    /// Forgets waiters that gave up.
    pub fn sweep(&self) {
        lock(&self.finished).retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.is_closed());
            !waiters.is_empty()
        });
    }
}
