//! Why payloads are refused.

use thiserror::Error;

use super::ContentFormat;
use crate::path::Path;
use crate::value::ValueType;

/// Why a payload cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// No decoder knows the format.
    #[error("unsupported content format {0}")]
    UnsupportedFormat(ContentFormat),
    /// The payload is longer than [`MAX_PAYLOAD_BYTES`](super::MAX_PAYLOAD_BYTES).
    #[error("payload has {0} bytes, more than 1048576")]
    TooLong(usize),
    /// The payload holds more than [`MAX_ENTRIES`](super::MAX_ENTRIES) values.
    #[error("payload holds more than 4096 values")]
    TooManyEntries,
    /// The format carries one value, which needs the path of a resource.
    #[error("a single value needs the path of a resource, not {0}")]
    NotAResource(Path),
    /// The payload names a path outside the one it was sent for.
    #[error("payload holds {found} outside of {base}")]
    OutsideBase {
        /// The path the payload was sent for.
        base: Path,
        /// What the payload names.
        found: Path,
    },
    /// The payload breaks the rules of its format at this byte.
    #[error("malformed payload at byte {0}")]
    Malformed(usize),
    /// The payload is not the structure its format prescribes.
    #[error("payload does not have the structure of its format")]
    Structure,
    /// A name in the payload is not the path of a resource, or no path at all in a list of paths.
    #[error("payload names something else than a resource")]
    BadName,
    /// The payload removes what is no resource instance.
    #[error("{0} is not a resource instance that could be removed")]
    NotRemovable(Path),
    /// A time in the payload is out of range.
    #[error("payload holds a time out of range")]
    BadTime,
    /// A value does not fit the type of its resource.
    #[error("value at {path} is not a valid {expected}")]
    BadValue {
        /// Where the value belongs.
        path: Path,
        /// The type of the resource.
        expected: ValueType,
    },
}

/// Why entries cannot be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// No encoder knows the format.
    #[error("unsupported content format {0}")]
    UnsupportedFormat(ContentFormat),
    /// The format carries exactly one value, at the path it is sent for.
    #[error("content format {0} carries exactly one value")]
    NotOneValue(ContentFormat),
    /// The format cannot carry values of this type.
    #[error("content format {format} cannot carry a {value_type} at {path}")]
    UnsupportedValue {
        /// The format.
        format: ContentFormat,
        /// Where the value belongs.
        path: Path,
        /// The type of the value.
        value_type: ValueType,
    },
    /// An entry is not a resource at or below the base.
    #[error("{0} is not a resource below the path of the payload")]
    OutsideBase(Path),
    /// Two entries stand for the same resource.
    #[error("more than one value at {0}")]
    Repeated(Path),
    /// The format has no place for the time of a value.
    #[error("content format {0} carries no times")]
    NoTimes(ContentFormat),
    /// The format has no word for the removal of a resource instance.
    #[error("content format {0} cannot remove anything")]
    NoRemovals(ContentFormat),
    /// Only resource instances can be removed.
    #[error("{0} is not a resource instance that could be removed")]
    NotRemovable(Path),
    /// The format cannot name objects, so that it needs at least the path of one.
    #[error("content format {0} needs the path of an object or deeper")]
    NeedsObject(ContentFormat),
    /// An absolute time is so old that it would read as a relative one, or a relative time is so
    /// far in the future that it would read as an absolute one.
    #[error("time of {0} is out of range")]
    BadTime(Path),
    /// There are more than [`MAX_ENTRIES`](super::MAX_ENTRIES) entries.
    #[error("more than 4096 values")]
    TooManyEntries,
    /// The payload would be longer than the format can express.
    #[error("payload is too long for its format")]
    TooLong,
}
