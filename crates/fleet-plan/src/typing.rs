//! Texts of specs as the values of resources, by the object definitions of the OMA.

use std::fmt;
use std::str;

use crd::{DesiredResource, Reason};
use lwm2m::{Path, Registry, Value, ValueType};
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
    #[error("the value is no UTF-8 text, which only that of an opaque resource may be")]
    NotText,
    #[error("exactly one of value and valueFrom must be set")]
    NotOneValue,
    #[error("the Secret {name}, of which it takes the key {key}, {why}")]
    Secret {
        name: String,
        key: String,
        why: String,
    },
}

/// What a spec gives as a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given<'a> {
    /// The text of the value.
    Text(&'a str),
    /// What a Secret has: the text of the value; of an opaque resource the value itself.
    Bytes(&'a [u8]),
}

impl fmt::Debug for Given<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.debug_tuple("Text").field(text).finish(),
            Self::Bytes(_) => f.debug_struct("Bytes").finish_non_exhaustive(),
        }
    }
}

impl<'a> Given<'a> {
    const fn len(self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    pub(crate) fn text(self) -> Result<&'a str, Problem> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Bytes(bytes) => str::from_utf8(bytes).map_err(|_| Problem::NotText),
        }
    }
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

    /// Of what is wrong, what a person has to look at first.
    pub(crate) fn reason(&self) -> Reason {
        let is_missing = |problem: &Problem| matches!(problem, Problem::Secret { .. });
        let mut all = self.0.iter().map(|(_, problem)| problem);
        if all.any(|one| !is_missing(one) && !one.is_unknown_model()) {
            Reason::InvalidValue
        } else if self.0.iter().any(|(_, one)| is_missing(one)) {
            Reason::SecretNotFound
        } else {
            Reason::UnknownObjectModel
        }
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
pub(crate) fn typed(path: &str, given: Given<'_>) -> Result<(Path, Value), Problem> {
    let path: Path = path.parse().map_err(|_| Problem::NotAResource)?;
    let (object, id) = path
        .object_id()
        .zip(path.resource_id())
        .ok_or(Problem::NotAResource)?;
    if given.len() > DesiredResource::MAX_VALUE_BYTES {
        return Err(Problem::TooLong(given.len()));
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
    if let (ValueType::Opaque, Given::Bytes(bytes)) = (value_type, given) {
        let value = Value::Opaque(bytes.to_vec());
        let length = value.to_text().len();
        if length > DesiredResource::MAX_VALUE_BYTES {
            return Err(Problem::TooLong(length));
        }
        return Ok((path, value));
    }
    let value = Value::parse(value_type, given.text()?).map_err(|error| Problem::Value {
        name: &model.name,
        error,
    })?;
    Ok((path, value))
}
