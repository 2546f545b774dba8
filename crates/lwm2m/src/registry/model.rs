//! The definition of an object: what it holds, and what a server may do with it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use super::ObjectVersion;
use crate::path::RESERVED_ID;
use crate::value::ValueType;

/// What a server may do with a resource. A resource without any is only for bootstrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Operations {
    /// Read, Observe and Discover show the value.
    pub readable: bool,
    /// Write changes the value.
    pub writable: bool,
    /// Execute starts an action.
    pub executable: bool,
}

impl Operations {
    /// Reads the letters of the Operations column: `R`, `W`, `RW`, `E` or nothing.
    pub fn parse(letters: &str) -> Option<Self> {
        let mut operations = Self::default();
        for letter in letters.chars() {
            match letter {
                'R' => operations.readable = true,
                'W' => operations.writable = true,
                'E' => operations.executable = true,
                _ => return None,
            }
        }
        Some(operations)
    }
}

impl fmt::Display for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [
            (self.readable, "R"),
            (self.writable, "W"),
            (self.executable, "E"),
        ];
        let has = letters.into_iter().filter(|(has, _)| *has);
        has.map(|(_, letter)| letter)
            .try_for_each(|letter| f.write_str(letter))
    }
}

/// The definition of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceModel {
    /// Resource id.
    pub id: u16,
    /// Name as in the registry, for example `Battery Level`.
    pub name: Cow<'static, str>,
    /// What a server may do with it.
    pub operations: Operations,
    /// Whether there can be several resource instances.
    pub multiple: bool,
    /// Whether every object instance has it.
    pub mandatory: bool,
    /// The data type; `None` for executable resources, which hold nothing.
    pub value_type: Option<ValueType>,
    /// The accepted range or length in the words of the registry.
    pub range: Option<Cow<'static, str>>,
    /// The unit of measurement in the words of the registry.
    pub units: Option<Cow<'static, str>>,
    /// What it is for, in the words of its definition; `None` for objects that are compiled in.
    pub description: Option<Cow<'static, str>>,
}

/// The definition of one version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectModel {
    /// Object id.
    pub id: u16,
    /// Version of this definition.
    pub version: ObjectVersion,
    /// The LwM2M release this definition needs at least.
    pub lwm2m_version: ObjectVersion,
    /// Name as in the registry, for example `Device`.
    pub name: Cow<'static, str>,
    /// Whether there can be several object instances.
    pub multiple: bool,
    /// Whether every device has it.
    pub mandatory: bool,
    /// What it is for, in the words of its definition; `None` for objects that are compiled in.
    pub description: Option<Cow<'static, str>>,
    pub(super) resources: Arc<[ResourceModel]>,
}

/// What is wrong with a definition as such, whatever it was read from.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ModelError {
    /// LwM2M Core 1.2 §7: 65535 names nothing.
    #[error("the id 65535 is reserved; ids are 0 to 65534")]
    ReservedId,
    /// An object or a resource has no name.
    #[error("{0} has no name")]
    NoName(What),
    /// A name, a range or a unit is too long.
    #[error("{what} has {field} of {found} bytes; at most {limit} are kept")]
    TooLong {
        /// Of what.
        what: What,
        /// Which text.
        field: &'static str,
        /// Its length in bytes.
        found: usize,
        /// The greatest length in bytes.
        limit: usize,
    },
    /// Two resources have one id.
    #[error("resource {0} is defined twice; give each resource an id of its own")]
    Repeated(u16),
    /// More than [`ObjectModel::MAX_RESOURCES`].
    #[error("the object has {0} resources, more than {max}", max = ObjectModel::MAX_RESOURCES)]
    TooManyResources(usize),
    /// A resource that is executed is neither read nor written.
    #[error(
        "resource {0} is executable and more than that; an executable resource has the operation E \
         alone"
    )]
    ExecutableValue(u16),
    /// A resource without a data type that is no executable one.
    #[error("resource {0} has no data type, and only an executable resource may have none")]
    NoType(u16),
    /// More than [`ObjectModel::MAX_BYTES`].
    #[error(
        "the definition has {0} bytes of text, more than {max}; shorten its descriptions",
        max = ObjectModel::MAX_BYTES
    )]
    TooLarge(usize),
}

/// The object or one of its resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The object itself.
    Object,
    /// The resource with this id.
    Resource(u16),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object => f.write_str("the object"),
            Self::Resource(id) => write!(f, "resource {id}"),
        }
    }
}

impl ObjectModel {
    /// More resources in one object are refused. OMA's largest has 67.
    pub const MAX_RESOURCES: usize = 1_024;
    /// The longest name of an object or a resource in bytes.
    pub const MAX_NAME: usize = 128;
    /// The longest text of a range or a unit in bytes.
    pub const MAX_FACT: usize = 1_024;
    /// The longest description in bytes.
    pub const MAX_DESCRIPTION: usize = 2_048;
    /// The most bytes of all texts of a definition together.
    pub const MAX_BYTES: usize = 64 * 1_024;

    /// An object of a single, optional instance and without resources, of LwM2M 1.0.
    pub fn new(id: u16, version: ObjectVersion, name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            id,
            version,
            lwm2m_version: ObjectVersion::V1_0,
            name: name.into(),
            multiple: false,
            mandatory: false,
            description: None,
            resources: Arc::default(),
        }
    }

    /// The object with these resources, in any order, if the whole is within the bounds of this
    /// type and consistent.
    pub fn with_resources(mut self, mut resources: Vec<ResourceModel>) -> Result<Self, ModelError> {
        if resources.len() > Self::MAX_RESOURCES {
            return Err(ModelError::TooManyResources(resources.len()));
        }
        resources.sort_by_key(|resource| resource.id);
        if let Some(pair) = resources.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(ModelError::Repeated(pair[0].id));
        }
        self.resources = resources.into();
        self.check()?;
        Ok(self)
    }

    fn check(&self) -> Result<(), ModelError> {
        if self.id == RESERVED_ID {
            return Err(ModelError::ReservedId);
        }
        name(What::Object, &self.name)?;
        fact(
            What::Object,
            "a description",
            self.description.as_ref(),
            Self::MAX_DESCRIPTION,
        )?;
        self.resources.iter().try_for_each(ResourceModel::check)?;
        let of_resources: usize = self.resources.iter().map(ResourceModel::bytes).sum();
        let bytes = self.name.len() + text_length(self.description.as_ref()) + of_resources;
        if bytes > Self::MAX_BYTES {
            return Err(ModelError::TooLarge(bytes));
        }
        Ok(())
    }

    /// The definition of a resource of this object.
    pub fn resource(&self, id: u16) -> Option<&ResourceModel> {
        let index = self
            .resources
            .binary_search_by_key(&id, |resource| resource.id);
        self.resources.get(index.ok()?)
    }

    /// The resources in the order of their ids.
    pub fn resources(&self) -> &[ResourceModel] {
        &self.resources
    }

    pub(super) const fn key(&self) -> (u16, u8, u8) {
        (self.id, self.version.major, self.version.minor)
    }
}

impl ResourceModel {
    /// Whether the definition is consistent and within the bounds of an [`ObjectModel`].
    pub(crate) fn check(&self) -> Result<(), ModelError> {
        let what = What::Resource(self.id);
        if self.id == RESERVED_ID {
            return Err(ModelError::ReservedId);
        }
        name(what, &self.name)?;
        fact(what, "a range", self.range.as_ref(), ObjectModel::MAX_FACT)?;
        fact(what, "a unit", self.units.as_ref(), ObjectModel::MAX_FACT)?;
        fact(
            what,
            "a description",
            self.description.as_ref(),
            ObjectModel::MAX_DESCRIPTION,
        )?;
        let Operations {
            readable,
            writable,
            executable,
        } = self.operations;
        if executable && (readable || writable || self.value_type.is_some()) {
            return Err(ModelError::ExecutableValue(self.id));
        }
        if !executable && self.value_type.is_none() {
            return Err(ModelError::NoType(self.id));
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        let texts = [&self.range, &self.units, &self.description];
        let of_texts: usize = texts.map(|text| text_length(text.as_ref())).iter().sum();
        self.name.len() + of_texts
    }
}

fn text_length(text: Option<&Cow<'static, str>>) -> usize {
    text.map_or(0, |text| text.len())
}

fn name(what: What, name: &str) -> Result<(), ModelError> {
    match name.len() {
        0 => Err(ModelError::NoName(what)),
        1..=ObjectModel::MAX_NAME => Ok(()),
        found => Err(ModelError::TooLong {
            what,
            field: "a name",
            found,
            limit: ObjectModel::MAX_NAME,
        }),
    }
}

fn fact(
    what: What,
    field: &'static str,
    text: Option<&Cow<'static, str>>,
    limit: usize,
) -> Result<(), ModelError> {
    let found = text_length(text);
    if found > limit {
        return Err(ModelError::TooLong {
            what,
            field,
            found,
            limit,
        });
    }
    Ok(())
}
