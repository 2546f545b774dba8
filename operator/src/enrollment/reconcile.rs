//! One policy: observe, plan, act.

use crd::{EnrollmentPolicy, SecurityProfile};
use device_state::Namespace;
use fleet_plan::enrollment::{Observed, Plan, Surroundings, name, plan};
use kube::ResourceExt;

use super::{Context, materialize};
use crate::controller::{ReconcileError, now};
use crate::state_tier::enrollment_refusal;

/// Carries out what is to be done, and plans again with what stands then.
pub(super) async fn carry_out(
    policy: &EnrollmentPolicy,
    context: &Context,
) -> Result<Plan, ReconcileError> {
    let namespace = Namespace::new(&policy.namespace().unwrap_or_default())?;
    let security = security(policy, context).await?;
    let around = Surroundings {
        namespace: &namespace,
        security: security.as_ref(),
    };
    let shared = &context.shared;
    let mut observed = Observed::default();
    // One without a name for a policy has none.
    if let Ok(name) = name(policy) {
        observed.stored = shared
            .state_tier
            .enrollment_policy(&namespace, &name)
            .await?;
    }
    let now = now();
    let first = plan(policy, &around, &observed, &now);
    let Some(put) = &first.put else {
        return with_objects(policy, first, &around, observed, context).await;
    };
    shared.changed("put");
    match shared
        .state_tier
        .put_enrollment_policy(&namespace, put)
        .await
    {
        Ok(stored) => {
            tracing::info!(%namespace, policy = put.policy.name, "the enrollment policy was put");
            observed.stored = Some(stored);
        }
        Err(error) => match enrollment_refusal(&error) {
            Some(refusal) => observed.refused = Some(refusal),
            None => return Err(error.into()),
        },
    }
    let settled = plan(policy, &around, &observed, &now);
    if settled.put.is_some() {
        // Somebody else puts another one under the name.
        return Err(ReconcileError::Unsettled);
    }
    with_objects(policy, settled, &around, observed, context).await
}

/// What is planned of a policy, once the objects are made that it makes if it is in force.
async fn with_objects(
    policy: &EnrollmentPolicy,
    planned: Plan,
    around: &Surroundings<'_>,
    observed: Observed,
    context: &Context,
) -> Result<Plan, ReconcileError> {
    if !planned.is_in_force {
        return Ok(planned);
    }
    let materialized = materialize::carry_out(policy, around.namespace, context).await?;
    if materialized.is_none() {
        return Ok(planned);
    }
    let observed = Observed {
        materialized,
        ..observed
    };
    Ok(plan(policy, around, &observed, &now()))
}

/// The one that the object names, if it is there.
async fn security(
    policy: &EnrollmentPolicy,
    context: &Context,
) -> Result<Option<SecurityProfile>, ReconcileError> {
    let namespace = policy.namespace();
    match &policy.spec.security_profile_ref {
        None => Ok(None),
        Some(reference) => {
            let name = &reference.name;
            Ok(context.shared.read(namespace.as_deref(), name).await?)
        }
    }
}

#[cfg(test)]
mod tests;
