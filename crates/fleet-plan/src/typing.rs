//! Texts of specs as the values of resources, by the object definitions of the OMA.

use crd::DesiredResource;
use lwm2m::{Path, Registry, Value};
use thiserror::Error;

/// No more problems are named in one message.
const MAX_PROBLEMS: usize = 4;

/// What is wrong with the value of one resource.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum Problem {
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
    pub(crate) const fn is_unknown_model(&self) -> bool {
        matches!(self, Self::UnknownObject(_) | Self::UnknownResource { .. })
    }
}

/// What is wrong with the values of a spec, each with its path.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<(String, Problem)>);

impl Problems {
    pub(crate) fn add(&mut self, path: &str, problem: Problem) {
        self.0.push((path.to_owned(), problem));
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether definitions are missing, and nothing else is wrong.
    pub(crate) fn are_of_unknown_models(&self) -> bool {
        self.0.iter().all(|(_, problem)| problem.is_unknown_model())
    }

    /// The first ones, for people.
    pub(crate) fn message(&self) -> String {
        let first = self.0.iter().take(MAX_PROBLEMS);
        let first: Vec<String> = first
            .map(|(path, problem)| format!("{path}: {problem}"))
            .collect();
        let message = first.join("; ");
        match self.0.len().saturating_sub(MAX_PROBLEMS) {
            0 => message,
            more => format!("{message}; and {more} more"),
        }
    }
}

/// A resource that can be written, and its value.
pub(crate) fn typed(path: &str, text: &str) -> Result<(Path, Value), Problem> {
    let path: Path = path.parse().map_err(|_| Problem::NotAResource)?;
    let (object, id) = path
        .object_id()
        .zip(path.resource_id())
        .ok_or(Problem::NotAResource)?;
    if text.len() > DesiredResource::MAX_VALUE_BYTES {
        return Err(Problem::TooLong(text.len()));
    }
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
    let value = Value::parse(value_type, text).map_err(|error| Problem::Value {
        name: &model.name,
        error,
    })?;
    Ok((path, value))
}
