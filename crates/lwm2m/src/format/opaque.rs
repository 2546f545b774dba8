//! `application/octet-stream`: the bytes of one opaque value.

use super::{ContentFormat, DecodeError, EncodeError, Entry, single_value_path, typed};
use crate::path::Path;
use crate::registry::Registry;
use crate::value::Value;

pub(super) fn decode(
    base: Path,
    payload: &[u8],
    registry: &Registry,
) -> Result<Vec<Entry>, DecodeError> {
    let path = single_value_path(base)?;
    let value = typed(
        path,
        Value::Opaque(payload.to_vec()),
        registry.value_type(path),
    )?;
    Ok(vec![Entry::new(path, value)])
}

pub(super) fn encode(entry: &Entry) -> Result<Vec<u8>, EncodeError> {
    match &entry.value {
        Value::Opaque(bytes) => Ok(bytes.clone()),
        value => Err(EncodeError::UnsupportedValue {
            format: ContentFormat::OPAQUE,
            path: entry.path,
            value_type: value.value_type(),
        }),
    }
}
