//! What the controllers of all kinds have.

mod changes;
mod known;
mod memory;
mod references;
#[cfg(test)]
pub(crate) mod rig;
mod run;
pub(crate) mod sweep;
mod triggers;

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crd::Conditioned;
use fleet_plan::Pace;
use fleet_plan::announcement::announcements;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::core::object::HasStatus;
use kube::runtime::controller::{Action, Config as ControllerConfig};
use kube::{Client, ResourceExt};
use node_runtime::{clock, random};
use serde::Serialize;
use serde_json::json;

use crate::announcer::Announcer;
use crate::brake::Brake;
use crate::config::Config;
use crate::kubernetes::{Kind, objects, plural};
use crate::metrics::{ChangeLabel, Metrics, ReasonLabel};
use crate::state_tier::StateTier;

pub(crate) use known::{Known, TakenIn};
pub(crate) use memory::Memory;
pub(crate) use references::{Named, References};
pub(crate) use run::{Control, ReconcileError, Settled, run};
#[cfg(test)]
pub(crate) use run::{reconcile, retry_later, take_in};
pub(crate) use triggers::Triggers;

/// What of the configuration controllers need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) concurrency: u16,
    pub(crate) debounce: Duration,
    pub(crate) resync: Duration,
    /// While something goes on by itself.
    pub(crate) poll: Duration,
    /// While something has to happen that nobody tells.
    pub(crate) wait: Duration,
    /// Between two counts of devices, and two looks at a device of which nothing is told.
    pub(crate) recount: Duration,
}

/// How much longer than while something goes on.
const WAITING: u32 = 6;
/// How much longer than changes of an object are collected.
const TRIGGERING: u32 = 4;

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds.max(1)));
        let (resync, poll) = (
            seconds(config.resync_seconds),
            seconds(config.rollout_poll_seconds),
        );
        Self {
            concurrency: config.concurrency.max(1),
            debounce: Duration::from_millis(u64::from(config.debounce_ms)),
            resync,
            poll,
            wait: poll.saturating_mul(WAITING).min(resync),
            recount: seconds(config.recount_seconds).min(resync),
        }
    }
}

impl Settings {
    /// How long until an object is looked at again.
    pub(crate) const fn until_next(self, pace: Pace) -> Duration {
        match pace {
            Pace::Running => self.poll,
            Pace::Waiting => self.wait,
            Pace::Counting => self.recount,
            Pace::Resting => self.resync,
        }
    }

    /// How long an object is at least not triggered again.
    fn trigger_pause(self) -> Duration {
        self.debounce.saturating_mul(TRIGGERING)
    }

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
    pub(crate) announcer: Announcer,
    pub(crate) brake: Brake,
    pub(crate) memory: Memory<K>,
    pub(crate) triggers: Arc<Triggers<K>>,
    pub(crate) known: Known<K>,
    pub(crate) departures: sweep::Departures,
    /// The only one whose objects are seen.
    pub(crate) namespace: Option<String>,
    /// Who writes the status, for server-side apply: one for each kind.
    field_manager: String,
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
        announcer: Announcer,
        brake: Brake,
    ) -> Self {
        Self {
            client,
            state_tier,
            metrics,
            settings,
            announcer,
            brake,
            memory: Memory::default(),
            triggers: Arc::default(),
            known: Known::default(),
            departures: sweep::Departures::default(),
            namespace: None,
            field_manager: format!("drover-operator/{}", K::kind(&()).to_lowercase()),
        }
    }

    /// Counts something that the state tier was asked for.
    pub(crate) fn changed(&self, call: &'static str) {
        let kind = plural::<K>();
        let label = ChangeLabel { kind, call };
        self.metrics.changes.get_or_create(&label).inc();
    }

    /// Who writes what this controller writes.
    pub(crate) fn field_manager(&self) -> &str {
        &self.field_manager
    }

    /// Has all objects of a namespace looked at.
    pub(crate) fn trigger_in(&self, namespace: &str) {
        let names = self.known.names().into_iter();
        let here = names.filter(|name| name.namespace.as_deref().unwrap_or_default() == namespace);
        self.triggers.add(here);
    }

    /// An object of another kind, if there is one.
    pub(crate) async fn read<O: Kind>(
        &self,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<O>, ReconcileError> {
        let api = objects::<O>(self.client.clone(), namespace);
        let found = api.get_opt(name).await;
        found.map_err(|error| ReconcileError::Read {
            kind: O::kind(&()).into_owned(),
            name: name.to_owned(),
            source: Box::new(error),
        })
    }

    /// Writes the status of `object`, which is `seen` as it was after the last write, and tells what is another one in it.
    /// With `is_record` nothing is written over an object that has changed since.
    pub(crate) async fn publish<S>(
        &self,
        seen: &K,
        object: &K,
        status: &S,
        is_record: bool,
    ) -> Result<Published, Box<kube::Error>>
    where
        K: HasStatus<Status = S>,
        S: Conditioned + Serialize,
    {
        if let Err(wait) = self.memory.take_budget(object, Instant::now()) {
            self.metrics.status_writes_postponed.inc();
            return Ok(Published::Postponed(wait));
        }
        let name = object.name_any();
        let api = objects::<K>(self.client.clone(), object.namespace().as_deref());
        // The uid keeps this from an object of the same name that was made meanwhile.
        let mut metadata = json!({"name": name, "uid": object.uid()});
        if let Some(namespace) = object.namespace() {
            metadata["namespace"] = namespace.into();
        }
        if is_record && let Some(version) = object.resource_version() {
            metadata["resourceVersion"] = version.into();
        }
        let patch = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": metadata,
            "status": status,
        });
        let params = PatchParams::apply(&self.field_manager).force();
        match api
            .patch_status(&name, &params, &Patch::Apply(&patch))
            .await
        {
            Ok(written) => {
                self.metrics.status_writes.inc();
                let before = object.status().map(Conditioned::conditions);
                let told = announcements(before.unwrap_or_default(), status.conditions());
                self.announcer.tell(object, told);
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

/// As much of `duration` as is not more than that, [`jittered`] or not.
pub(crate) fn in_time(duration: Duration) -> Duration {
    duration.div_f64(1.2)
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
