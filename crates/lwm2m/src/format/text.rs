//! `text/plain`: one value as its canonical text.

use super::{ContentFormat, DecodeError, EncodeError, Entry, single_value_path};
use crate::path::Path;
use crate::registry::Registry;
use crate::value::{Value, ValueType};

pub(super) fn decode(
    base: Path,
    payload: &[u8],
    registry: &Registry,
) -> Result<Vec<Entry>, DecodeError> {
    let path = single_value_path(base)?;
    let expected = registry.value_type(path).unwrap_or(ValueType::String);
    let text = std::str::from_utf8(payload);
    let value = text.ok().and_then(|text| Value::parse(expected, text).ok());
    let value = value.ok_or(DecodeError::BadValue { path, expected })?;
    Ok(vec![Entry::new(path, value)])
}

pub(super) fn encode(entry: &Entry) -> Result<Vec<u8>, EncodeError> {
    match &entry.value {
        Value::Float(number) if !number.is_finite() => Err(EncodeError::UnsupportedValue {
            format: ContentFormat::TEXT,
            path: entry.path,
            value_type: ValueType::Float,
        }),
        value => Ok(value.to_text().into_bytes()),
    }
}
