//! Object definitions in the OMA's XML form (DDF, schema `LWM2M.xsd` of LwM2M 1.0 and 1.1).
//!
//! What a definition holds is read strictly, so that a slip is told with its place; elements that
//! are not known are ignored, as are their order and namespaces.
//!
//! ```
//! let xml = r#"<LWM2M><Object ObjectType="MODefinition">
//!     <Name>Pump</Name><ObjectID>26241</ObjectID><LWM2MVersion/><ObjectVersion/>
//!     <MultipleInstances>Single</MultipleInstances><Mandatory>Optional</Mandatory>
//!     <Resources><Item ID="0"><Name>Flow</Name><Operations>R</Operations>
//!         <MultipleInstances>Single</MultipleInstances><Mandatory>Mandatory</Mandatory>
//!         <Type>Float</Type><RangeEnumeration/><Units>l/h</Units></Item></Resources>
//! </Object></LWM2M>"#;
//! let models = lwm2m::ddf::parse(xml)?;
//! assert_eq!(models[0].resource(0).unwrap().units.as_deref(), Some("l/h"));
//! # Ok::<(), lwm2m::ddf::DdfError>(())
//! ```

mod error;
mod write;
mod xml;

use std::borrow::Cow;
use std::collections::BTreeSet;

pub use self::error::{DdfError, Fault, Position};
pub use self::write::write;
use self::xml::Element;
use crate::path::RESERVED_ID;
use crate::registry::{ModelError, ObjectModel, ObjectVersion, Operations, ResourceModel};
use crate::value::ValueType;

/// The longest document in bytes.
pub const MAX_DOCUMENT: usize = 1024 * 1024;
/// The most objects of one document.
pub const MAX_OBJECTS: usize = 64;

/// The objects that a document defines; one at least.
pub fn parse(xml: &str) -> Result<Vec<ObjectModel>, DdfError> {
    if xml.len() > MAX_DOCUMENT {
        return Err(Position::START.fault(Fault::TooLarge(xml.len())));
    }
    let root = xml::read(xml)?;
    if root.name != "LWM2M" {
        return Err(root.at.fault(Fault::NotADdf(root.name)));
    }
    let is_object = |child: &&Element| child.name == "Object";
    let objects: Vec<&Element> = root.children.iter().filter(is_object).collect();
    match objects.len() {
        0 => Err(root.at.fault(Fault::NoObject)),
        1..=MAX_OBJECTS => objects.into_iter().map(object).collect(),
        many => Err(root.at.fault(Fault::TooManyObjects(many))),
    }
}

fn object(element: &Element) -> Result<ObjectModel, DdfError> {
    let object = In {
        element,
        name: "Object",
    };
    if let Some(other) = element.attribute("ObjectType")
        && other != "MODefinition"
    {
        return Err(element.at.fault(Fault::ObjectType(other.to_owned())));
    }
    let (id_at, id) = object.text("ObjectID")?;
    let id = number(&id).ok_or_else(|| {
        id_at.at.fault(Fault::NotAnId {
            element: "<ObjectID>",
            text: id,
        })
    })?;
    let version = object.version("ObjectVersion")?;
    let mut model = ObjectModel::new(id, version, object.text("Name")?.1);
    model.lwm2m_version = object.version("LWM2MVersion")?;
    model.multiple = object.word("MultipleInstances", MULTIPLE)?;
    model.mandatory = object.word("Mandatory", MANDATORY)?;
    model.description = object.description("Description1");
    let resources = resources(object.required("Resources")?)?;
    model
        .with_resources(resources)
        .map_err(|error| element.at.fault(Fault::Model(error)))
}

fn resources(list: &Element) -> Result<Vec<ResourceModel>, DdfError> {
    let mut known = BTreeSet::new();
    let items = list.children.iter().filter(|child| child.name == "Item");
    items
        .map(|item| {
            let resource = resource(item)?;
            if known.insert(resource.id) {
                Ok(resource)
            } else {
                let repeated = ModelError::Repeated(resource.id);
                Err(item.at.fault(Fault::Model(repeated)))
            }
        })
        .collect()
}

fn resource(element: &Element) -> Result<ResourceModel, DdfError> {
    let item = In {
        element,
        name: "Item",
    };
    let id = element
        .attribute("ID")
        .ok_or_else(|| element.at.fault(Fault::NoItemId))?;
    let id = number(id).ok_or_else(|| {
        element.at.fault(Fault::NotAnId {
            element: "the ID of <Item>",
            text: id.to_owned(),
        })
    })?;
    let operations = item.operations()?;
    let resource = ResourceModel {
        id,
        name: item.text("Name")?.1.into(),
        operations,
        multiple: item.word("MultipleInstances", MULTIPLE)?,
        mandatory: item.word("Mandatory", MANDATORY)?,
        value_type: item.value_type(operations)?,
        range: item.fact("RangeEnumeration"),
        units: item.fact("Units"),
        description: item.description("Description"),
    };
    let checked = resource.check();
    checked.map_err(|error| element.at.fault(Fault::Model(error)))?;
    Ok(resource)
}

/// Two words of which the second means yes.
#[derive(Clone, Copy)]
struct Words {
    no: &'static str,
    yes: &'static str,
    both: &'static str,
}

const MULTIPLE: Words = Words {
    no: "Single",
    yes: "Multiple",
    both: "Single or Multiple",
};
const MANDATORY: Words = Words {
    no: "Optional",
    yes: "Mandatory",
    both: "Optional or Mandatory",
};

/// An element whose children are looked for.
#[derive(Clone, Copy)]
struct In<'e> {
    element: &'e Element,
    name: &'static str,
}

impl<'e> In<'e> {
    fn required(self, element: &'static str) -> Result<&'e Element, DdfError> {
        let missing = Fault::Missing {
            parent: self.name,
            element,
        };
        let child = self.element.child(element);
        child.ok_or_else(|| self.element.at.fault(missing))
    }

    /// The text of a child that must be there, which may be empty; runs of white space are one space.
    fn text(self, element: &'static str) -> Result<(&'e Element, String), DdfError> {
        let child = self.required(element)?;
        Ok((child, one_line(&child.text)))
    }

    // LWM2M.xsd: both versions may be empty, or missing as in files of LwM2M 1.0.
    fn version(self, element: &'static str) -> Result<ObjectVersion, DdfError> {
        let Some(child) = self.element.child(element) else {
            return Ok(ObjectVersion::V1_0);
        };
        let text = child.text.trim();
        if text.is_empty() {
            return Ok(ObjectVersion::V1_0);
        }
        text.parse().map_err(|_| {
            child.at.fault(Fault::NotAVersion {
                element,
                text: shown(text),
            })
        })
    }

    fn word(self, element: &'static str, words: Words) -> Result<bool, DdfError> {
        let (child, text) = self.text(element)?;
        if text == words.yes {
            Ok(true)
        } else if text == words.no {
            Ok(false)
        } else {
            Err(child.at.fault(Fault::NotOneOf {
                element,
                text: shown(&text),
                allowed: words.both,
            }))
        }
    }

    fn operations(self) -> Result<Operations, DdfError> {
        let (child, text) = self.text("Operations")?;
        Operations::parse(&text).ok_or_else(|| {
            child.at.fault(Fault::NotOneOf {
                element: "Operations",
                text: shown(&text),
                allowed: "R, W, RW, E, or empty for a resource that only a bootstrap server sets",
            })
        })
    }

    /// Executable resources hold nothing, whatever type some definitions give them.
    fn value_type(self, operations: Operations) -> Result<Option<ValueType>, DdfError> {
        let (child, text) = self.text("Type")?;
        let value_type = ValueType::from_registry_name(&text);
        match value_type {
            None if !text.is_empty() => Err(child.at.fault(Fault::NotOneOf {
                element: "Type",
                text: shown(&text),
                allowed: "String, Integer, Unsigned Integer, Float, Boolean, Opaque, Time, Objlnk \
                          or Corelnk, and empty for an executable resource",
            })),
            _ => Ok(value_type.filter(|_| !operations.executable)),
        }
    }

    /// A range or unit; a dash is as good as nothing.
    fn fact(self, element: &str) -> Option<Cow<'static, str>> {
        let text = one_line(&self.element.child(element)?.text);
        (!matches!(text.as_str(), "" | "-")).then_some(text.into())
    }

    /// For people: what is too long is cut.
    fn description(self, element: &str) -> Option<Cow<'static, str>> {
        let text = self.element.child(element)?.text.trim();
        let end = text.floor_char_boundary(ObjectModel::MAX_DESCRIPTION);
        let text = text.get(..end).unwrap_or_default().trim_end();
        (!text.is_empty()).then(|| text.to_owned().into())
    }
}

fn number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|id| *id != RESERVED_ID)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// As much of a wrong text as a message shows.
fn shown(text: &str) -> String {
    const MAX_SHOWN: usize = 64;
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
