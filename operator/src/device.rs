//! The controller of `Device`.
//!
//! ```text
//! API server ─ watch ─▶ index ──▶ settle ─ GetDevice, GetDesired ─▶ state tier
//!                         ▲         │  plan (fleet-plan)
//! state tier ─ feed ──────┘         ├─ SetDesired, when the content differs
//!                                   └─ status, when it differs (server-side apply)
//! ```
//!
//! There is no finalizer, so that no deletion ever waits for this operator. When a deletion is
//! seen, the desired set that the object had put into the state tier is withdrawn; the values stay
//! on the device. A deletion while no operator works leaves the set in force until a `Device` with
//! the same endpoint name is made or the set is replaced through the API.

mod events;
mod index;
mod reconcile;
mod release;

use std::sync::Arc;
use std::time::Duration;

use crd::{Device, DeviceStatus};
use device_state::Namespace;
use kube::api::Api;
use kube::runtime::reflector;
use kube::runtime::watcher::Event;
use node_runtime::{Condition, Drain};
use prometheus_client::metrics::gauge::Gauge;

use crate::controller::{self, Control, ReconcileError, Settled, Shared, TakenIn};
use crate::feed::{Audience, Feed, Sight};
use crate::metrics::Metrics;
use index::Index;
use release::Releases;

/// What every reconciliation needs.
pub(crate) struct Context {
    shared: Shared<Device>,
    index: Index,
    releases: Releases,
    feed: Feed,
    /// Where the devices are in the state tier, whatever the namespaces of the objects are.
    namespace: Namespace,
}

impl Context {
    pub(crate) fn new(shared: Shared<Device>, feed: Feed) -> Self {
        Self {
            shared,
            index: Index::default(),
            releases: Releases::default(),
            feed,
            namespace: Namespace::default(),
        }
    }

    /// Wants the events that the objects need which there are now.
    fn want(&self, taken: &TakenIn<Device>) {
        if taken.count == 0 {
            self.feed.forgo(Audience::Devices, &self.namespace);
        } else if let Some((device, _)) = &taken.applied {
            let depth = events::depth(device);
            self.feed.want(Audience::Devices, &self.namespace, depth);
        }
    }

    /// How long until an object is looked at again that has this status.
    fn until_next(&self, status: &DeviceStatus) -> Duration {
        let settings = self.shared.settings;
        match self.feed.sight(&self.namespace) {
            Sight::Untold if events::is_waiting(Some(status)) => settings.recount,
            Sight::Told | Sight::Untold => settings.resync,
        }
    }
}

impl Control for Context {
    type Kind = Device;
    type Status = DeviceStatus;

    fn shared(&self) -> &Shared<Device> {
        &self.shared
    }

    fn gauge(metrics: &Metrics) -> &Gauge {
        &metrics.devices
    }

    fn take_in(&self, _: &Event<Device>, taken: &TakenIn<Device>) -> Option<Device> {
        for device in &taken.gone {
            self.releases.add(Arc::clone(device));
        }
        self.shared.triggers.add(self.index.take_in(taken));
        self.want(taken);
        taken.changed().cloned()
    }

    async fn settle(&self, device: &Device) -> Result<Settled<DeviceStatus>, ReconcileError> {
        let plan = reconcile::carry_out(device, self).await?;
        Ok(Settled::Decided {
            status: plan.status_change(device).cloned(),
            again: self.until_next(&plan.status),
        })
    }
}

/// Runs until the drain.
pub(crate) async fn run(
    context: Arc<Context>,
    devices: Api<Device>,
    watching: Condition,
    drain: Drain,
) {
    let store = reflector::store();
    tokio::select! {
        () = controller::run(Arc::clone(&context), devices, store, watching, drain) => {}
        () = release::run(&context) => {}
    }
}
