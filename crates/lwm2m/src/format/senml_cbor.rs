//! `application/senml+cbor` (RFC 8428 §6).

use std::convert::Infallible;

use minicbor::data::Type;
use minicbor::encode::Error;
use minicbor::{Decoder, Encoder};

use super::cbor::{at, datatype, has_next, text, value};
use super::senml::{Fields, Label, Record, Seconds};
use super::{Content, DecodeError, Shown};
use crate::value::{Value, ValueType};

pub(super) fn read(
    payload: &[u8],
    mut each: impl FnMut(Record<'_>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut decoder = Decoder::new(payload);
    let mut left = at(&mut decoder, Decoder::array)?;
    while has_next(&mut decoder, &mut left)? {
        each(read_record(&mut decoder)?)?;
    }
    if decoder.position() != payload.len() {
        return Err(DecodeError::Malformed(decoder.position()));
    }
    Ok(())
}

fn read_record<'a>(decoder: &mut Decoder<'a>) -> Result<Record<'a>, DecodeError> {
    let mut record = Record::default();
    let mut left = at(decoder, Decoder::map)?;
    while has_next(decoder, &mut left)? {
        match read_label(decoder)? {
            Label::Ignored => at(decoder, Decoder::skip)?,
            Label::Unsupported => return Err(DecodeError::Structure),
            Label::BaseName => record.base_name = Some(text(decoder)?),
            Label::Name => record.name = Some(text(decoder)?),
            Label::BaseTime => record.base_time = Some(read_time(decoder)?),
            Label::Time => record.time = Some(read_time(decoder)?),
            _ if datatype(decoder)? == Type::Null => {
                at(decoder, Decoder::null)?;
                record.set_content(Content::Null)?;
            }
            Label::ObjectLink => {
                let link = Value::parse(ValueType::ObjectLink, &text(decoder)?);
                let link = link.map_err(|_| DecodeError::Structure)?;
                record.set_value(Label::ObjectLink, link)?;
            }
            label => record.set_value(label, value(decoder)?)?,
        }
    }
    Ok(record)
}

/// A label, which is a number, except for those that have none (`vlo`).
fn read_label(decoder: &mut Decoder<'_>) -> Result<Label, DecodeError> {
    match datatype(decoder)? {
        Type::String | Type::StringIndef => Ok(Label::from_text(&text(decoder)?)),
        _ => Ok(Label::from_number(at(decoder, Decoder::i64)?)),
    }
}

fn read_time(decoder: &mut Decoder<'_>) -> Result<f64, DecodeError> {
    match value(decoder)?.conform(ValueType::Float) {
        Ok(Value::Float(seconds)) => Ok(seconds),
        _ => Err(DecodeError::BadTime),
    }
}

pub(super) fn write(records: &[Fields<'_>]) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    encoder
        .array(records.len() as u64)
        .expect("a vector takes every byte");
    for record in records {
        record
            .write(&mut encoder)
            .expect("a vector takes every byte");
    }
    encoder.into_writer()
}

impl Fields<'_> {
    fn write(&self, encoder: &mut Encoder<Vec<u8>>) -> Result<(), Error<Infallible>> {
        let optional = [
            self.base_name.is_some(),
            self.name.is_some(),
            self.time.is_some(),
            self.content.is_some(),
        ];
        let count = optional.iter().filter(|present| **present).count();
        encoder.map(count as u64)?;
        if let Some(base_name) = self.base_name {
            encoder.i8(-2)?.str(base_name)?;
        }
        if let Some(name) = &self.name {
            encoder.u8(0)?.str(name)?;
        }
        match self.time {
            None => {}
            Some(Seconds::Whole(seconds)) => {
                encoder.u8(6)?.i64(seconds)?;
            }
            Some(Seconds::Fractional(seconds)) => {
                encoder.u8(6)?.f64(seconds)?;
            }
        }
        match self.content {
            None => Ok(()),
            Some(Shown::Value(value)) => write_value(encoder, value),
            // RFC 8790 §3.2 removes by a null behind any value label; `v` is the one of its examples.
            Some(Shown::Null) => encoder.u8(2)?.null().map(|_| ()),
        }
    }
}

fn write_value(encoder: &mut Encoder<Vec<u8>>, value: &Value) -> Result<(), Error<Infallible>> {
    match value {
        Value::String(text) | Value::CoreLink(text) => encoder.u8(3)?.str(text)?,
        Value::Integer(number) | Value::Time(number) => encoder.u8(2)?.i64(*number)?,
        Value::Unsigned(number) => encoder.u8(2)?.u64(*number)?,
        Value::Float(number) => encoder.u8(2)?.f64(*number)?,
        Value::Boolean(flag) => encoder.u8(4)?.bool(*flag)?,
        Value::Opaque(bytes) => encoder.u8(8)?.bytes(bytes)?,
        // LwM2M-Core 1.2 §7.4.5: vlo has no number and stays a text label.
        Value::ObjectLink { .. } => encoder.str("vlo")?.str(&value.to_text())?,
    };
    Ok(())
}
