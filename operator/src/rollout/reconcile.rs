//! One rollout: observe, plan, act.

use crd::{DeviceGroup, FirmwareImage, FirmwareRollout, FirmwareRolloutStatus};
use device_state::Namespace;
use device_state::campaign::CampaignState;
use fleet_plan::rollout::{
    Action as Act, Observed, Plan, Seen, Surroundings, campaign_name, owner, plan, way_back_name,
};
use futures::FutureExt;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::Context;
use crate::controller::{ReconcileError, Settled, now};
use crate::metrics::CallLabel;
use crate::state_tier::{read_filter, refusal};

pub(super) async fn settle(
    rollout: &FirmwareRollout,
    context: &Context,
) -> Result<Settled<FirmwareRolloutStatus>, ReconcileError> {
    if !is_listed(context) {
        // Whether an image is missing or yanked cannot be told yet. A campaign goes on meanwhile.
        return Ok(Settled::NotYet(context.shared.settings.poll));
    }
    let plan = carry_out(rollout, context).await?;
    Ok(Settled::Decided {
        status: plan.status_change(rollout).cloned(),
        again: context.shared.settings.until_next(plan.pace),
    })
}

fn is_listed(context: &Context) -> bool {
    let listed = context.images.wait_until_ready().now_or_never();
    listed.is_some_and(|listed| listed.is_ok())
}

/// Carries out what is to be done, and plans again with what stands then.
async fn carry_out(rollout: &FirmwareRollout, context: &Context) -> Result<Plan, ReconcileError> {
    let namespace = Namespace::new(&rollout.namespace().unwrap_or_default())?;
    let image = |name: &str| {
        let reference = ObjectRef::<FirmwareImage>::new(name).within(namespace.as_str());
        context.images.get(&reference)
    };
    let spec = &rollout.spec;
    let rollback = spec.rollback.as_ref();
    let rollback = rollback.and_then(|rollback| image(&rollback.image_ref.name));
    let image = image(&spec.image_ref.name);
    let mut observed = observe(rollout, &namespace, context).await?;
    let group = match observed.campaign {
        // What the group says counts when the campaign is made.
        Some(_) => None,
        None => group(rollout, context).await?,
    };
    let around = Surroundings {
        namespace: &namespace,
        owner: &owner(&rollout.uid().unwrap_or_default()),
        image: image.as_deref(),
        rollback_image: rollback.as_deref(),
        group: group.as_ref(),
        read_filter,
    };
    let now = now();
    let first = plan(rollout, &around, &observed, &now);
    if first.actions.is_empty() {
        return Ok(first);
    }
    for action in &first.actions {
        act(rollout, &namespace, action, &mut observed, context).await?;
    }
    Ok(plan(rollout, &around, &observed, &now))
}

async fn group(
    rollout: &FirmwareRollout,
    context: &Context,
) -> Result<Option<DeviceGroup>, ReconcileError> {
    let Some(reference) = &rollout.spec.group_ref else {
        return Ok(None);
    };
    let namespace = rollout.namespace();
    context
        .shared
        .read(namespace.as_deref(), &reference.name)
        .await
}

async fn observe(
    rollout: &FirmwareRollout,
    namespace: &Namespace,
    context: &Context,
) -> Result<Observed, ReconcileError> {
    // One without a name for a campaign has none.
    let Ok(name) = campaign_name(rollout) else {
        return Ok(Observed::default());
    };
    let state_tier = &context.shared.state_tier;
    let campaign = state_tier.campaign(namespace, &name).await?;
    let is_aborted = |seen: &Seen| seen.campaign.course.state == CampaignState::Aborted;
    let way_back = if campaign.as_ref().is_some_and(is_aborted) && rollout.spec.rollback.is_some() {
        state_tier
            .campaign(namespace, &way_back_name(&name))
            .await?
    } else {
        None
    };
    Ok(Observed {
        campaign,
        way_back,
        refused: None,
    })
}

/// Carries an action out, and keeps what the state tier says to it.
async fn act(
    rollout: &FirmwareRollout,
    namespace: &Namespace,
    action: &Act,
    observed: &mut Observed,
    context: &Context,
) -> Result<(), ReconcileError> {
    let name = match (action, &observed.campaign) {
        (Act::Create(campaign), _) => campaign.name.clone(),
        (_, Some(seen)) => seen.campaign.name.clone(),
        (_, None) => return Ok(()),
    };
    let call = word(action);
    let label = CallLabel { call };
    context
        .shared
        .metrics
        .campaign_calls
        .get_or_create(&label)
        .inc();
    let object = format!("{namespace}/{}", rollout.name_any());
    match context
        .shared
        .state_tier
        .steer((namespace, &name), action)
        .await
    {
        Ok(seen) => {
            tracing::info!(object, campaign = name, call, "the campaign was told");
            observed.campaign = Some(seen);
        }
        // Of this object, when an answer was lost; or of somebody who was faster.
        Err(error) if error.is_there_already() => {
            *observed = observe(rollout, namespace, context).await?;
        }
        Err(error) => match (action, refusal("the campaign", &error)) {
            (Act::Create(_), Some(refusal)) => observed.refused = Some(refusal),
            _ => return Err(error.into()),
        },
    }
    Ok(())
}

const fn word(action: &Act) -> &'static str {
    match action {
        Act::Create(_) => "create",
        Act::Pause => "pause",
        Act::Resume => "resume",
        Act::Approve(_) => "approve",
        Act::Abort => "abort",
    }
}

#[cfg(test)]
mod tests;
