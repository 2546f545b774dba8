//! Serving one device once: the next operation of its queue is sent, and its end is committed.

use std::sync::Arc;
use std::time::Duration;

use device_state::table::Tables;
use device_state::{
    Command, DeviceName, OperationId, OperationOutcome, OperationRecord, Outcome, Registration,
    Timestamp, ValueOrigin, pushed_package, query,
};
use lwm2m::{Observed, Operation, QueueMode, RegistrationId};
use node_runtime::clock;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::attachments::{Delivery, DeliveryError};
use crate::delivery::DeliveryParts;

/// The longest that one exchange takes.
// RFC 7252 §4.8.2: MAX_TRANSMIT_WAIT.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(93);
/// The longest that a package takes, of which every block is such an exchange.
const TRANSFER_TIMEOUT: Duration = Duration::from_hours(24);
/// Between two looks whether another device may be brought a package.
const PUSH_PAUSE: Duration = Duration::from_secs(10);

/// What came of serving a device once.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Nothing waits.
    Empty,
    /// This was started, and nobody here knows what became of it; the others wait for its end.
    Orphaned(Box<OperationRecord>),
    /// Something ended: look for the next.
    Next,
    /// As `Next`, by an answer of the device, which listens for a while after that.
    Answered,
    /// Nothing can be sent before the device is heard from: its ingress node says so, or there is none.
    Asleep { started: Option<OperationId> },
    /// What is next is not to be sent before the device is heard from, as far as is known here.
    Doze,
    /// Try again after a pause: the given one, or one that grows.
    Pause {
        at_least: Option<Duration>,
        started: Option<OperationId>,
    },
}

/// Nothing is under way, and nothing came of it.
const PAUSE: Step = Step::Pause {
    at_least: None,
    started: None,
};

/// Serves one device once.
pub(super) struct Serve {
    pub parts: DeliveryParts,
    pub endpoint: DeviceName,
    /// What this leader committed as started and knows not to have been sent.
    pub started: Option<OperationId>,
    /// When the device was heard from last, as far as this leader was told.
    pub heard: Option<Instant>,
    /// For those that may be brought a package at the same time.
    pub pushes: Arc<Semaphore>,
}

impl Serve {
    pub(super) async fn run(self) -> Step {
        // A leader that was replaced without knowing it would send again what its successor is past.
        let current = self.parts.group.read_current(|tables| {
            let queue = query::operations(tables, &self.endpoint);
            let in_flight = queue.into_iter().find(OperationRecord::is_in_flight);
            let next = in_flight.or_else(|| query::next_operation(tables, &self.endpoint));
            let wanted = next.as_ref().is_none_or(|record| is_wanted(tables, record));
            let registration = query::registration(tables, &self.endpoint);
            (next, registration, wanted)
        });
        let Ok((record, registration, wanted)) = current.await else {
            return Step::Pause {
                at_least: None,
                started: self.started,
            };
        };
        let Some(record) = record else {
            return Step::Empty;
        };
        let started = Some(record.id).filter(|_| record.is_in_flight());
        if started.is_some() && started != self.started {
            return Step::Orphaned(Box::new(record));
        }
        if !wanted {
            return self.finish(record.id, OperationOutcome::Cancelled).await;
        }
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
        let mut started = started;
        if record.starts_first() && started.is_none() {
            // Once started it can only be sent or lost, so it is not started for a device that is likely asleep.
            if to.binding.queue_mode() == QueueMode::On && !self.is_awake(&to) {
                // Its ingress node may know better, and tells what may be sent more than once.
                return Step::Doze;
            }
            let start = Command::Start {
                endpoint: self.endpoint.clone(),
                operation: record.id,
                owner: to.owner,
            };
            match self.parts.group.proposer().propose(None, start).await {
                Ok(Outcome::Done) => started = Some(record.id),
                Ok(_) => return Step::Next,
                Err(_) => return PAUSE,
            }
        }
        let left = Duration::from_millis(record.deadline.0.saturating_sub(clock::now_ms()));
        let pushes = pushed_package(&record.operation).is_some();
        let (longest, _permit) = if pushes {
            let Ok(permit) = self.pushes.try_acquire() else {
                return Step::Pause {
                    at_least: Some(PUSH_PAUSE),
                    started,
                };
            };
            (TRANSFER_TIMEOUT, Some(permit))
        } else {
            (EXCHANGE_TIMEOUT, None)
        };
        let again = !record.happens_once();
        let observed = observed(&record.operation).cloned();
        let begun = Timestamp(clock::now_ms());
        let delivery = Delivery {
            endpoint: self.endpoint.clone(),
            registration: to.id.clone(),
            operation: record.operation,
            timeout: left.clamp(Duration::from_secs(1), longest),
        };
        let delivered = self.parts.attachments.deliver(to.owner, delivery);
        let delivered = tokio::select! {
            delivered = delivered => delivered,
            () = self.taken_back(record.id), if pushes => return Step::Next,
        };
        match delivered {
            Ok(answer) => {
                if let Some(observed) = observed {
                    self.observes(&to.id, observed, &answer.outcome, begun)
                        .await;
                }
                match self.finish(record.id, answer.outcome).await {
                    Step::Next => Step::Answered,
                    step => step,
                }
            }
            Err(error) => self.not_delivered(record.id, started, again, error).await,
        }
    }

    /// The device answered an Observe that was queued. Its first values are reported like those that follow, and as of
    /// before they came: a notification may have been faster. If nobody wants it any more by now, it ends again.
    async fn observes(
        &self,
        registration: &RegistrationId,
        observed: Observed,
        outcome: &OperationOutcome,
        begun: Timestamp,
    ) {
        let OperationOutcome::Delivered { values, .. } = outcome else {
            return;
        };
        let values = values.iter().cloned();
        let command = Command::RecordValues {
            endpoint: self.endpoint.clone(),
            registration: registration.clone(),
            child: observed.child().cloned(),
            origin: ValueOrigin::Notify,
            values: values.map(|(path, value)| (path, value, begun)).collect(),
        };
        self.commit(command).await;
        cancel_observation(self.parts.clone(), self.endpoint.clone(), observed).await;
    }

    fn is_awake(&self, registration: &Registration) -> bool {
        // A device that reports more often than it would fall asleep is not said to be awake each time.
        let (power_saving, heard_at) = self.parts.group.store().read(|tables| {
            let power_saving = query::power_saving(tables, &self.endpoint);
            (power_saving, query::heard_at(tables, registration))
        });
        let window = power_saving.awake_window(self.parts.attachments.awake_window());
        let silent = clock::now_ms().saturating_sub(heard_at.0);
        self.heard.is_some_and(|heard| heard.elapsed() < window)
            || u128::from(silent) < window.as_millis()
    }

    async fn not_delivered(
        &self,
        id: OperationId,
        started: Option<OperationId>,
        again: bool,
        error: DeliveryError,
    ) -> Step {
        tracing::debug!(endpoint = %self.endpoint.shown(), operation = %id, %error, "not delivered");
        match error {
            DeliveryError::Asleep | DeliveryError::NotRegistered | DeliveryError::Quarantined => {
                Step::Asleep { started }
            }
            DeliveryError::Busy { retry_after } => Step::Pause {
                at_least: Some(retry_after),
                started,
            },
            // What is sent again stays started: to put it back into the queue each time would cost two commits.
            DeliveryError::NoIngress | DeliveryError::Timeout if again => Step::Pause {
                at_least: None,
                started,
            },
            // An ingress node that is gone may have sent it before.
            DeliveryError::NoIngress | DeliveryError::Timeout if started.is_some() => {
                self.requeue(id).await
            }
            DeliveryError::NoIngress | DeliveryError::Timeout => PAUSE,
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

    /// Waits until somebody else ends the operation, as who aborts a campaign does. A delivery that nobody waits for any more
    /// is cancelled, which is worth it where it takes hours.
    async fn taken_back(&self, operation: OperationId) {
        let ended = self.parts.group.events().operation_finished(operation);
        let is_open = self.parts.group.store().read(|tables| {
            let record = query::operation(tables, &self.endpoint, operation);
            record.is_some_and(|record| record.finished_at().is_none())
        });
        if is_open {
            // Also if the rows were replaced: then they have to be looked at again.
            let _signal = ended.await;
        }
    }

    async fn requeue(&self, operation: OperationId) -> Step {
        let command = Command::Requeue {
            endpoint: self.endpoint.clone(),
            operation,
        };
        self.commit(command).await
    }

    async fn finish(&self, operation: OperationId, outcome: OperationOutcome) -> Step {
        let command = Command::Finish {
            endpoint: self.endpoint.clone(),
            operation,
            outcome,
        };
        self.commit(command).await
    }

    /// By way of the router: what the device did counts even if the leadership moved meanwhile.
    async fn commit(&self, command: Command) -> Step {
        match self
            .parts
            .router
            .propose(self.parts.group.shard(), None, command, COMMIT_PATIENCE)
            .await
        {
            Ok(_) => Step::Next,
            Err(_) => PAUSE,
        }
    }
}

/// What an Observe is to observe.
const fn observed(operation: &Operation) -> Option<&Observed> {
    match operation {
        Operation::Observe { observed, .. } => Some(observed),
        _ => None,
    }
}

/// Whether an operation is still of use: an Observe whose intent was taken back is not, nor one with other parameters, nor
/// what was started for a device that fell asleep, if it is desired otherwise by now.
fn is_wanted(tables: &dyn Tables, record: &OperationRecord) -> bool {
    let endpoint = &record.endpoint;
    match &record.operation {
        Operation::Observe {
            observed,
            parameters,
        } => query::observation(tables, endpoint, observed)
            .is_some_and(|intent| intent.parameters == *parameters),
        _ => !record.is_in_flight() || !query::is_obsolete(tables, record),
    }
}

/// How long a result is kept for a shard without a leader.
const COMMIT_PATIENCE: Duration = Duration::from_secs(10);
// RFC 7252 §12.1.2: 4.00 and 5.00.
const BAD_REQUEST: u8 = 0x80;
const INTERNAL_SERVER_ERROR: u8 = 0xa0;

/// Tells a device to end an observation that nobody wants any more.
pub(super) async fn cancel_observation(
    parts: DeliveryParts,
    endpoint: DeviceName,
    observed: Observed,
) {
    tracing::debug!(endpoint = %endpoint.shown(), %observed, "nobody holds the observation any more");
    let (wanted, registration) = parts.group.store().read(|tables| {
        (
            query::observation(tables, &endpoint, &observed),
            query::registration(tables, &endpoint),
        )
    });
    let (None, Some(registration)) = (wanted, registration) else {
        return;
    };
    let delivery = Delivery {
        endpoint: endpoint.clone(),
        registration: registration.id,
        operation: Operation::CancelObserve {
            observed: observed.clone(),
        },
        timeout: EXCHANGE_TIMEOUT,
    };
    if let Err(error) = parts
        .attachments
        .deliver(registration.owner, delivery)
        .await
    {
        // The device notices when it sends the next notification, which nobody takes.
        tracing::debug!(endpoint = %endpoint.shown(), %observed, %error, "the observation was not cancelled");
    }
}
