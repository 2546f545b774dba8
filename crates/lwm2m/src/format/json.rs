//! `application/vnd.oma.lwm2m+json` of LwM2M 1.0 (§6.4.4). Also the parts of JSON that SenML is
//! made of.
//!
//! ```text
//! {"bn": "/3/0/", "bt": 1600000000, "e": [{"n": "0", "sv": "x"}, {"n": "6/1", "v": 5, "t": -2}]}
//! ```

use serde_json::{Map, Number, Value as Json};

use super::senml::{MAX_MILLIS, MAX_NAME_BYTES, MAX_SECS};
use super::{ContentFormat, DecodeError, EncodeError, Entry, MAX_ENTRIES, SampleTime, typed};
use crate::path::Path;
use crate::registry::Registry;
use crate::value::{Value, ValueType};

pub(super) fn decode(
    base: Path,
    payload: &[u8],
    registry: &Registry,
) -> Result<Vec<Entry>, DecodeError> {
    let Json::Object(mut pack) = parse(payload)? else {
        return Err(DecodeError::Structure);
    };
    let Some(Json::Array(elements)) = pack.remove("e") else {
        return Err(DecodeError::Structure);
    };
    if elements.len() > MAX_ENTRIES {
        return Err(DecodeError::TooManyEntries);
    }
    let names = Names {
        base,
        base_name: text(pack.get("bn"))?.filter(|name| !name.is_empty()),
    };
    let base_time = number(pack.get("bt"))?;
    let entry = |element| read_entry(element, &names, base_time, registry);
    elements.iter().map(entry).collect()
}

fn read_entry(
    element: &Json,
    names: &Names<'_>,
    base_time: Option<f64>,
    registry: &Registry,
) -> Result<Entry, DecodeError> {
    let Json::Object(fields) = element else {
        return Err(DecodeError::Structure);
    };
    let path = names.path(text(fields.get("n"))?.unwrap_or_default())?;
    Ok(Entry {
        path,
        value: read_value(path, fields, registry)?,
        time: read_time(base_time, number(fields.get("t"))?)?,
    })
}

fn text(field: Option<&Json>) -> Result<Option<&str>, DecodeError> {
    match field {
        None => Ok(None),
        Some(field) => field.as_str().map(Some).ok_or(DecodeError::Structure),
    }
}

fn number(field: Option<&Json>) -> Result<Option<f64>, DecodeError> {
    match field {
        None => Ok(None),
        Some(field) => field.as_f64().map(Some).ok_or(DecodeError::Structure),
    }
}

/// What names are continued to.
struct Names<'a> {
    base: Path,
    base_name: Option<&'a str>,
}

impl Names<'_> {
    /// The path of a name. Clients disagree about which side of the two has the slash between
    /// them; and without a base name, names continue the path of the request.
    fn path(&self, name: &str) -> Result<Path, DecodeError> {
        let too_long = |text: &str| text.len() > MAX_NAME_BYTES;
        if too_long(name) || self.base_name.is_some_and(too_long) {
            return Err(DecodeError::BadName);
        }
        let full = match self.base_name {
            Some(base_name) => join(base_name, name),
            None if name.starts_with('/') => name.to_owned(),
            None => join(&self.base.to_string(), name),
        };
        let path: Path = full.parse().map_err(|_| DecodeError::BadName)?;
        if path.depth() < 3 {
            return Err(DecodeError::BadName);
        }
        if !path.starts_with(self.base) {
            return Err(DecodeError::OutsideBase {
                base: self.base,
                found: path,
            });
        }
        Ok(path)
    }
}

/// Two parts of a path with one slash between them.
fn join(front: &str, back: &str) -> String {
    let front = front.strip_suffix('/').unwrap_or(front);
    match back.strip_prefix('/').unwrap_or(back) {
        "" => front.to_owned(),
        back => format!("{front}/{back}"),
    }
}

/// The one value of an entry, with the type of its resource.
fn read_value(
    path: Path,
    fields: &Map<String, Json>,
    registry: &Registry,
) -> Result<Value, DecodeError> {
    let mut values = ["v", "sv", "bv", "ov"]
        .into_iter()
        .filter_map(|label| Some((label, fields.get(label)?)));
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(DecodeError::Structure);
    };
    let value = match value {
        ("v", Json::Number(number)) => read_number(number).ok_or(DecodeError::Structure)?,
        ("bv", Json::Bool(flag)) => Value::Boolean(*flag),
        ("ov", Json::String(text)) => {
            Value::parse(ValueType::ObjectLink, text).map_err(|_| DecodeError::Structure)?
        }
        // Opaque values are Base64 in a text; only their type tells them from texts.
        ("sv", Json::String(text)) => {
            let expected = registry.value_type(path).unwrap_or(ValueType::String);
            return Value::parse(expected, text)
                .map_err(|_| DecodeError::BadValue { path, expected });
        }
        _ => return Err(DecodeError::Structure),
    };
    typed(path, value, registry)
}

/// LwM2M 1.0 takes times from an early draft of SenML (draft-jennings-senml-10 §4.3): zero and
/// negative ones are relative to now, all positive ones since 1970.
fn read_time(base: Option<f64>, time: Option<f64>) -> Result<Option<SampleTime>, DecodeError> {
    if base.is_none() && time.is_none() {
        return Ok(None);
    }
    let secs = base.unwrap_or(0.0) + time.unwrap_or(0.0);
    // The comparison is written so that NaN fails it.
    if !(-MAX_SECS..=MAX_SECS).contains(&secs) {
        return Err(DecodeError::BadTime);
    }
    let millis = (secs * 1_000.0).round() as i64;
    Ok(Some(if millis <= 0 {
        SampleTime::FromNow(millis)
    } else {
        SampleTime::UnixMillis(millis)
    }))
}

pub(super) fn encode(base: Path, entries: &[Entry]) -> Result<Vec<u8>, EncodeError> {
    // As in the examples of LwM2M 1.0, so that no name is empty.
    let parent = match base {
        Path::Root => "/".to_owned(),
        Path::Object(o) => format!("/{o}/"),
        Path::ObjectInstance(o, i) | Path::Resource(o, i, _) | Path::ResourceInstance(o, i, ..) => {
            format!("/{o}/{i}/")
        }
    };
    let elements: Result<Vec<Json>, _> = entries
        .iter()
        .map(|entry| write_entry(&parent, entry))
        .collect();
    let mut pack = Map::new();
    pack.insert("bn".to_owned(), parent.as_str().into());
    pack.insert("e".to_owned(), Json::Array(elements?));
    Ok(Json::Object(pack).to_string().into_bytes())
}

fn write_entry(parent: &str, entry: &Entry) -> Result<Json, EncodeError> {
    let mut fields = Map::new();
    let full = entry.path.to_string();
    let name = full.strip_prefix(parent).unwrap_or(&full);
    fields.insert("n".to_owned(), name.into());
    if let Some(time) = entry.time {
        let time = write_time(time).ok_or(EncodeError::BadTime(entry.path))?;
        fields.insert("t".to_owned(), time);
    }
    let (label, field) = match &entry.value {
        Value::Integer(number) | Value::Time(number) => ("v", (*number).into()),
        Value::Unsigned(number) => ("v", (*number).into()),
        Value::Float(number) => ("v", write_float(ContentFormat::JSON, entry.path, *number)?),
        Value::Boolean(flag) => ("bv", (*flag).into()),
        Value::ObjectLink { .. } => ("ov", entry.value.to_text().into()),
        Value::String(_) | Value::CoreLink(_) | Value::Opaque(_) => {
            ("sv", entry.value.to_text().into())
        }
    };
    fields.insert(label.to_owned(), field);
    Ok(Json::Object(fields))
}

/// Seconds; `None` if they would be read as something else.
fn write_time(time: SampleTime) -> Option<Json> {
    let millis = match time {
        SampleTime::UnixMillis(millis) => Some(millis).filter(|millis| *millis > 0),
        SampleTime::FromNow(millis) => Some(millis).filter(|millis| *millis <= 0),
    };
    let millis = millis.filter(|millis| millis.unsigned_abs() <= MAX_MILLIS)?;
    Some(if millis % 1_000 == 0 {
        (millis / 1_000).into()
    } else {
        (millis as f64 / 1_000.0).into()
    })
}

/// A whole document.
pub(super) fn parse(payload: &[u8]) -> Result<Json, DecodeError> {
    serde_json::from_slice(payload).map_err(|error| DecodeError::Malformed(offset(payload, &error)))
}

/// The byte that the line and column of a JSON error mean.
fn offset(payload: &[u8], error: &serde_json::Error) -> usize {
    let lines = payload.split_inclusive(|byte| *byte == b'\n');
    let before: usize = lines
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    before + error.column().saturating_sub(1)
}

/// A number in the type that keeps it.
pub(super) fn read_number(number: &Number) -> Option<Value> {
    let signed = number.as_i64().map(Value::Integer);
    let unsigned = || number.as_u64().map(Value::Unsigned);
    signed
        .or_else(unsigned)
        .or_else(|| number.as_f64().map(Value::Float))
}

/// A float, for which JSON has no word if it is infinite or not a number.
pub(super) fn write_float(
    format: ContentFormat,
    path: Path,
    number: f64,
) -> Result<Json, EncodeError> {
    let number = Number::from_f64(number).map(Json::Number);
    number.ok_or(EncodeError::UnsupportedValue {
        format,
        path,
        value_type: ValueType::Float,
    })
}
