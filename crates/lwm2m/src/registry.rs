//! The object definitions of the OMA registry.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use thiserror::Error;

use crate::names::LwM2mVersion;
use crate::path::Path;
use crate::value::ValueType;

mod model;
mod vendor;

pub use model::{ModelError, ObjectModel, Operations, ResourceModel};
pub use vendor::{NotAdmitted, OMA_ONLY};

/// Facts of the public OMA registry: ids, names, operations, types, ranges and units.
static OMA_OBJECTS: &str = include_str!("../data/oma-objects.tsv");

/// The version of an object definition, for example 1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectVersion {
    /// Changes that old clients and servers cannot ignore.
    pub major: u8,
    /// Additions.
    pub minor: u8,
}

/// The text is not `major.minor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("object version is not of the form major.minor")]
pub struct ObjectVersionError;

impl ObjectVersion {
    /// The version of an object that names none.
    pub const V1_0: Self = Self::new(1, 0);

    /// The version `major.minor`.
    pub const fn new(major: u8, minor: u8) -> Self {
        Self { major, minor }
    }
}

/// The version of an object for which a device of the given release names none.
// LwM2M-Core 1.2 §6.2.1: objects of the enabler have the version that belongs to the release, all
// others are 1.0.
pub const fn default_object_version(object: u16, release: LwM2mVersion) -> ObjectVersion {
    let (major, minor) = match (release, object) {
        (LwM2mVersion::V1_1, 0 | 1 | 3) | (LwM2mVersion::V1_2, 2 | 5) => (1, 1),
        (LwM2mVersion::V1_1, 4) | (LwM2mVersion::V1_2, 0 | 1 | 3) => (1, 2),
        (LwM2mVersion::V1_2, 4) => (1, 3),
        (LwM2mVersion::V1_2, 21) => (2, 0),
        _ => (1, 0),
    };
    ObjectVersion::new(major, minor)
}

impl FromStr for ObjectVersion {
    type Err = ObjectVersionError;
    fn from_str(text: &str) -> Result<Self, ObjectVersionError> {
        let (major, minor) = text.split_once('.').ok_or(ObjectVersionError)?;
        Ok(Self {
            major: major.parse().map_err(|_| ObjectVersionError)?,
            minor: minor.parse().map_err(|_| ObjectVersionError)?,
        })
    }
}

impl fmt::Display for ObjectVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A set of object definitions, ordered by object id and version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registry {
    objects: Vec<ObjectModel>,
}

/// Why a table of definitions cannot be read; the number is the line, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RegistryError {
    /// The line has a missing or malformed column.
    #[error("line {0} of the object table is malformed")]
    Malformed(usize),
    /// The line describes a resource before any object.
    #[error("line {0} of the object table has a resource without object")]
    NoObject(usize),
    /// The line repeats an object version.
    #[error("line {0} of the object table repeats an object or a resource")]
    Repeated(usize),
}

impl Registry {
    /// Every object of the OMA registry, read once per process.
    pub fn oma() -> &'static Self {
        static OMA: OnceLock<Registry> = OnceLock::new();
        OMA.get_or_init(|| {
            Self::parse(OMA_OBJECTS).expect("a test reads the table that is compiled in")
        })
    }

    /// Reads a table in the form of the `data/oma-objects.tsv` of this crate: per object version
    /// an `O` line, followed by an `R` line for each resource; fields separated by tabs.
    pub fn parse(table: &'static str) -> Result<Self, RegistryError> {
        let mut objects: Vec<(ObjectModel, Vec<ResourceModel>)> = Vec::new();
        for (index, line) in table.lines().enumerate() {
            let number = index + 1;
            let (kind, rest) = line.split_once('\t').unwrap_or((line, ""));
            match kind {
                "O" => {
                    let object = parse_object(rest).ok_or(RegistryError::Malformed(number))?;
                    let repeated = |(o, _): &(ObjectModel, _)| o.key() == object.key();
                    if objects.iter().any(repeated) {
                        return Err(RegistryError::Repeated(number));
                    }
                    objects.push((object, Vec::new()));
                }
                "R" => {
                    let resource = parse_resource(rest).ok_or(RegistryError::Malformed(number))?;
                    let (_, resources) =
                        objects.last_mut().ok_or(RegistryError::NoObject(number))?;
                    if resources.iter().any(|known| known.id == resource.id) {
                        return Err(RegistryError::Repeated(number));
                    }
                    resources.push(resource);
                }
                _ if kind.is_empty() || kind.starts_with('#') => {}
                _ => return Err(RegistryError::Malformed(number)),
            }
        }
        Ok(Self::from_parts(objects))
    }

    fn from_parts(parts: Vec<(ObjectModel, Vec<ResourceModel>)>) -> Self {
        let finish = |(mut object, mut resources): (ObjectModel, Vec<ResourceModel>)| {
            resources.sort_by_key(|resource| resource.id);
            object.resources = resources.into();
            object
        };
        Self::from_models(parts.into_iter().map(finish).collect())
    }

    fn from_models(mut objects: Vec<ObjectModel>) -> Self {
        objects.sort_by_key(ObjectModel::key);
        Self { objects }
    }

    /// The definition of an object in the given version, or in the newest if none is given.
    pub fn object(&self, id: u16, version: Option<ObjectVersion>) -> Option<&ObjectModel> {
        let mut newest_first = self.versions(id).iter().rev();
        match version {
            Some(version) => newest_first.find(|object| object.version == version),
            None => newest_first.next(),
        }
    }

    /// All versions of an object, oldest first; empty if the object is unknown.
    pub fn versions(&self, id: u16) -> &[ObjectModel] {
        let start = self.objects.partition_point(|object| object.id < id);
        let from_there = &self.objects[start..];
        let count = from_there.iter().take_while(|object| object.id == id);
        &from_there[..count.count()]
    }

    /// The definition of the resource that `path` names or lies in, from the newest version of
    /// the object that has it.
    pub fn resource(&self, path: Path) -> Option<&ResourceModel> {
        newest_resource(self.versions(path.object_id()?), path.resource_id()?)
    }

    /// The data type of the resource that `path` names or lies in; `None` if it is unknown or
    /// holds nothing.
    pub fn value_type(&self, path: Path) -> Option<ValueType> {
        self.resource(path)?.value_type
    }

    /// Every version of every object, by id and version.
    pub fn objects(&self) -> &[ObjectModel] {
        &self.objects
    }
}

/// Looks up data types faster than [`Registry::value_type`] if most paths lie in the object of the
/// path before, as they do in payloads.
pub(crate) struct ValueTypes<'r> {
    registry: &'r Registry,
    object: Option<u16>,
    versions: &'r [ObjectModel],
}

impl<'r> ValueTypes<'r> {
    pub(crate) const fn new(registry: &'r Registry) -> Self {
        Self {
            registry,
            object: None,
            versions: &[],
        }
    }

    /// As [`Registry::value_type`].
    #[inline]
    pub(crate) fn get(&mut self, path: Path) -> Option<ValueType> {
        let object = path.object_id()?;
        if self.object != Some(object) {
            self.object = Some(object);
            self.versions = self.registry.versions(object);
        }
        newest_resource(self.versions, path.resource_id()?)?.value_type
    }
}

fn newest_resource(versions: &[ObjectModel], id: u16) -> Option<&ResourceModel> {
    versions.iter().rev().find_map(|object| object.resource(id))
}

fn parse_object(line: &'static str) -> Option<ObjectModel> {
    let mut fields = line.split('\t');
    let object = ObjectModel {
        id: fields.next()?.parse().ok()?,
        version: fields.next()?.parse().ok()?,
        lwm2m_version: fields.next()?.parse().ok()?,
        name: Cow::Borrowed(fields.next()?),
        multiple: parse_word(fields.next()?, "Single", "Multiple")?,
        mandatory: parse_word(fields.next()?, "Optional", "Mandatory")?,
        description: None,
        resources: Arc::default(),
    };
    fields.next().is_none().then_some(object)
}

fn parse_resource(line: &'static str) -> Option<ResourceModel> {
    let mut fields = line.split('\t');
    let resource = ResourceModel {
        id: fields.next()?.parse().ok()?,
        name: Cow::Borrowed(fields.next()?),
        operations: parse_operations(fields.next()?)?,
        multiple: parse_word(fields.next()?, "Single", "Multiple")?,
        mandatory: parse_word(fields.next()?, "Optional", "Mandatory")?,
        value_type: parse_type(fields.next()?)?,
        range: parse_optional(fields.next()?),
        units: parse_optional(fields.next()?),
        description: None,
    };
    fields.next().is_none().then_some(resource)
}

fn parse_word(field: &str, no: &str, yes: &str) -> Option<bool> {
    (field == no || field == yes).then_some(field == yes)
}

fn parse_optional(field: &'static str) -> Option<Cow<'static, str>> {
    (!matches!(field, "" | "-")).then_some(Cow::Borrowed(field))
}

fn parse_operations(field: &str) -> Option<Operations> {
    Operations::parse(field.trim_matches('-'))
}

/// The outer `None` is a malformed field, the inner one a resource that holds nothing.
#[expect(
    clippy::option_option,
    reason = "the caller unwraps the outer level with `?` at once"
)]
fn parse_type(field: &str) -> Option<Option<ValueType>> {
    match field {
        "-" => Some(None),
        _ => ValueType::from_registry_name(field).map(Some),
    }
}

#[cfg(test)]
mod tests;
