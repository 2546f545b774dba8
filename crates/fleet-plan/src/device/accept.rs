//! Whether a spec can be in force: who owns the endpoint, and what the values are.

use crd::{DesiredResource, Device, DriftPolicy, Reason};
use lwm2m::{EndpointName, Registry};

use super::{Rival, WantedResource};
use crate::typing::{self, Problem, Problems};

/// A spec that is in force.
pub(super) struct Accepted {
    pub(super) endpoint: EndpointName,
    /// By path.
    pub(super) resources: Vec<WantedResource>,
}

/// Why a spec is not in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Another object owns the endpoint.
    IdentityConflict { message: String },
    /// Objects or resources without a definition.
    UnknownObjectModel { message: String },
    /// Anything else that cannot be.
    InvalidValue { message: String },
}

impl Refusal {
    pub(super) const fn reason(&self) -> Reason {
        match self {
            Self::IdentityConflict { .. } => Reason::IdentityConflict,
            Self::UnknownObjectModel { .. } => Reason::UnknownObjectModel,
            Self::InvalidValue { .. } => Reason::InvalidValue,
        }
    }

    pub(super) fn message(&self) -> &str {
        match self {
            Self::IdentityConflict { message }
            | Self::UnknownObjectModel { message }
            | Self::InvalidValue { message } => message,
        }
    }
}

pub(super) fn accept(device: &Device, rivals: &[Rival]) -> Result<Accepted, Refusal> {
    let endpoint =
        EndpointName::new(&device.spec.endpoint_name).map_err(|error| Refusal::InvalidValue {
            message: format!("spec.endpointName: {error}"),
        })?;
    if let Some(winner) = older(device, rivals) {
        return Err(Refusal::IdentityConflict {
            message: format!("the older Device {} has the same endpointName", winner.name),
        });
    }
    Ok(Accepted {
        endpoint,
        resources: typed(&device.spec.resources)?,
    })
}

/// The oldest rival, if it is older than the device.
fn older<'a>(device: &Device, rivals: &'a [Rival]) -> Option<&'a Rival> {
    let own = Rival::from_device(device);
    rivals
        .iter()
        .filter(|rival| rival.uid != own.uid && rival.seniority() < own.seniority())
        .min_by(|a, b| a.seniority().cmp(&b.seniority()))
}

fn typed(resources: &[DesiredResource]) -> Result<Vec<WantedResource>, Refusal> {
    let mut typed: Vec<WantedResource> = Vec::with_capacity(resources.len());
    let mut problems = Problems::default();
    for resource in resources {
        match type_one(resource) {
            Ok(one) if typed.iter().any(|known| known.path == one.path) => {
                problems.add(&resource.path, Problem::Twice);
            }
            Ok(one) => typed.push(one),
            Err(problem) => problems.add(&resource.path, problem),
        }
    }
    if problems.is_empty() {
        typed.sort_by_key(|one| one.path);
        return Ok(typed);
    }
    let message = problems.message();
    Err(if problems.are_of_unknown_models() {
        Refusal::UnknownObjectModel { message }
    } else {
        Refusal::InvalidValue { message }
    })
}

fn type_one(resource: &DesiredResource) -> Result<WantedResource, Problem> {
    let (path, value) = typing::typed(&resource.path, &resource.value)?;
    let model = Registry::oma().resource(path);
    // As the state tier has it: what cannot be read is never compared.
    let drift = if model.is_some_and(|model| model.operations.readable) {
        resource.drift_policy
    } else {
        DriftPolicy::InitOnly
    };
    Ok(WantedResource { path, value, drift })
}
