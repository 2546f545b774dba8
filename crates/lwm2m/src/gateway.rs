//! Devices behind a gateway (OMA LwM2M Gateway 1.1): each is an instance of `/25` of the gateway, and its objects lie
//! below a prefix of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::alternate_path::AlternatePath;
use crate::format::Entry;
use crate::link::{LinkError, ObjectLinks};
use crate::path::Path;
use crate::value::Value;

/// The object whose instances are the devices behind a gateway.
pub const GATEWAY: u16 = 25;

/// `/25/x/0`
const DEVICE_ID: u16 = 0;
/// `/25/x/1`
const PREFIX: u16 = 1;
/// `/25/x/3`
const OBJECTS: u16 = 3;

/// The most children that are taken from one gateway.
pub const MAX_CHILDREN: usize = 1_024;

/// The longest device id that is taken, in bytes.
pub const MAX_DEVICE_ID: usize = 255;

/// What the paths of one device behind a gateway begin with: `dev0` in `/dev0/3303/0/5700`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildPrefix(Box<str>);

/// Why a text is no prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PrefixError {
    /// There is nothing in it.
    #[error("prefix is empty")]
    Empty,
    /// The text is longer than [`ChildPrefix::MAX_BYTES`].
    #[error("prefix has more than 64 bytes")]
    TooLong,
    /// It would be read as the id of an object.
    #[error("prefix is a number")]
    Number,
    /// It is more than one segment, or none that a Uri-Path may have.
    #[error("prefix is not one segment of visible characters")]
    NotASegment,
}

impl ChildPrefix {
    /// The longest prefix in bytes.
    pub const MAX_BYTES: usize = 64;

    /// The segment.
    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

/// Reads the segment, with or without a slash in front.
impl FromStr for ChildPrefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let segment = text.strip_prefix('/').unwrap_or(text);
        if segment.is_empty() {
            return Err(PrefixError::Empty);
        }
        if segment.len() > Self::MAX_BYTES {
            return Err(PrefixError::TooLong);
        }
        if segment.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PrefixError::Number);
        }
        // RFC 7252 §5.10.1: no segment is `.` or `..`. What links and queries are made of would be misread in them.
        let is_fit = |byte: u8| byte.is_ascii_graphic() && !b"/?#%<>\",;'\\".contains(&byte);
        if matches!(segment, "." | "..") || !segment.bytes().all(is_fit) {
            return Err(PrefixError::NotASegment);
        }
        Ok(Self(segment.into()))
    }
}

impl fmt::Display for ChildPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A device behind a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// What the gateway calls the device.
    pub id: String,
    /// What its paths begin with.
    pub prefix: ChildPrefix,
    /// Its objects, by paths without the prefix. Empty if the gateway does not list them, as those with `/25` of
    /// version 1.0 do not.
    pub objects: ObjectLinks,
}

/// Why an instance of `/25` is no child that can be asked for anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ChildError {
    /// There is no text at `/25/x/0`.
    #[error("the gateway does not name the device")]
    NoId,
    /// The device id is longer than [`MAX_DEVICE_ID`].
    #[error("the name of the device has more than 255 bytes")]
    LongId,
    /// There is no text at `/25/x/1`.
    #[error("the gateway gives no prefix for the device")]
    NoPrefix,
    /// The prefix cannot be part of a path.
    #[error(transparent)]
    Prefix(#[from] PrefixError),
    /// Another child has the prefix, so that it is not certain which would answer.
    #[error("another device has the same prefix")]
    Repeated,
    /// The list of objects cannot be read.
    #[error(transparent)]
    Objects(#[from] LinkError),
}

/// The children that the values of `/25` tell of, by instance. What comes after [`MAX_CHILDREN`] instances is passed over.
pub fn children(entries: &[Entry]) -> BTreeMap<u16, Result<Child, ChildError>> {
    let mut told: BTreeMap<u16, Told<'_>> = BTreeMap::new();
    for entry in entries {
        let Path::Resource(GATEWAY, instance, resource) = entry.path else {
            continue;
        };
        if told.len() == MAX_CHILDREN && !told.contains_key(&instance) {
            continue;
        }
        let told = told.entry(instance).or_default();
        let (Value::String(text) | Value::CoreLink(text)) = &entry.value else {
            continue;
        };
        match resource {
            DEVICE_ID => told.id = Some(text),
            PREFIX => told.prefix = Some(text),
            OBJECTS => told.objects = Some(text),
            _ => {}
        }
    }
    let mut prefixes = BTreeSet::new();
    told.into_iter()
        .map(|(instance, told)| {
            let child = told.child().and_then(|child| {
                prefixes
                    .insert(child.prefix.clone())
                    .then_some(child)
                    .ok_or(ChildError::Repeated)
            });
            (instance, child)
        })
        .collect()
}

/// The texts of one instance of `/25`.
#[derive(Default)]
struct Told<'a> {
    id: Option<&'a str>,
    prefix: Option<&'a str>,
    objects: Option<&'a str>,
}

impl Told<'_> {
    fn child(&self) -> Result<Child, ChildError> {
        let id = self.id.filter(|id| !id.is_empty());
        let id = id.ok_or(ChildError::NoId)?;
        if id.len() > MAX_DEVICE_ID {
            return Err(ChildError::LongId);
        }
        let prefix: ChildPrefix = self.prefix.ok_or(ChildError::NoPrefix)?.parse()?;
        let root = AlternatePath::default().of_child(&prefix);
        let objects = ObjectLinks::parse_below(&root, self.objects.unwrap_or_default())?;
        Ok(Child {
            id: id.to_owned(),
            prefix,
            objects,
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;
    use crate::{ContentFormat, Registry, decode};

    fn entry(path: &str, text: &str) -> Entry {
        Entry::new(path.parse().unwrap(), Value::String(text.to_owned()))
    }

    #[test]
    fn a_prefix_is_one_segment_that_is_no_number() {
        for text in ["dev0", "/dev0", "a4:c1:38:00", "0x1f", "urn:dev:1"] {
            let prefix: ChildPrefix = text.parse().unwrap();
            assert_eq!(prefix.as_str(), text.trim_start_matches('/'));
        }
        let parse = |text: &str| text.parse::<ChildPrefix>();
        assert_eq!(parse(""), Err(PrefixError::Empty));
        assert_eq!(parse("/"), Err(PrefixError::Empty));
        for number in ["3", "/25", "65536", "00"] {
            assert_eq!(parse(number), Err(PrefixError::Number));
        }
        for broken in ["a/b", "dev0/", "..", "a?b", "a b", "é", "a,b", "<a", "a\0"] {
            assert_eq!(parse(broken), Err(PrefixError::NotASegment), "{broken:?}");
        }
        assert_eq!(parse(&"a".repeat(65)), Err(PrefixError::TooLong));
    }

    #[test]
    fn children_are_read_from_the_gateway_with_their_objects() {
        let payload = br#"[{"bn":"/25/0/","n":"0","vs":"SN01"},{"n":"1","vs":"dev0"},
            {"n":"3","vs":"</3303>;ver=1.1,</3303/0>,</3/0>"},
            {"bn":"/25/7/","n":"0","vs":"SN02"},{"n":"1","vs":"dev7"},
            {"n":"3","vs":"</dev7/3303/2>"},
            {"bn":"/25/8/","n":"0","vs":"SN03"},{"n":"1","vs":"old"}]"#;
        let format = ContentFormat::SENML_JSON;
        let entries = decode(format, Path::Object(GATEWAY), payload, Registry::oma()).unwrap();
        let children = children(&entries);
        let first = children[&0].as_ref().unwrap();
        assert_eq!((first.id.as_str(), first.prefix.as_str()), ("SN01", "dev0"));
        assert_eq!(first.objects.version(3303).unwrap().to_string(), "1.1");
        assert!(first.objects.contains(Path::ObjectInstance(3, 0)));
        // Whether the links have the prefix or not.
        let second = children[&7].as_ref().unwrap();
        let paths: Vec<_> = second.objects.iter().map(|link| link.path).collect();
        assert_eq!(paths, [Path::ObjectInstance(3303, 2)]);
        assert!(children[&8].as_ref().unwrap().objects.is_empty());
    }

    #[test]
    fn a_child_that_could_not_be_asked_is_told_with_the_reason() {
        let entries = [
            entry("/25/0/0", "SN01"),
            entry("/25/0/1", "dev0"),
            entry("/25/1/0", "SN02"),
            entry("/25/1/1", "dev0"),
            entry("/25/2/1", "dev2"),
            entry("/25/3/0", "SN04"),
            entry("/25/4/0", "SN05"),
            entry("/25/4/1", "3303"),
            entry("/25/5/0", "SN06"),
            entry("/25/5/1", "dev5"),
            entry("/25/5/3", "</3/0>;\"x"),
            entry("/25/6/0", &"x".repeat(256)),
            entry("/26/0/0", "not of this object"),
        ];
        let children = children(&entries);
        assert!(children[&0].is_ok());
        let refused = |instance| children[&instance].clone().unwrap_err();
        assert_eq!(refused(1), ChildError::Repeated);
        assert_eq!(refused(2), ChildError::NoId);
        assert_eq!(refused(3), ChildError::NoPrefix);
        assert_eq!(refused(4), ChildError::Prefix(PrefixError::Number));
        assert!(matches!(refused(5), ChildError::Objects(_)));
        assert_eq!(refused(6), ChildError::LongId);
        assert_eq!(children.len(), 7);
    }

    #[test]
    fn the_children_of_one_gateway_are_bounded() {
        let many: Vec<_> = (0..2_000_u16)
            .map(|instance| entry(&format!("/25/{instance}/0"), "x"))
            .collect();
        assert_eq!(children(&many).len(), MAX_CHILDREN);
    }
}
