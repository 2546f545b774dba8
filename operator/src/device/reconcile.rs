//! One object: observe, plan, act, and write the status if it changed.

use std::sync::Arc;

use crd::Device;
use fleet_plan::device::{Observed, Plan, plan};
use kube::runtime::controller::Action;
use thiserror::Error;

use super::Context;
use crate::controller::{Published, now};
use crate::state_tier::CallError;

/// Why a reconciliation is to be tried again.
#[derive(Debug, Error)]
pub(super) enum ReconcileError {
    #[error(transparent)]
    StateTier(#[from] CallError),
    #[error("the status was not written: {0}")]
    Status(#[from] Box<kube::Error>),
    #[error("the state tier holds something else than what it was just given")]
    Unsettled,
}

impl ReconcileError {
    const fn reason(&self) -> &'static str {
        match self {
            Self::StateTier(error) => error.reason(),
            Self::Status(_) => "status_write",
            Self::Unsettled => "unsettled",
        }
    }
}

pub(super) async fn reconcile(
    seen: Arc<Device>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    if seen.metadata.deletion_timestamp.is_some() {
        // Somebody's finalizer holds it; what was asked for is withdrawn once it is gone.
        return Ok(Action::await_change());
    }
    let device = context.shared.memory.freshest(Arc::clone(&seen));
    let plan = settle(&device, &context).await?;
    if let Some(status) = plan.status_change(&device) {
        match context.shared.publish(&seen, &device, status).await? {
            Published::Done => {}
            Published::Postponed(wait) => return Ok(Action::requeue(wait)),
        }
    }
    let resync = context.shared.settings.resync;
    Ok(context.shared.succeeded(&device, resync))
}

pub(super) fn retry_later(
    device: Arc<Device>,
    error: &ReconcileError,
    context: Arc<Context>,
) -> Action {
    context.shared.retry_later(&*device, error.reason(), error)
}

/// Carries out what is to be done, and plans again with what stands then.
async fn settle(device: &Device, context: &Context) -> Result<Plan, ReconcileError> {
    let rivals = context.index.rivals(device);
    let endpoint = &device.spec.endpoint_name;
    let mut observed = Observed {
        ended: context.index.ended(endpoint),
        ..context.shared.state_tier.observe(endpoint).await?
    };
    let now = now();
    let first = plan(device, &rivals, &observed, &now);
    if first.actions.is_empty() {
        return Ok(first);
    }
    for action in &first.actions {
        let stands = context.shared.state_tier.act(action).await?;
        context.shared.metrics.desired_sets.inc();
        observed.desired_generation = stands.generation;
        observed.desired = stands.resources;
    }
    let settled = plan(device, &rivals, &observed, &now);
    if settled.actions.is_empty() {
        Ok(settled)
    } else {
        Err(ReconcileError::Unsettled)
    }
}

#[cfg(test)]
mod tests;
