//! `Device`: the desired values of one device, its labels and its observations.

use std::sync::Arc;

use anyhow::Context;
use crd::{AdoptionPolicy, DeletionPolicy, Device, DeviceStatus};
use fleet_plan::device::{Matters, Observed, Surroundings, matters, named_secrets, plan, profiles};
use fleet_wire::device::{Answers, Call, observed};
use proto::drover::v1::{GetDesiredRequest, GetDeviceRequest, ListObservationsRequest};
use tonic::{Code, Response, Status};

use super::documents::Documents;
use super::{Applied, AppliedDevice, declared};
use crate::api::Api;
use crate::failure::Failure;
use crate::time;

/// Observes, plans and acts for one device.
pub(super) async fn apply(
    api: &Api,
    device: &Device,
    documents: &Documents,
) -> Result<AppliedDevice, Failure> {
    let endpoint = device.spec.endpoint_name.clone();
    let action = format!("apply {endpoint}");
    of_kubernetes(device)?;
    let around = surroundings(device, documents);
    let matters = matters(device, &around.profiles);
    let observed = observe(api, (&endpoint, matters), &action).await?;
    let mut owner = device.clone();
    // No status says here who declared what stands: applying replaces it, whoever did.
    owner.status = Some(DeviceStatus {
        desired_generation: i64::try_from(observed.desired_generation)
            .ok()
            .filter(|generation| *generation > 0),
        ..DeviceStatus::default()
    });
    let planned = plan(&owner, &around, &observed, &time::kubernetes());
    let named = device.metadata.name.as_deref().unwrap_or(&endpoint);
    declared::accepted(named, &planned.status.conditions)?;
    let result = if planned.actions.is_empty() {
        Applied::Unchanged
    } else {
        Applied::Configured
    };
    for one in planned.actions {
        let sent = Call::of(&endpoint, &one)
            .send(api.service(api.timeout()))
            .await;
        sent.map_err(Failure::call(action.clone()))?;
    }
    Ok(AppliedDevice {
        name: named.to_owned(),
        endpoint,
        result,
    })
}

/// What of the call the object names.
fn surroundings(device: &Device, documents: &Documents) -> Surroundings {
    let profiles: Vec<_> = profiles(device)
        .filter_map(|name| documents.profile(name))
        .map(|profile| Arc::new(profile.clone()))
        .collect();
    let secrets = documents.named_secrets(named_secrets(device, &profiles));
    Surroundings {
        rivals: Vec::new(),
        profiles,
        secrets,
    }
}

async fn observe(
    api: &Api,
    (endpoint, matters): (&str, Matters),
    action: &str,
) -> Result<Observed, Failure> {
    let endpoint = endpoint.to_owned();
    let request = api.request(GetDeviceRequest {
        endpoint: endpoint.clone(),
        ..Default::default()
    });
    let known = if_known(api.devices().get_device(request).await, action)?;
    let request = api.request(GetDesiredRequest {
        endpoint: endpoint.clone(),
    });
    let desired = if_known(api.desired_state().get_desired(request).await, action)?;
    let observations = if matters.observations {
        let endpoint = endpoint.clone();
        let request = api.request(ListObservationsRequest { endpoint });
        if_known(api.observations().list_observations(request).await, action)?
    } else {
        None
    };
    let told = observed(Answers {
        device: known,
        desired: desired.unwrap_or_default(),
        observations: observations.map_or_else(Vec::new, |listed| listed.observations),
        // Nothing tells which secret a credential has: it is replaced by itself.
        credentials: Vec::new(),
    });
    Ok(told.context("the API told something that cannot be")?)
}

/// A device may be declared before it was ever seen.
fn if_known<T>(answer: Result<Response<T>, Status>, action: &str) -> Result<Option<T>, Failure> {
    match answer {
        Ok(answer) => Ok(Some(answer.into_inner())),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(Failure::call(action)(status)),
    }
}

/// What only an object can say that stays.
fn of_kubernetes(device: &Device) -> Result<(), Failure> {
    let spec = &device.spec;
    let name = device.metadata.name.as_deref().unwrap_or_default();
    for (is_default, field) in [
        (
            spec.adoption_policy == AdoptionPolicy::Adopt,
            "adoptionPolicy",
        ),
        (
            spec.deletion_policy == DeletionPolicy::Retain,
            "deletionPolicy",
        ),
        (
            spec.delivery
                .is_none_or(|delivery| delivery.deadline_seconds.is_none()),
            "delivery.deadlineSeconds",
        ),
    ] {
        if !is_default {
            let why = format!(
                "spec.{field}: says something of the object that Kubernetes keeps, and nothing is kept of a file; leave it out"
            );
            return Err(declared::refused(name, &why));
        }
    }
    Ok(())
}
