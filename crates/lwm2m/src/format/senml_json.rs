//! `application/senml+json` (RFC 8428 §5).

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value as Json};

use super::json::{parse, read_number, write_float};
use super::senml::{Fields, Label, Record, Seconds};
use super::{Content, ContentFormat, DecodeError, EncodeError, Shown};
use crate::path::Path;
use crate::value::{Value, ValueType};

/// RFC 8428 §5: base64url; written without padding, read with or without it.
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) fn read(
    payload: &[u8],
    mut each: impl FnMut(Record<'_>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let Json::Array(records) = parse(payload)? else {
        return Err(DecodeError::Structure);
    };
    for record in records {
        let Json::Object(fields) = record else {
            return Err(DecodeError::Structure);
        };
        each(read_record(fields)?)?;
    }
    Ok(())
}

fn read_record(fields: Map<String, Json>) -> Result<Record<'static>, DecodeError> {
    let mut record = Record::default();
    for (key, field) in fields {
        let label = Label::from_text(&key);
        match (label, field) {
            (Label::Ignored, _) => {}
            (Label::BaseName, Json::String(text)) => record.base_name = Some(text.into()),
            (Label::Name, Json::String(text)) => record.name = Some(text.into()),
            (Label::BaseTime, Json::Number(number)) => record.base_time = number.as_f64(),
            (Label::Time, Json::Number(number)) => record.time = number.as_f64(),
            (label, Json::Null) if label.is_value() => record.set_content(Content::Null)?,
            (_, field) => {
                let value = read_value(label, field).ok_or(DecodeError::Structure)?;
                record.set_value(label, value)?;
            }
        }
    }
    Ok(record)
}

fn read_value(label: Label, field: Json) -> Option<Value> {
    match (label, field) {
        (Label::Number, Json::Number(number)) => read_number(&number),
        (Label::Text, Json::String(text)) => Some(Value::String(text)),
        (Label::Boolean, Json::Bool(flag)) => Some(Value::Boolean(flag)),
        (Label::Data, Json::String(text)) => read_data(text).map(Value::Opaque),
        (Label::ObjectLink, Json::String(text)) => Value::parse(ValueType::ObjectLink, &text).ok(),
        _ => None,
    }
}

/// Bytes in the alphabet for addresses, or in the common one, which some clients take instead.
fn read_data(text: String) -> Option<Vec<u8>> {
    let text = if text.contains(['+', '/']) {
        text.replace('+', "-").replace('/', "_")
    } else {
        text
    };
    BASE64_URL.decode(text).ok()
}

pub(super) fn write(records: &[Fields<'_>]) -> Result<Vec<u8>, EncodeError> {
    let objects: Result<Vec<Json>, _> = records.iter().map(write_record).collect();
    Ok(Json::Array(objects?).to_string().into_bytes())
}

fn write_record(fields: &Fields<'_>) -> Result<Json, EncodeError> {
    let mut record = Map::new();
    if let Some(base_name) = fields.base_name {
        record.insert("bn".to_owned(), base_name.into());
    }
    if let Some(name) = &fields.name {
        record.insert("n".to_owned(), name.as_str().into());
    }
    if let Some(seconds) = fields.time {
        record.insert("t".to_owned(), time_field(seconds));
    }
    if let Some(content) = fields.content {
        let (label, field) = match content {
            Shown::Value(value) => value_field(fields.path, value)?,
            // RFC 8790 §3.2 removes by a null behind any value label; `v` is the one of its examples.
            Shown::Null => ("v", Json::Null),
        };
        record.insert(label.to_owned(), field);
    }
    Ok(Json::Object(record))
}

fn time_field(seconds: Seconds) -> Json {
    match seconds {
        Seconds::Whole(seconds) => seconds.into(),
        Seconds::Fractional(seconds) => seconds.into(),
    }
}

fn value_field(path: Path, value: &Value) -> Result<(&'static str, Json), EncodeError> {
    Ok(match value {
        Value::String(text) | Value::CoreLink(text) => ("vs", text.as_str().into()),
        Value::Integer(number) | Value::Time(number) => ("v", (*number).into()),
        Value::Unsigned(number) => ("v", (*number).into()),
        Value::Float(number) => {
            let number = write_float(ContentFormat::SENML_JSON, path, *number)?;
            ("v", number)
        }
        Value::Boolean(flag) => ("vb", (*flag).into()),
        Value::Opaque(bytes) => ("vd", BASE64_URL.encode(bytes).into()),
        Value::ObjectLink { .. } => ("vlo", value.to_text().into()),
    })
}
