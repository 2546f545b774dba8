//! Two schemas of the same field.

use serde_json::Value;

use super::{Break, list};

/// Bounds that must not become smaller, and those that must not become greater.
const UPPER: [&str; 4] = ["maximum", "maxLength", "maxItems", "maxProperties"];
const LOWER: [&str; 4] = ["minimum", "minLength", "minItems", "minProperties"];

pub(super) fn schemas(then: &Value, now: &Value, path: &str, found: &mut Vec<(String, Break)>) {
    let mut note = |what| found.push((path.to_owned(), what));
    if kind(then) != kind(now) {
        // What else is different follows from it.
        return note(Break::TypeChanged);
    }
    own(then, now, &mut note);
    for (name, field) in fields(then) {
        let path = format!("{path}.{name}");
        match now["properties"].get(name) {
            Some(now) => schemas(field, now, &path, found),
            None => found.push((path, Break::FieldRemoved)),
        }
    }
    for name in list(&now["required"]).filter_map(Value::as_str) {
        if !list(&then["required"]).any(|known| known == name) {
            found.push((format!("{path}.{name}"), Break::Required));
        }
    }
    for (inner, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let (Some(then), Some(now)) = (then.get(inner), now.get(inner)) {
            schemas(then, now, &format!("{path}{mark}"), found);
        }
    }
}

/// What is different of the field itself, not of what is in it.
fn own(then: &Value, now: &Value, note: &mut impl FnMut(Break)) {
    if then["nullable"] == true && now["nullable"] != true {
        note(Break::NotNullable);
    }
    words(then, now, note);
    for bound in UPPER {
        if is_tighter(&then[bound], &now[bound], |then, now| now < then) {
            note(Break::Bound(bound));
        }
    }
    for bound in LOWER {
        if is_tighter(&then[bound], &now[bound], |then, now| now > then) {
            note(Break::Bound(bound));
        }
    }
    if !now["pattern"].is_null() && now["pattern"] != then["pattern"] {
        note(Break::Pattern);
    }
    if then["default"] != now["default"] {
        note(Break::Default);
    }
    let merge = ["x-kubernetes-list-type", "x-kubernetes-list-map-keys"];
    if merge.iter().any(|key| then[key] != now[key]) {
        note(Break::Merge);
    }
}

fn words(then: &Value, now: &Value, note: &mut impl FnMut(Break)) {
    match (then.get("enum"), now.get("enum")) {
        (None, Some(_)) => note(Break::WordsAdded),
        (Some(then), Some(now)) => {
            for word in list(then).filter(|word| !list(now).any(|known| known == *word)) {
                note(Break::WordRemoved(
                    word.as_str().unwrap_or("null").to_owned(),
                ));
            }
        }
        (_, None) => {}
    }
}

fn is_tighter(then: &Value, now: &Value, exceeds: impl Fn(f64, f64) -> bool) -> bool {
    match (then.as_f64(), now.as_f64()) {
        (Some(then), Some(now)) => exceeds(then, now),
        (None, Some(_)) => true,
        (_, None) => false,
    }
}

/// What a field holds, with what else decides which values it takes.
fn kind(schema: &Value) -> [&Value; 3] {
    let keys = ["type", "format", "x-kubernetes-int-or-string"];
    keys.map(|key| &schema[key])
}

fn fields(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}
