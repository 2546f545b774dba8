//! Messages of the public API as what `fleet-plan` reads.

use fleet_plan::device::{
    Observed, Registration, ReportedValue, StoredObservation, StoredResource, StoredState,
    WantedResource,
};
use fleet_wire::{AnswerError, drift, time, wire_drift};
use lwm2m::{NotificationAttributes, Path, Value};
use proto::drover::v1 as api;

/// `device` is what is known of it, if anything is.
pub(super) fn observed(
    device: Option<api::Device>,
    desired: api::DesiredResources,
) -> Result<Observed, AnswerError> {
    let is_known = device.is_some();
    let mut device = device.unwrap_or_default();
    let labels = std::mem::take(&mut device.labels).into_iter().collect();
    let values = device
        .values
        .iter()
        .filter_map(|one| reported(one).transpose());
    Ok(Observed {
        values: values.collect::<Result<_, _>>()?,
        registration: registration(device),
        ended: None,
        desired_generation: desired.generation,
        desired: stored_resources(desired.resources)?,
        is_known,
        labels,
        observations: Vec::new(),
        refused: None,
    })
}

/// Observations of one path of the device itself: objects ask for no others.
pub(super) fn stored_observations(
    observations: impl IntoIterator<Item = api::Observation>,
) -> Result<Vec<StoredObservation>, AnswerError> {
    let mut stored = Vec::new();
    for one in observations {
        let ([text], true) = (one.paths.as_slice(), one.child.is_empty()) else {
            continue;
        };
        let query: Vec<&str> = one
            .parameters
            .split('&')
            .filter(|one| !one.is_empty())
            .collect();
        let parameters = NotificationAttributes::parse_query(&query);
        stored.push(StoredObservation {
            path: path(text)?,
            parameters: parameters.map_err(|_| AnswerError::Value(text.clone()))?,
            declared: one.declared,
            has_others: one.callers > 0,
        });
    }
    Ok(stored)
}

fn registration(device: api::Device) -> Option<Registration> {
    if device.state() != api::device::State::Registered {
        return None;
    }
    let lifetime = device.lifetime.map_or(0, |lifetime| lifetime.seconds);
    Some(Registration {
        id: device.registration_id,
        lifetime_seconds: u32::try_from(lifetime).unwrap_or(0),
        version: device.lwm2m_version,
        binding: device.binding,
        transport: device.transport,
    })
}

pub(super) fn stored_resources(
    resources: Vec<api::DesiredResource>,
) -> Result<Vec<StoredResource>, AnswerError> {
    let one = |resource: api::DesiredResource| {
        let drift = drift(resource.drift_policy());
        let state = match resource.state() {
            api::desired_resource::State::Pending => StoredState::Pending,
            api::desired_resource::State::InSync => StoredState::InSync,
            api::desired_resource::State::Drifted => StoredState::Drifted,
            api::desired_resource::State::Rejected => StoredState::Rejected {
                coap_code: resource.coap_code,
                diagnostic: resource.diagnostic,
                since: resource.since.and_then(|since| time(since.seconds)),
            },
            api::desired_resource::State::Unspecified => {
                return Err(AnswerError::State(resource.path));
            }
        };
        Ok(StoredResource {
            path: path(&resource.path)?,
            drift,
            text: resource.text,
            state,
        })
    };
    // What profiles desire of the device is not of its object.
    let of_device = resources.into_iter().filter(|one| one.profile.is_empty());
    of_device.map(one).collect()
}

pub(super) fn desired_value(wanted: &WantedResource) -> api::DesiredValue {
    api::DesiredValue {
        path: wanted.path.to_string(),
        text: wanted.value.to_text(),
        drift_policy: wire_drift(wanted.drift).into(),
    }
}

fn reported(reported: &api::ReportedValue) -> Result<Option<ReportedValue>, AnswerError> {
    let path = path(&reported.path)?;
    let Some(value) = reported.value.clone().filter(|value| value.kind.is_some()) else {
        return Ok(None);
    };
    let value = Value::try_from(value).map_err(|_| AnswerError::Value(reported.path.clone()))?;
    Ok(Some(ReportedValue {
        path,
        text: value.to_text(),
    }))
}

fn path(text: &str) -> Result<Path, AnswerError> {
    text.parse().map_err(|_| AnswerError::Path(text.to_owned()))
}
