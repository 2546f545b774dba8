//! One object: observe, plan, act, and write the status if it changed.

use std::sync::Arc;
use std::time::Instant;

use crd::{Device, DeviceStatus};
use fleet_plan::device::{Observed, Plan, plan};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};
use node_runtime::clock;
use serde_json::json;
use thiserror::Error;

use super::{Context, jittered};
use crate::metrics::ReasonLabel;
use crate::state_tier::CallError;

/// Who writes the status, for server-side apply.
const FIELD_MANAGER: &str = "drover-operator/device";

/// Why a reconciliation is to be tried again.
#[derive(Debug, Error)]
pub(super) enum ReconcileError {
    #[error(transparent)]
    StateTier(#[from] CallError),
    #[error("the status was not written: {0}")]
    Status(#[source] Box<kube::Error>),
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
    let device = context.memory.freshest(Arc::clone(&seen));
    let plan = settle(&device, &context).await?;
    if let Some(status) = plan.status_change(&device) {
        if let Err(wait) = context.memory.take_budget(&device, Instant::now()) {
            context.metrics.status_writes_postponed.inc();
            return Ok(Action::requeue(wait));
        }
        write_status(&seen, &device, status, &context).await?;
    }
    context.memory.succeeded(&device);
    context.metrics.reconciliations.inc();
    Ok(Action::requeue(jittered(context.settings.resync)))
}

pub(super) fn retry_later(
    device: Arc<Device>,
    error: &ReconcileError,
    context: Arc<Context>,
) -> Action {
    let reason = error.reason();
    context
        .metrics
        .reconcile_errors
        .get_or_create(&ReasonLabel { reason })
        .inc();
    let wait = jittered(context.memory.failed(&device));
    let object = format!(
        "{}/{}",
        device.namespace().unwrap_or_default(),
        device.name_any()
    );
    tracing::warn!(object, %error, wait_ms = wait.as_millis(), "reconciliation failed");
    Action::requeue(wait)
}

/// Carries out what is to be done, and plans again with what stands then.
async fn settle(device: &Device, context: &Context) -> Result<Plan, ReconcileError> {
    let rivals = context.index.rivals(device);
    let endpoint = &device.spec.endpoint_name;
    let mut observed = Observed {
        ended: context.index.ended(endpoint),
        ..context.state_tier.observe(endpoint).await?
    };
    let now = now();
    let first = plan(device, &rivals, &observed, &now);
    if first.actions.is_empty() {
        return Ok(first);
    }
    for action in &first.actions {
        let stands = context.state_tier.act(action).await?;
        context.metrics.desired_sets.inc();
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

async fn write_status(
    seen: &Device,
    device: &Device,
    status: &DeviceStatus,
    context: &Context,
) -> Result<(), ReconcileError> {
    let namespace = device.namespace().unwrap_or_default();
    let name = device.name_any();
    let api: Api<Device> = Api::namespaced(context.client.clone(), &namespace);
    // The uid keeps this from an object of the same name that was made meanwhile.
    let patch = json!({
        "apiVersion": Device::api_version(&()),
        "kind": Device::kind(&()),
        "metadata": {"name": name, "namespace": namespace, "uid": device.uid()},
        "status": status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    match api
        .patch_status(&name, &params, &Patch::Apply(&patch))
        .await
    {
        Ok(written) => {
            context.metrics.status_writes.inc();
            context.memory.wrote(seen, written);
            Ok(())
        }
        // The object is gone.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(ReconcileError::Status(Box::new(error))),
    }
}

/// Whole seconds: that is what a status in etcd carries.
fn now() -> Time {
    let seconds = i64::try_from(clock::now_ms() / 1000).ok();
    Time(
        seconds
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
            .unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests;
