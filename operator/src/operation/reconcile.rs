//! One operation: what is next, and what came of it.

use std::time::Duration;

use crd::{Device, DeviceOperation, DeviceOperationStatus};
use device_state::Namespace;
use fleet_plan::operation::{
    Again, Ask, Deafness, Outcome, Request, Step, Target, report, step, target,
};
use fleet_wire::operation::Refused;
use kube::ResourceExt;
use kube::api::{DeleteParams, Preconditions};

use super::answer::refused;
use super::{Context, fleet};
use crate::controller::{ReconcileError, Settled, now};
use crate::kubernetes::objects;

pub(super) async fn settle(
    operation: &DeviceOperation,
    context: &Context,
) -> Result<Settled<DeviceOperationStatus>, ReconcileError> {
    if let Ok(Target::Labels(_) | Target::Group(_)) = target(&operation.spec) {
        return fleet::settle(operation, context).await;
    }
    let namespace = Namespace::new(&operation.namespace().unwrap_or_default())?;
    let endpoint = endpoint(operation, context).await?;
    // Before anything is looked at, so that what happens after that is told.
    context.await_device(operation, &namespace, endpoint.as_deref());
    let now = now();
    let outcome = match step(operation, endpoint.as_deref(), &now) {
        Step::Told(outcome) => outcome,
        Step::Ask(ask) => self::ask(operation, &namespace, &ask, context).await?,
        Step::Follow {
            endpoint,
            id,
            overdue,
        } => follow(&namespace, (&endpoint, &id), overdue, context).await?,
        Step::Delete => return delete(operation, context).await,
    };
    let plan = report(operation, endpoint.as_deref(), outcome, &now);
    Ok(Settled::Decided {
        status: plan.status_change(operation).cloned(),
        again: until(plan.again, &namespace, context),
    })
}

/// How long until the object is looked at again.
pub(super) fn until(again: Again, namespace: &Namespace, context: &Context) -> Duration {
    let settings = context.shared.settings;
    match again {
        Again::Now => Duration::ZERO,
        Again::At(pace) => settings.until_next(pace),
        Again::Told(left) => context.until_told(namespace, left),
        Again::Within(time) => time.clamp(Duration::from_secs(1), settings.resync),
    }
}

/// The device that an object means; `None` if the object of that is not there. Once it was found it stays that one.
async fn endpoint(
    operation: &DeviceOperation,
    context: &Context,
) -> Result<Option<String>, ReconcileError> {
    let device = match target(&operation.spec) {
        Ok(Target::Endpoint(endpoint)) => return Ok(Some(endpoint.to_owned())),
        Ok(Target::Device(name)) => name,
        // What it asks for cannot be done, which the next step says.
        Ok(Target::Labels(_) | Target::Group(_)) | Err(_) => return Ok(None),
    };
    let uid = operation.uid().unwrap_or_default();
    let known = context.with_asked(|asked| asked.get(&uid).cloned());
    if let Some(known) = known.filter(|known| !known.endpoint.is_empty()) {
        return Ok(Some(known.endpoint));
    }
    let namespace = operation.namespace();
    let found: Option<Device> = context.shared.read(namespace.as_deref(), device).await?;
    let Some(found) = found else {
        return Ok(None);
    };
    let endpoint = found.spec.endpoint_name;
    context.with_asked(|asked| asked.entry(uid).or_default().endpoint.clone_from(&endpoint));
    Ok(Some(endpoint))
}

/// Asks, and makes of a refusal what it says of the operation.
async fn ask(
    operation: &DeviceOperation,
    namespace: &Namespace,
    ask: &Ask,
    context: &Context,
) -> Result<Outcome, ReconcileError> {
    context.shared.changed("ask");
    let answer = context.shared.state_tier.ask(namespace, ask).await;
    let error = match answer {
        Ok(outcome) => return Ok(outcome),
        Err(error) => error,
    };
    Ok(match refused(error, ask)? {
        Refused::Silent(_) if may_ask_again(operation, ask, context) => {
            Outcome::Waiting(Deafness::Busy)
        }
        Refused::Is(outcome) | Refused::Silent(outcome) | Refused::Full(outcome) => outcome,
    })
}

/// Counts that a device did not answer.
fn may_ask_again(operation: &DeviceOperation, ask: &Ask, context: &Context) -> bool {
    let uid = operation.uid().unwrap_or_default();
    let is_read = matches!(ask.request, Request::Read(_) | Request::Discover(_));
    let unanswered = context.with_asked(|asked| {
        let asked = asked.entry(uid).or_default();
        asked.unanswered = asked.unanswered.saturating_add(1);
        asked.unanswered
    });
    is_read && unanswered <= operation.spec.backoff_limit
}

/// Looks at what the state tier keeps, and cancels what waits for too long.
async fn follow(
    namespace: &Namespace,
    (endpoint, id): (&str, &str),
    overdue: bool,
    context: &Context,
) -> Result<Outcome, ReconcileError> {
    let state_tier = &context.shared.state_tier;
    let outcome = state_tier.operation(namespace, endpoint, id).await?;
    // Ends are kept for an hour.
    let Some(outcome) = outcome else {
        return Ok(Outcome::Lost);
    };
    match &outcome {
        Outcome::Running { in_flight, .. } if overdue && !in_flight => {
            context.shared.changed("cancel");
            // It may have been sent between the look and this.
            let outcome = state_tier.give_up(namespace, endpoint, id).await?;
            Ok(outcome.unwrap_or(Outcome::Lost))
        }
        _ => Ok(outcome),
    }
}

/// The object has stayed for as long as it should.
pub(super) async fn delete(
    operation: &DeviceOperation,
    context: &Context,
) -> Result<Settled<DeviceOperationStatus>, ReconcileError> {
    let shared = &context.shared;
    let namespace = operation.namespace();
    let api = objects::<DeviceOperation>(shared.client.clone(), namespace.as_deref());
    let params = DeleteParams {
        // Another object of the same name is not meant.
        preconditions: Some(Preconditions {
            uid: operation.uid(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match api.delete(&operation.name_any(), &params).await {
        Ok(_) => shared.changed("delete"),
        // It is gone, or is another one now.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
        Err(error) => return Err(ReconcileError::Delete(Box::new(error))),
    }
    Ok(Settled::NotYet(shared.settings.resync))
}

#[cfg(test)]
mod tests;
