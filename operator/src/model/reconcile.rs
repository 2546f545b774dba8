//! One definition: observe, plan, act.

use crd::ObjectModel;
use fleet_plan::model::{Observed, Plan, key, maker, plan};
use kube::ResourceExt;

use super::Context;
use crate::controller::sweep::uids;
use crate::controller::{ReconcileError, now};
use crate::state_tier::{CallError, refusal};

/// Carries out what is to be done, and plans again with what stands then.
pub(super) async fn carry_out(
    model: &ObjectModel,
    context: &Context,
) -> Result<Plan, ReconcileError> {
    let shared = &context.shared;
    let mut observed = observe(model, context).await?;
    let now = now();
    let first = plan(model, &observed, &now);
    let Some(put) = &first.put else {
        return Ok(first);
    };
    shared.changed("put");
    match shared.state_tier.put_model(put).await {
        Ok(()) => {
            tracing::info!(object = put.id, version = %put.version, "the definition was put");
            observed.stored = Some(put.clone());
        }
        Err(error) => match refusal("the definition", &error) {
            Some(refusal) => observed.refused = Some(refusal),
            None => return Err(error.into()),
        },
    }
    Ok(plan(model, &observed, &now))
}

async fn observe(model: &ObjectModel, context: &Context) -> Result<Observed, CallError> {
    // One that can have no definition has none.
    let Some((id, version)) = key(model) else {
        return Ok(Observed::default());
    };
    let shared = &context.shared;
    let versions = shared.state_tier.versions(id).await?;
    let stored = versions.into_iter().find(|one| one.version == version);
    let uids = uids(shared);
    let maker = stored.as_ref().and_then(maker);
    let is_other = |uid: &str| model.uid().as_deref() != Some(uid) && uids.contains(uid);
    Ok(Observed {
        is_of_another: maker.is_some_and(is_other),
        stored,
        refused: None,
    })
}

#[cfg(test)]
mod tests;
