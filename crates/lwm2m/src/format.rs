//! The payloads that carry values.
//!
//! [`decode`] reads every format a device answers in and [`encode`] writes those a server sends.
//! Both speak in [`Entry`]s with absolute paths, so that callers need not know any format.
//! Decoders are liberal, encoders strict.

use std::fmt;

use thiserror::Error;

use crate::path::Path;
use crate::registry::Registry;
use crate::value::{Value, ValueError, ValueType};

mod cbor;
mod opaque;
mod senml;
mod senml_cbor;
mod senml_json;
mod text;
mod tlv;

/// The most entries that one payload may hold.
pub const MAX_ENTRIES: usize = 4_096;

/// The longest payload that is decoded, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 20;

/// The number of a payload format (CoAP Content-Format and Accept).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentFormat(pub u16);

impl ContentFormat {
    /// `text/plain`: one value as text.
    pub const TEXT: Self = Self(0);
    /// `application/link-format`: lists of objects, see [`crate::link`].
    pub const LINK: Self = Self(40);
    /// `application/octet-stream`: one opaque value.
    pub const OPAQUE: Self = Self(42);
    /// `application/cbor`: one value.
    pub const CBOR: Self = Self(60);
    /// `application/senml+json`.
    pub const SENML_JSON: Self = Self(110);
    /// `application/senml+cbor`.
    pub const SENML_CBOR: Self = Self(112);
    /// `application/vnd.oma.lwm2m+tlv`.
    pub const TLV: Self = Self(11_542);
    /// `application/vnd.oma.lwm2m+json` of LwM2M 1.0; named only, neither decoded nor encoded.
    pub const JSON: Self = Self(11_543);
    /// `application/vnd.oma.lwm2m+cbor`; named only, neither decoded nor encoded.
    pub const LWM2M_CBOR: Self = Self(11_544);

    /// The registered number of a format that early LwM2M 1.0 clients number differently.
    #[must_use]
    pub const fn canonical(self) -> Self {
        match self.0 {
            1_541 => Self::TEXT,
            1_542 => Self::TLV,
            1_543 => Self::JSON,
            1_544 => Self::OPAQUE,
            _ => self,
        }
    }

    /// A short name, fit for a metric label; `None` if the format is none of LwM2M.
    pub const fn name(self) -> Option<&'static str> {
        match self.canonical() {
            Self::TEXT => Some("text"),
            Self::LINK => Some("link-format"),
            Self::OPAQUE => Some("opaque"),
            Self::CBOR => Some("cbor"),
            Self::SENML_JSON => Some("senml-json"),
            Self::SENML_CBOR => Some("senml-cbor"),
            Self::TLV => Some("tlv"),
            Self::JSON => Some("json"),
            Self::LWM2M_CBOR => Some("lwm2m-cbor"),
            _ => None,
        }
    }

    /// Whether [`decode`] and [`encode`] can carry more than one value in this format.
    pub const fn is_structured(self) -> bool {
        matches!(
            self.canonical(),
            Self::SENML_JSON | Self::SENML_CBOR | Self::TLV
        )
    }
}

impl From<u16> for ContentFormat {
    fn from(number: u16) -> Self {
        Self(number)
    }
}

impl fmt::Display for ContentFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

impl fmt::Debug for ContentFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentFormat({self})")
    }
}

/// When a value was measured, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SampleTime {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    UnixMillis(i64),
    /// Milliseconds from the moment the payload was sent, usually negative.
    FromNow(i64),
}

impl SampleTime {
    /// Milliseconds since 1970-01-01T00:00:00Z, given what that is now.
    pub const fn resolve(self, now_unix_millis: i64) -> i64 {
        match self {
            Self::UnixMillis(millis) => millis,
            Self::FromNow(offset) => now_unix_millis.saturating_add(offset),
        }
    }
}

/// One value and where it belongs.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// A resource or a resource instance.
    pub path: Path,
    /// What it holds.
    pub value: Value,
    /// When it was measured, if the payload says so.
    pub time: Option<SampleTime>,
}

impl Entry {
    /// A value without time.
    pub const fn new(path: Path, value: Value) -> Self {
        Self {
            path,
            value,
            time: None,
        }
    }
}

/// Why a payload cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// No decoder knows the format.
    #[error("unsupported content format {0}")]
    UnsupportedFormat(ContentFormat),
    /// The payload is longer than [`MAX_PAYLOAD_BYTES`].
    #[error("payload has {0} bytes, more than 1048576")]
    TooLong(usize),
    /// The payload holds more than [`MAX_ENTRIES`] values.
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
    /// A name in the payload is not the path of a resource.
    #[error("payload names something else than a resource")]
    BadName,
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
    /// The format cannot name objects, so that it needs at least the path of one.
    #[error("content format {0} needs the path of an object or deeper")]
    NeedsObject(ContentFormat),
    /// An absolute time is so old that it would read as a relative one, or a relative time is so
    /// far in the future that it would read as an absolute one.
    #[error("time of {0} is out of range")]
    BadTime(Path),
    /// There are more than [`MAX_ENTRIES`] entries.
    #[error("more than 4096 values")]
    TooManyEntries,
    /// The payload would be longer than the format can express.
    #[error("payload is too long for its format")]
    TooLong,
}

/// Reads the values in a payload.
///
/// `base` is the path the payload was sent for, [`Path::Root`] if the payload names absolute paths
/// itself (Send, composite operations). Types come from `registry`; the values of resources it
/// does not know have the type the payload shows, which for TLV is opaque and for text is string.
///
/// Entries are in the order of the payload. SenML may repeat a path with different times.
pub fn decode(
    format: ContentFormat,
    base: Path,
    payload: &[u8],
    registry: &Registry,
) -> Result<Vec<Entry>, DecodeError> {
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(DecodeError::TooLong(payload.len()));
    }
    match format.canonical() {
        ContentFormat::TEXT => text::decode(base, payload, registry),
        ContentFormat::OPAQUE => opaque::decode(base, payload, registry),
        ContentFormat::CBOR => cbor::decode(base, payload, registry),
        ContentFormat::TLV => tlv::decode(base, payload, registry),
        ContentFormat::SENML_JSON => senml_json::decode(base, payload, registry),
        ContentFormat::SENML_CBOR => senml_cbor::decode(base, payload, registry),
        _ => Err(DecodeError::UnsupportedFormat(format)),
    }
}

/// Writes values as the payload of a request or an answer for `base`.
///
/// Every entry must be a resource or resource instance at or below `base`. The single-value formats
/// (text, opaque, CBOR) take exactly one entry. TLV takes no times and no entry for
/// [`Path::Root`]; a TLV payload for an object wraps each object instance.
pub fn encode(
    format: ContentFormat,
    base: Path,
    entries: &[Entry],
) -> Result<Vec<u8>, EncodeError> {
    if entries.len() > MAX_ENTRIES {
        return Err(EncodeError::TooManyEntries);
    }
    let outside = |entry: &&Entry| entry.path.depth() < 3 || !entry.path.starts_with(base);
    if let Some(entry) = entries.iter().find(outside) {
        return Err(EncodeError::OutsideBase(entry.path));
    }
    match format.canonical() {
        ContentFormat::TEXT => text::encode(only_entry(format, entries)?),
        ContentFormat::OPAQUE => opaque::encode(only_entry(format, entries)?),
        ContentFormat::CBOR => Ok(cbor::encode(only_entry(format, entries)?)),
        ContentFormat::TLV => tlv::encode(base, entries),
        ContentFormat::SENML_JSON => senml_json::encode(base, entries),
        ContentFormat::SENML_CBOR => senml_cbor::encode(base, entries),
        _ => Err(EncodeError::UnsupportedFormat(format)),
    }
}

fn only_entry(format: ContentFormat, entries: &[Entry]) -> Result<&Entry, EncodeError> {
    match entries {
        [entry] if entry.time.is_none() => Ok(entry),
        [_] => Err(EncodeError::NoTimes(format)),
        _ => Err(EncodeError::NotOneValue(format)),
    }
}

/// The path of the one value that a single-value payload for `base` holds.
fn single_value_path(base: Path) -> Result<Path, DecodeError> {
    match base {
        Path::Resource(..) | Path::ResourceInstance(..) => Ok(base),
        _ => Err(DecodeError::NotAResource(base)),
    }
}

/// Gives a value the type of its resource, if the registry knows it.
fn typed(path: Path, value: Value, registry: &Registry) -> Result<Value, DecodeError> {
    match registry.value_type(path) {
        Some(value_type) => {
            let misfit = |ValueError { expected }| DecodeError::BadValue { path, expected };
            value.conform(value_type).map_err(misfit)
        }
        None => Ok(value),
    }
}

/// The entries in the order of their paths; two at one path, or a resource beside its own
/// instances, are an error.
fn sorted_unique(entries: &[Entry]) -> Result<Vec<&Entry>, EncodeError> {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by_key(|entry| entry.path);
    match sorted
        .windows(2)
        .find(|pair| pair[1].path.starts_with(pair[0].path))
    {
        Some(pair) => Err(EncodeError::Repeated(pair[1].path)),
        None => Ok(sorted),
    }
}

#[cfg(test)]
mod tests;
