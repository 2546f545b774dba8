//! Delivers the committed operations of a shard's devices, one at a time per device, while this node leads the shard.
//!
//! 1. A device with pending operations is looked at when one is enqueued or ends, when the device is heard from, and
//!    after a pause that grows while it does not answer. One that sleeps is left alone until it is heard from, however
//!    much is enqueued meanwhile.
//! 2. What may happen at most once (Execute, and Create unless an instance is desired) is committed as started before it is
//!    sent. A lost answer then ends it. So is what makes a desired instance come or go, which is sent again after a pause;
//!    everything else goes back to the queue.
//! 3. A new leader finds what waits in the rows. What an old leader had started gets some time to be reported by it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use device_state::{
    Command, DeviceName, DevicePrefix, OperationId, OperationRecord, OperationState, Row, RowKey,
    Tables, query,
};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use node_runtime::Drain;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::delivery::DeliveryParts;
use crate::delivery::serve::{Serve, Step, cancel_observation};
use crate::shard_events::{Scope, Work};

/// Devices that are served at the same time.
const MAX_RUNNING: usize = 10_000;
/// Packages that are brought to devices at the same time. Each may take hours, and the other devices have their turn.
const MAX_PUSHES: usize = MAX_RUNNING / 2;
/// Rows read at a time when a new leader looks for what waits.
const SCAN: usize = 1_000;
/// How often a change of leadership is looked for.
const TICK: Duration = Duration::from_millis(500);
/// What an old leader started is given up this long after a new leader took over.
const ORPHAN_GRACE: Duration = Duration::from_secs(15);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// When a device that sleeps is looked at without having been heard from: to forget it, if nothing waits any more.
const SLEEP: Duration = Duration::from_hours(1);

/// A device with operations that wait.
#[derive(Debug)]
struct Device {
    phase: Phase,
    /// Attempts without an answer since the device was last heard from.
    attempts: u32,
    heard: Option<Instant>,
    /// Committed as started by this leader, and known not to have been sent.
    started: Option<OperationId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is tried before this time, unless something is enqueued or the device is heard from.
    Resting { until: Instant },
    /// Nothing is tried before this time, unless the device is heard from.
    Asleep { until: Instant },
    /// An operation is under way, and meanwhile the device was to be looked at. What an earlier run comes to says nothing.
    Running { run: u64, meanwhile: Option<Hint> },
}

/// Why a device is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Hint {
    /// Something was enqueued or ended.
    Ready,
    /// The device may listen: it was heard from, or what was said of it may have been missed.
    Heard,
}

/// The dispatcher of one shard.
pub struct Dispatcher {
    parts: DeliveryParts,
    devices: HashMap<DeviceName, Device>,
    running: FuturesUnordered<BoxFuture<'static, (DeviceName, u64, Step)>>,
    runs: u64,
    pushes: Arc<Semaphore>,
    resting: BTreeSet<(Instant, DeviceName)>,
    cancelling: FuturesUnordered<BoxFuture<'static, ()>>,
    orphans: VecDeque<(Instant, OperationRecord)>,
    /// Where the look at everything goes on, if there is one.
    scan: Option<RowKey>,
    /// Everything is to be looked at once more after that.
    scan_again: bool,
    leads: bool,
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Dispatcher")
            .field("devices", &self.devices.len())
            .finish_non_exhaustive()
    }
}

impl Dispatcher {
    /// A dispatcher that has nothing to do yet.
    pub fn new(parts: DeliveryParts) -> Self {
        Self {
            parts,
            devices: HashMap::new(),
            running: FuturesUnordered::new(),
            runs: 0,
            pushes: Arc::new(Semaphore::new(MAX_PUSHES)),
            resting: BTreeSet::new(),
            cancelling: FuturesUnordered::new(),
            orphans: VecDeque::new(),
            scan: None,
            scan_again: false,
            leads: false,
        }
    }

    /// Works until the drain starts. What is under way then is left to the next leader.
    pub async fn run(mut self, drain: Drain) {
        let events = self.parts.group.events().clone();
        let mut tick = tokio::time::interval(TICK);
        loop {
            let wake = self.resting.first().map(|(at, _)| *at);
            let rest = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = drain.started() => return,
                work = events.take_work() => self.take(work),
                Some((endpoint, run, step)) = self.running.next() => self.stepped(endpoint, run, step),
                Some(()) = self.cancelling.next() => {}
                () = rest => self.wake_rested(),
                () = tokio::task::yield_now(), if self.scan.is_some() => self.scan_page(),
                _ = tick.tick() => self.tick().await,
            }
        }
    }

    async fn tick(&mut self) {
        self.notice_leadership();
        self.parts.group.events().sweep();
        self.give_up_orphans().await;
    }

    fn notice_leadership(&mut self) {
        let leads = self.parts.group.leads();
        if leads && !self.leads {
            self.leads = true;
            self.look_at_everything();
        }
        if !leads && self.leads {
            // What is under way ends by itself; its result goes to the new leader.
            self.leads = false;
            self.devices.clear();
            self.resting.clear();
            self.orphans.clear();
            self.scan = None;
            self.scan_again = false;
        }
    }

    fn take(&mut self, work: Work) {
        self.notice_leadership();
        if !self.leads {
            return;
        }
        if work.scope == Scope::Everything {
            self.look_at_everything();
        }
        for endpoint in work.awake {
            if let Some(device) = self.devices.get_mut(&endpoint) {
                device.heard = Some(Instant::now());
                device.attempts = 0;
                self.look_at(endpoint, Hint::Heard);
            }
        }
        for endpoint in work.ready {
            self.look_at(endpoint, Hint::Ready);
        }
        for credential in work.revoked {
            self.parts.attachments.tell_revoked(&credential);
        }
        for (endpoint, observed) in work.unwanted {
            if self.cancelling.len() < MAX_RUNNING {
                self.cancelling.push(Box::pin(cancel_observation(
                    self.parts.clone(),
                    endpoint,
                    observed,
                )));
            }
        }
    }

    /// Begins to go through all rows, a page at a time: there can be millions.
    fn look_at_everything(&mut self) {
        // One that is under way is ended first, or those at its end would wait for as long as it is begun anew.
        self.scan_again = self.scan.is_some();
        self.scan
            .get_or_insert_with(|| RowKey::Operation(DevicePrefix::everything().first(), 0));
    }

    fn scan_page(&mut self) {
        let Some(from) = self.scan.take() else { return };
        let to = RowKey::Operation(DevicePrefix::everything().last(), u64::MAX);
        let rows = self
            .parts
            .group
            .store()
            .read(|tables| tables.scan(&from, &to, SCAN));
        if let Some(Row::Operation(last)) = rows.last() {
            let next = last.id.sequence.saturating_add(1);
            self.scan = Some(RowKey::Operation(last.endpoint.clone(), next));
        } else if std::mem::take(&mut self.scan_again) {
            self.scan = Some(RowKey::Operation(DevicePrefix::everything().first(), 0));
        }
        for row in rows {
            let Row::Operation(record) = row else {
                continue;
            };
            match record.state {
                OperationState::Pending => self.look_at(record.endpoint, Hint::Heard),
                OperationState::InFlight { .. } => {
                    let ours =
                        |device: &Device| device.is_running() || device.started == Some(record.id);
                    if self.devices.get(&record.endpoint).is_some_and(ours) {
                        // It may have been started and not sent, as its device fell asleep.
                        self.look_at(record.endpoint, Hint::Heard);
                    } else {
                        self.orphaned(record);
                    }
                }
                OperationState::Finished { .. } => {}
            }
        }
    }

    /// Something was started that nobody here answers for. Its end may still be reported.
    fn orphaned(&mut self, record: OperationRecord) {
        if !self.orphans.iter().any(|(_, known)| *known == record) {
            self.orphans
                .push_back((Instant::now() + ORPHAN_GRACE, record));
        }
    }

    async fn give_up_orphans(&mut self) {
        let now = Instant::now();
        while self.orphans.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, record)) = self.orphans.pop_front() else {
                return;
            };
            let stored = self
                .parts
                .group
                .store()
                .read(|tables| query::operation(tables, &record.endpoint, record.id));
            if stored.as_ref() != Some(&record) {
                continue;
            }
            let requeue = Command::Requeue {
                endpoint: record.endpoint.clone(),
                operation: record.id,
            };
            if let Err(error) = self.parts.group.proposer().propose(None, requeue).await {
                // Another leader finds it by itself; this one tries again.
                tracing::debug!(operation = %record.id, %error, "an orphaned operation stays for now");
                self.orphaned(record);
                return;
            }
        }
    }

    fn look_at(&mut self, endpoint: DeviceName, hint: Hint) {
        let device = self
            .devices
            .entry(endpoint.clone())
            .or_insert_with(|| Device {
                phase: Phase::Resting {
                    until: Instant::now(),
                },
                attempts: 0,
                heard: None,
                started: None,
            });
        match device.phase {
            Phase::Running { run, meanwhile } => {
                device.phase = Phase::Running {
                    run,
                    meanwhile: meanwhile.max(Some(hint)),
                }
            }
            Phase::Asleep { .. } if hint == Hint::Ready => {}
            Phase::Resting { until } | Phase::Asleep { until } => {
                self.resting.remove(&(until, endpoint.clone()));
                self.start(endpoint);
            }
        }
    }

    fn start(&mut self, endpoint: DeviceName) {
        let full = self.running.len() >= MAX_RUNNING;
        let Some(device) = self.devices.get_mut(&endpoint) else {
            return;
        };
        if full {
            let until = Instant::now() + Duration::from_millis(100);
            device.phase = Phase::Resting { until };
            self.resting.insert((until, endpoint));
            return;
        }
        self.runs += 1;
        let run = self.runs;
        device.phase = Phase::Running {
            run,
            meanwhile: None,
        };
        let serve = Serve {
            parts: self.parts.clone(),
            endpoint: endpoint.clone(),
            started: device.started,
            heard: device.heard,
            pushes: Arc::clone(&self.pushes),
        };
        self.running.push(Box::pin(async move {
            let step = serve.run().await;
            (endpoint, run, step)
        }));
    }

    fn wake_rested(&mut self) {
        let now = Instant::now();
        while self.resting.first().is_some_and(|(at, _)| *at <= now) {
            let Some((until, endpoint)) = self.resting.pop_first() else {
                return;
            };
            let rests = |device: &Device| match device.phase {
                Phase::Resting { until: end } | Phase::Asleep { until: end } => end == until,
                Phase::Running { .. } => false,
            };
            if self.devices.get(&endpoint).is_some_and(rests) {
                self.start(endpoint);
            }
        }
    }

    fn stepped(&mut self, endpoint: DeviceName, run: u64, step: Step) {
        self.notice_leadership();
        let Some(device) = self.devices.get_mut(&endpoint) else {
            return;
        };
        // What began before the leadership was lost, and regained, is past.
        let hint = match device.phase {
            Phase::Running {
                run: now,
                meanwhile,
            } if now == run => meanwhile,
            _ => return,
        };
        let answered = matches!(step, Step::Answered);
        let pause = match step {
            Step::Empty if hint.is_some() => return self.start(endpoint),
            Step::Empty => {
                self.devices.remove(&endpoint);
                return;
            }
            Step::Orphaned(record) => {
                self.devices.remove(&endpoint);
                self.orphaned(*record);
                return;
            }
            Step::Next | Step::Answered => {
                if answered {
                    device.heard = Some(Instant::now());
                }
                device.attempts = 0;
                device.started = None;
                return self.start(endpoint);
            }
            Step::Asleep { started } => {
                device.started = started;
                if hint == Some(Hint::Heard) {
                    return self.start(endpoint);
                }
                let until = Instant::now() + SLEEP;
                device.phase = Phase::Asleep { until };
                self.resting.insert((until, endpoint));
                return;
            }
            Step::Doze => {
                device.started = None;
                LONGEST_PAUSE
            }
            Step::Pause { at_least, started } => {
                device.started = started;
                device.attempts = device.attempts.saturating_add(1);
                let growing = FIRST_PAUSE * 2_u32.saturating_pow(device.attempts.min(10) - 1);
                at_least.unwrap_or(growing).min(LONGEST_PAUSE)
            }
        };
        let until = Instant::now() + pause;
        device.phase = Phase::Resting { until };
        self.resting.insert((until, endpoint));
    }
}

impl Device {
    fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running { .. })
    }
}
