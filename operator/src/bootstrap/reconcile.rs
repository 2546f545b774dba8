//! One bootstrap profile: observe, plan, act.

use crd::{BootstrapProfile, SecurityProfile};
use device_state::Namespace;
use fleet_plan::bootstrap::{Action, Observed, Plan, Surroundings, is_accepted, name, named, plan};
use kube::ResourceExt;

use super::Context;
use crate::controller::{ReconcileError, now};
use crate::state_tier::refusal;

/// Carries out what is to be done, and plans again with what stands then.
pub(super) async fn carry_out(
    profile: &BootstrapProfile,
    context: &Context,
) -> Result<Plan, ReconcileError> {
    let namespace = Namespace::new(&profile.namespace().unwrap_or_default())?;
    let security = security(profile, context).await?;
    let before = before(profile, context);
    let around = Surroundings {
        namespace: &namespace,
        security: &security,
        before: before.as_deref(),
    };
    let state_tier = &context.shared.state_tier;
    let own = name(&profile.metadata);
    let stored = state_tier.bootstrap_profiles(&namespace).await?;
    let mut observed = Observed {
        stored: stored.into_iter().find(|one| one.profile.name == own),
        refused: None,
    };
    let now = now();
    let first = plan(profile, &around, &observed, &now);
    let Some(action) = &first.action else {
        return Ok(first);
    };
    act(&namespace, action, &mut observed, context).await?;
    let settled = plan(profile, &around, &observed, &now);
    if settled.action.is_some() {
        return Err(ReconcileError::Unsettled);
    }
    Ok(settled)
}

/// Those that the object names and that are there.
async fn security(
    profile: &BootstrapProfile,
    context: &Context,
) -> Result<Vec<SecurityProfile>, ReconcileError> {
    let namespace = profile.namespace();
    let mut found = Vec::new();
    for name in named(profile) {
        found.extend(context.shared.read(namespace.as_deref(), name).await?);
    }
    Ok(found)
}

/// The first object of the namespace that counts before this one.
fn before(profile: &BootstrapProfile, context: &Context) -> Option<String> {
    let (namespace, own) = (profile.namespace(), profile.name_any());
    let others = context.shared.known.all();
    let others = others.iter().filter(|one| one.namespace() == namespace);
    let accepted = others
        .filter(|one| is_accepted(one))
        .map(|one| one.name_any());
    accepted.filter(|name| *name < own).min()
}

/// Carries an action out, and keeps what the state tier says to it.
async fn act(
    namespace: &Namespace,
    action: &Action,
    observed: &mut Observed,
    context: &Context,
) -> Result<(), ReconcileError> {
    let shared = &context.shared;
    let state_tier = &shared.state_tier;
    match action {
        Action::Put(wanted) => {
            shared.changed("put");
            match state_tier.put_bootstrap_profile(namespace, wanted).await {
                Ok(stored) => {
                    tracing::info!(%namespace, profile = wanted.profile.name, "the bootstrap profile was put");
                    observed.stored = Some(stored);
                }
                Err(error) => match refusal("the profile", &error) {
                    Some(refusal) => observed.refused = Some(refusal),
                    None => return Err(error.into()),
                },
            }
        }
        Action::Delete(stored) => {
            shared.changed("delete");
            state_tier
                .delete_bootstrap_profile(namespace, stored)
                .await?;
            observed.stored = None;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
