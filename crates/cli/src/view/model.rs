//! Definitions of objects.

use std::fmt::Write as _;

use lwm2m::{ObjectModel, ResourceModel};
use proto::drover::v1::ObjectModelSummary;
use serde::Serialize;

use crate::table;

/// `{"models": [{"id", "version", "name", "resources"}]}`.
#[derive(Debug, Serialize)]
pub(crate) struct ModelsView {
    models: Vec<SummaryView>,
}

#[derive(Debug, Serialize)]
struct SummaryView {
    id: u32,
    version: String,
    name: String,
    resources: u32,
}

impl From<Vec<ObjectModelSummary>> for ModelsView {
    fn from(models: Vec<ObjectModelSummary>) -> Self {
        let view = |model: ObjectModelSummary| SummaryView {
            id: model.id,
            version: model.version,
            name: model.name,
            resources: model.resources,
        };
        Self {
            models: models.into_iter().map(view).collect(),
        }
    }
}

impl ModelsView {
    pub(crate) fn table(&self) -> String {
        let rows = self.models.iter().map(|model| {
            vec![
                model.id.to_string(),
                model.version.clone(),
                model.name.clone(),
                model.resources.to_string(),
            ]
        });
        table::render(&["OBJECT", "VERSION", "NAME", "RESOURCES"], rows)
    }
}

/// `{"id", "version", "lwm2mVersion", "name", "multiple", "mandatory", "description", "resources": […]}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ModelView {
    id: u16,
    version: String,
    lwm2m_version: String,
    name: String,
    multiple: bool,
    mandatory: bool,
    description: Option<String>,
    resources: Vec<ResourceView>,
}

#[derive(Debug, Serialize)]
struct ResourceView {
    id: u16,
    name: String,
    operations: String,
    multiple: bool,
    mandatory: bool,
    /// As in definition files; none for what is executed.
    #[serde(rename = "type")]
    value_type: Option<&'static str>,
    range: Option<String>,
    units: Option<String>,
    description: Option<String>,
}

impl From<&ObjectModel> for ModelView {
    fn from(model: &ObjectModel) -> Self {
        Self {
            id: model.id,
            version: model.version.to_string(),
            lwm2m_version: model.lwm2m_version.to_string(),
            name: model.name.to_string(),
            multiple: model.multiple,
            mandatory: model.mandatory,
            description: model.description.as_deref().map(str::to_owned),
            resources: model.resources().iter().map(ResourceView::from).collect(),
        }
    }
}

impl From<&ResourceModel> for ResourceView {
    fn from(resource: &ResourceModel) -> Self {
        Self {
            id: resource.id,
            name: resource.name.to_string(),
            operations: resource.operations.to_string(),
            multiple: resource.multiple,
            mandatory: resource.mandatory,
            value_type: resource.value_type.map(lwm2m::ValueType::registry_name),
            range: resource.range.as_deref().map(str::to_owned),
            units: resource.units.as_deref().map(str::to_owned),
            description: resource.description.as_deref().map(str::to_owned),
        }
    }
}

impl ModelView {
    /// What the object is, and a line for each resource.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{} {} version {}, {}, for LwM2M {} and later",
            self.id,
            table::printable(&self.name),
            self.version,
            words(self.multiple, self.mandatory),
            self.lwm2m_version,
        );
        if let Some(description) = &self.description {
            for line in description.lines() {
                let _ = writeln!(text, "{}", table::printable(line.trim()));
            }
        }
        text.push('\n');
        let headings = [
            "ID",
            "NAME",
            "OPERATIONS",
            "TYPE",
            "INSTANCES",
            "RANGE",
            "UNITS",
        ];
        let rows = self.resources.iter().map(ResourceView::row);
        text.push_str(&table::render(&headings, rows));
        text
    }
}

impl ResourceView {
    fn row(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.name.clone(),
            self.operations.clone(),
            self.value_type.unwrap_or_default().to_owned(),
            words(self.multiple, self.mandatory).to_owned(),
            self.range.clone().unwrap_or_default(),
            self.units.clone().unwrap_or_default(),
        ]
    }
}

const fn words(multiple: bool, mandatory: bool) -> &'static str {
    match (multiple, mandatory) {
        (false, false) => "at most one",
        (false, true) => "one",
        (true, false) => "any number",
        (true, true) => "one or more",
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn the_example_is_shown_in_full() {
        let models = lwm2m::ddf::parse(include_str!("../../../../examples/pump.xml")).unwrap();
        let text = ModelView::from(&models[0]).text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..3],
            [
                "26241 Pump version 1.0, any number, for LwM2M 1.0 and later",
                "A pump that moves water, and how well it does.",
                "",
            ]
        );
        assert!(
            lines[3].starts_with("ID   NAME           OPERATIONS   TYPE"),
            "{text}"
        );
        let words: Vec<&str> = lines[5]
            .split("   ")
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .collect();
        assert_eq!(
            words,
            [
                "1",
                "Flow Limit",
                "RW",
                "Unsigned Integer",
                "at most one",
                "0..400",
                "l/h"
            ]
        );
        assert_eq!(lines.len(), 10, "{text}");
    }
}
