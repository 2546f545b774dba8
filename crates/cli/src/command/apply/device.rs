//! `Device`: the desired values of one device, its labels and its observations.

use std::collections::BTreeMap;

use anyhow::Context;
use crd::{Device, DeviceStatus};
use fleet_plan::device::{
    Action, Observed, StoredObservation, StoredResource, StoredState, WantedResource, plan,
};
use fleet_wire::{drift, wire_drift};
use lwm2m::NotificationAttributes;
use proto::drover::v1::{
    DeleteObservationRequest, DesiredResource, DesiredResources, DesiredValue,
    Device as WireDevice, GetDesiredRequest, GetDeviceRequest,
    ListObservationsRequest, Observation, PutObservationRequest, SetDesiredRequest,
    UpdateDeviceRequest, desired_resource,
};
use tonic::{Code, Response, Status};

use super::{Applied, AppliedDevice, declared};
use crate::api::Api;
use crate::failure::Failure;
use crate::time;

/// Observes, plans and acts for one device.
pub(super) async fn apply(api: &Api, device: &Device) -> Result<AppliedDevice, Failure> {
    let endpoint = device.spec.endpoint_name.clone();
    let action = format!("apply {endpoint}");
    let observed = observe(api, device, &action).await?;
    let mut owner = device.clone();
    // No status says here who declared what stands: applying replaces it, whoever did.
    owner.status = Some(DeviceStatus {
        desired_generation: i64::try_from(observed.desired_generation)
            .ok()
            .filter(|generation| *generation > 0),
        ..DeviceStatus::default()
    });
    let planned = plan(&owner, &[], &observed, &time::kubernetes());
    let named = device.metadata.name.as_deref().unwrap_or(&endpoint);
    declared::accepted(named, &planned.status.conditions)?;
    let result = if planned.actions.is_empty() {
        Applied::Unchanged
    } else {
        Applied::Configured
    };
    for one in planned.actions {
        act(api, &endpoint, one)
            .await
            .map_err(Failure::call(action.clone()))?;
    }
    Ok(AppliedDevice {
        name: named.to_owned(),
        endpoint,
        result,
    })
}

async fn observe(api: &Api, device: &Device, action: &str) -> Result<Observed, Failure> {
    let endpoint = device.spec.endpoint_name.clone();
    let request = api.request(GetDeviceRequest {
        endpoint: endpoint.clone(),
        ..Default::default()
    });
    let known = if_known(api.devices().get_device(request).await, action)?;
    let request = api.request(GetDesiredRequest {
        endpoint: endpoint.clone(),
    });
    let desired = if_known(api.desired_state().get_desired(request).await, action)?;
    let request = api.request(ListObservationsRequest { endpoint });
    let observations = if_known(api.observations().list_observations(request).await, action)?;
    let observations = observations.map_or_else(Vec::new, |listed| listed.observations);
    Ok(Observed {
        is_known: known.is_some(),
        labels: known.map_or_else(BTreeMap::new, |known| known.labels.into_iter().collect()),
        observations: stored_observations(observations)?,
        ..observed(desired.unwrap_or_default())?
    })
}

/// A device may be declared before it was ever seen.
fn if_known<T>(answer: Result<Response<T>, Status>, action: &str) -> Result<Option<T>, Failure> {
    match answer {
        Ok(answer) => Ok(Some(answer.into_inner())),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(Failure::call(action)(status)),
    }
}

async fn act(api: &Api, endpoint: &str, action: Action) -> Result<(), Status> {
    let endpoint = endpoint.to_owned();
    match action {
        Action::SetDesired {
            generation,
            resources,
        } => {
            let request = SetDesiredRequest {
                endpoint,
                generation,
                resources: resources.iter().map(desired_value).collect(),
                ..Default::default()
            };
            let answer = api.desired_state().set_desired(api.request(request)).await;
            answer.map(drop)
        }
        Action::SetLabels { set, remove } => {
            let paths = set.keys().chain(&remove);
            let mask = prost_types::FieldMask {
                paths: paths.map(|key| format!("labels.{key}")).collect(),
            };
            let request = UpdateDeviceRequest {
                device: Some(WireDevice {
                    endpoint,
                    labels: set.into_iter().collect(),
                    ..Default::default()
                }),
                update_mask: Some(mask),
                allow_missing: true,
                ..Default::default()
            };
            let answer = api.devices().update_device(api.request(request)).await;
            answer.map(drop)
        }
        Action::PutObservation { path, parameters } => {
            let request = PutObservationRequest {
                endpoint,
                paths: vec![path.to_string()],
                parameters: parameters.to_query().join("&"),
                ..Default::default()
            };
            let mut client = api.observations();
            client.put_observation(api.request(request)).await.map(drop)
        }
        Action::DeleteObservation { path } => {
            let request = DeleteObservationRequest {
                endpoint,
                paths: vec![path.to_string()],
                ..Default::default()
            };
            let mut client = api.observations();
            let request = api.request(request);
            client.delete_observation(request).await.map(drop)
        }
    }
}

fn desired_value(wanted: &WantedResource) -> DesiredValue {
    DesiredValue {
        path: wanted.path.to_string(),
        text: wanted.value.to_text(),
        drift_policy: wire_drift(wanted.drift).into(),
    }
}

fn observed(stored: DesiredResources) -> Result<Observed, Failure> {
    let one = |resource: DesiredResource| -> Result<StoredResource, Failure> {
        let drift = drift(resource.drift_policy());
        let state = match resource.state() {
            desired_resource::State::InSync => StoredState::InSync,
            desired_resource::State::Rejected => StoredState::Rejected {
                coap_code: resource.coap_code,
                diagnostic: resource.diagnostic,
                since: None,
            },
            desired_resource::State::Drifted => StoredState::Drifted,
            desired_resource::State::Pending | desired_resource::State::Unspecified => {
                StoredState::Pending
            }
        };
        let path = resource
            .path
            .parse()
            .with_context(|| format!("the API named {:?}, which is not a path", resource.path))?;
        Ok(StoredResource {
            path,
            drift,
            text: resource.text,
            state,
        })
    };
    Ok(Observed {
        desired_generation: stored.generation,
        // What profiles say is not the object's.
        desired: stored
            .resources
            .into_iter()
            .filter(|resource| resource.profile.is_empty())
            .map(one)
            .collect::<Result<_, _>>()?,
        ..Observed::default()
    })
}

/// Observations of one path of the device itself: objects ask for no others.
fn stored_observations(listed: Vec<Observation>) -> Result<Vec<StoredObservation>, Failure> {
    let of_object = |one: &Observation| one.paths.len() == 1 && one.child.is_empty();
    let stored = |one: Observation| -> Result<StoredObservation, Failure> {
        let path = one.paths.join(",");
        let what = || format!("the API named an observation that cannot be: {path}");
        let query: Vec<&str> = one
            .parameters
            .split('&')
            .filter(|one| !one.is_empty())
            .collect();
        Ok(StoredObservation {
            path: path.parse().with_context(what)?,
            parameters: NotificationAttributes::parse_query(&query).with_context(what)?,
            declared: one.declared,
            has_others: one.callers > 0,
        })
    };
    listed.into_iter().filter(of_object).map(stored).collect()
}
