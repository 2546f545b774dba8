#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use serde_json::json;

use crate::manifest::crds;

use super::*;

#[test]
fn objects_of_the_last_release_stay_valid() {
    let present: Vec<_> = crds()
        .iter()
        .map(|crd| serde_json::to_value(crd).unwrap())
        .collect();
    for entry in std::fs::read_dir("released").unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let released: Value = serde_yaml_ng::from_str(&text).unwrap();
        let name = &released["metadata"]["name"];
        let now = present.iter().find(|one| one["metadata"]["name"] == *name);
        let found = breaks(&released, now.unwrap_or(&Value::Null));
        let told: Vec<_> = found
            .iter()
            .map(|(path, what)| format!("{path} {what}"))
            .collect();
        assert!(
            told.is_empty(),
            "incompatible with the last release:\n{}",
            told.join("\n")
        );
    }
}

fn definition() -> Value {
    json!({
        "spec": {
            "group": "drover.dev", "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": "things", "shortNames": ["th"]},
            "versions": [{
                "name": "v1", "served": true,
                "selectableFields": [{"jsonPath": ".spec.mode"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": {"type": "string", "maxLength": 10, "minLength": 1},
                        "mode": {"type": "string", "enum": ["A", "B"], "default": "A"},
                        "note": {"type": "string", "nullable": true},
                        "many": {
                            "type": "array", "maxItems": 5,
                            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"],
                            "items": {"type": "object", "required": ["id"], "properties": {
                                "id": {"type": "integer", "minimum": 1, "maximum": 9},
                            }},
                        },
                        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    },
                }}}},
            }],
        },
    })
}

const SPEC: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";

/// What is told when one place of the definition is another value.
fn told(place: &str, value: Value) -> Vec<String> {
    let mut now = definition();
    let (parent, key) = place.rsplit_once('/').unwrap();
    let parent = now.pointer_mut(parent).unwrap();
    if value.is_null() {
        parent.as_object_mut().unwrap().remove(key).unwrap();
    } else {
        parent[key] = value;
    }
    let found = breaks(&definition(), &now);
    found
        .iter()
        .map(|(path, what)| format!("{path} {what}"))
        .collect()
}

fn told_of_spec(place: &str, value: Value) -> Vec<String> {
    told(&format!("{SPEC}{place}"), value)
}

#[test]
fn the_same_definition_breaks_nothing() {
    assert_eq!(breaks(&definition(), &definition()), []);
}

#[test]
fn what_only_allows_more_breaks_nothing() {
    for (place, value) in [
        ("/properties/more", json!({"type": "string"})),
        ("/properties/name/maxLength", json!(20)),
        ("/properties/name/minLength", json!(null)),
        ("/properties/mode/enum", json!(["A", "B", "C"])),
        ("/required", json!([])),
        ("/properties/many/items/properties/id/maximum", json!(null)),
    ] {
        assert_eq!(told_of_spec(place, value), Vec::<String>::new(), "{place}");
    }
}

#[test]
fn every_break_is_told_with_its_path() {
    for (place, value, expected) in [
        ("/properties/note", json!(null), "note was removed"),
        (
            "/properties/note/type",
            json!("integer"),
            "note has another type",
        ),
        (
            "/properties/note/nullable",
            json!(null),
            "note may not be null any more",
        ),
        (
            "/properties/note/enum",
            json!(["x"]),
            "note has a list of words now",
        ),
        (
            "/properties/note/pattern",
            json!("^x$"),
            "note has another pattern",
        ),
        (
            "/properties/note/maxLength",
            json!(1),
            "note has a narrower maxLength",
        ),
        ("/required", json!(["name", "note"]), "note is required now"),
        (
            "/properties/name/maxLength",
            json!(9),
            "name has a narrower maxLength",
        ),
        (
            "/properties/name/minLength",
            json!(2),
            "name has a narrower minLength",
        ),
        (
            "/properties/mode/enum",
            json!(["A"]),
            "mode may not be B any more",
        ),
        (
            "/properties/mode/default",
            json!("B"),
            "mode has another default",
        ),
        (
            "/properties/many/maxItems",
            json!(4),
            "many has a narrower maxItems",
        ),
        (
            "/properties/many/x-kubernetes-list-type",
            json!("atomic"),
            "many is merged otherwise",
        ),
        (
            "/properties/many/items/properties/id/maximum",
            json!(8),
            "many[].id has a narrower maximum",
        ),
        (
            "/properties/many/items/properties/id/minimum",
            json!(2),
            "many[].id has a narrower minimum",
        ),
        (
            "/properties/labels/additionalProperties/maxLength",
            json!(9),
            "labels{} has a narrower maxLength",
        ),
    ] {
        assert_eq!(
            told_of_spec(place, value),
            [format!("Thing v1.spec.{expected}")],
            "{place}"
        );
    }
}

#[test]
fn breaks_of_the_kind_itself_are_told() {
    for (place, value, expected) in [
        ("/spec/scope", json!("Cluster"), "Thing has another scope"),
        (
            "/spec/names/plural",
            json!("others"),
            "Thing has another plural",
        ),
        (
            "/spec/names/shortNames",
            json!(["ot"]),
            "Thing has another short name",
        ),
        (
            "/spec/versions/0/served",
            json!(false),
            "Thing v1 is not served any more",
        ),
        (
            "/spec/versions/0/name",
            json!("v2"),
            "Thing v1 is not served any more",
        ),
        (
            "/spec/versions/0/selectableFields",
            json!([]),
            "Thing v1 .spec.mode cannot be selected by any more",
        ),
    ] {
        assert_eq!(told(place, value), [expected], "{place}");
    }
}
