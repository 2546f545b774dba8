//! Whether a spec can be in force: who owns the endpoint, and what the values are.

use std::collections::BTreeMap;

use crd::{
    AdoptionPolicy, ConditionStatus, ConditionType, Device, DeviceStatus, DriftPolicy, Reason,
};
use device_state::Goal;
use lwm2m::{EndpointName, Registry};

use super::asked::{Asked, AskedResource};
use super::{
    Observed, Rival, Surroundings, WantedCredential, WantedObservation, WantedResource, credential,
    farewell, labels, observations,
};
use crate::Refusal;
use crate::instance::{instance, together};
use crate::secrets::{Secrets, given};
use crate::typing::{self, Problem, Problems};

/// A spec that is in force.
pub(super) struct Accepted {
    /// By path.
    pub(super) resources: Vec<WantedResource>,
    pub(super) labels: BTreeMap<String, String>,
    /// By path.
    pub(super) observations: Vec<WantedObservation>,
    pub(super) credential: Option<WantedCredential>,
}

pub(super) fn accept(
    device: &Device,
    around: &Surroundings,
    observed: &Observed,
) -> Result<Accepted, Refusal> {
    let endpoint = EndpointName::new(&device.spec.endpoint_name);
    endpoint.map_err(|error| Refusal::invalid("spec.endpointName", &error.to_string()))?;
    if let Some(winner) = older(device, &around.rivals) {
        return Err(Refusal {
            reason: Reason::IdentityConflict,
            message: format!("the older Device {} has the same endpointName", winner.name),
        });
    }
    adoption(device, observed)?;
    farewell::accepted(device)?;
    let asked = Asked::of(device, &around.profiles)?;
    let accepted = Accepted {
        resources: wanted(&asked, &around.secrets)?,
        labels: labels::wanted(device)?,
        observations: observations::wanted(&asked.observations)?,
        credential: credential::wanted(device, &around.secrets)?,
    };
    match &observed.refused {
        None => Ok(accepted),
        Some(refusal) => Err(refusal.clone()),
    }
}

/// Whether the object may be about a device of which something is known. One that was accepted before knows it by itself.
fn adoption(device: &Device, observed: &Observed) -> Result<(), Refusal> {
    let strict = device.spec.adoption_policy == AdoptionPolicy::FailIfExists;
    if !(strict && observed.is_known) || was_accepted(device) {
        return Ok(());
    }
    Err(Refusal {
        reason: Reason::AlreadyKnown,
        message: "spec.adoptionPolicy: the device is known already; forget it by `drover delete-device`, or use Adopt"
            .to_owned(),
    })
}

/// Whether the object was once the one that its device is about.
pub(super) fn was_accepted(device: &Device) -> bool {
    device.status.as_ref().is_some_and(is_taken)
}

/// Whether a status says that the device is of the object, in force or not.
pub(super) fn is_taken(status: &DeviceStatus) -> bool {
    let conditions = status.conditions.iter();
    let mut reasons = conditions
        .filter(|one| one.type_ == ConditionType::Accepted.as_str())
        .map(|one| one.reason.as_str());
    // Refusals for what the spec says came after the device was taken.
    reasons.any(|reason| {
        reason != Reason::AlreadyKnown.as_str() && reason != Reason::IdentityConflict.as_str()
    })
}

/// Whether a status says that the spec is in force.
pub(super) fn is_accepted(status: &DeviceStatus) -> bool {
    let (kind, is_true) = (ConditionType::Accepted, ConditionStatus::True);
    let mut conditions = status.conditions.iter();
    conditions.any(|one| one.type_ == kind.as_str() && one.status == is_true.as_str())
}

/// The oldest rival, if it is older than the device.
pub(super) fn older<'a>(device: &Device, rivals: &'a [Rival]) -> Option<&'a Rival> {
    let own = Rival::from_device(device);
    rivals
        .iter()
        .filter(|rival| rival.uid != own.uid && rival.seniority() < own.seniority())
        .min_by(|a, b| a.seniority().cmp(&b.seniority()))
}

/// The values and the object instances, by path.
fn wanted(asked: &Asked<'_>, secrets: &Secrets) -> Result<Vec<WantedResource>, Refusal> {
    let mut wanted = typed(&asked.resources, secrets)?;
    for one in &asked.instances {
        let (path, presence) = instance(one.instance)?;
        if wanted.iter().any(|known| known.path == path) {
            return Err(Refusal::invalid(
                "spec.instances",
                &format!("{path} is listed twice"),
            ));
        }
        wanted.push(WantedResource {
            path,
            goal: Goal::Instance(presence),
            drift: one.drift,
            is_secret: false,
        });
    }
    together(wanted.iter().map(|one| (one.path, &one.goal)))?;
    wanted.sort_by_key(|one| one.path);
    Ok(wanted)
}

fn typed(
    resources: &[AskedResource<'_>],
    secrets: &Secrets,
) -> Result<Vec<WantedResource>, Refusal> {
    let mut typed: Vec<WantedResource> = Vec::with_capacity(resources.len());
    let mut problems = Problems::default();
    for resource in resources {
        match type_one(resource, secrets) {
            Ok(one) if typed.iter().any(|known| known.path == one.path) => {
                problems.add(&resource.of.name(resource.path), Problem::Twice);
            }
            Ok(one) => typed.push(one),
            Err(problem) => problems.add(&resource.of.name(resource.path), problem),
        }
    }
    if problems.is_empty() {
        typed.sort_by_key(|one| one.path);
        return Ok(typed);
    }
    Err(Refusal {
        reason: problems.reason(),
        message: problems.message(),
    })
}

fn type_one(resource: &AskedResource<'_>, secrets: &Secrets) -> Result<WantedResource, Problem> {
    let given = given(resource.value, resource.source, secrets)?;
    let (path, value) = typing::typed(resource.path, given)?;
    let model = Registry::oma().resource(path);
    // As the state tier has it: what cannot be read is never compared.
    let drift = if model.is_some_and(|model| model.operations.readable) {
        resource.drift
    } else {
        DriftPolicy::InitOnly
    };
    Ok(WantedResource {
        path,
        goal: Goal::Value(value),
        drift,
        is_secret: resource.source.is_some(),
    })
}
