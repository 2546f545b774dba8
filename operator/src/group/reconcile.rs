//! One group: observe, plan, act, have its devices counted.

use crd::DeviceGroup;
use device_state::Namespace;
use fleet_plan::group::{Observed, Plan, name, plan};
use kube::ResourceExt;

use super::Context;
use crate::controller::{ReconcileError, now};
use crate::state_tier::{read_filter, refusal};

/// Carries out what is to be done, and plans again with what stands then.
pub(super) async fn carry_out(
    group: &DeviceGroup,
    context: &Context,
) -> Result<Plan, ReconcileError> {
    let namespace = Namespace::new(&group.namespace().unwrap_or_default())?;
    let shared = &context.shared;
    let mut observed = Observed::default();
    // One without a name for a group has none.
    if let Ok(name) = name(group) {
        observed.stored = shared.state_tier.group(&namespace, &name).await?;
    }
    let now = now();
    let mut planned = plan(group, &observed, read_filter, &now);
    if let Some(put) = &planned.put {
        shared.changed("put");
        match shared.state_tier.put_group(&namespace, put).await {
            Ok(stored) => {
                tracing::info!(%namespace, group = put.name, "the group was put");
                observed.stored = Some(stored);
            }
            Err(error) => match refusal("the group", &error) {
                Some(refusal) => observed.refused = Some(refusal),
                None => return Err(error.into()),
            },
        }
        planned = plan(group, &observed, read_filter, &now);
    }
    match (&observed.stored, planned.is_in_force) {
        (Some(stored), true) => {
            // Nobody closes it.
            let _turn = context.counting.acquire().await;
            let counts = shared.state_tier.count_group(&namespace, &stored.name);
            observed.counts = Some(counts.await?);
            Ok(plan(group, &observed, read_filter, &now))
        }
        // Somebody else puts another group under the name.
        (_, false) if planned.put.is_some() => Err(ReconcileError::Unsettled),
        _ => Ok(planned),
    }
}

#[cfg(test)]
mod tests;
