//! One profile: observe, plan, act.

use crd::{DeviceProfile, Reason};
use device_state::Namespace;
use fleet_plan::Refusal;
use fleet_plan::profile::{Observed, Plan, Profile, group, name, plan};
use fleet_plan::secrets::of_profile;
use kube::ResourceExt;

use super::Context;
use crate::controller::{ReconcileError, now};
use crate::secrets;
use crate::state_tier::{CallError, read_filter, refusal};

/// Carries out what is to be done, and plans again with what stands then.
pub(super) async fn carry_out(
    profile: &DeviceProfile,
    context: &Context,
) -> Result<Plan, ReconcileError> {
    let namespace = Namespace::new(&profile.namespace().unwrap_or_default())?;
    let state_tier = &context.shared.state_tier;
    let mut observed = Observed::default();
    // One without a name for a profile has none.
    if let Ok(name) = name(profile) {
        observed.stored = state_tier.profile(&namespace, &name).await?;
    }
    if let Some(group) = group(profile) {
        observed.has_group = state_tier.group(&namespace, group).await?.is_some();
    }
    let names = of_profile(profile);
    observed.secrets = secrets::read(&context.shared, namespace.as_str(), names).await?;
    let now = now();
    let mut planned = plan(profile, &observed, read_filter, &now);
    if let Some(wanted) = &planned.put {
        put(&namespace, wanted, &mut observed, context).await?;
        planned = plan(profile, &observed, read_filter, &now);
    }
    if let Some(unwanted) = &planned.delete {
        let shared = &context.shared;
        state_tier.delete_profile(&namespace, unwanted).await?;
        shared.changed("delete");
        tracing::info!(%namespace, profile = unwanted.name, "the object selects nobody: its profile was deleted");
        observed.stored = None;
        planned = plan(profile, &observed, read_filter, &now);
    }
    if let (Some(stored), true) = (&observed.stored, planned.wants_rejected) {
        observed.rejected = state_tier.rejected(&namespace, &stored.name).await?;
        planned = plan(profile, &observed, read_filter, &now);
    }
    if planned.put.is_some() {
        return Err(ReconcileError::Unsettled);
    }
    Ok(planned)
}

/// Puts the profile, and keeps what the state tier says to it.
async fn put(
    namespace: &Namespace,
    wanted: &Profile,
    observed: &mut Observed,
    context: &Context,
) -> Result<(), ReconcileError> {
    let shared = &context.shared;
    shared.changed("put");
    match shared.state_tier.put_profile(namespace, wanted).await {
        Ok(stored) => {
            tracing::info!(%namespace, profile = wanted.name, "the profile was put");
            observed.stored = Some(stored);
            observed.was_put = true;
        }
        Err(error) => match refusal("the profile", &error).or_else(|| without_group(&error)) {
            Some(refusal) => observed.refused = Some(refusal),
            None => return Err(error.into()),
        },
    }
    Ok(())
}

/// The group went between looking and sending.
fn without_group(error: &CallError) -> Option<Refusal> {
    error.is_unknown().then(|| Refusal {
        reason: Reason::GroupNotFound,
        message: format!("spec.groupRef: {error}"),
    })
}

#[cfg(test)]
mod tests;
