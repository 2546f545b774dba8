//! `Device`: the desired values of one device.

use anyhow::Context;
use crd::{Device, DeviceStatus, DriftPolicy};
use fleet_plan::device::{Action, Observed, StoredResource, StoredState, WantedResource, plan};
use proto::drover::v1::{
    DesiredResource, DesiredResources, DesiredValue, DriftPolicy as WireDrift, GetDesiredRequest,
    SetDesiredRequest, desired_resource,
};

use super::{Applied, AppliedDevice, declared};
use crate::api::Api;
use crate::failure::Failure;
use crate::time;

/// Observes, plans and acts for one device.
pub(super) async fn apply(api: &Api, device: &Device) -> Result<AppliedDevice, Failure> {
    let endpoint = device.spec.endpoint_name.clone();
    let action = format!("apply {endpoint}");
    let request = api.request(GetDesiredRequest {
        endpoint: endpoint.clone(),
    });
    let stored = match api.desired_state().get_desired(request).await {
        Ok(answer) => answer.into_inner(),
        // A device may be declared before it was ever seen.
        Err(status) if status.code() == tonic::Code::NotFound => DesiredResources::default(),
        Err(status) => return Err(Failure::call(action)(status)),
    };
    let mut owner = device.clone();
    // No status says here who declared what stands: applying replaces it, whoever did.
    owner.status = Some(DeviceStatus {
        desired_generation: i64::try_from(stored.generation)
            .ok()
            .filter(|generation| *generation > 0),
        ..DeviceStatus::default()
    });
    let planned = plan(&owner, &[], &observed(stored)?, &time::kubernetes());
    let named = device.metadata.name.as_deref().unwrap_or(&endpoint);
    declared::accepted(named, &planned.status.conditions)?;
    let result = if planned.actions.is_empty() {
        Applied::Unchanged
    } else {
        Applied::Configured
    };
    for Action::SetDesired {
        endpoint,
        generation,
        resources,
    } in planned.actions
    {
        let value = |wanted: &WantedResource| DesiredValue {
            path: wanted.path.to_string(),
            text: wanted.value.to_text(),
            drift_policy: wire_drift(wanted.drift).into(),
        };
        let request = SetDesiredRequest {
            endpoint: endpoint.to_string(),
            generation,
            resources: resources.iter().map(value).collect(),
            ..Default::default()
        };
        let answer = api.desired_state().set_desired(api.request(request)).await;
        answer.map_err(Failure::call(action.clone()))?;
    }
    let name = device
        .metadata
        .name
        .clone()
        .unwrap_or_else(|| endpoint.clone());
    Ok(AppliedDevice {
        name,
        endpoint,
        result,
    })
}

pub(super) const fn wire_drift(policy: DriftPolicy) -> WireDrift {
    match policy {
        DriftPolicy::Enforce => WireDrift::Enforce,
        DriftPolicy::Report => WireDrift::Report,
        DriftPolicy::InitOnly => WireDrift::InitOnly,
    }
}

const fn drift(policy: WireDrift) -> DriftPolicy {
    match policy {
        WireDrift::Unspecified | WireDrift::Enforce => DriftPolicy::Enforce,
        WireDrift::Report => DriftPolicy::Report,
        WireDrift::InitOnly => DriftPolicy::InitOnly,
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
