//! `application/cbor`: one value. Also the reading of single CBOR values for SenML.

use std::borrow::Cow;

use minicbor::data::{Tag, Type};
use minicbor::{Decoder, Encoder};

use super::{DecodeError, Entry, single_value_path, typed};
use crate::path::Path;
use crate::registry::Registry;
use crate::value::Value;

/// RFC 8949 §3.4.2: seconds since 1970.
const EPOCH_TIME: u64 = 1;

pub(super) fn decode(
    base: Path,
    payload: &[u8],
    registry: &Registry,
) -> Result<Vec<Entry>, DecodeError> {
    let path = single_value_path(base)?;
    let mut decoder = Decoder::new(payload);
    let value = if decoder.datatype().map_err(malformed(&decoder))? == Type::Tag {
        time(&mut decoder)?
    } else {
        value(&mut decoder)?
    };
    if decoder.position() != payload.len() {
        return Err(DecodeError::Malformed(decoder.position()));
    }
    Ok(vec![Entry::new(path, typed(path, value, registry)?)])
}

pub(super) fn encode(entry: &Entry) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    let written = match &entry.value {
        Value::String(text) | Value::CoreLink(text) => encoder.str(text),
        Value::Integer(number) => encoder.i64(*number),
        Value::Unsigned(number) => encoder.u64(*number),
        Value::Float(number) => encoder.f64(*number),
        Value::Boolean(flag) => encoder.bool(*flag),
        Value::Opaque(bytes) => encoder.bytes(bytes),
        Value::Time(seconds) => encoder
            .tag(Tag::new(EPOCH_TIME))
            .and_then(|encoder| encoder.i64(*seconds)),
        Value::ObjectLink { .. } => encoder.str(&entry.value.to_text()),
    };
    written.expect("a vector takes every byte");
    encoder.into_writer()
}

/// A tagged time, whole or not.
fn time(decoder: &mut Decoder<'_>) -> Result<Value, DecodeError> {
    let start = decoder.position();
    if decoder.tag().map_err(malformed(decoder))? != Tag::new(EPOCH_TIME) {
        return Err(DecodeError::Malformed(start));
    }
    match value(decoder)? {
        Value::Integer(seconds) => Ok(Value::Time(seconds)),
        // The data type has whole seconds only.
        Value::Float(seconds) if seconds.abs() < 9e18 => Ok(Value::Time(seconds.floor() as i64)),
        _ => Err(DecodeError::Malformed(start)),
    }
}

/// One number, truth value, text or byte string.
///
/// Integers are [`Value::Integer`] if they fit it, [`Value::Unsigned`] otherwise.
pub(super) fn value(decoder: &mut Decoder<'_>) -> Result<Value, DecodeError> {
    let start = decoder.position();
    let at = |_| DecodeError::Malformed(start);
    match decoder.datatype().map_err(at)? {
        Type::Bool => decoder.bool().map(Value::Boolean).map_err(at),
        Type::F16 => decoder.f16().map(f64::from).map(Value::Float).map_err(at),
        Type::F32 => decoder.f32().map(f64::from).map(Value::Float).map_err(at),
        Type::F64 => decoder.f64().map(Value::Float).map_err(at),
        Type::String | Type::StringIndef => {
            text(decoder).map(|text| Value::String(text.into_owned()))
        }
        Type::Bytes | Type::BytesIndef => bytes(decoder).map(Value::Opaque),
        _ => {
            let number = i128::from(decoder.int().map_err(at)?);
            let signed = i64::try_from(number).map(Value::Integer);
            signed
                .or_else(|_| u64::try_from(number).map(Value::Unsigned))
                .map_err(|_| DecodeError::Malformed(start))
        }
    }
}

/// A text, in one piece or in several.
pub(super) fn text<'a>(decoder: &mut Decoder<'a>) -> Result<Cow<'a, str>, DecodeError> {
    if decoder.datatype().map_err(malformed(decoder))? == Type::String {
        return decoder.str().map(Cow::Borrowed).map_err(malformed(decoder));
    }
    let start = decoder.position();
    let chunks = decoder.str_iter().map_err(malformed_at(start))?;
    chunks
        .collect::<Result<String, _>>()
        .map(Cow::Owned)
        .map_err(malformed_at(start))
}

fn bytes(decoder: &mut Decoder<'_>) -> Result<Vec<u8>, DecodeError> {
    let start = decoder.position();
    let mut bytes = Vec::new();
    for chunk in decoder.bytes_iter().map_err(malformed_at(start))? {
        bytes.extend_from_slice(chunk.map_err(malformed_at(start))?);
    }
    Ok(bytes)
}

/// Turns a reader's error into the place where the reader stands.
pub(super) fn malformed(
    decoder: &Decoder<'_>,
) -> impl Fn(minicbor::decode::Error) -> DecodeError + use<> {
    malformed_at(decoder.position())
}

fn malformed_at(at: usize) -> impl Fn(minicbor::decode::Error) -> DecodeError {
    move |_| DecodeError::Malformed(at)
}
