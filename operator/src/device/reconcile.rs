//! One object: observe, plan, act.

use crd::Device;
use fleet_plan::device::{Observed, Plan, plan};

use super::Context;
use crate::controller::{ReconcileError, now};

/// Carries out what is to be done, and plans again with what stands then.
pub(super) async fn carry_out(device: &Device, context: &Context) -> Result<Plan, ReconcileError> {
    let rivals = context.index.rivals(device, &context.shared.known);
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
