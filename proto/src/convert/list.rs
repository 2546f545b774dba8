//! Lists of paths and values, and their bounds.

use device_state::Timestamp;
use lwm2m::{Entry, Path, Value};

use super::{ConvertError, Reason, Within, message};
use crate::storage::v1 as wire;

/// The most values in one message. As many as one payload of a device can hold.
pub const MAX_VALUES: usize = 4096;

pub(crate) fn bounded<T>(field: &str, list: &[T], limit: usize) -> Result<(), ConvertError> {
    if list.len() > limit {
        return Err(ConvertError::new(
            field,
            Reason::TooMany {
                found: list.len(),
                limit,
            },
        ));
    }
    Ok(())
}

/// Converts each entry of a list of at most `limit`.
pub(crate) fn each<W, T>(
    field: &str,
    list: Vec<W>,
    limit: usize,
    convert: impl Fn(W) -> Result<T, ConvertError>,
) -> Result<Vec<T>, ConvertError> {
    bounded(field, &list, limit)?;
    list.into_iter()
        .map(convert)
        .collect::<Result<_, _>>()
        .within(field)
}

fn path_value(item: wire::PathValue) -> Result<(Path, Value), ConvertError> {
    Ok((message("path", item.path)?, message("value", item.value)?))
}

pub(crate) fn values(
    field: &str,
    list: Vec<wire::PathValue>,
) -> Result<Vec<(Path, Value)>, ConvertError> {
    each(field, list, MAX_VALUES, path_value)
}

pub(crate) fn wire_values(list: Vec<(Path, Value)>) -> Vec<wire::PathValue> {
    let item = |(path, value): (Path, Value)| wire::PathValue {
        path: Some(path.into()),
        value: Some(value.into()),
        at_ms: 0,
    };
    list.into_iter().map(item).collect()
}

pub(crate) fn timed_values(
    field: &str,
    list: Vec<wire::PathValue>,
) -> Result<Vec<(Path, Value, Timestamp)>, ConvertError> {
    each(field, list, MAX_VALUES, |item| {
        let at = Timestamp(item.at_ms);
        path_value(item).map(|(path, value)| (path, value, at))
    })
}

pub(crate) fn wire_timed_values(list: Vec<(Path, Value, Timestamp)>) -> Vec<wire::PathValue> {
    let item = |(path, value, at): (Path, Value, Timestamp)| wire::PathValue {
        path: Some(path.into()),
        value: Some(value.into()),
        at_ms: at.0,
    };
    list.into_iter().map(item).collect()
}

/// The values of a Write or Create: what is written has no time.
pub(crate) fn entries(field: &str, list: Vec<wire::PathValue>) -> Result<Vec<Entry>, ConvertError> {
    each(field, list, MAX_VALUES, |item| {
        path_value(item).map(|(path, value)| Entry::new(path, value))
    })
}

pub(crate) fn wire_entries(list: Vec<Entry>) -> Vec<wire::PathValue> {
    wire_values(
        list.into_iter()
            .map(|entry| (entry.path, entry.value))
            .collect(),
    )
}
