//! One rollout: observe, plan, act, and write the status if it changed.

use std::sync::Arc;
use std::time::Duration;

use crd::{DeviceGroup, FirmwareImage, FirmwareRollout, Reason};
use device_state::campaign::CampaignState;
use device_state::selection::DeviceFilter;
use device_state::{Namespace, NamespaceError};
use fleet_plan::rollout::{
    Action as Act, Observed, Pace, Plan, Refusal, Seen, Surroundings, campaign_name, owner, plan,
    way_back_name,
};
use futures::FutureExt;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use thiserror::Error;
use tonic::Code;

use super::Context;
use crate::controller::{Published, jittered, now};
use crate::metrics::CallLabel;
use crate::state_tier::CallError;

/// How much longer than while a campaign runs.
const WAITING: u32 = 6;

/// Why a reconciliation is to be tried again.
#[derive(Debug, Error)]
pub(super) enum ReconcileError {
    #[error(transparent)]
    StateTier(#[from] CallError),
    #[error("the status was not written: {0}")]
    Status(#[from] Box<kube::Error>),
    #[error("the group cannot be read: {0}")]
    Group(#[source] Box<kube::Error>),
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
}

impl ReconcileError {
    const fn reason(&self) -> &'static str {
        match self {
            Self::StateTier(error) => error.reason(),
            Self::Status(_) => "status_write",
            Self::Group(_) => "group_read",
            Self::Namespace(_) => "namespace",
        }
    }
}

pub(super) async fn reconcile(
    seen: Arc<FirmwareRollout>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    if seen.metadata.deletion_timestamp.is_some() {
        // Somebody's finalizer holds it; the campaign ends once it is gone.
        return Ok(Action::await_change());
    }
    let shared = &context.shared;
    if !is_listed(&context) {
        // Whether an image is missing or yanked cannot be told yet. A campaign goes on meanwhile.
        return Ok(Action::requeue(jittered(shared.settings.poll)));
    }
    let rollout = shared.memory.freshest(Arc::clone(&seen));
    let plan = settle(&rollout, &context).await?;
    if let Some(status) = plan.status_change(&rollout) {
        match shared.publish(&seen, &rollout, status).await? {
            Published::Done => {}
            Published::Postponed(wait) => return Ok(Action::requeue(wait)),
        }
    }
    Ok(shared.succeeded(&rollout, again(plan.pace, &context)))
}

pub(super) fn retry_later(
    rollout: Arc<FirmwareRollout>,
    error: &ReconcileError,
    context: Arc<Context>,
) -> Action {
    context.shared.retry_later(&*rollout, error.reason(), error)
}

fn is_listed(context: &Context) -> bool {
    let listed = context.images.wait_until_ready().now_or_never();
    listed.is_some_and(|listed| listed.is_ok())
}

fn again(pace: Pace, context: &Context) -> Duration {
    let settings = context.shared.settings;
    match pace {
        Pace::Running => settings.poll,
        Pace::Waiting => settings.poll.saturating_mul(WAITING).min(settings.resync),
        Pace::Resting => settings.resync,
    }
}

/// Carries out what is to be done, and plans again with what stands then.
async fn settle(rollout: &FirmwareRollout, context: &Context) -> Result<Plan, ReconcileError> {
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

fn read_filter(text: &str) -> Result<DeviceFilter, String> {
    proto::convert::public::device_filter(text).map_err(|error| error.to_string())
}

async fn group(
    rollout: &FirmwareRollout,
    context: &Context,
) -> Result<Option<DeviceGroup>, ReconcileError> {
    let Some(reference) = &rollout.spec.group_ref else {
        return Ok(None);
    };
    let namespace = rollout.namespace().unwrap_or_default();
    let groups: Api<DeviceGroup> = Api::namespaced(context.shared.client.clone(), &namespace);
    let found = groups.get_opt(&reference.name).await;
    found.map_err(|error| ReconcileError::Group(Box::new(error)))
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
        Err(error) => match refusal(action, &error) {
            Some(refusal) => observed.refused = Some(refusal),
            None => return Err(error.into()),
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

/// Why a campaign cannot be made, if it is for whoever wrote the spec to know.
fn refusal(action: &Act, error: &CallError) -> Option<Refusal> {
    let (Act::Create(_), CallError::Refused(status)) = (action, error) else {
        return None;
    };
    let reason = match status.code() {
        Code::InvalidArgument => Reason::InvalidValue,
        Code::ResourceExhausted => Reason::QuotaExceeded,
        _ => return None,
    };
    Some(Refusal {
        reason,
        message: format!("the state tier refused the campaign: {}", status.message()),
    })
}

#[cfg(test)]
mod tests;
