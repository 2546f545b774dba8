//! The controller of `FirmwareRollout`.
//!
//! ```text
//! API server ─ watch ─▶ reconcile ─ GetCampaign ──────────────▶ state tier
//!                        ▲    │  plan (fleet-plan)
//!      while it runs ────┘    ├─ CreateCampaign once, then PauseCampaign, ApproveCampaign, AbortCampaign
//!                             └─ status, when it differs (server-side apply)
//! ```
//!
//! Campaigns run in the state tier, with the operator down, too. There is no finalizer, so that no deletion ever waits
//! for this operator: [`sweep`] aborts campaigns whose objects are gone, and deletes them once they have ended. It knows
//! them by their owner, so that campaigns that were made through the API are left alone.

#[cfg(test)]
mod fake;
mod reconcile;
#[cfg(test)]
mod rig;
mod sweep;

use std::sync::Arc;

use crd::{ConditionType, FirmwareImage, FirmwareRollout};
use futures::StreamExt;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::controller::Controller;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use node_runtime::{Condition, Drain};

use crate::controller::{Known, Shared, Triggers, changes, triggered};
use sweep::Departures;

/// Who writes the status, for server-side apply.
pub(crate) const FIELD_MANAGER: &str = "drover-operator/firmwarerollout";

/// What every reconciliation needs.
pub(crate) struct Context {
    shared: Shared<FirmwareRollout>,
    images: Store<FirmwareImage>,
    rollouts: Store<FirmwareRollout>,
    known: Known<FirmwareRollout>,
    image_triggers: Arc<Triggers<FirmwareImage>>,
    departures: Departures,
    /// The only one whose objects are seen.
    namespace: Option<String>,
}

impl Context {
    pub(crate) fn new(
        shared: Shared<FirmwareRollout>,
        (images, rollouts): (Store<FirmwareImage>, Store<FirmwareRollout>),
        image_triggers: Arc<Triggers<FirmwareImage>>,
        namespace: Option<String>,
    ) -> Self {
        Self {
            shared,
            images,
            rollouts,
            known: Known::default(),
            image_triggers,
            departures: Departures::default(),
            namespace,
        }
    }

    /// Takes in what the API server says and returns the object, if it is to be reconciled.
    fn take_in(&self, event: &Event<FirmwareRollout>) -> Option<FirmwareRollout> {
        let taken = self.known.take_in(event);
        self.shared.metrics.rollouts.set(taken.count);
        for rollout in &taken.gone {
            self.shared.memory.forget(rollout);
            self.departures.add(rollout.namespace());
            self.concern(rollout);
        }
        if matches!(event, Event::InitDone) {
            // Only now the store has them.
            let images = self.images.state();
            let all = images.iter().map(|one| ObjectRef::from_obj(&**one));
            self.image_triggers.add(all);
        }
        if let Some((rollout, before)) = &taken.applied {
            let same = |before: &Arc<FirmwareRollout>| is_at_end(before) == is_at_end(rollout);
            if !before.as_ref().is_some_and(same) {
                self.concern(rollout);
            }
        }
        taken.changed().cloned()
    }

    /// The images that the rollout names are to be counted anew.
    fn concern(&self, rollout: &FirmwareRollout) {
        let namespace = rollout.namespace().unwrap_or_default();
        let named = named(rollout).into_iter();
        let images = named.map(|name| ObjectRef::new(name).within(&namespace));
        self.image_triggers.add(images);
    }
}

/// The images that a rollout names.
fn named(rollout: &FirmwareRollout) -> Vec<&str> {
    let rollback = rollout.spec.rollback.as_ref();
    let references = [
        Some(&rollout.spec.image_ref),
        rollback.map(|one| &one.image_ref),
    ];
    let names = references.into_iter().flatten();
    names.map(|reference| reference.name.as_str()).collect()
}

/// Whether a rollout names an image.
pub(crate) fn names(rollout: &FirmwareRollout, image: &str) -> bool {
    named(rollout).contains(&image)
}

/// Whether nothing more comes of a rollout, by its status.
pub(crate) fn is_at_end(rollout: &FirmwareRollout) -> bool {
    let status = rollout.status.as_ref();
    let conditions = status.map(|status| status.conditions.as_slice());
    let succeeded = ConditionType::Succeeded.as_str();
    let mut conditions = conditions.unwrap_or_default().iter();
    conditions.any(|one| one.type_ == succeeded && one.status != "Unknown")
}

/// Runs until the drain.
pub(crate) async fn run(
    context: Arc<Context>,
    (rollouts, writer): (Api<FirmwareRollout>, Writer<FirmwareRollout>),
    watching: Condition,
    drain: Drain,
) {
    watching.fail("listing the rollouts");
    let taking = Arc::clone(&context);
    let metrics = context.shared.metrics.clone();
    let take_in = move |event: &Event<FirmwareRollout>| taking.take_in(event);
    let changes = changes(rollouts, watching, metrics, writer, take_in);
    let controller = Controller::for_stream(changes, context.rollouts.clone())
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
        () = sweep::run(&context) => {}
    }
}
