//! The controller of `FirmwareImage`.
//!
//! Nothing here has the bytes of an image: the status says whether rollouts can bring it to devices, and how many that
//! are not at an end name it.

mod reconcile;

use std::sync::Arc;

use crd::{FirmwareImage, FirmwareRollout};
use futures::StreamExt;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::controller::Controller;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use node_runtime::{Condition, Drain};

use crate::controller::{Known, Shared, Triggers, changes, triggered};
use crate::rollout::names;

/// Who writes the status, for server-side apply.
pub(crate) const FIELD_MANAGER: &str = "drover-operator/firmwareimage";

/// What every reconciliation needs.
pub(crate) struct Context {
    shared: Shared<FirmwareImage>,
    images: Store<FirmwareImage>,
    rollouts: Store<FirmwareRollout>,
    known: Known<FirmwareImage>,
    rollout_triggers: Arc<Triggers<FirmwareRollout>>,
}

impl Context {
    pub(crate) fn new(
        shared: Shared<FirmwareImage>,
        (images, rollouts): (Store<FirmwareImage>, Store<FirmwareRollout>),
        rollout_triggers: Arc<Triggers<FirmwareRollout>>,
    ) -> Self {
        Self {
            shared,
            images,
            rollouts,
            known: Known::default(),
            rollout_triggers,
        }
    }

    /// Takes in what the API server says and returns the object, if it is to be reconciled.
    fn take_in(&self, event: &Event<FirmwareImage>) -> Option<FirmwareImage> {
        let taken = self.known.take_in(event);
        self.shared.metrics.images.set(taken.count);
        for image in &taken.gone {
            self.shared.memory.forget(image);
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
}

/// Runs until the drain.
pub(crate) async fn run(
    context: Arc<Context>,
    (images, writer): (Api<FirmwareImage>, Writer<FirmwareImage>),
    watching: Condition,
    drain: Drain,
) {
    watching.fail("listing the images");
    let taking = Arc::clone(&context);
    let metrics = context.shared.metrics.clone();
    let take_in = move |event: &Event<FirmwareImage>| taking.take_in(event);
    let changes = changes(images, watching, metrics, writer, take_in);
    Controller::for_stream(changes, context.images.clone())
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
        })
        .await;
}
