//! `application/cbor`: one value. Also the parts of CBOR that other formats are made of.

use std::borrow::Cow;
use std::convert::Infallible;

use minicbor::data::Tag;
use minicbor::encode::Error;
use minicbor::{Decoder, Encoder};

use super::{DecodeError, Entry, single_value_path, typed};
use crate::path::Path;
use crate::registry::Registry;
use crate::value::Value;

/// RFC 8949 §3.4.2: seconds since 1970.
const EPOCH_TIME: Tag = Tag::new(1);

/// RFC 8949 §3.4.4: an exponent of ten and a mantissa.
const DECIMAL_FRACTION: Tag = Tag::new(4);

pub(super) fn decode(
    base: Path,
    payload: &[u8],
    registry: &Registry,
) -> Result<Vec<Entry>, DecodeError> {
    let path = single_value_path(base)?;
    let mut decoder = Decoder::new(payload);
    let value = value(&mut decoder)?;
    if decoder.position() != payload.len() {
        return Err(DecodeError::Malformed(decoder.position()));
    }
    Ok(vec![Entry::new(
        path,
        typed(path, value, registry.value_type(path))?,
    )])
}

pub(super) fn encode(entry: &Entry) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    write_value(&mut encoder, &entry.value).expect("a vector takes every byte");
    encoder.into_writer()
}

pub(super) fn write_value(
    encoder: &mut Encoder<Vec<u8>>,
    value: &Value,
) -> Result<(), Error<Infallible>> {
    match value {
        Value::String(text) | Value::CoreLink(text) => encoder.str(text)?,
        Value::Integer(number) => encoder.i64(*number)?,
        Value::Unsigned(number) => encoder.u64(*number)?,
        Value::Float(number) => encoder.f64(*number)?,
        Value::Boolean(flag) => encoder.bool(*flag)?,
        Value::Opaque(bytes) => encoder.bytes(bytes)?,
        Value::Time(seconds) => encoder.tag(EPOCH_TIME)?.i64(*seconds)?,
        Value::ObjectLink { .. } => encoder.str(&value.to_text())?,
    };
    Ok(())
}

/// A time, whole or not, or a decimal fraction, which RFC 8428 §6 allows for every number.
fn tagged(decoder: &mut Decoder<'_>) -> Result<Value, DecodeError> {
    let start = decoder.position();
    let malformed = DecodeError::Malformed(start);
    match at(decoder, Decoder::tag)? {
        EPOCH_TIME => match untagged(decoder)? {
            Value::Integer(seconds) => Ok(Value::Time(seconds)),
            // The data type has whole seconds only.
            Value::Float(seconds) if seconds.abs() < 9e18 => {
                Ok(Value::Time(seconds.floor() as i64))
            }
            _ => Err(malformed),
        },
        DECIMAL_FRACTION => {
            let mut left = at(decoder, Decoder::array)?;
            let mut parts = [0; 2];
            for part in &mut parts {
                if !has_next(decoder, &mut left)? {
                    return Err(malformed);
                }
                *part = at(decoder, Decoder::i64)?;
            }
            if has_next(decoder, &mut left)? {
                return Err(malformed);
            }
            let [exponent, mantissa] = parts;
            decimal(mantissa, exponent)
                .map(Value::Float)
                .ok_or(malformed)
        }
        _ => Err(malformed),
    }
}

/// The float nearest to `mantissa` times ten to the power of `exponent`, if there is one.
fn decimal(mantissa: i64, exponent: i64) -> Option<f64> {
    let number: f64 = format!("{mantissa}e{exponent}").parse().ok()?;
    number.is_finite().then_some(number)
}

/// One number, truth value, text, byte string, tagged time or decimal fraction.
///
/// Integers are [`Value::Integer`] if they fit it, [`Value::Unsigned`] otherwise.
#[inline]
pub(super) fn value(decoder: &mut Decoder<'_>) -> Result<Value, DecodeError> {
    match head(decoder)? {
        Head::TAG..=Head::TAG_LAST => tagged(decoder),
        _ => untagged(decoder),
    }
}

#[inline]
fn untagged(decoder: &mut Decoder<'_>) -> Result<Value, DecodeError> {
    match head(decoder)? {
        Head::UNSIGNED..=Head::NEGATIVE_LAST => integer(decoder),
        Head::BYTES..=Head::BYTES_INDEFINITE => bytes(decoder).map(Value::Opaque),
        Head::TEXT..=Head::TEXT_INDEFINITE => {
            text(decoder).map(|text| Value::String(text.into_owned()))
        }
        Head::HALF => at(decoder, Decoder::f16).map(|half| Value::Float(half.into())),
        Head::SINGLE => at(decoder, Decoder::f32).map(|single| Value::Float(single.into())),
        Head::DOUBLE => at(decoder, Decoder::f64).map(Value::Float),
        _ => at(decoder, Decoder::bool).map(Value::Boolean),
    }
}

fn integer(decoder: &mut Decoder<'_>) -> Result<Value, DecodeError> {
    let start = decoder.position();
    let number = i128::from(at(decoder, Decoder::int)?);
    let signed = i64::try_from(number).map(Value::Integer);
    signed
        .or_else(|_| u64::try_from(number).map(Value::Unsigned))
        .map_err(|_| DecodeError::Malformed(start))
}

/// A text, in one piece or in several.
pub(super) fn text<'a>(decoder: &mut Decoder<'a>) -> Result<Cow<'a, str>, DecodeError> {
    match head(decoder)? {
        Head::TEXT_INDEFINITE => {
            at(decoder, |decoder| decoder.str_iter()?.collect()).map(Cow::Owned)
        }
        _ => at(decoder, Decoder::str).map(Cow::Borrowed),
    }
}

fn bytes(decoder: &mut Decoder<'_>) -> Result<Vec<u8>, DecodeError> {
    at(decoder, |decoder| {
        let mut bytes = Vec::new();
        for chunk in decoder.bytes_iter()? {
            bytes.extend_from_slice(chunk?);
        }
        Ok(bytes)
    })
}

/// Whether an array or map has another element; `left` is `None` for those of indefinite length,
/// whose end is consumed here.
#[inline]
pub(super) fn has_next(
    decoder: &mut Decoder<'_>,
    left: &mut Option<u64>,
) -> Result<bool, DecodeError> {
    if let Some(left) = left {
        let more = *left > 0;
        *left = left.saturating_sub(1);
        return Ok(more);
    }
    if head(decoder)? == Head::BREAK {
        at(decoder, Decoder::skip)?;
        return Ok(false);
    }
    Ok(true)
}

/// The first bytes of items, which say what kind they are and often all the rest (RFC 8949 §3).
///
/// Looked at directly: kinds are asked for several times an item, and the reader's answers carry
/// room for messages that nobody reads.
pub(super) struct Head;

impl Head {
    pub(super) const UNSIGNED: u8 = 0x00;
    /// The last of the numbers that are their own first byte.
    pub(super) const SMALL_LAST: u8 = 0x17;
    pub(super) const NEGATIVE_LAST: u8 = 0x3f;
    pub(super) const BYTES: u8 = 0x40;
    pub(super) const BYTES_INDEFINITE: u8 = 0x5f;
    pub(super) const TEXT: u8 = 0x60;
    pub(super) const TEXT_INDEFINITE: u8 = 0x7f;
    pub(super) const ARRAY: u8 = 0x80;
    pub(super) const ARRAY_INDEFINITE: u8 = 0x9f;
    pub(super) const MAP: u8 = 0xa0;
    pub(super) const MAP_INDEFINITE: u8 = 0xbf;
    pub(super) const TAG: u8 = 0xc0;
    pub(super) const TAG_LAST: u8 = 0xdf;
    pub(super) const NULL: u8 = 0xf6;
    pub(super) const HALF: u8 = 0xf9;
    pub(super) const SINGLE: u8 = 0xfa;
    pub(super) const DOUBLE: u8 = 0xfb;
    pub(super) const BREAK: u8 = 0xff;
}

/// The first byte of what comes next, see [`Head`].
#[inline]
pub(super) fn head(decoder: &Decoder<'_>) -> Result<u8, DecodeError> {
    let at = decoder.position();
    let head = decoder.input().get(at).copied();
    head.ok_or(DecodeError::Malformed(at))
}

/// Passes over a number that is its own first byte, and says which; `None` if another item comes.
#[inline]
pub(super) fn small(decoder: &mut Decoder<'_>) -> Option<u8> {
    let number = head(decoder)
        .ok()
        .filter(|head| *head <= Head::SMALL_LAST)?;
    decoder.set_position(decoder.position() + 1);
    Some(number)
}

/// Reads one item; what does not read is malformed where it begins.
#[inline]
pub(super) fn at<'a, T>(
    decoder: &mut Decoder<'a>,
    read: impl FnOnce(&mut Decoder<'a>) -> Result<T, minicbor::decode::Error>,
) -> Result<T, DecodeError> {
    let start = decoder.position();
    read(decoder).map_err(|_| DecodeError::Malformed(start))
}
