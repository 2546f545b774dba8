//! Addresses in the object tree of a device.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The id that names nothing.
// LwM2M-Core 1.2 §7.1: MAX_ID 65535 "is a reserved value and MUST NOT be used for identifying an
// Object Instance"; as an object id it only occurs in the null link.
pub const RESERVED_ID: u16 = 65_535;

/// The place of an object, instance, resource or resource instance in a device.
///
/// Ordered like a walk through the tree: `/3` < `/3/0` < `/3/0/9` < `/3/1` < `/4`.
///
/// ```
/// use lwm2m::Path;
/// let path: Path = "/3/0/14".parse()?;
/// assert_eq!(path, Path::Resource(3, 0, 14));
/// assert!(path.starts_with(Path::Object(3)));
/// # Ok::<(), lwm2m::path::PathError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Path {
    /// `/`: the whole device.
    Root,
    /// `/{object}`.
    Object(u16),
    /// `/{object}/{instance}`.
    ObjectInstance(u16, u16),
    /// `/{object}/{instance}/{resource}`.
    Resource(u16, u16, u16),
    /// `/{object}/{instance}/{resource}/{resource instance}`.
    ResourceInstance(u16, u16, u16, u16),
}

/// Why a text is not a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PathError {
    /// The text does not begin with `/`.
    #[error("path does not begin with a slash")]
    NotAbsolute,
    /// A segment is empty, not decimal, has leading zeros or is above 65535.
    #[error("path segment {0} is not an id")]
    NotAnId(usize),
    /// An object or object instance is 65535.
    #[error("path uses the reserved id 65535")]
    ReservedId,
    /// There are more than four segments.
    #[error("path has more than four segments")]
    TooDeep,
}

impl Path {
    /// The path of the given segments; `None` if there are more than four or a reserved id.
    #[inline]
    pub fn from_segments(segments: &[u16]) -> Option<Self> {
        if segments.iter().take(2).any(|id| *id == RESERVED_ID) {
            return None;
        }
        match *segments {
            [] => Some(Self::Root),
            [o] => Some(Self::Object(o)),
            [o, i] => Some(Self::ObjectInstance(o, i)),
            [o, i, r] => Some(Self::Resource(o, i, r)),
            [o, i, r, ri] => Some(Self::ResourceInstance(o, i, r, ri)),
            _ => None,
        }
    }

    /// The path one level below with the given id; `None` below a resource instance or with a
    /// reserved id.
    pub fn child(self, id: u16) -> Option<Self> {
        let (mut ids, depth) = self.ids();
        *ids.get_mut(depth)? = id;
        Self::from_segments(ids.get(..=depth)?)
    }

    /// The path one level above; `None` for the root.
    pub fn parent(self) -> Option<Self> {
        match self {
            Self::Root => None,
            Self::Object(_) => Some(Self::Root),
            Self::ObjectInstance(o, _) => Some(Self::Object(o)),
            Self::Resource(o, i, _) => Some(Self::ObjectInstance(o, i)),
            Self::ResourceInstance(o, i, r, _) => Some(Self::Resource(o, i, r)),
        }
    }

    /// The ids from the object down.
    pub fn segments(self) -> impl ExactSizeIterator<Item = u16> {
        let (ids, depth) = self.ids();
        ids.into_iter().take(depth)
    }

    /// The number of segments, 0 for the root to 4 for a resource instance.
    pub const fn depth(self) -> usize {
        self.ids().1
    }

    /// The object id; `None` for the root.
    pub const fn object_id(self) -> Option<u16> {
        match self {
            Self::Root => None,
            Self::Object(o)
            | Self::ObjectInstance(o, _)
            | Self::Resource(o, _, _)
            | Self::ResourceInstance(o, _, _, _) => Some(o),
        }
    }

    /// The object instance id, if the path is that deep.
    pub const fn object_instance_id(self) -> Option<u16> {
        match self {
            Self::Root | Self::Object(_) => None,
            Self::ObjectInstance(_, i)
            | Self::Resource(_, i, _)
            | Self::ResourceInstance(_, i, _, _) => Some(i),
        }
    }

    /// The resource id, if the path is that deep.
    pub const fn resource_id(self) -> Option<u16> {
        match self {
            Self::Root | Self::Object(_) | Self::ObjectInstance(..) => None,
            Self::Resource(_, _, r) | Self::ResourceInstance(_, _, r, _) => Some(r),
        }
    }

    /// The resource instance id, if the path is that deep.
    pub const fn resource_instance_id(self) -> Option<u16> {
        match self {
            Self::ResourceInstance(_, _, _, ri) => Some(ri),
            _ => None,
        }
    }

    /// The path of the resource this path names or lies in.
    pub const fn to_resource(self) -> Option<Self> {
        match self {
            Self::Resource(o, i, r) | Self::ResourceInstance(o, i, r, _) => {
                Some(Self::Resource(o, i, r))
            }
            _ => None,
        }
    }

    /// Whether this path is `prefix` or lies below it.
    pub fn starts_with(self, prefix: Self) -> bool {
        let (ids, depth) = self.ids();
        let (prefix_ids, prefix_depth) = prefix.ids();
        let differs = |at: usize| at < prefix_depth && ids[at] != prefix_ids[at];
        prefix_depth <= depth && !(differs(0) || differs(1) || differs(2) || differs(3))
    }

    #[inline]
    const fn ids(self) -> ([u16; 4], usize) {
        match self {
            Self::Root => ([0; 4], 0),
            Self::Object(o) => ([o, 0, 0, 0], 1),
            Self::ObjectInstance(o, i) => ([o, i, 0, 0], 2),
            Self::Resource(o, i, r) => ([o, i, r, 0], 3),
            Self::ResourceInstance(o, i, r, ri) => ([o, i, r, ri], 4),
        }
    }
}

impl Ord for Path {
    fn cmp(&self, other: &Self) -> Ordering {
        self.segments().cmp(other.segments())
    }
}

impl PartialOrd for Path {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Reads the one printed form: a leading slash, no trailing slash, no leading zeros.
impl FromStr for Path {
    type Err = PathError;
    #[inline]
    fn from_str(text: &str) -> Result<Self, PathError> {
        let mut reader = PathReader::default();
        reader.read(text)?;
        reader.finish()
    }
}

/// Reads the printed form of a path in pieces, byte by byte and without the standard parsers:
/// payloads are full of paths that begin alike.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PathReader {
    is_absolute: bool,
    /// Whole segments, `depth` of them, and the one that is being read.
    ids: [u16; 4],
    depth: usize,
    id: Option<u16>,
}

impl PathReader {
    #[inline]
    pub(crate) fn read(&mut self, text: &str) -> Result<(), PathError> {
        for byte in text.bytes() {
            if !self.is_absolute {
                self.is_absolute = true;
                if byte != b'/' {
                    return Err(PathError::NotAbsolute);
                }
            } else if byte == b'/' {
                self.end_segment()?;
            } else {
                let id = append_digit(self.id, byte);
                self.id = Some(id.ok_or(PathError::NotAnId(self.depth))?);
            }
        }
        Ok(())
    }

    /// The path of all that was read.
    #[inline]
    pub(crate) fn finish(mut self) -> Result<Path, PathError> {
        match (self.is_absolute, self.depth, self.id) {
            (false, _, _) => return Err(PathError::NotAbsolute),
            (true, 0, None) => return Ok(Path::Root),
            _ => self.end_segment()?,
        }
        let ids = self.ids.get(..self.depth).unwrap_or_default();
        Path::from_segments(ids).ok_or(PathError::ReservedId)
    }

    #[inline]
    fn end_segment(&mut self) -> Result<(), PathError> {
        let slot = self.ids.get_mut(self.depth).ok_or(PathError::TooDeep)?;
        *slot = self.id.take().ok_or(PathError::NotAnId(self.depth))?;
        self.depth += 1;
        Ok(())
    }
}

/// The id that `id` becomes with one digit more; `None` if that is no id or not its one form.
fn append_digit(id: Option<u16>, digit: u8) -> Option<u16> {
    let digit = u16::from(digit.wrapping_sub(b'0'));
    match id {
        _ if digit > 9 => None,
        None => Some(digit),
        Some(0) => None,
        Some(id) => id.checked_mul(10)?.checked_add(digit),
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::Root {
            return f.write_str("/");
        }
        self.segments().try_for_each(|id| write!(f, "/{id}"))
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_read_in_their_one_form_only() {
        assert_eq!("/".parse(), Ok(Path::Root));
        assert_eq!("/3".parse(), Ok(Path::Object(3)));
        assert_eq!(
            "/3/0/6/65535".parse(),
            Ok(Path::ResourceInstance(3, 0, 6, 65_535))
        );
        assert_eq!("3/0".parse::<Path>(), Err(PathError::NotAbsolute));
        assert_eq!("".parse::<Path>(), Err(PathError::NotAbsolute));
        assert_eq!("/3/0/14/".parse::<Path>(), Err(PathError::NotAnId(3)));
        assert_eq!("//3".parse::<Path>(), Err(PathError::NotAnId(0)));
        assert_eq!("/03".parse::<Path>(), Err(PathError::NotAnId(0)));
        assert_eq!("/+3".parse::<Path>(), Err(PathError::NotAnId(0)));
        assert_eq!("/65536".parse::<Path>(), Err(PathError::NotAnId(0)));
        assert_eq!("/3/65535".parse::<Path>(), Err(PathError::ReservedId));
        assert_eq!("/1/2/3/4/5".parse::<Path>(), Err(PathError::TooDeep));
    }

    #[test]
    fn order_is_a_walk_through_the_tree() {
        let walk = [
            "/", "/3", "/3/0", "/3/0/6", "/3/0/6/1", "/3/0/9", "/3/1", "/4",
        ];
        let paths: Vec<Path> = walk.iter().map(|text| text.parse().unwrap()).collect();
        assert!(paths.is_sorted());
    }

    #[test]
    fn a_prefix_is_whole_segments() {
        let path = Path::Resource(3, 0, 14);
        assert!(path.starts_with(Path::Root));
        assert!(path.starts_with(path));
        assert!(!path.starts_with(Path::Resource(3, 0, 1)));
        assert!(!path.starts_with(Path::ResourceInstance(3, 0, 14, 0)));
        assert_eq!(path.child(2), Some(Path::ResourceInstance(3, 0, 14, 2)));
        assert_eq!(Path::Object(3).child(RESERVED_ID), None);
        assert_eq!(path.parent(), Some(Path::ObjectInstance(3, 0)));
    }

    proptest! {
        #[test]
        fn printing_and_reading_agree(ids in prop::collection::vec(0_u16..65_535, 0..=4)) {
            let path = Path::from_segments(&ids).unwrap();
            prop_assert_eq!(path.to_string().parse(), Ok(path));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[/0-9a+ -]{0,24}") {
            if let Ok(path) = text.parse::<Path>() {
                prop_assert_eq!(path.to_string(), text);
            }
        }
    }
}
