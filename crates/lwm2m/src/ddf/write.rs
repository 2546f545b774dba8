//! From an object to a document that defines it.

use super::{MANDATORY, MULTIPLE, Words};
use crate::registry::{ObjectModel, ResourceModel};
use crate::value::ValueType;

/// The document that defines an object. Reading it gives the same object, as long as its texts are as [`parse`] leaves
/// them: without white space at their ends, and names in one line.
///
/// [`parse`]: super::parse
pub fn write(model: &ObjectModel) -> String {
    let mut text = String::from("<LWM2M><Object ObjectType=\"MODefinition\">");
    element(&mut text, "Name", &model.name);
    element(&mut text, "Description1", of(model.description.as_deref()));
    element(&mut text, "ObjectID", &model.id.to_string());
    element(&mut text, "LWM2MVersion", &model.lwm2m_version.to_string());
    element(&mut text, "ObjectVersion", &model.version.to_string());
    word(&mut text, "MultipleInstances", MULTIPLE, model.multiple);
    word(&mut text, "Mandatory", MANDATORY, model.mandatory);
    text.push_str("<Resources>");
    for resource in model.resources() {
        item(&mut text, resource);
    }
    text.push_str("</Resources></Object></LWM2M>");
    text
}

fn item(text: &mut String, resource: &ResourceModel) {
    let kind = resource.value_type.map_or("", ValueType::registry_name);
    text.push_str(&format!("<Item ID=\"{}\">", resource.id));
    element(text, "Name", &resource.name);
    element(text, "Operations", &resource.operations.to_string());
    word(text, "MultipleInstances", MULTIPLE, resource.multiple);
    word(text, "Mandatory", MANDATORY, resource.mandatory);
    element(text, "Type", kind);
    element(text, "RangeEnumeration", of(resource.range.as_deref()));
    element(text, "Units", of(resource.units.as_deref()));
    element(text, "Description", of(resource.description.as_deref()));
    text.push_str("</Item>");
}

fn of(fact: Option<&str>) -> &str {
    fact.unwrap_or_default()
}

fn word(text: &mut String, name: &str, words: Words, is_so: bool) {
    element(text, name, if is_so { words.yes } else { words.no });
}

fn element(text: &mut String, name: &str, content: &str) {
    text.push_str(&format!("<{name}>"));
    for character in content.chars() {
        match character {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            // XML 1.0 §2.2: there are no other control characters in a document.
            '\t' | '\n' | '\r' => text.push(character),
            control if control.is_control() => text.push(' '),
            character => text.push(character),
        }
    }
    text.push_str(&format!("</{name}>"));
}
