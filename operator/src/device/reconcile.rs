//! One object: observe, plan, act.

use crd::{Device, DeviceStatus};
use fleet_plan::device::{Action, Observed, Plan, Surroundings, claim, matters, plan};

use super::surroundings::surroundings;
use super::{Context, farewell, namespace};
use crate::controller::{ReconcileError, now};
use crate::state_tier::refusal;

/// What an object comes to.
pub(super) enum Outcome {
    /// This is to be in its status before anything is done.
    Claim(DeviceStatus),
    /// It has to be held, or to be held no longer, before anything is done.
    Hold,
    /// It refers to profiles, and it is not known yet which there are.
    NotListed,
    Settled(Plan),
}

/// Carries out what is to be done, and plans again with what stands then.
pub(super) async fn carry_out(
    device: &Device,
    context: &Context,
) -> Result<Outcome, ReconcileError> {
    let namespace = namespace(device)?;
    let state_tier = &context.shared.state_tier;
    let Some(around) = surroundings(device, context).await? else {
        return Ok(Outcome::NotListed);
    };
    let around = Surroundings {
        rivals: context.index.rivals(device, &context.shared.known),
        ..around
    };
    let endpoint = &device.spec.endpoint_name;
    let observed = state_tier.observe(&namespace, endpoint, matters(device, &around.profiles));
    let mut observed = Observed {
        ended: context.index.ended(namespace.as_str(), endpoint),
        ..observed.await?
    };
    let now = now();
    let first = plan(device, &around, &observed, &now);
    if farewell::holds_otherwise(device, &first.status) {
        return Ok(Outcome::Hold);
    }
    if let Some(status) = claim(device, &first) {
        return Ok(Outcome::Claim(status));
    }
    if first.actions.is_empty() {
        return Ok(Outcome::Settled(first));
    }
    for action in &first.actions {
        let acted = state_tier.act(&namespace, endpoint, action, &mut observed);
        if let Err(error) = acted.await {
            let refused = refusal("what the object asks for", &error);
            observed.refused = Some(refused.ok_or(error)?);
            break;
        }
        count(action, context);
    }
    let settled = plan(device, &around, &observed, &now);
    if settled.actions.is_empty() {
        Ok(Outcome::Settled(settled))
    } else {
        Err(ReconcileError::Unsettled)
    }
}

/// Counts what the state tier was asked for.
pub(super) fn count(action: &Action, context: &Context) {
    let shared = &context.shared;
    match action {
        Action::SetDesired { .. } => {
            shared.metrics.desired_sets.inc();
        }
        Action::SetLabels { .. } => shared.changed("label"),
        Action::PutObservation { .. } => shared.changed("observe"),
        Action::DeleteObservation { .. } => shared.changed("unobserve"),
        Action::AddCredential(_) => shared.changed("credential"),
        Action::DeleteCredential { .. } => shared.changed("uncredential"),
    }
}

#[cfg(test)]
mod tests;
