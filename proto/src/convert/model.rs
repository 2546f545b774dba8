//! Definitions of objects.

use std::borrow::Cow;

use lwm2m::{ObjectModel, ObjectVersion, Operations, ResourceModel, ValueType};

use super::list::each;
use super::{ConvertError, InField, Reason, narrow};
use crate::{drover, storage};

/// The same message is at rest and in the public API.
macro_rules! object_model {
    ($wire:path) => {
        const _: () = {
            use $wire as wire;

            impl From<ObjectModel> for wire::ObjectModel {
                fn from(model: ObjectModel) -> Self {
                    Self {
                        id: u32::from(model.id),
                        version: model.version.to_string(),
                        lwm2m_version: model.lwm2m_version.to_string(),
                        resources: model.resources().iter().cloned().map(Into::into).collect(),
                        name: model.name.into_owned(),
                        multiple: model.multiple,
                        mandatory: model.mandatory,
                        description: text(model.description),
                    }
                }
            }

            impl TryFrom<wire::ObjectModel> for ObjectModel {
                type Error = ConvertError;

                fn try_from(message: wire::ObjectModel) -> Result<Self, ConvertError> {
                    let mut model = Self::new(
                        narrow("id", message.id)?,
                        version("version", &message.version)?,
                        message.name,
                    );
                    model.lwm2m_version = version("lwm2m_version", &message.lwm2m_version)?;
                    model.multiple = message.multiple;
                    model.mandatory = message.mandatory;
                    model.description = optional(message.description);
                    let resources = each(
                        "resources",
                        message.resources,
                        Self::MAX_RESOURCES,
                        ResourceModel::try_from,
                    )?;
                    model.with_resources(resources).in_field("resources")
                }
            }

            impl From<ResourceModel> for wire::ResourceModel {
                fn from(resource: ResourceModel) -> Self {
                    Self {
                        id: u32::from(resource.id),
                        name: resource.name.into_owned(),
                        operations: resource.operations.to_string(),
                        multiple: resource.multiple,
                        mandatory: resource.mandatory,
                        r#type: resource
                            .value_type
                            .map(|value_type| value_type.registry_name().to_owned())
                            .unwrap_or_default(),
                        range: text(resource.range),
                        units: text(resource.units),
                        description: text(resource.description),
                    }
                }
            }

            impl TryFrom<wire::ResourceModel> for ResourceModel {
                type Error = ConvertError;

                fn try_from(message: wire::ResourceModel) -> Result<Self, ConvertError> {
                    Ok(Self {
                        id: narrow("id", message.id)?,
                        name: message.name.into(),
                        operations: Operations::parse(&message.operations)
                            .ok_or_else(|| ConvertError::new("operations", Reason::Operations))?,
                        multiple: message.multiple,
                        mandatory: message.mandatory,
                        value_type: value_type(&message.r#type)?,
                        range: optional(message.range),
                        units: optional(message.units),
                        description: optional(message.description),
                    })
                }
            }
        };
    };
}

object_model!(storage::v1);
object_model!(drover::v1);

fn text(text: Option<Cow<'static, str>>) -> String {
    text.map(Cow::into_owned).unwrap_or_default()
}

fn optional(text: String) -> Option<Cow<'static, str>> {
    (!text.is_empty()).then_some(Cow::Owned(text))
}

pub(crate) fn version(field: &str, text: &str) -> Result<ObjectVersion, ConvertError> {
    text.parse::<ObjectVersion>().in_field(field)
}

/// `None` stands for all versions.
pub(crate) fn optional_version(text: &str) -> Result<Option<ObjectVersion>, ConvertError> {
    (!text.is_empty())
        .then(|| version("version", text))
        .transpose()
}

fn value_type(name: &str) -> Result<Option<ValueType>, ConvertError> {
    if name.is_empty() {
        return Ok(None);
    }
    let known = ValueType::from_registry_name(name);
    known
        .map(Some)
        .ok_or_else(|| ConvertError::new("type", Reason::DataType))
}
