//! Messages of the public API as what `fleet-plan` reads.

use crd::DriftPolicy;
use fleet_plan::device::{
    Observed, Registration, ReportedValue, StoredResource, StoredState, WantedResource,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use lwm2m::{Path, Value};
use proto::convert::ConvertError;
use proto::drover::v1 as api;
use thiserror::Error;

/// Why an answer of the state tier cannot be understood.
#[derive(Debug, Error)]
pub(crate) enum AnswerError {
    #[error("the state tier named {0:?}, which is not a path")]
    Path(String),
    #[error("the state tier gave {0} no state that is known")]
    State(String),
    #[error("the state tier gave {0} a value that is out of range")]
    Value(String),
    #[error("the state tier told of something that cannot be: {0}")]
    Convert(#[from] ConvertError),
}

pub(super) fn observed(
    device: api::Device,
    desired: api::DesiredResources,
) -> Result<Observed, AnswerError> {
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
    })
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

const fn drift(policy: api::DriftPolicy) -> DriftPolicy {
    match policy {
        api::DriftPolicy::Unspecified | api::DriftPolicy::Enforce => DriftPolicy::Enforce,
        api::DriftPolicy::Report => DriftPolicy::Report,
        api::DriftPolicy::InitOnly => DriftPolicy::InitOnly,
    }
}

pub(super) const fn wire_drift(policy: DriftPolicy) -> api::DriftPolicy {
    match policy {
        DriftPolicy::Enforce => api::DriftPolicy::Enforce,
        DriftPolicy::Report => api::DriftPolicy::Report,
        DriftPolicy::InitOnly => api::DriftPolicy::InitOnly,
    }
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

/// Whole seconds: that is what a status in etcd carries.
pub(super) fn time(second: i64) -> Option<Time> {
    Timestamp::from_second(second).ok().map(Time)
}
