//! The controller of `DeviceOperation`.
//!
//! ```text
//! API server ─ watch ─▶ settle ─ status: the start ────────────▶ API server
//!                        ▲    ├─ Write, Execute, … once; Read and Discover until the device listens ─▶ state tier
//!   when its device is ──┘    ├─ GetOperation, of what the state tier keeps until the device listens
//!                             ├─ status, when it differs (server-side apply)
//!                             └─ deletes the object, some time after the end
//! ```
//!
//! On a set of devices a status is written before each round of asking, by [`fleet`], and over nothing but the status that
//! it follows from.
//!
//! What waits for its device when its object is deleted is cancelled by [`withdraw`], as far as that is seen: what waits
//! while no operator works ends with its deadline.

mod answer;
mod awaited;
#[cfg(test)]
mod fake;
mod fleet;
mod reconcile;
mod withdraw;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crd::{DeviceOperation, DeviceOperationStatus};
use fleet_plan::operation::{Target, target, unfinished};
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::reflector;
use kube::runtime::watcher::Event;
use node_runtime::{Condition, Drain};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Semaphore;

use crate::controller::{self, Control, ReconcileError, Settled, Shared, TakenIn};
use crate::feed::Feed;
use crate::metrics::Metrics;
use awaited::Awaited;
use withdraw::{Withdrawal, Withdrawals};

/// Sets whose devices are listed at the same time: each list looks at every device of the namespace.
const LISTED_AT_ONCE: usize = 2;

/// What every reconciliation needs.
pub(crate) struct Context {
    shared: Shared<DeviceOperation>,
    /// By the uid of the object; lost without harm on a restart. Bounded by the objects that the API server has.
    asked: Mutex<HashMap<String, Asked>>,
    /// As `asked`, of those on a set that are not through.
    sets: Mutex<HashMap<String, fleet::Memory>>,
    listing: Semaphore,
    withdrawals: Withdrawals,
    awaited: Awaited,
    feed: Feed,
}

/// What is remembered of a device that was asked.
#[derive(Clone, Debug, Default)]
struct Asked {
    /// The object that named it may be gone.
    endpoint: String,
    /// How often it did not answer.
    unanswered: i32,
}

impl Context {
    pub(crate) fn new(shared: Shared<DeviceOperation>, feed: Feed) -> Self {
        Self {
            shared,
            asked: Mutex::default(),
            sets: Mutex::default(),
            listing: Semaphore::new(LISTED_AT_ONCE),
            withdrawals: Withdrawals::default(),
            awaited: Awaited::default(),
            feed,
        }
    }

    fn with_asked<T>(&self, work: impl FnOnce(&mut HashMap<String, Asked>) -> T) -> T {
        work(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_sets<T>(&self, work: impl FnOnce(&mut HashMap<String, fleet::Memory>) -> T) -> T {
        work(&mut self.sets.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// `None` of an object that is gone.
    fn with_set<T>(&self, uid: &str, work: impl FnOnce(&mut fleet::Memory) -> T) -> Option<T> {
        self.with_sets(|sets| sets.get_mut(uid).map(work))
    }

    /// Withdraws what an object has asked for that is gone.
    fn leave(&self, operation: &DeviceOperation) {
        let uid = operation.uid().unwrap_or_default();
        if let Ok(Target::Labels(_) | Target::Group(_)) = target(&operation.spec) {
            let set = self.with_sets(|sets| sets.remove(&uid));
            for withdrawal in fleet::left(operation, set) {
                self.withdrawals.add(withdrawal);
            }
            return;
        }
        let asked = self.with_asked(|asked| asked.remove(&uid));
        let named = operation.spec.endpoint_name.clone();
        let endpoint = named.or_else(|| asked.map(|asked| asked.endpoint));
        if let (Some(id), Some(endpoint)) = (unfinished(operation), endpoint) {
            self.withdrawals.add(Withdrawal {
                namespace: operation.namespace().unwrap_or_default(),
                endpoint,
                id: id.to_owned(),
            });
        }
    }
}

impl Control for Context {
    type Kind = DeviceOperation;
    type Status = DeviceOperationStatus;
    const STATUS_IS_RECORD: bool = true;

    fn shared(&self) -> &Shared<DeviceOperation> {
        &self.shared
    }

    fn gauge(metrics: &Metrics) -> &Gauge {
        &metrics.operations
    }

    fn take_in(
        &self,
        _: &Event<DeviceOperation>,
        taken: &TakenIn<DeviceOperation>,
    ) -> Option<DeviceOperation> {
        for operation in &taken.gone {
            self.leave(operation);
        }
        self.await_no_more(taken);
        taken.changed().cloned()
    }

    async fn settle(
        &self,
        operation: &DeviceOperation,
    ) -> Result<Settled<DeviceOperationStatus>, ReconcileError> {
        reconcile::settle(operation, self).await
    }
}

/// Runs until the drain.
pub(crate) async fn run(
    context: Arc<Context>,
    operations: Api<DeviceOperation>,
    watching: Condition,
    drain: Drain,
) {
    let store = reflector::store();
    tokio::select! {
        () = controller::run(Arc::clone(&context), operations, store, watching, drain) => {}
        () = withdraw::run(&context) => {}
    }
}
