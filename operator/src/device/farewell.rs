//! Objects that are being deleted, and the finalizer that holds them until their policy is carried out.

use std::time::Duration;

use crd::{Device, DeviceStatus};
use device_state::Namespace;
use fleet_plan::device::{
    Farewell, farewell, is_overdue, matters, not_forgotten, reset, revocation, wants_finalizer,
    wiping,
};
use fleet_plan::operation::Outcome;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use serde_json::json;

use super::release::withdraw;
use super::{Context, namespace, reconcile};
use crate::controller::{Published, ReconcileError, jittered, now};
use crate::kubernetes::objects;

/// What became of the device.
enum Parting {
    /// All that the policy says is done.
    Done,
    /// To be looked at again after so long.
    NotYet(Duration),
}

/// Carries out what the policy says of the device, then lets the object go.
pub(super) async fn part(
    seen: &Device,
    device: &Device,
    context: &Context,
) -> Result<Action, ReconcileError> {
    if !is_held(device) {
        // It is gone already, or somebody else holds it.
        return Ok(Action::await_change());
    }
    let parting = match carry_out(seen, device, context).await {
        // Neither a device nor the state tier holds an object, and the namespace that it is in, for ever.
        Err(error) if error.is_denied() || is_overdue(device, &now()) => {
            let (namespace, endpoint) = (device.namespace(), &device.spec.endpoint_name);
            tracing::warn!(namespace, endpoint, %error, "the object goes, and its device is not forgotten");
            let told = not_forgotten(&error.to_string());
            context.shared.announcer.tell(device, vec![told]);
            Parting::Done
        }
        parting => parting?,
    };
    let wait = match parting {
        Parting::NotYet(wait) => wait,
        Parting::Done if hold(device, false, context).await? => return Ok(Action::await_change()),
        // It has changed meanwhile, by something that need not be shown.
        Parting::Done => context.shared.settings.poll,
    };
    Ok(Action::requeue(jittered(wait)))
}

async fn carry_out(
    seen: &Device,
    device: &Device,
    context: &Context,
) -> Result<Parting, ReconcileError> {
    let shared = &context.shared;
    let state_tier = &shared.state_tier;
    let namespace = namespace(device)?;
    let rivals = context.index.rivals(device, &shared.known);
    match farewell(device, &rivals, &now()) {
        Farewell::Leave => return Ok(Parting::Done),
        Farewell::Forget => {}
        Farewell::Reset(ask) => {
            // A device that comes back from its reset must not get what it had.
            withdraw(device, None, context).await?;
            shared.changed("wipe");
            match state_tier.ask(&namespace, &ask).await? {
                Outcome::Running { id, .. } => return follow(seen, device, &id, context).await,
                // The object goes all the same: a device must not hold it, or its namespace, for ever.
                outcome => told(device, &outcome, context),
            }
        }
        Farewell::Follow { id, overdue } => {
            let endpoint = &device.spec.endpoint_name;
            let outcome = if overdue {
                state_tier.give_up(&namespace, endpoint, &id).await?
            } else {
                state_tier.operation(&namespace, endpoint, &id).await?
            };
            if matches!(outcome, Some(Outcome::Running { .. })) {
                return Ok(Parting::NotYet(shared.settings.wait));
            }
            told(device, &outcome.unwrap_or(Outcome::Lost), context);
        }
    }
    forget(&namespace, device, context).await
}

/// Has the status tell that the device is being reset, and by which operation.
async fn follow(
    seen: &Device,
    device: &Device,
    id: &str,
    context: &Context,
) -> Result<Parting, ReconcileError> {
    let shared = &context.shared;
    let status = wiping(device, id, &now());
    // Asking once more meanwhile is the same request.
    Ok(Parting::NotYet(
        match shared.publish(seen, device, &status, false).await? {
            Published::Done => shared.settings.wait,
            Published::Postponed(wait) => wait,
        },
    ))
}

fn told(device: &Device, outcome: &Outcome, context: &Context) {
    let announcement = reset(outcome);
    context.shared.announcer.tell(device, vec![announcement]);
    let (namespace, endpoint) = (device.namespace(), &device.spec.endpoint_name);
    if matches!(outcome, Outcome::Succeeded(_)) {
        tracing::info!(namespace, endpoint, "the device was reset");
    } else {
        tracing::warn!(
            namespace,
            endpoint,
            ?outcome,
            "the device was not reset, and is forgotten all the same"
        );
    }
}

async fn forget(
    namespace: &Namespace,
    device: &Device,
    context: &Context,
) -> Result<Parting, ReconcileError> {
    let endpoint = &device.spec.endpoint_name;
    let state_tier = &context.shared.state_tier;
    context.shared.changed("forget");
    state_tier.forget(namespace, endpoint).await?;
    // Not before: without it the device could not be told to reset itself.
    revoke(namespace, device, context).await?;
    tracing::info!(%namespace, endpoint, "the object is being deleted: its device is forgotten");
    Ok(Parting::Done)
}

/// Ends what the object has given its device to prove itself by.
async fn revoke(
    namespace: &Namespace,
    device: &Device,
    context: &Context,
) -> Result<(), ReconcileError> {
    let matters = matters(device, &[]);
    if !matters.credentials {
        return Ok(());
    }
    let (state_tier, endpoint) = (&context.shared.state_tier, &device.spec.endpoint_name);
    let mut observed = state_tier.observe(namespace, endpoint, matters).await?;
    for action in revocation(device, &observed) {
        let acted = state_tier.act(namespace, endpoint, &action, &mut observed);
        acted.await?;
        reconcile::count(&action, context);
    }
    Ok(())
}

/// Whether an object has to be held by its policy and is not, or the other way round.
pub(super) fn holds_otherwise(device: &Device, status: &DeviceStatus) -> bool {
    wants_finalizer(device, status) != is_held(device)
}

/// Has an object held that is not, or the other way round.
pub(super) async fn turn(device: &Device, context: &Context) -> Result<(), ReconcileError> {
    hold(device, !is_held(device), context).await.map(drop)
}

fn is_held(device: &Device) -> bool {
    device
        .finalizers()
        .iter()
        .any(|one| one == Device::FINALIZER)
}

/// Adds or removes the finalizer, and returns whether that is done. The object has to be as it was seen: the list has the
/// finalizers of others, too.
async fn hold(device: &Device, held: bool, context: &Context) -> Result<bool, ReconcileError> {
    let others = device.finalizers().iter();
    let mut finalizers: Vec<&str> = others
        .map(String::as_str)
        .filter(|one| *one != Device::FINALIZER)
        .collect();
    if held {
        finalizers.push(Device::FINALIZER);
    }
    let patch = json!({"metadata": {
        "uid": device.uid(),
        "resourceVersion": device.resource_version(),
        "finalizers": finalizers,
    }});
    let shared = &context.shared;
    let api = objects::<Device>(shared.client.clone(), device.namespace().as_deref());
    let patched = api
        .patch_metadata(
            &device.name_any(),
            &PatchParams::default(),
            &Patch::Merge(&patch),
        )
        .await;
    match patched {
        Ok(_) => Ok(true),
        // It is gone.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(ReconcileError::Finalizer(Box::new(error))),
    }
}
