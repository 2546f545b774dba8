//! The payloads that carry values.
//!
//! [`decode`] reads every format a device answers in and [`encode`] writes those a server sends.
//! Both speak in [`Entry`]s with absolute paths, so that callers need not know any format.
//! Decoders are liberal, encoders strict.

use crate::alternate_path::AlternatePath;
use crate::path::Path;
use crate::registry::Registry;
use crate::value::{Value, ValueError, ValueType};

use senml::Syntax;

mod cbor;
mod composite;
mod content_format;
mod error;
mod json;
mod lwm2m_cbor;
mod opaque;
mod senml;
mod senml_cbor;
mod senml_json;
mod text;
mod tlv;

pub use composite::{Patch, decode_patch, decode_paths, encode_patch, encode_paths};
pub use content_format::ContentFormat;
pub use error::{DecodeError, EncodeError};

/// The most entries that one payload may hold.
pub const MAX_ENTRIES: usize = 4_096;

/// The longest payload that is decoded, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 20;

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

/// Reads the values in a payload.
///
/// `base` is the path the payload was sent for, [`Path::Root`] if the payload names absolute paths
/// itself (Send, composite operations). Types come from `registry`; the values of resources it
/// does not know have the type the payload shows, which for TLV is opaque and for text is string; JSON
/// of LwM2M 1.0 shows the opaque as strings.
///
/// Entries are in the order of the payload. SenML may repeat a path with different times.
pub fn decode(
    format: ContentFormat,
    base: Path,
    payload: &[u8],
    registry: &Registry,
) -> Result<Vec<Entry>, DecodeError> {
    decode_below(&AlternatePath::default(), format, base, payload, registry)
}

/// Reads the values in a payload of a device whose objects lie below `root`. The formats that name whole paths may name
/// them with it or without; `base` and the paths that are read are without.
pub fn decode_below(
    root: &AlternatePath,
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
        ContentFormat::JSON => json::decode(base, payload, registry),
        ContentFormat::LWM2M_CBOR => lwm2m_cbor::decode(base, payload, registry),
        ContentFormat::SENML_JSON => senml::decode(Syntax::Json, root, base, payload, registry),
        ContentFormat::SENML_CBOR => senml::decode(Syntax::Cbor, root, base, payload, registry),
        _ => Err(DecodeError::UnsupportedFormat(format)),
    }
}

/// An object instance of this id without any resource, in TLV, as the payload of a Create. No other format can name an
/// instance that has none (LwM2M Core 1.2 §7.4.3); without its name the device would choose one.
pub fn encode_empty_instance(id: u16) -> Result<Vec<u8>, EncodeError> {
    tlv::encode_empty_instance(id)
}

/// The object instance that a payload in TLV begins with, if it names any.
pub fn first_instance(payload: &[u8]) -> Option<u16> {
    tlv::first_instance(payload)
}

/// Writes values as the payload of a request or an answer for `base`.
///
/// Every entry must be a resource or resource instance at or below `base`. The single-value formats
/// (text, opaque, CBOR) take exactly one entry, for `base` itself. TLV and LwM2M CBOR take no times and no
/// path twice. TLV takes no [`Path::Root`] as base and wraps each object instance if the base is an
/// object. LwM2M CBOR always names whole paths.
pub fn encode(
    format: ContentFormat,
    base: Path,
    entries: &[Entry],
) -> Result<Vec<u8>, EncodeError> {
    encode_below(&AlternatePath::default(), format, base, entries)
}

/// As [`encode`], for a device whose objects lie below `root`: SenML names whole paths, which begin with it.
pub fn encode_below(
    root: &AlternatePath,
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
        ContentFormat::TEXT => text::encode(only_entry(format, base, entries)?),
        ContentFormat::OPAQUE => opaque::encode(only_entry(format, base, entries)?),
        ContentFormat::CBOR => Ok(cbor::encode(only_entry(format, base, entries)?)),
        ContentFormat::TLV => tlv::encode(base, entries),
        ContentFormat::JSON => json::encode(base, entries),
        ContentFormat::LWM2M_CBOR => lwm2m_cbor::encode(entries),
        ContentFormat::SENML_JSON => senml::encode(Syntax::Json, root, base, entries),
        ContentFormat::SENML_CBOR => senml::encode(Syntax::Cbor, root, base, entries),
        _ => Err(EncodeError::UnsupportedFormat(format)),
    }
}

/// The entry of a payload that has no place for its path.
fn only_entry(format: ContentFormat, base: Path, entries: &[Entry]) -> Result<&Entry, EncodeError> {
    match entries {
        [entry] if entry.time.is_some() => Err(EncodeError::NoTimes(format)),
        [entry] if entry.path == base => Ok(entry),
        _ => Err(EncodeError::NotOneValue(format)),
    }
}

/// What a payload says about something it names.
#[derive(Debug, Clone, PartialEq)]
enum Content {
    Value(Value),
    /// RFC 8790 §3.2, LwM2M-Core 1.2 §6.3.9: it is to be removed.
    Null,
}

/// As [`Content`], to be written.
#[derive(Debug, Clone, Copy)]
enum Shown<'a> {
    Value(&'a Value),
    Null,
}

/// The path of the one value that a single-value payload for `base` holds.
fn single_value_path(base: Path) -> Result<Path, DecodeError> {
    match base {
        Path::Resource(..) | Path::ResourceInstance(..) => Ok(base),
        _ => Err(DecodeError::NotAResource(base)),
    }
}

/// Gives a value the type of its resource, if that is known.
#[inline]
fn typed(path: Path, value: Value, value_type: Option<ValueType>) -> Result<Value, DecodeError> {
    match value_type {
        Some(value_type) if value_type != value.value_type() => {
            let misfit = |ValueError { expected }| DecodeError::BadValue { path, expected };
            value.conform(value_type).map_err(misfit)
        }
        _ => Ok(value),
    }
}

/// The entries in the order of their paths; two at one path, or a resource beside its own
/// instances, are an error.
fn sorted_unique(entries: &[Entry]) -> Result<Vec<&Entry>, EncodeError> {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by_key(|entry| entry.path);
    let overlap = |pair: &&[&Entry]| pair[1].path.starts_with(pair[0].path);
    match sorted.windows(2).find(overlap) {
        Some(pair) => Err(EncodeError::Repeated(pair[1].path)),
        None => Ok(sorted),
    }
}

#[cfg(test)]
mod tests;
