//! The prefix under which a device that shares its CoAP server keeps its LwM2M objects.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::gateway::ChildPrefix;
use crate::path::Path;

/// The root path of a device's object tree, usually `/`, for example `/lwm2m`.
///
/// Every operation of a management server carries it; bootstrap operations never do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct AlternatePath(Vec<Box<str>>);

/// Why a text is not an alternate path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AlternatePathError {
    /// The text does not begin with `/`.
    #[error("alternate path does not begin with a slash")]
    NotAbsolute,
    /// The text is longer than [`AlternatePath::MAX_BYTES`].
    #[error("alternate path has more than 255 bytes")]
    TooLong,
    /// A segment is empty, a number (which would read as an object id), or has white space or
    /// control characters.
    #[error("alternate path has an empty or numeric segment, or one with spaces or controls")]
    BadSegment,
}

impl AlternatePath {
    /// The longest accepted alternate path in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Whether the objects lie directly under `/`.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The Uri-Path segments of the prefix alone.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// The Uri-Path segments of `path` on this device, prefix first.
    pub fn uri_path(&self, path: Path) -> Vec<String> {
        let prefix = self.segments().map(str::to_owned);
        prefix
            .chain(path.segments().map(|id| id.to_string()))
            .collect()
    }

    /// The root path of a device behind the gateway whose root path this is.
    #[must_use]
    pub fn of_child(&self, prefix: &ChildPrefix) -> Self {
        let child: Box<str> = prefix.as_str().into();
        Self(self.0.iter().cloned().chain([child]).collect())
    }

    /// What is left of a link target below the prefix, with its leading slash; `None` if the
    /// target lies elsewhere.
    pub fn strip<'a>(&self, target: &'a str) -> Option<&'a str> {
        let mut rest = target;
        for segment in self.segments() {
            rest = rest.strip_prefix('/')?.strip_prefix(segment)?;
        }
        match rest {
            "" => Some("/"),
            _ => rest.starts_with('/').then_some(rest),
        }
    }
}

impl FromStr for AlternatePath {
    type Err = AlternatePathError;
    fn from_str(text: &str) -> Result<Self, AlternatePathError> {
        if text.len() > Self::MAX_BYTES {
            return Err(AlternatePathError::TooLong);
        }
        let rest = text
            .strip_prefix('/')
            .ok_or(AlternatePathError::NotAbsolute)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.is_empty() {
            return Ok(Self::default());
        }
        rest.split('/')
            .map(segment)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn segment(text: &str) -> Result<Box<str>, AlternatePathError> {
    let numeric = text.bytes().all(|b| b.is_ascii_digit());
    // No URI holds white space (RFC 3986 §2), and a link list does not keep it around a target.
    if numeric || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(AlternatePathError::BadSegment);
    }
    Ok(text.into())
}

impl fmt::Display for AlternatePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str("/");
        }
        self.segments()
            .try_for_each(|segment| write!(f, "/{segment}"))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn operations_carry_the_prefix() {
        let prefix: AlternatePath = "/lwm2m".parse().unwrap();
        assert_eq!(
            prefix.uri_path(Path::Resource(3, 0, 1)),
            ["lwm2m", "3", "0", "1"]
        );
        assert_eq!(prefix.strip("/lwm2m/1/0"), Some("/1/0"));
        assert_eq!(prefix.strip("/lwm2m"), Some("/"));
        assert_eq!(prefix.strip("/lwm2mx/1"), None);
        assert_eq!(prefix.strip("/1/0"), None);
    }

    #[test]
    fn the_default_prefix_is_the_root() {
        let root: AlternatePath = "/".parse().unwrap();
        assert!(root.is_root());
        assert_eq!(root.strip("/1/0"), Some("/1/0"));
        assert_eq!(root.uri_path(Path::Root), Vec::<String>::new());
        assert_eq!(
            "/3".parse::<AlternatePath>(),
            Err(AlternatePathError::BadSegment)
        );
        assert_eq!(
            "a".parse::<AlternatePath>(),
            Err(AlternatePathError::NotAbsolute)
        );
    }
}
