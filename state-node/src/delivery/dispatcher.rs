//! Delivers the committed operations of a shard's devices, one at a time per device, while this node leads the shard.
//!
//! 1. A device with pending operations is looked at when one is enqueued or ends, when the device is heard from, and
//!    after a pause that grows while it does not answer.
//! 2. What may happen at most once (Execute, Create) is committed as started before it is sent. A lost answer then ends
//!    it; everything else goes back to the queue.
//! 3. A new leader finds what waits in the rows. What an old leader had started gets some time to be reported by it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use device_state::{
    Command, OperationId, OperationOutcome, OperationRecord, OperationState, Outcome, Registration,
    Row, RowKey, Tables, query,
};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use lwm2m::{EndpointName, Operation, Path};
use node_runtime::{Drain, clock};
use tokio::time::Instant;

use crate::attachments::{Delivery, DeliveryError};
use crate::delivery::DeliveryParts;
use crate::shard_events::{Scope, Work};

/// Devices that are served at the same time.
const MAX_RUNNING: usize = 10_000;
/// Rows read at a time when a new leader looks for what waits.
const SCAN: usize = 1_000;
/// How often a change of leadership is looked for.
const TICK: Duration = Duration::from_millis(500);
/// What an old leader started is given up this long after a new leader took over.
const ORPHAN_GRACE: Duration = Duration::from_secs(15);
/// The longest that one exchange takes.
// RFC 7252 §4.8.2: MAX_TRANSMIT_WAIT.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(93);
/// How long a queue-mode device takes requests after it was heard from.
// LwM2M-Core 1.2 §6.5: the client stays reachable for MAX_TRANSMIT_WAIT unless it says otherwise.
const AWAKE_TIME: Duration = Duration::from_secs(93);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

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
    /// Nothing is tried before this time, unless the device is heard from.
    Resting { until: Instant },
    /// An operation is under way.
    Running { meanwhile: Meanwhile },
}

/// Whether the device was to be looked at while an operation was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    LookAgain,
}

/// What came of serving a device once.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Nothing waits.
    Empty,
    /// Something ended: look for the next.
    Next,
    /// Nothing can be sent before the device is heard from.
    Asleep { started: Option<OperationId> },
    /// Try again after a pause: the given one, or one that grows.
    Pause {
        at_least: Option<Duration>,
        started: Option<OperationId>,
    },
}

/// The dispatcher of one shard.
pub struct Dispatcher {
    parts: DeliveryParts,
    devices: HashMap<EndpointName, Device>,
    running: FuturesUnordered<BoxFuture<'static, (EndpointName, Step)>>,
    resting: BTreeSet<(Instant, EndpointName)>,
    cancelling: FuturesUnordered<BoxFuture<'static, ()>>,
    orphans: VecDeque<(Instant, OperationRecord)>,
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
            resting: BTreeSet::new(),
            cancelling: FuturesUnordered::new(),
            orphans: VecDeque::new(),
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
                Some((endpoint, step)) = self.running.next() => self.stepped(endpoint, step),
                Some(()) = self.cancelling.next() => {}
                () = rest => self.wake_rested(),
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
                self.look_at(endpoint);
            }
        }
        for endpoint in work.ready {
            self.look_at(endpoint);
        }
        for (endpoint, path) in work.unwanted {
            if self.cancelling.len() < MAX_RUNNING {
                self.cancelling.push(Box::pin(cancel_observation(
                    self.parts.clone(),
                    endpoint,
                    path,
                )));
            }
        }
    }

    fn look_at_everything(&mut self) {
        let mut from = RowKey::Operation(first_name(), 0);
        let to = RowKey::Operation(last_name(), u64::MAX);
        loop {
            let rows = self
                .parts
                .group
                .store()
                .read(|tables| tables.scan(&from, &to, SCAN));
            let Some(Row::Operation(last)) = rows.last() else {
                return;
            };
            from = RowKey::Operation(last.endpoint.clone(), last.id.sequence.saturating_add(1));
            for row in rows {
                let Row::Operation(record) = row else {
                    continue;
                };
                match record.state {
                    OperationState::Pending => self.look_at(record.endpoint),
                    OperationState::InFlight { .. } => {
                        let ours = self
                            .devices
                            .get(&record.endpoint)
                            .is_some_and(Device::is_running);
                        if !ours {
                            self.orphans
                                .push_back((Instant::now() + ORPHAN_GRACE, record));
                        }
                    }
                    OperationState::Finished { .. } => {}
                }
            }
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
                endpoint: record.endpoint,
                operation: record.id,
            };
            if let Err(error) = self.parts.group.proposer().propose(None, requeue).await {
                tracing::debug!(operation = %record.id, %error, "an orphaned operation stays for now");
                self.orphans.clear();
            }
        }
    }

    fn look_at(&mut self, endpoint: EndpointName) {
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
            Phase::Running { .. } => {
                device.phase = Phase::Running {
                    meanwhile: Meanwhile::LookAgain,
                }
            }
            Phase::Resting { until } => {
                self.resting.remove(&(until, endpoint.clone()));
                self.start(endpoint);
            }
        }
    }

    fn start(&mut self, endpoint: EndpointName) {
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
        device.phase = Phase::Running {
            meanwhile: Meanwhile::Nothing,
        };
        let awake = device
            .heard
            .is_some_and(|heard| heard.elapsed() < AWAKE_TIME);
        let serve = Serve {
            parts: self.parts.clone(),
            endpoint: endpoint.clone(),
            started: device.started,
            reach: if awake { Reach::Awake } else { Reach::Unknown },
        };
        self.running.push(Box::pin(async move {
            let step = serve.run().await;
            (endpoint, step)
        }));
    }

    fn wake_rested(&mut self) {
        let now = Instant::now();
        while self.resting.first().is_some_and(|(at, _)| *at <= now) {
            let Some((until, endpoint)) = self.resting.pop_first() else {
                return;
            };
            let resting = self
                .devices
                .get(&endpoint)
                .is_some_and(|device| device.phase == Phase::Resting { until });
            if resting {
                self.start(endpoint);
            }
        }
    }

    fn stepped(&mut self, endpoint: EndpointName, step: Step) {
        let Some(device) = self.devices.get_mut(&endpoint) else {
            return;
        };
        let look_again = device.phase
            == Phase::Running {
                meanwhile: Meanwhile::LookAgain,
            };
        let pause = match step {
            Step::Empty if look_again => return self.start(endpoint),
            Step::Empty => {
                self.devices.remove(&endpoint);
                return;
            }
            Step::Next => {
                device.attempts = 0;
                device.started = None;
                return self.start(endpoint);
            }
            Step::Asleep { started } => {
                device.started = started;
                LONGEST_PAUSE
            }
            Step::Pause { at_least, started } => {
                device.started = started;
                device.attempts = device.attempts.saturating_add(1);
                let growing = FIRST_PAUSE * 2_u32.saturating_pow(device.attempts.min(10) - 1);
                at_least.unwrap_or(growing).min(LONGEST_PAUSE)
            }
        };
        if look_again && device.attempts == 0 {
            return self.start(endpoint);
        }
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

/// Every name sorts at or after this one: names hold no control characters.
fn first_name() -> EndpointName {
    EndpointName::new(" ").expect("a space is a valid name")
}

/// Every name that devices use sorts before this one.
fn last_name() -> EndpointName {
    EndpointName::new(&"\u{10ffff}".repeat(63))
        .expect("252 bytes without control characters are a valid name")
}

/// Whether a queue-mode device can be expected to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Awake,
    Unknown,
}

/// Serves one device once.
struct Serve {
    parts: DeliveryParts,
    endpoint: EndpointName,
    started: Option<OperationId>,
    reach: Reach,
}

impl Serve {
    async fn run(self) -> Step {
        let (record, registration) = self.parts.group.store().read(|tables| {
            let registration = query::registration(tables, &self.endpoint);
            let started = self
                .started
                .and_then(|id| query::operation(tables, &self.endpoint, id));
            let started =
                started.filter(|record| matches!(record.state, OperationState::InFlight { .. }));
            (
                started.or_else(|| query::next_operation(tables, &self.endpoint)),
                registration,
            )
        });
        let Some(record) = record else {
            return Step::Empty;
        };
        let started =
            Some(record.id).filter(|_| matches!(record.state, OperationState::InFlight { .. }));
        let Some(registration) = registration else {
            return Step::Asleep { started };
        };
        self.deliver(record, registration, started).await
    }

    async fn deliver(
        &self,
        record: OperationRecord,
        to: Registration,
        started: Option<OperationId>,
    ) -> Step {
        let once = matches!(
            record.operation,
            Operation::Execute { .. } | Operation::Create { .. }
        );
        let mut started = started;
        if once && started.is_none() {
            // Once started it can only be sent or lost, so it is not started for a device that is likely asleep.
            if to.binding.queue_mode() == lwm2m::QueueMode::On && self.reach == Reach::Unknown {
                return Step::Asleep { started: None };
            }
            let start = Command::Start {
                endpoint: self.endpoint.clone(),
                operation: record.id,
                owner: to.owner,
            };
            match self.parts.group.proposer().propose(None, start).await {
                Ok(Outcome::Done) => started = Some(record.id),
                Ok(_) => return Step::Next,
                Err(_) => {
                    return Step::Pause {
                        at_least: None,
                        started: None,
                    };
                }
            }
        }
        let left = Duration::from_millis(record.deadline.0.saturating_sub(clock::now_ms()));
        let delivery = Delivery {
            endpoint: self.endpoint.clone(),
            registration: to.id,
            operation: record.operation,
            timeout: left.clamp(Duration::from_secs(1), EXCHANGE_TIMEOUT),
        };
        match self.parts.attachments.deliver(to.owner, delivery).await {
            Ok(answer) => self.finish(record.id, answer.outcome).await,
            Err(error) => self.not_delivered(record.id, started, error).await,
        }
    }

    async fn not_delivered(
        &self,
        id: OperationId,
        started: Option<OperationId>,
        error: DeliveryError,
    ) -> Step {
        tracing::debug!(endpoint = %self.endpoint, operation = %id, %error, "not delivered");
        match error {
            DeliveryError::Asleep | DeliveryError::NotRegistered => Step::Asleep { started },
            DeliveryError::Busy { retry_after } => Step::Pause {
                at_least: Some(retry_after),
                started,
            },
            // An ingress node that is gone may have sent it before.
            DeliveryError::NoIngress | DeliveryError::Timeout if started.is_some() => {
                self.requeue(id).await
            }
            DeliveryError::NoIngress | DeliveryError::Timeout => Step::Pause {
                at_least: None,
                started: None,
            },
            // The device did get it: what it answered is unknown, sending it again would not tell more.
            DeliveryError::BadAnswer(diagnostic) => {
                self.finish(
                    id,
                    OperationOutcome::Rejected {
                        code: INTERNAL_SERVER_ERROR,
                        diagnostic,
                    },
                )
                .await
            }
            DeliveryError::Invalid(diagnostic) => {
                self.finish(
                    id,
                    OperationOutcome::Rejected {
                        code: BAD_REQUEST,
                        diagnostic,
                    },
                )
                .await
            }
        }
    }

    async fn requeue(&self, operation: OperationId) -> Step {
        let command = Command::Requeue {
            endpoint: self.endpoint.clone(),
            operation,
        };
        match self
            .parts
            .router
            .propose(self.parts.group.shard(), None, command, COMMIT_PATIENCE)
            .await
        {
            Ok(_) => Step::Next,
            Err(_) => Step::Pause {
                at_least: None,
                started: None,
            },
        }
    }

    async fn finish(&self, operation: OperationId, outcome: OperationOutcome) -> Step {
        // By way of the router: the device's answer counts even if the leadership moved meanwhile.
        let command = Command::Finish {
            endpoint: self.endpoint.clone(),
            operation,
            outcome,
        };
        match self
            .parts
            .router
            .propose(self.parts.group.shard(), None, command, COMMIT_PATIENCE)
            .await
        {
            Ok(_) => Step::Next,
            Err(_) => Step::Pause {
                at_least: None,
                started: None,
            },
        }
    }
}

/// How long a result is kept for a shard without a leader.
const COMMIT_PATIENCE: Duration = Duration::from_secs(10);
// RFC 7252 §12.1.2: 4.00 and 5.00.
const BAD_REQUEST: u8 = 0x80;
const INTERNAL_SERVER_ERROR: u8 = 0xa0;

async fn cancel_observation(parts: DeliveryParts, endpoint: EndpointName, path: Path) {
    tracing::debug!(%endpoint, %path, "nobody holds the observation any more");
    let (wanted, registration) = parts.group.store().read(|tables| {
        (
            query::observation(tables, &endpoint, path),
            query::registration(tables, &endpoint),
        )
    });
    let (None, Some(registration)) = (wanted, registration) else {
        return;
    };
    let delivery = Delivery {
        endpoint: endpoint.clone(),
        registration: registration.id,
        operation: Operation::CancelObserve { path },
        timeout: EXCHANGE_TIMEOUT,
    };
    if let Err(error) = parts
        .attachments
        .deliver(registration.owner, delivery)
        .await
    {
        // The device notices when it sends the next notification, which nobody takes.
        tracing::debug!(%endpoint, %path, %error, "the observation was not cancelled");
    }
}
