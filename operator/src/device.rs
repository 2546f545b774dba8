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
mod memory;
mod reconcile;
mod release;
mod triggers;

use std::sync::Arc;
use std::time::Duration;

use crd::Device;
use futures::{Stream, StreamExt, TryStreamExt};
use kube::api::Api;
use kube::runtime::controller::{Config as ControllerConfig, Controller};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Client, ResourceExt};
use node_runtime::{Condition, Drain, random};

use crate::config::Config;
use crate::metrics::Metrics;
use crate::state_tier::StateTier;
use index::Index;
use memory::Memory;
use release::Releases;
use triggers::Triggers;

/// The server ends a watch after this many seconds; shorter than what load balancers cut off.
const WATCH_SECONDS: u32 = 200;

/// What of the configuration the controller needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    concurrency: u16,
    debounce: Duration,
    resync: Duration,
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self {
            concurrency: config.concurrency.max(1),
            debounce: Duration::from_millis(u64::from(config.debounce_ms)),
            resync: Duration::from_secs(u64::from(config.resync_seconds.max(1))),
        }
    }
}

/// What every reconciliation needs.
pub(crate) struct Context {
    client: Client,
    state_tier: StateTier,
    pub(crate) metrics: Metrics,
    settings: Settings,
    index: Index,
    memory: Memory,
    triggers: Triggers,
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
            client,
            state_tier,
            metrics,
            settings,
            index: Index::default(),
            memory: Memory::default(),
            triggers: Triggers::default(),
            releases: Releases::default(),
        }
    }

    /// Takes in what the API server says and returns the object, if it is to be reconciled.
    fn take_in(&self, event: &watcher::Event<Device>) -> Option<Device> {
        let taken = self.index.take_in(event);
        for device in taken.gone {
            self.memory.forget(&device);
            self.releases.add(device);
        }
        self.triggers.add(taken.touched);
        self.metrics.devices.set(taken.devices);
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
    let changes = changes(Arc::clone(&context), devices, watching).boxed();
    let settings = context.settings;
    let config = ControllerConfig::default()
        .concurrency(settings.concurrency)
        .debounce(settings.debounce);
    let changes = reflect(changes, writer, Arc::clone(&context));
    let controller = Controller::for_stream(changes, reader)
        .with_config(config)
        .reconcile_on(triggers::stream(Arc::clone(&context)))
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

type Changes = futures::stream::BoxStream<'static, watcher::Result<watcher::Event<Device>>>;

/// Every event of the watch, without what nobody reads.
fn changes(
    context: Arc<Context>,
    devices: Api<Device>,
    watching: Condition,
) -> impl Stream<Item = watcher::Result<watcher::Event<Device>>> + Send {
    watcher(devices, watcher::Config::default().timeout(WATCH_SECONDS))
        .default_backoff()
        .modify(|device| device.managed_fields_mut().clear())
        .inspect(move |event| match event {
            Ok(watcher::Event::InitDone) => watching.meet(),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "the watch of devices broke");
                let reason = "watch";
                let label = crate::metrics::ReasonLabel { reason };
                context.metrics.reconcile_errors.get_or_create(&label).inc();
                watching.fail("the watch of devices broke");
            }
        })
}

/// Keeps the store and the index, and passes on what is to be reconciled.
fn reflect(
    changes: Changes,
    writer: reflector::store::Writer<Device>,
    context: Arc<Context>,
) -> impl Stream<Item = watcher::Result<Device>> + Send {
    changes.reflect(writer).try_filter_map(move |event| {
        let changed = context.take_in(&event);
        std::future::ready(Ok(changed))
    })
}

/// `duration`, give or take a fifth: what began together does not stay together.
fn jittered(duration: Duration) -> Duration {
    let spread = (random::random_u64() % 401) as f64 / 1000.0;
    duration.mul_f64(0.8 + spread)
}
