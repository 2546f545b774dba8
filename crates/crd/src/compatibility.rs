//! Whether what is installed may take the place of what was released: no object that was valid may
//! become invalid or lose a field.
//!
//! The definitions of the last release lie in `released/`; a release copies `crds/` there. What is
//! compared is the schema's shape. Rules in CEL cannot be compared; one that is new or stricter is
//! for the reviewer to see.

mod difference;

use std::fmt;

use serde_json::Value;

/// What an object that was valid would suffer from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// The kind, or a version of it, is not served any more.
    Removed,
    /// A field is not there any more, and its value would be pruned.
    FieldRemoved,
    /// A field has another type.
    TypeChanged,
    /// A field must be set that did not have to be.
    Required,
    /// A field may not be null any more.
    NotNullable,
    /// A word is not allowed any more.
    WordRemoved(String),
    /// A field has words to choose from that had none.
    WordsAdded,
    /// A bound is narrower, or new.
    Bound(&'static str),
    /// A text must have another form than before.
    Pattern,
    /// A default is another one, or is gone.
    Default,
    /// Lists are merged otherwise, or by other keys.
    Merge,
    /// A field cannot be selected by any more.
    NotSelectable,
    /// A name, a scope or a category is another one.
    Name(&'static str),
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed => f.write_str("is not served any more"),
            Self::FieldRemoved => f.write_str("was removed"),
            Self::TypeChanged => f.write_str("has another type"),
            Self::Required => f.write_str("is required now"),
            Self::NotNullable => f.write_str("may not be null any more"),
            Self::WordRemoved(word) => write!(f, "may not be {word} any more"),
            Self::WordsAdded => f.write_str("has a list of words now"),
            Self::Bound(bound) => write!(f, "has a narrower {bound}"),
            Self::Pattern => f.write_str("has another pattern"),
            Self::Default => f.write_str("has another default"),
            Self::Merge => f.write_str("is merged otherwise"),
            Self::NotSelectable => f.write_str("cannot be selected by any more"),
            Self::Name(name) => write!(f, "has another {name}"),
        }
    }
}

/// Every break between a released definition and the present one, with the path that it is at.
pub(crate) fn breaks(released: &Value, present: &Value) -> Vec<(String, Break)> {
    let mut found = Vec::new();
    let kind = released["spec"]["names"]["kind"].as_str().unwrap_or("?");
    for (name, pointer) in [
        ("group", "/spec/group"),
        ("scope", "/spec/scope"),
        ("kind", "/spec/names/kind"),
        ("plural", "/spec/names/plural"),
        ("short name", "/spec/names/shortNames"),
    ] {
        if released.pointer(pointer) != present.pointer(pointer) {
            found.push((kind.to_owned(), Break::Name(name)));
        }
    }
    for version in list(&released["spec"]["versions"]) {
        let path = format!("{kind} {}", version["name"].as_str().unwrap_or("?"));
        let is_same = |one: &&Value| one["name"] == version["name"] && one["served"] == true;
        match list(&present["spec"]["versions"]).find(is_same) {
            Some(now) => version_breaks(version, now, &path, &mut found),
            None => found.push((path, Break::Removed)),
        }
    }
    found
}

fn version_breaks(then: &Value, now: &Value, path: &str, found: &mut Vec<(String, Break)>) {
    for field in list(&then["selectableFields"]) {
        if !list(&now["selectableFields"]).any(|one| one == field) {
            let field = field["jsonPath"].as_str().unwrap_or("?");
            found.push((format!("{path} {field}"), Break::NotSelectable));
        }
    }
    let (then, now) = (&then["schema"], &now["schema"]);
    let (then, now) = (&then["openAPIV3Schema"], &now["openAPIV3Schema"]);
    difference::schemas(then, now, path, found);
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests;
