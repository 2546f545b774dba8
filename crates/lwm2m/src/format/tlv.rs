//! `application/vnd.oma.lwm2m+tlv`.
//!
//! A TLV is a type byte, an id of one or two bytes, a length of none to three bytes and a value:
//!
//! ```text
//!   bits 7-6   00 object instance    01 resource instance
//!              10 multiple resource  11 resource with value
//!   bit  5     id has two bytes
//!   bits 4-3   number of length bytes; if none, bits 2-0 are the length
//! ```

use super::{
    ContentFormat, DecodeError, EncodeError, Entry, MAX_ENTRIES, only_entry, sorted_unique,
};
use crate::path::Path;
use crate::registry::{Registry, ValueTypes};
use crate::value::{Value, ValueType};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    ObjectInstance,
    ResourceInstance,
    MultipleResource,
    Resource,
}

impl Kind {
    const fn from_bits(byte: u8) -> Self {
        match byte >> 6 {
            0b00 => Self::ObjectInstance,
            0b01 => Self::ResourceInstance,
            0b10 => Self::MultipleResource,
            _ => Self::Resource,
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Self::ObjectInstance => 0b0000_0000,
            Self::ResourceInstance => 0b0100_0000,
            Self::MultipleResource => 0b1000_0000,
            Self::Resource => 0b1100_0000,
        }
    }
}

const WIDE_ID: u8 = 0b0010_0000;

struct Item<'a> {
    kind: Kind,
    id: u16,
    value: &'a [u8],
    /// Where the item and its value begin in the payload, for errors.
    at: usize,
    value_at: usize,
}

struct Items<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Items<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        self.at += count;
        Some(head)
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        let digits = self.take(bytes)?;
        Some(
            digits
                .iter()
                .fold(0, |number, byte| number << 8 | usize::from(*byte)),
        )
    }

    fn item(&mut self) -> Option<Item<'a>> {
        let at = self.at;
        let header = *self.take(1)?.first()?;
        let id = self.number(if header & WIDE_ID == 0 { 1 } else { 2 })?;
        let length = match usize::from(header >> 3 & 0b11) {
            0 => usize::from(header & 0b111),
            bytes => self.number(bytes)?,
        };
        let value_at = self.at;
        Some(Item {
            kind: Kind::from_bits(header),
            id: u16::try_from(id).ok()?,
            value: self.take(length)?,
            at,
            value_at,
        })
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let start = self.at;
        let item = self.item();
        if item.is_none() {
            // Nothing behind a broken item can be trusted.
            self.rest = &[];
        }
        Some(item.ok_or(DecodeError::Malformed(start)))
    }
}

pub(super) fn decode(
    base: Path,
    payload: &[u8],
    registry: &Registry,
) -> Result<Vec<Entry>, DecodeError> {
    let object = base.object_id().ok_or(DecodeError::NotAResource(base))?;
    // Without wrapper the instance is that of the path; some clients also leave the wrapper out
    // in answers for a whole object that has a single instance, which is instance 0.
    let instance = Path::ObjectInstance(object, base.object_instance_id().unwrap_or(0));
    let mut reader = Reader {
        base,
        types: ValueTypes::new(registry),
        entries: Vec::new(),
    };
    let items = Items {
        rest: payload,
        at: 0,
    };
    for item in items {
        let item = item?;
        match item.kind {
            Kind::ObjectInstance => {
                let path = Path::Object(object).child(item.id);
                let path = path.ok_or(DecodeError::Malformed(item.at))?;
                for resource in item.children() {
                    reader.resource(path, &resource?)?;
                }
            }
            Kind::Resource | Kind::MultipleResource => reader.resource(instance, &item)?,
            Kind::ResourceInstance => {
                let resource = base.to_resource().ok_or(DecodeError::Malformed(item.at))?;
                reader.resource_instance(resource, &item)?;
            }
        }
    }
    Ok(reader.entries)
}

impl<'a> Item<'a> {
    const fn children(&self) -> Items<'a> {
        Items {
            rest: self.value,
            at: self.value_at,
        }
    }
}

struct Reader<'r> {
    base: Path,
    types: ValueTypes<'r>,
    entries: Vec<Entry>,
}

impl Reader<'_> {
    fn resource(&mut self, instance: Path, item: &Item<'_>) -> Result<(), DecodeError> {
        let path = instance
            .child(item.id)
            .ok_or(DecodeError::Malformed(item.at))?;
        match item.kind {
            Kind::Resource => self.push(path, item.value),
            Kind::MultipleResource => {
                for instance in item.children() {
                    self.resource_instance(path, &instance?)?;
                }
                Ok(())
            }
            _ => Err(DecodeError::Malformed(item.at)),
        }
    }

    fn resource_instance(&mut self, resource: Path, item: &Item<'_>) -> Result<(), DecodeError> {
        let path = resource
            .child(item.id)
            .ok_or(DecodeError::Malformed(item.at))?;
        match item.kind {
            Kind::ResourceInstance => self.push(path, item.value),
            _ => Err(DecodeError::Malformed(item.at)),
        }
    }

    fn push(&mut self, path: Path, bytes: &[u8]) -> Result<(), DecodeError> {
        // A read of one resource instance may be answered as if the resource were single.
        let path = if self.base.to_resource() == Some(path) {
            self.base
        } else {
            path
        };
        if !path.starts_with(self.base) {
            return Err(DecodeError::OutsideBase {
                base: self.base,
                found: path,
            });
        }
        if self.entries.len() == MAX_ENTRIES {
            return Err(DecodeError::TooManyEntries);
        }
        let expected = self.types.get(path).unwrap_or(ValueType::Opaque);
        let value = decode_value(expected, bytes);
        let value = value.ok_or(DecodeError::BadValue { path, expected })?;
        self.entries.push(Entry::new(path, value));
        Ok(())
    }
}

fn decode_value(value_type: ValueType, bytes: &[u8]) -> Option<Value> {
    let text = || std::str::from_utf8(bytes).ok().map(str::to_owned);
    match value_type {
        ValueType::String => text().map(Value::String),
        ValueType::CoreLink => text().map(Value::CoreLink),
        ValueType::Integer => decode_integer(bytes).map(Value::Integer),
        ValueType::Time => decode_integer(bytes).map(Value::Time),
        ValueType::Unsigned => decode_unsigned(bytes).map(Value::Unsigned),
        ValueType::Float => decode_float(bytes).map(Value::Float),
        ValueType::Boolean => match bytes {
            [0] => Some(Value::Boolean(false)),
            [1] => Some(Value::Boolean(true)),
            _ => None,
        },
        ValueType::Opaque => Some(Value::Opaque(bytes.to_vec())),
        ValueType::ObjectLink => match *bytes {
            [o1, o2, i1, i2] => Some(Value::ObjectLink {
                object: u16::from_be_bytes([o1, o2]),
                instance: u16::from_be_bytes([i1, i2]),
            }),
            _ => None,
        },
    }
}

fn decode_integer(bytes: &[u8]) -> Option<i64> {
    match *bytes {
        [a] => Some(i64::from(i8::from_be_bytes([a]))),
        [a, b] => Some(i64::from(i16::from_be_bytes([a, b]))),
        [a, b, c, d] => Some(i64::from(i32::from_be_bytes([a, b, c, d]))),
        _ => bytes.try_into().ok().map(i64::from_be_bytes),
    }
}

fn decode_unsigned(bytes: &[u8]) -> Option<u64> {
    match *bytes {
        [a] => Some(u64::from(a)),
        [a, b] => Some(u64::from(u16::from_be_bytes([a, b]))),
        [a, b, c, d] => Some(u64::from(u32::from_be_bytes([a, b, c, d]))),
        _ => bytes.try_into().ok().map(u64::from_be_bytes),
    }
}

fn decode_float(bytes: &[u8]) -> Option<f64> {
    match *bytes {
        [a, b, c, d] => Some(f64::from(f32::from_be_bytes([a, b, c, d]))),
        _ => bytes.try_into().ok().map(f64::from_be_bytes),
    }
}

pub(super) fn encode(base: Path, entries: &[Entry]) -> Result<Vec<u8>, EncodeError> {
    if entries.iter().any(|entry| entry.time.is_some()) {
        return Err(EncodeError::NoTimes(ContentFormat::TLV));
    }
    let sorted = sorted_unique(entries)?;
    let mut out = Vec::new();
    match base {
        Path::Root => return Err(EncodeError::NeedsObject(ContentFormat::TLV)),
        Path::Object(_) => {
            let instance = |entry: &Entry| entry.path.object_instance_id();
            for group in sorted.chunk_by(|a, b| instance(a) == instance(b)) {
                let mut resources = Vec::new();
                write_resources(&mut resources, group)?;
                let id = group
                    .first()
                    .and_then(|entry| instance(entry))
                    .unwrap_or_default();
                write_item(&mut out, Kind::ObjectInstance, id, &resources)?;
            }
        }
        Path::ObjectInstance(..) | Path::Resource(..) => write_resources(&mut out, &sorted)?,
        Path::ResourceInstance(_, _, _, id) => {
            let entry = only_entry(ContentFormat::TLV, base, entries)?;
            write_item(
                &mut out,
                Kind::ResourceInstance,
                id,
                &encode_value(&entry.value),
            )?;
        }
    }
    Ok(out)
}

pub(super) fn encode_empty_instance(id: u16) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    write_item(&mut out, Kind::ObjectInstance, id, &[])?;
    Ok(out)
}

pub(super) fn first_instance(payload: &[u8]) -> Option<u16> {
    let (header, rest) = payload.split_first()?;
    match (Kind::from_bits(*header), header & WIDE_ID, rest) {
        (Kind::ObjectInstance, 0, [id, ..]) => Some(u16::from(*id)),
        (Kind::ObjectInstance, WIDE_ID, [high, low, ..]) => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

/// Writes resources of one object instance, sorted by path.
fn write_resources(out: &mut Vec<u8>, sorted: &[&Entry]) -> Result<(), EncodeError> {
    for group in sorted.chunk_by(|a, b| a.path.to_resource() == b.path.to_resource()) {
        let Some(first) = group.first() else { continue };
        let id = first.path.resource_id().unwrap_or_default();
        // LwM2M-Core 1.2 §7.4.3: a multiple resource stays one, even with a single instance.
        if first.path.resource_instance_id().is_none() {
            write_item(out, Kind::Resource, id, &encode_value(&first.value))?;
            continue;
        }
        let mut instances = Vec::new();
        for entry in group {
            let id = entry.path.resource_instance_id().unwrap_or_default();
            write_item(
                &mut instances,
                Kind::ResourceInstance,
                id,
                &encode_value(&entry.value),
            )?;
        }
        write_item(out, Kind::MultipleResource, id, &instances)?;
    }
    Ok(())
}

fn write_item(out: &mut Vec<u8>, kind: Kind, id: u16, value: &[u8]) -> Result<(), EncodeError> {
    let length = u32::try_from(value.len()).map_err(|_| EncodeError::TooLong)?;
    let length_bytes: u8 = match length {
        0..=7 => 0,
        8..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xff_ffff => 3,
        _ => return Err(EncodeError::TooLong),
    };
    let inline = if length_bytes == 0 { length as u8 } else { 0 };
    let wide = if id > 0xff { WIDE_ID } else { 0 };
    out.push(kind.bits() | wide | length_bytes << 3 | inline);
    match id.to_be_bytes() {
        [0, low] => out.push(low),
        both => out.extend_from_slice(&both),
    }
    let unused = 4 - usize::from(length_bytes);
    out.extend(length.to_be_bytes().iter().skip(unused));
    out.extend_from_slice(value);
    Ok(())
}

fn encode_value(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) | Value::CoreLink(text) => text.clone().into_bytes(),
        Value::Integer(number) | Value::Time(number) => encode_integer(*number),
        // The shortest form whose sign bit is clear reads the same for clients that take every
        // integer as signed.
        Value::Unsigned(number) => match i64::try_from(*number) {
            Ok(number) => encode_integer(number),
            Err(_) => number.to_be_bytes().to_vec(),
        },
        Value::Float(number) => {
            let short = *number as f32;
            if f64::from(short).to_bits() == number.to_bits() {
                short.to_be_bytes().to_vec()
            } else {
                number.to_be_bytes().to_vec()
            }
        }
        Value::Boolean(flag) => vec![u8::from(*flag)],
        Value::Opaque(bytes) => bytes.clone(),
        Value::ObjectLink { object, instance } => {
            [object.to_be_bytes(), instance.to_be_bytes()].concat()
        }
    }
}

fn encode_integer(number: i64) -> Vec<u8> {
    if let Ok(number) = i8::try_from(number) {
        number.to_be_bytes().to_vec()
    } else if let Ok(number) = i16::try_from(number) {
        number.to_be_bytes().to_vec()
    } else if let Ok(number) = i32::try_from(number) {
        number.to_be_bytes().to_vec()
    } else {
        number.to_be_bytes().to_vec()
    }
}
