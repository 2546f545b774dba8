//! What a resource holds.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use thiserror::Error;

/// Base64 that writes padding and reads with or without it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The data type of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueType {
    /// UTF-8 text.
    String,
    /// Signed integer of at most 64 bits.
    Integer,
    /// Unsigned integer of at most 64 bits.
    Unsigned,
    /// Floating-point number of at most 64 bits.
    Float,
    /// Truth value.
    Boolean,
    /// Bytes.
    Opaque,
    /// Seconds since 1970-01-01T00:00:00Z.
    Time,
    /// Reference to an object instance.
    ObjectLink,
    /// CoRE link-format text.
    CoreLink,
}

impl ValueType {
    /// The name of the type in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Unsigned => "unsigned integer",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Opaque => "opaque",
            Self::Time => "time",
            Self::ObjectLink => "object link",
            Self::CoreLink => "core link",
        }
    }

    /// The name of the type in object definitions, for example `Unsigned Integer` or `Objlnk`.
    pub const fn registry_name(self) -> &'static str {
        match self {
            Self::String => "String",
            Self::Integer => "Integer",
            Self::Unsigned => "Unsigned Integer",
            Self::Float => "Float",
            Self::Boolean => "Boolean",
            Self::Opaque => "Opaque",
            Self::Time => "Time",
            Self::ObjectLink => "Objlnk",
            Self::CoreLink => "Corelnk",
        }
    }

    /// The type by its name in object definitions.
    // LwM2M-Core 1.2 Table C.-1: data types.
    pub fn from_registry_name(name: &str) -> Option<Self> {
        Some(match name {
            "String" => Self::String,
            "Integer" => Self::Integer,
            "Unsigned Integer" => Self::Unsigned,
            "Float" => Self::Float,
            "Boolean" => Self::Boolean,
            "Opaque" => Self::Opaque,
            "Time" => Self::Time,
            "Objlnk" => Self::ObjectLink,
            "Corelnk" => Self::CoreLink,
            _ => return None,
        })
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The value of one resource or resource instance.
///
/// `Display` and [`Value::parse`] are each other's inverse, except for floats that are not finite.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// UTF-8 text.
    String(String),
    /// Signed integer.
    Integer(i64),
    /// Unsigned integer.
    Unsigned(u64),
    /// Floating-point number.
    Float(f64),
    /// Truth value.
    Boolean(bool),
    /// Bytes.
    Opaque(Vec<u8>),
    /// Seconds since 1970-01-01T00:00:00Z.
    Time(i64),
    /// Reference to an object instance; 65535:65535 refers to nothing.
    ObjectLink {
        /// Object id.
        object: u16,
        /// Object instance id.
        instance: u16,
    },
    /// CoRE link-format text.
    CoreLink(String),
}

/// A text or a value does not fit the data type it is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a valid {expected}")]
pub struct ValueError {
    /// The type that was asked for.
    pub expected: ValueType,
}

impl Value {
    /// The reference that refers to nothing.
    pub const NULL_LINK: Self = Self::ObjectLink {
        object: 65_535,
        instance: 65_535,
    };

    /// The data type of this value.
    pub const fn value_type(&self) -> ValueType {
        match self {
            Self::String(_) => ValueType::String,
            Self::Integer(_) => ValueType::Integer,
            Self::Unsigned(_) => ValueType::Unsigned,
            Self::Float(_) => ValueType::Float,
            Self::Boolean(_) => ValueType::Boolean,
            Self::Opaque(_) => ValueType::Opaque,
            Self::Time(_) => ValueType::Time,
            Self::ObjectLink { .. } => ValueType::ObjectLink,
            Self::CoreLink(_) => ValueType::CoreLink,
        }
    }

    /// The canonical text: decimal numbers, `0`/`1`, padded Base64, `object:instance`.
    ///
    /// Floats are written without exponent, because not every client reads one.
    pub fn to_text(&self) -> String {
        match self {
            Self::String(text) | Self::CoreLink(text) => text.clone(),
            Self::Integer(number) | Self::Time(number) => number.to_string(),
            Self::Unsigned(number) => number.to_string(),
            Self::Float(number) => float_text(*number),
            Self::Boolean(true) => "1".to_owned(),
            Self::Boolean(false) => "0".to_owned(),
            Self::Opaque(bytes) => BASE64.encode(bytes),
            Self::ObjectLink { object, instance } => format!("{object}:{instance}"),
        }
    }

    /// Reads a text as the given type.
    ///
    /// Liberal where clients differ: numbers may have a leading `+`, floats an exponent, Base64 no
    /// padding, and truth values may be spelled `true` and `false`.
    pub fn parse(value_type: ValueType, text: &str) -> Result<Self, ValueError> {
        let parsed = match value_type {
            ValueType::String => Some(Self::String(text.to_owned())),
            ValueType::CoreLink => Some(Self::CoreLink(text.to_owned())),
            ValueType::Integer => text.parse().ok().map(Self::Integer),
            ValueType::Unsigned => text.parse().ok().map(Self::Unsigned),
            ValueType::Time => text.parse().ok().map(Self::Time),
            ValueType::Float => parse_float(text).map(Self::Float),
            ValueType::Boolean => parse_boolean(text).map(Self::Boolean),
            ValueType::Opaque => BASE64.decode(text).ok().map(Self::Opaque),
            ValueType::ObjectLink => parse_object_link(text),
        };
        parsed.ok_or(ValueError {
            expected: value_type,
        })
    }

    /// Reads this value as the given type where that is unambiguous: between the integer types
    /// (in range), from whole floats to integers, from integers to the nearest float, and between
    /// text, core link and the text of an object link.
    ///
    /// Formats that carry only "a number" or "a text" (SenML, CBOR) need this to give a value the
    /// type of its resource.
    pub fn conform(self, value_type: ValueType) -> Result<Self, ValueError> {
        if self.value_type() == value_type {
            return Ok(self);
        }
        let conformed = match self {
            Self::Integer(number) | Self::Time(number) => {
                number_as(i128::from(number), number as f64, value_type)
            }
            Self::Unsigned(number) => number_as(i128::from(number), number as f64, value_type),
            Self::Float(number) => whole(number).and_then(|n| number_as(n, number, value_type)),
            Self::String(text) | Self::CoreLink(text) => match value_type {
                ValueType::String => Some(Self::String(text)),
                ValueType::CoreLink => Some(Self::CoreLink(text)),
                ValueType::ObjectLink => parse_object_link(&text),
                _ => None,
            },
            Self::Boolean(_) | Self::Opaque(_) | Self::ObjectLink { .. } => None,
        };
        conformed.ok_or(ValueError {
            expected: value_type,
        })
    }
}

fn number_as(exact: i128, float: f64, value_type: ValueType) -> Option<Value> {
    match value_type {
        ValueType::Integer => i64::try_from(exact).ok().map(Value::Integer),
        ValueType::Unsigned => u64::try_from(exact).ok().map(Value::Unsigned),
        ValueType::Time => i64::try_from(exact).ok().map(Value::Time),
        ValueType::Float => Some(Value::Float(float)),
        _ => None,
    }
}

/// The integer that a float stands for, if it has no fraction and fits 64 bits.
fn whole(number: f64) -> Option<i128> {
    // 2^64 bounds both integer types and keeps the conversion exact.
    let bounded = number.abs() <= 18_446_744_073_709_551_616.0;
    (bounded && number.fract() == 0.0).then_some(number as i128)
}

pub(crate) fn float_text(number: f64) -> String {
    let text = number.to_string();
    if number.is_finite() && !text.contains('.') {
        return text + ".0";
    }
    text
}

pub(crate) fn parse_float(text: &str) -> Option<f64> {
    // The standard parser also reads "inf" and "nan", which no LwM2M text form has.
    let numeric = |b: u8| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E');
    let number: f64 = text
        .bytes()
        .all(numeric)
        .then(|| text.parse().ok())
        .flatten()?;
    number.is_finite().then_some(number)
}

fn parse_boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

fn parse_object_link(text: &str) -> Option<Value> {
    let (object, instance) = text.split_once(':')?;
    Some(Value::ObjectLink {
        object: object.parse().ok()?,
        instance: instance.parse().ok()?,
    })
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

#[cfg(test)]
mod tests;
