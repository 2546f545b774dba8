//! What the controllers of all kinds have.

mod changes;
mod known;
mod memory;
mod triggers;

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::controller::{Action, Config as ControllerConfig};
use kube::{Client, ResourceExt};
use node_runtime::{clock, random};
use serde::Serialize;
use serde_json::json;

use crate::config::Config;
use crate::kubernetes::Kind;
use crate::metrics::{Metrics, ReasonLabel};
use crate::state_tier::StateTier;

pub(crate) use changes::changes;
pub(crate) use known::Known;
pub(crate) use memory::Memory;
pub(crate) use triggers::{Triggers, stream as triggered};

/// What of the configuration controllers need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) concurrency: u16,
    pub(crate) debounce: Duration,
    pub(crate) resync: Duration,
    pub(crate) poll: Duration,
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds.max(1)));
        Self {
            concurrency: config.concurrency.max(1),
            debounce: Duration::from_millis(u64::from(config.debounce_ms)),
            resync: seconds(config.resync_seconds),
            poll: seconds(config.rollout_poll_seconds),
        }
    }
}

impl Settings {
    pub(crate) fn controller(self) -> ControllerConfig {
        ControllerConfig::default()
            .concurrency(self.concurrency)
            .debounce(self.debounce)
    }
}

/// What every reconciliation of a kind needs.
pub(crate) struct Shared<K: Kind> {
    pub(crate) client: Client,
    pub(crate) state_tier: StateTier,
    pub(crate) metrics: Metrics,
    pub(crate) settings: Settings,
    pub(crate) memory: Memory<K>,
    pub(crate) triggers: Arc<Triggers<K>>,
    /// Who writes the status, for server-side apply.
    field_manager: &'static str,
}

/// What became of a status.
pub(crate) enum Published {
    /// It is written, or the object is gone.
    Done,
    /// The object changes too often: to be tried again after so long.
    Postponed(Duration),
}

impl<K: Kind> Shared<K> {
    pub(crate) fn new(
        client: Client,
        state_tier: StateTier,
        metrics: Metrics,
        settings: Settings,
        field_manager: &'static str,
    ) -> Self {
        Self {
            client,
            state_tier,
            metrics,
            settings,
            memory: Memory::default(),
            triggers: Arc::default(),
            field_manager,
        }
    }

    /// Writes the status of `object`, which is `seen` as it was after the last write.
    pub(crate) async fn publish(
        &self,
        seen: &K,
        object: &K,
        status: &impl Serialize,
    ) -> Result<Published, Box<kube::Error>> {
        if let Err(wait) = self.memory.take_budget(object, Instant::now()) {
            self.metrics.status_writes_postponed.inc();
            return Ok(Published::Postponed(wait));
        }
        let namespace = object.namespace().unwrap_or_default();
        let name = object.name_any();
        let api: Api<K> = Api::namespaced(self.client.clone(), &namespace);
        // The uid keeps this from an object of the same name that was made meanwhile.
        let patch = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": {"name": name, "namespace": namespace, "uid": object.uid()},
            "status": status,
        });
        let params = PatchParams::apply(self.field_manager).force();
        match api
            .patch_status(&name, &params, &Patch::Apply(&patch))
            .await
        {
            Ok(written) => {
                self.metrics.status_writes.inc();
                self.memory.wrote(seen, written);
                Ok(Published::Done)
            }
            // The object is gone.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Published::Done),
            Err(error) => Err(Box::new(error)),
        }
    }

    /// Counts a success, and says when to look again.
    pub(crate) fn succeeded(&self, object: &K, again: Duration) -> Action {
        self.memory.succeeded(object);
        self.metrics.reconciliations.inc();
        Action::requeue(jittered(again))
    }

    /// Counts a failure, and says when to try again.
    pub(crate) fn retry_later(
        &self,
        object: &K,
        reason: &'static str,
        error: &impl Display,
    ) -> Action {
        let label = ReasonLabel { reason };
        self.metrics.reconcile_errors.get_or_create(&label).inc();
        let wait = jittered(self.memory.failed(object));
        let kind = K::kind(&());
        let name = format!(
            "{}/{}",
            object.namespace().unwrap_or_default(),
            object.name_any()
        );
        tracing::warn!(%kind, object = name, %error, wait_ms = wait.as_millis(), "reconciliation failed");
        Action::requeue(wait)
    }
}

/// `duration`, give or take a fifth: what began together does not stay together.
pub(crate) fn jittered(duration: Duration) -> Duration {
    let spread = (random::random_u64() % 401) as f64 / 1000.0;
    duration.mul_f64(0.8 + spread)
}

/// Whole seconds: that is what a status in etcd carries.
pub(crate) fn now() -> Time {
    let seconds = i64::try_from(clock::now_ms() / 1000).ok();
    Time(
        seconds
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
            .unwrap_or_default(),
    )
}
