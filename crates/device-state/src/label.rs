//! Labels and annotations of devices: what people and services attach to a device, whether it is registered or not.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::limit::{MAX_ANNOTATION_BYTES, MAX_LABELS};
use crate::name::DeviceName;

/// The longest name or value in bytes.
// Kubernetes, "Labels and Selectors": Syntax and character set.
const MAX_NAME: usize = 63;
const MAX_PREFIX: usize = 253;

/// What a label or an annotation is found by: a name, or a DNS name, a slash and a name; as Kubernetes has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelKey(String);

/// The value of a label: empty, or at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelValue(String);

/// Why a text is no key or value of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    #[error(
        "is not the key of a label: 1 to 63 letters, digits, - _ . with a letter or digit at both ends, after an optional DNS name and a slash"
    )]
    Key,
    #[error(
        "is not the value of a label: at most 63 letters, digits, - _ . with a letter or digit at both ends"
    )]
    Value,
}

impl LabelKey {
    /// Checks a key.
    pub fn new(text: &str) -> Result<Self, LabelError> {
        let (prefix, name) = match text.split_once('/') {
            Some((prefix, name)) => (Some(prefix), name),
            None => (None, text),
        };
        let sound = prefix.is_none_or(is_dns_name) && !name.is_empty() && is_name(name);
        sound.then(|| Self(text.to_owned())).ok_or(LabelError::Key)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for LabelKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LabelKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl LabelValue {
    /// Checks a value.
    pub fn new(text: &str) -> Result<Self, LabelError> {
        is_name(text)
            .then(|| Self(text.to_owned()))
            .ok_or(LabelError::Value)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Empty, or what Kubernetes calls a qualified name.
fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let outer = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= MAX_NAME
        && bytes.iter().copied().all(inner)
        && outer(bytes.first())
        && outer(bytes.last())
}

/// Whether a text is what Kubernetes calls a subdomain, as names of objects and prefixes of labels are.
// RFC 1123 §2.1: labels of letters, digits and hyphens, with dots between them.
pub fn is_dns_name(text: &str) -> bool {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty()
            && label.len() <= MAX_NAME
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= MAX_PREFIX && text.split('.').all(label)
}

/// What is attached to a device. There is no row without any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    pub endpoint: DeviceName,
    /// What devices are selected by; at most [`MAX_LABELS`].
    pub labels: BTreeMap<LabelKey, LabelValue>,
    /// Anything else; keys and values together at most [`MAX_ANNOTATION_BYTES`].
    pub annotations: BTreeMap<LabelKey, String>,
}

impl Metadata {
    /// Of a device that has nothing attached.
    pub const fn none(endpoint: DeviceName) -> Self {
        Self {
            endpoint,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.annotations.is_empty()
    }

    /// Whether it is within its bounds.
    pub(crate) fn fits(&self) -> Result<(), Excess> {
        if self.labels.len() > MAX_LABELS {
            return Err(Excess::Labels);
        }
        let bytes: usize = self
            .annotations
            .iter()
            .map(|(key, value)| key.as_str().len() + value.len())
            .sum();
        if bytes > MAX_ANNOTATION_BYTES {
            return Err(Excess::Annotations);
        }
        Ok(())
    }
}

/// What of a device's metadata is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    Labels,
    Annotations,
}

/// A change of labels or of annotations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapChange<V> {
    /// These and no others.
    Replace(BTreeMap<LabelKey, V>),
    /// All that are there, but those of `set` anew and those of `remove` no longer.
    Merge {
        set: BTreeMap<LabelKey, V>,
        remove: BTreeSet<LabelKey>,
    },
}

impl<V: Clone> MapChange<V> {
    /// The change that changes nothing.
    pub const fn none() -> Self {
        Self::Merge {
            set: BTreeMap::new(),
            remove: BTreeSet::new(),
        }
    }

    pub(crate) fn apply(&self, map: &mut BTreeMap<LabelKey, V>) {
        match self {
            Self::Replace(with) => map.clone_from(with),
            Self::Merge { set, remove } => {
                map.retain(|key, _| !remove.contains(key));
                map.extend(set.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_kubernetes() {
        for key in ["tier", "a.b_c-1", "example.com/tier", "a-b.c9/X", "1"] {
            assert!(LabelKey::new(key).is_ok(), "{key}");
        }
        let long = "a".repeat(64);
        for key in [
            "",
            "/a",
            "a/",
            "Example.com/a",
            "-a",
            "a-",
            "a b",
            "a/b/c",
            "a..b/c",
            &long,
        ] {
            assert_eq!(LabelKey::new(key), Err(LabelError::Key), "{key}");
        }
    }

    #[test]
    fn a_value_may_be_empty_and_nothing_else_than_a_name() {
        for value in ["", "gold", "v1.2_3-x"] {
            assert!(LabelValue::new(value).is_ok(), "{value}");
        }
        for value in ["-", "a ", "é", "a/b"] {
            assert_eq!(LabelValue::new(value), Err(LabelError::Value), "{value}");
        }
    }
}
