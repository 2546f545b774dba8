//! The CEL rules of every kind, in tables: an example, changed a little, is accepted or refused.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

mod bootstrap_profile;
mod device;
mod device_group;
mod device_operation;
mod device_profile;
mod enrollment_policy;
mod firmware_image;
mod firmware_rollout;
mod object_model;
mod security_profile;

use std::path::Path;

use kube::core::cel::{Validator, apply_defaults};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::manifest::crds;

const FOLDER: &str = "../../examples/resources";

/// Changes of an example, as merge patches (RFC 7396) of its spec.
pub(crate) struct Table {
    /// The example's file in `examples/resources`.
    pub(crate) file: &'static str,
    /// What an object may be.
    pub(crate) accepted: &'static [&'static str],
    /// What it may not be, and how the refusal begins.
    pub(crate) refused: &'static [(&'static str, &'static str)],
    /// What the example may be changed to.
    pub(crate) changed: &'static [&'static str],
    /// What it may not be changed to, and how the refusal begins.
    pub(crate) fixed: &'static [(&'static str, &'static str)],
}

impl Table {
    /// Tries all of it, and that no rule of the kind was left out.
    pub(crate) fn check(&self) {
        self.check_but(&[]);
    }

    /// As `check`; rules whose messages begin so have tests of their own.
    pub(crate) fn check_but(&self, elsewhere: &[&str]) {
        let old = example(self.file);
        for patch in self.accepted {
            let found = refusals(&patched(&old, patch), None);
            assert!(found.is_empty(), "{patch}: {found:?}");
        }
        for patch in self.changed {
            let found = refusals(&patched(&old, patch), Some(&old));
            assert!(found.is_empty(), "{patch}: {found:?}");
        }
        for (patch, message) in self.refused {
            one(patch, message, &refusals(&patched(&old, patch), None));
        }
        for (patch, message) in self.fixed {
            one(patch, message, &refusals(&patched(&old, patch), Some(&old)));
        }
        let tried: Vec<_> = [self.refused, self.fixed].concat();
        for message in messages(&schema_of(&old)) {
            let tried = tried.iter().map(|(_, tried)| tried);
            let is_tried = tried
                .chain(elsewhere)
                .any(|tried| message.starts_with(tried));
            assert!(is_tried, "no test of: {message}");
        }
    }
}

fn one(patch: &str, message: &str, found: &[String]) {
    let is_there = found.iter().any(|one| one.starts_with(message));
    assert!(is_there, "{patch}: expected {message:?}, found {found:?}");
}

/// The files with examples; Device's is older and lies above the others.
pub(crate) fn examples() -> Vec<String> {
    let files = std::fs::read_dir(FOLDER).unwrap();
    files
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .chain(["../device.yaml".to_owned()])
        .collect()
}

pub(crate) fn example(file: &str) -> Value {
    let text = std::fs::read_to_string(Path::new(FOLDER).join(file)).unwrap();
    serde_yaml_ng::from_str(&text).unwrap()
}

/// What the rules say about an object, or about a change, once defaults are filled in.
pub(crate) fn refusals(object: &Value, old: Option<&Value>) -> Vec<String> {
    let schema = schema_of(object);
    let object = apply_defaults(&schema, object);
    let old = old.map(|old| apply_defaults(&schema, old));
    match Validator::new().validate(&schema, &object, old.as_ref()) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.iter().map(|error| error.message.clone()).collect(),
    }
}

fn schema_of(object: &Value) -> Value {
    let kind = object["kind"].as_str().unwrap();
    let all = crds();
    let crd = all.iter().find(|crd| crd.spec.names.kind == kind).unwrap();
    let schema = crd.spec.versions[0].schema.as_ref().unwrap();
    serde_json::to_value(schema.open_api_v3_schema.as_ref().unwrap()).unwrap()
}

/// The schema of an object's spec.
pub(crate) fn schema(object: &Value) -> Value {
    schema_of(object)["properties"]["spec"].clone()
}

/// The object as the types read it and write it back.
pub(crate) fn read(object: &Value) -> Value {
    match object["kind"].as_str().unwrap() {
        "BootstrapProfile" => through::<crate::BootstrapProfile>(object),
        "Device" => through::<crate::Device>(object),
        "DeviceGroup" => through::<crate::DeviceGroup>(object),
        "DeviceOperation" => through::<crate::DeviceOperation>(object),
        "DeviceProfile" => through::<crate::DeviceProfile>(object),
        "EnrollmentPolicy" => through::<crate::EnrollmentPolicy>(object),
        "FirmwareImage" => through::<crate::FirmwareImage>(object),
        "FirmwareRollout" => through::<crate::FirmwareRollout>(object),
        "ObjectModel" => through::<crate::ObjectModel>(object),
        "SecurityProfile" => through::<crate::SecurityProfile>(object),
        other => panic!("no type for {other}"),
    }
}

fn through<K: DeserializeOwned + Serialize>(object: &Value) -> Value {
    serde_json::to_value(serde_json::from_value::<K>(object.clone()).unwrap()).unwrap()
}

/// The paths of a value that a schema does not know.
pub(crate) fn pruned(schema: &Value, value: &Value, path: &str) -> Vec<String> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, field)| pruned_field(schema, name, field, path))
            .collect(),
        Value::Array(items) => items
            .iter()
            .flat_map(|item| pruned(&schema["items"], item, path))
            .collect(),
        _ => Vec::new(),
    }
}

fn pruned_field(schema: &Value, name: &str, field: &Value, path: &str) -> Vec<String> {
    let path = format!("{path}.{name}");
    let known = schema["properties"]
        .get(name)
        .or_else(|| schema.get("additionalProperties"));
    known.map_or_else(|| vec![path.clone()], |known| pruned(known, field, &path))
}

/// The paths of a value that another one has not, or has otherwise.
pub(crate) fn lost(given: &Value, kept: &Value, path: &str) -> Vec<String> {
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => given
            .iter()
            .flat_map(|(name, value)| {
                lost(
                    value,
                    kept.get(name).unwrap_or(&Value::Null),
                    &format!("{path}.{name}"),
                )
            })
            .collect(),
        (Value::Array(given), Value::Array(kept)) if given.len() == kept.len() => {
            let pairs = given.iter().zip(kept);
            pairs
                .flat_map(|(given, kept)| lost(given, kept, path))
                .collect()
        }
        _ if given == kept => Vec::new(),
        _ => vec![path.to_owned()],
    }
}

fn messages(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "x-kubernetes-validations" {
                    let rules = value.as_array().unwrap();
                    found.extend(
                        rules
                            .iter()
                            .map(|rule| rule["message"].as_str().unwrap().to_owned()),
                    );
                } else {
                    found.extend(messages(value));
                }
            }
        }
        Value::Array(items) => found.extend(items.iter().flat_map(messages)),
        _ => {}
    }
    found
}

fn patched(object: &Value, patch: &str) -> Value {
    let mut object = object.clone();
    merge(
        &mut object["spec"],
        &serde_yaml_ng::from_str(patch).unwrap(),
    );
    object
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let target = target.as_object_mut().unwrap();
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}
