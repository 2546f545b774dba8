//! The controller of `FirmwareRollout`.
//!
//! ```text
//! API server ─ watch ─▶ settle ─ GetCampaign ─────────────────▶ state tier
//!                        ▲    │  plan (fleet-plan)
//!      while it runs ────┘    ├─ CreateCampaign once, then PauseCampaign, ApproveCampaign, AbortCampaign
//!                             └─ status, when it differs (server-side apply)
//! ```
//!
//! Campaigns run in the state tier, with the operator down, too. [`sweep`] aborts campaigns whose objects are gone, and
//! deletes them once they have ended. It knows them by their owner, so that campaigns that were made through the API are
//! left alone.

#[cfg(test)]
mod fake;
mod reconcile;
#[cfg(test)]
mod rig;
mod sweep;

use std::sync::Arc;

use crd::{ConditionType, FirmwareImage, FirmwareRollout, FirmwareRolloutStatus};
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use prometheus_client::metrics::gauge::Gauge;

use crate::controller::{Control, ReconcileError, Settled, Shared, TakenIn, Triggers};
use crate::metrics::Metrics;

/// What every reconciliation needs.
pub(crate) struct Context {
    shared: Shared<FirmwareRollout>,
    images: Store<FirmwareImage>,
    image_triggers: Arc<Triggers<FirmwareImage>>,
}

impl Context {
    pub(crate) fn new(
        shared: Shared<FirmwareRollout>,
        images: Store<FirmwareImage>,
        image_triggers: Arc<Triggers<FirmwareImage>>,
    ) -> Self {
        Self {
            shared,
            images,
            image_triggers,
        }
    }

    /// The images that the rollout names are to be counted anew.
    fn concern(&self, rollout: &FirmwareRollout) {
        let namespace = rollout.namespace().unwrap_or_default();
        let named = named(rollout).into_iter();
        let images = named.map(|name| ObjectRef::new(name).within(&namespace));
        self.image_triggers.add(images);
    }
}

impl Control for Context {
    type Kind = FirmwareRollout;
    type Status = FirmwareRolloutStatus;

    fn shared(&self) -> &Shared<FirmwareRollout> {
        &self.shared
    }

    fn gauge(metrics: &Metrics) -> &Gauge {
        &metrics.rollouts
    }

    fn take_in(
        &self,
        event: &Event<FirmwareRollout>,
        taken: &TakenIn<FirmwareRollout>,
    ) -> Option<FirmwareRollout> {
        for rollout in &taken.gone {
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

    async fn settle(
        &self,
        rollout: &FirmwareRollout,
    ) -> Result<Settled<FirmwareRolloutStatus>, ReconcileError> {
        reconcile::settle(rollout, self).await
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
