//! The controller of `Device`.
//!
//! ```text
//! API server ─ watch ─▶ index ──▶ reconcile ─ GetDevice, GetDesired ─▶ state tier
//!                         ▲           │  plan (fleet-plan)
//! state tier ─ events ────┘           ├─ SetDesired, when the content differs
//!                                     └─ status, when it differs (server-side apply)
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

use crd::Device;
use futures::StreamExt;
use kube::Client;
use kube::api::Api;
use kube::runtime::controller::Controller;
use kube::runtime::{reflector, watcher};
use node_runtime::{Condition, Drain};

use crate::controller::{Settings, Shared, changes, triggered};
use crate::metrics::Metrics;
use crate::state_tier::StateTier;
use index::Index;
use release::Releases;

/// Who writes the status, for server-side apply.
const FIELD_MANAGER: &str = "drover-operator/device";

/// What every reconciliation needs.
pub(crate) struct Context {
    shared: Shared<Device>,
    index: Index,
    releases: Releases,
}

impl Context {
    pub(crate) fn new(
        client: Client,
        state_tier: StateTier,
        metrics: Metrics,
        settings: Settings,
    ) -> Self {
        Self {
            shared: Shared::new(client, state_tier, metrics, settings, FIELD_MANAGER),
            index: Index::default(),
            releases: Releases::default(),
        }
    }

    /// Takes in what the API server says and returns the object, if it is to be reconciled.
    fn take_in(&self, event: &watcher::Event<Device>) -> Option<Device> {
        let taken = self.index.take_in(event);
        for device in taken.gone {
            self.shared.memory.forget(&device);
            self.releases.add(device);
        }
        self.shared.triggers.add(taken.touched);
        self.shared.metrics.devices.set(taken.devices);
        taken.changed
    }
}

/// Runs until the drain.
pub(crate) async fn run(
    context: Arc<Context>,
    devices: Api<Device>,
    watching: Condition,
    drain: Drain,
) {
    watching.fail("listing the devices");
    let (reader, writer) = reflector::store();
    let taking = Arc::clone(&context);
    let metrics = context.shared.metrics.clone();
    let take_in = move |event: &watcher::Event<Device>| taking.take_in(event);
    let changes = changes(devices, watching, metrics, writer, take_in);
    let controller = Controller::for_stream(changes, reader)
        .with_config(context.shared.settings.controller())
        .reconcile_on(triggered(Arc::clone(&context.shared.triggers)))
        .graceful_shutdown_on(drain.started_owned())
        .run(
            reconcile::reconcile,
            reconcile::retry_later,
            Arc::clone(&context),
        )
        .for_each(|outcome| {
            if let Err(error) = outcome {
                tracing::debug!(%error, "reconciliation");
            }
            std::future::ready(())
        });
    tokio::select! {
        () = controller => {}
        () = events::follow(&context) => {}
        () = release::run(&context) => {}
    }
}
