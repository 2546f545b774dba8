//! One image: count the rollouts that name it, and write the status if it changed.

use std::sync::Arc;

use crd::FirmwareImage;
use fleet_plan::image::status_change;
use futures::FutureExt;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use thiserror::Error;

use super::Context;
use crate::controller::{Published, now};
use crate::rollout::{is_at_end, names};

/// Why a reconciliation is to be tried again.
#[derive(Debug, Error)]
pub(super) enum ReconcileError {
    #[error("the status was not written: {0}")]
    Status(#[from] Box<kube::Error>),
}

pub(super) async fn reconcile(
    seen: Arc<FirmwareImage>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    if seen.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let shared = &context.shared;
    let image = shared.memory.freshest(Arc::clone(&seen));
    if let Some(status) = status_change(&image, references(&image, &context), &now()) {
        match shared.publish(&seen, &image, &status).await? {
            Published::Done => {}
            Published::Postponed(wait) => return Ok(Action::requeue(wait)),
        }
    }
    Ok(shared.succeeded(&image, shared.settings.resync))
}

pub(super) fn retry_later(
    image: Arc<FirmwareImage>,
    error: &ReconcileError,
    context: Arc<Context>,
) -> Action {
    context.shared.retry_later(&*image, "status_write", error)
}

/// The rollouts that are not at an end and name the image; `None` while they are not listed.
fn references(image: &FirmwareImage, context: &Context) -> Option<i32> {
    context.rollouts.wait_until_ready().now_or_never()?.ok()?;
    let (namespace, name) = (image.namespace(), image.name_any());
    let rollouts = context.rollouts.state();
    let counted = rollouts
        .iter()
        .filter(|one| one.namespace() == namespace && names(one, &name) && !is_at_end(one));
    i32::try_from(counted.count()).ok()
}
