//! Whether a spec can be in force: who owns the endpoint, and what the values are.

use crd::{DesiredResource, Device, Reason};
use lwm2m::{EndpointName, Path, Registry, Value};
use thiserror::Error;

use super::Rival;

/// No more problems are named in one message.
const MAX_PROBLEMS: usize = 4;

/// A spec that is in force.
pub(super) struct Accepted {
    pub(super) endpoint: EndpointName,
    /// By path.
    pub(super) resources: Vec<(Path, Value)>,
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

/// What is wrong with one desired resource.
#[derive(Debug, PartialEq, Eq, Error)]
enum Problem {
    #[error("object {0} is not known")]
    UnknownObject(u16),
    #[error("object {object} has no resource {resource}")]
    UnknownResource { object: u16, resource: u16 },
    #[error("not the path of a resource")]
    NotAResource,
    #[error("listed twice")]
    Twice,
    #[error("{0} cannot be written")]
    NotWritable(&'static str),
    #[error("{0} has a single value: leave out the resource instance")]
    Single(&'static str),
    #[error("{0} may have several values: name a resource instance, for example {1}/0")]
    Multiple(&'static str, Path),
    #[error("the value of {name} is {error}")]
    Value {
        name: &'static str,
        error: lwm2m::value::ValueError,
    },
    #[error("the value has {0} bytes, more than 4096")]
    TooLong(usize),
}

impl Problem {
    const fn is_unknown_model(&self) -> bool {
        matches!(self, Self::UnknownObject(_) | Self::UnknownResource { .. })
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

fn typed(resources: &[DesiredResource]) -> Result<Vec<(Path, Value)>, Refusal> {
    let mut typed: Vec<(Path, Value)> = Vec::with_capacity(resources.len());
    let mut problems = Vec::new();
    for resource in resources {
        match type_one(resource) {
            Ok((path, _)) if typed.iter().any(|(known, _)| *known == path) => {
                problems.push((resource, Problem::Twice));
            }
            Ok(one) => typed.push(one),
            Err(problem) => problems.push((resource, problem)),
        }
    }
    if problems.is_empty() {
        typed.sort_by_key(|(path, _)| *path);
        return Ok(typed);
    }
    Err(refusal(&problems))
}

fn refusal(problems: &[(&DesiredResource, Problem)]) -> Refusal {
    let mut message = problems
        .iter()
        .take(MAX_PROBLEMS)
        .map(|(resource, problem)| format!("{}: {problem}", resource.path))
        .collect::<Vec<_>>()
        .join("; ");
    let more = problems.len().saturating_sub(MAX_PROBLEMS);
    if more > 0 {
        message = format!("{message}; and {more} more");
    }
    if problems
        .iter()
        .all(|(_, problem)| problem.is_unknown_model())
    {
        Refusal::UnknownObjectModel { message }
    } else {
        Refusal::InvalidValue { message }
    }
}

fn type_one(resource: &DesiredResource) -> Result<(Path, Value), Problem> {
    let path: Path = resource.path.parse().map_err(|_| Problem::NotAResource)?;
    let (object, id) = path
        .object_id()
        .zip(path.resource_id())
        .ok_or(Problem::NotAResource)?;
    let registry = Registry::oma();
    if registry.versions(object).is_empty() {
        return Err(Problem::UnknownObject(object));
    }
    let model = registry.resource(path).ok_or(Problem::UnknownResource {
        object,
        resource: id,
    })?;
    let value_type = model.value_type.filter(|_| model.operations.writable);
    let value_type = value_type.ok_or(Problem::NotWritable(&model.name))?;
    match (model.multiple, path.resource_instance_id()) {
        (false, Some(_)) => return Err(Problem::Single(&model.name)),
        (true, None) => return Err(Problem::Multiple(&model.name, path)),
        (true, Some(_)) | (false, None) => {}
    }
    if resource.value.len() > DesiredResource::MAX_VALUE_BYTES {
        return Err(Problem::TooLong(resource.value.len()));
    }
    let value = Value::parse(value_type, &resource.value).map_err(|error| Problem::Value {
        name: &model.name,
        error,
    })?;
    Ok((path, value))
}
