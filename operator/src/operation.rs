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
//! What waits for its device when its object is deleted is cancelled by [`withdraw`], as far as that is seen: what waits
//! while no operator works ends with its deadline.

mod awaited;
#[cfg(test)]
mod fake;
mod reconcile;
mod withdraw;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crd::{DeviceOperation, DeviceOperationStatus};
use fleet_plan::operation::unfinished;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::reflector;
use kube::runtime::watcher::Event;
use node_runtime::{Condition, Drain};
use prometheus_client::metrics::gauge::Gauge;

use crate::controller::{self, Control, ReconcileError, Settled, Shared, TakenIn};
use crate::feed::Feed;
use crate::metrics::Metrics;
use awaited::Awaited;
use withdraw::{Withdrawal, Withdrawals};

/// What every reconciliation needs.
pub(crate) struct Context {
    shared: Shared<DeviceOperation>,
    /// By the uid of the object; lost without harm on a restart. Bounded by the objects that the API server has.
    asked: Mutex<HashMap<String, Asked>>,
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
            withdrawals: Withdrawals::default(),
            awaited: Awaited::default(),
            feed,
        }
    }

    fn with_asked<T>(&self, work: impl FnOnce(&mut HashMap<String, Asked>) -> T) -> T {
        work(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Withdraws what an object has asked for that is gone.
    fn leave(&self, operation: &DeviceOperation) {
        let uid = operation.uid().unwrap_or_default();
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
