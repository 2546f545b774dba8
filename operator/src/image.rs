//! The controller of `FirmwareImage`.
//!
//! Nothing here has the bytes of an image: the status says whether rollouts can bring it to devices, and how many that
//! are not at an end name it.

use std::sync::Arc;

use crd::{FirmwareImage, FirmwareImageStatus, FirmwareRollout};
use fleet_plan::image::status_change;
use futures::FutureExt;
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use prometheus_client::metrics::gauge::Gauge;

use crate::controller::{Control, ReconcileError, Settled, Shared, TakenIn, Triggers, now};
use crate::metrics::Metrics;
use crate::rollout::{is_at_end, names};

/// What every reconciliation needs.
pub(crate) struct Context {
    shared: Shared<FirmwareImage>,
    rollouts: Store<FirmwareRollout>,
    rollout_triggers: Arc<Triggers<FirmwareRollout>>,
}

impl Context {
    pub(crate) fn new(
        shared: Shared<FirmwareImage>,
        rollouts: Store<FirmwareRollout>,
        rollout_triggers: Arc<Triggers<FirmwareRollout>>,
    ) -> Self {
        Self {
            shared,
            rollouts,
            rollout_triggers,
        }
    }

    /// Rollouts that name the image are to be looked at.
    fn concern(&self, image: &FirmwareImage) {
        let (namespace, name) = (image.namespace(), image.name_any());
        let rollouts = self.rollouts.state();
        let concerned = rollouts
            .iter()
            .filter(|one| one.namespace() == namespace && names(one, &name));
        self.rollout_triggers
            .add(concerned.map(|one| ObjectRef::from_obj(&**one)));
    }

    /// The rollouts that are not at an end and name the image; `None` while they are not listed.
    fn references(&self, image: &FirmwareImage) -> Option<i32> {
        self.rollouts.wait_until_ready().now_or_never()?.ok()?;
        let (namespace, name) = (image.namespace(), image.name_any());
        let rollouts = self.rollouts.state();
        let counted = rollouts
            .iter()
            .filter(|one| one.namespace() == namespace && names(one, &name) && !is_at_end(one));
        i32::try_from(counted.count()).ok()
    }
}

impl Control for Context {
    type Kind = FirmwareImage;
    type Status = FirmwareImageStatus;

    fn shared(&self) -> &Shared<FirmwareImage> {
        &self.shared
    }

    fn gauge(metrics: &Metrics) -> &Gauge {
        &metrics.images
    }

    fn take_in(
        &self,
        event: &Event<FirmwareImage>,
        taken: &TakenIn<FirmwareImage>,
    ) -> Option<FirmwareImage> {
        for image in &taken.gone {
            self.concern(image);
        }
        if matches!(event, Event::InitDone) {
            // Only now the store has them.
            let rollouts = self.rollouts.state();
            let all = rollouts.iter().map(|one| ObjectRef::from_obj(&**one));
            self.rollout_triggers.add(all);
        }
        let changed = taken.changed()?;
        self.concern(changed);
        Some(changed.clone())
    }

    /// Counts the rollouts that name it.
    async fn settle(
        &self,
        image: &FirmwareImage,
    ) -> Result<Settled<FirmwareImageStatus>, ReconcileError> {
        Ok(Settled::Decided {
            status: status_change(image, self.references(image), &now()),
            again: self.shared.settings.resync,
        })
    }
}
