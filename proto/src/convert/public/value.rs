//! Values and paths.

use device_state::{ChildValue, LastValue, Timestamp, ValueOrigin};
use lwm2m::value::ValueError;
use lwm2m::{ChildPrefix, Entry, Path, Registry, Value, ValueType};

use super::timestamp;
use crate::convert::list::{MAX_VALUES, each};
use crate::convert::{ConvertError, InField, Reason, Within, narrow, required};
use crate::drover::v1 as public;

impl From<Value> for public::Value {
    fn from(value: Value) -> Self {
        use public::value::Kind;
        let kind = match value {
            Value::String(text) => Kind::String(text),
            Value::Integer(number) => Kind::Integer(number),
            Value::Unsigned(number) => Kind::Unsigned(number),
            Value::Float(number) => Kind::Float(number),
            Value::Boolean(truth) => Kind::Boolean(truth),
            Value::Opaque(bytes) => Kind::Opaque(bytes),
            Value::Time(seconds) => Kind::Time(prost_types::Timestamp { seconds, nanos: 0 }),
            Value::ObjectLink { object, instance } => Kind::ObjectLink(public::ObjectLink {
                object: object.into(),
                instance: instance.into(),
            }),
            Value::CoreLink(text) => Kind::CoreLink(text),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<public::Value> for Value {
    type Error = ConvertError;

    /// Fractions of a second are cut off a time: LwM2M has none.
    fn try_from(value: public::Value) -> Result<Self, ConvertError> {
        use public::value::Kind;
        Ok(match required("kind", value.kind)? {
            Kind::String(text) => Self::String(text),
            Kind::Integer(number) => Self::Integer(number),
            Kind::Unsigned(number) => Self::Unsigned(number),
            Kind::Float(number) => Self::Float(number),
            Kind::Boolean(truth) => Self::Boolean(truth),
            Kind::Opaque(bytes) => Self::Opaque(bytes),
            Kind::Time(time) => Self::Time(time.seconds),
            Kind::ObjectLink(link) => Self::ObjectLink {
                object: narrow("object_link.object", link.object)?,
                instance: narrow("object_link.instance", link.instance)?,
            },
            Kind::CoreLink(text) => Self::CoreLink(text),
        })
    }
}

/// Values that were read or written.
pub fn path_values(values: Vec<(Path, Value)>) -> Vec<public::PathValue> {
    let item = |(path, value): (Path, Value)| public::PathValue {
        path: path.to_string(),
        value: Some(value.into()),
    };
    values.into_iter().map(item).collect()
}

/// Values that a device reported, of itself or of a device behind it.
pub fn reported_values(
    child: Option<&ChildPrefix>,
    origin: ValueOrigin,
    values: Vec<(Path, Value, Timestamp)>,
) -> Vec<public::ReportedValue> {
    let item = |(path, value, at)| public::ReportedValue {
        child: child.map(ToString::to_string).unwrap_or_default(),
        ..reported(path, value, origin, at)
    };
    values.into_iter().map(item).collect()
}

fn reported(path: Path, value: Value, origin: ValueOrigin, at: Timestamp) -> public::ReportedValue {
    public::ReportedValue {
        path: path.to_string(),
        value: Some(value.into()),
        time: timestamp(at),
        origin: origin_name(origin).to_owned(),
        child: String::new(),
    }
}

const fn origin_name(origin: ValueOrigin) -> &'static str {
    match origin {
        ValueOrigin::Notify => "Notify",
        ValueOrigin::Send => "Send",
        ValueOrigin::Read => "Read",
        ValueOrigin::Write => "Write",
    }
}

impl From<LastValue> for public::ReportedValue {
    fn from(row: LastValue) -> Self {
        reported(row.path, row.value, row.origin, row.at)
    }
}

impl From<ChildValue> for public::ReportedValue {
    fn from(row: ChildValue) -> Self {
        Self {
            child: row.child.to_string(),
            ..row.value.into()
        }
    }
}

/// The value that `text` stands for at `path`, by the type that the object's definition gives the resource.
pub fn typed_value(path: Path, text: &str, registry: &Registry) -> Result<Value, Reason> {
    let value_type = registry.value_type(path).ok_or(Reason::Untyped(path))?;
    Ok(Value::parse(value_type, text)?)
}

pub(crate) fn path(field: &str, text: &str) -> Result<Path, ConvertError> {
    text.parse::<Path>().in_field(field)
}

/// Values to write, each of the type that its resource has by definition. Resources without a known definition take
/// what they are given.
pub(crate) fn entries(
    values: Vec<public::PathValue>,
    registry: &Registry,
) -> Result<Vec<Entry>, ConvertError> {
    each("values", values, MAX_VALUES, |item| {
        let path = path("path", &item.path)?;
        let value = Value::try_from(required("value", item.value)?).within("value")?;
        let value = match registry.value_type(path) {
            Some(expected) => fit(value, expected).in_field("value")?,
            None => value,
        };
        Ok(Entry::new(path, value))
    })
}

/// The same value in another type, where that loses nothing: callers do not always tell integers from other numbers.
fn fit(value: Value, expected: ValueType) -> Result<Value, ValueError> {
    if value.value_type() == expected {
        return Ok(value);
    }
    let integer = match &value {
        Value::Integer(number) | Value::Time(number) => Some(i128::from(*number)),
        Value::Unsigned(number) => Some(i128::from(*number)),
        _ => None,
    };
    let fitted = match (expected, integer) {
        (ValueType::Integer, Some(number)) => number.try_into().ok().map(Value::Integer),
        (ValueType::Unsigned, Some(number)) => number.try_into().ok().map(Value::Unsigned),
        (ValueType::Time, Some(number)) => number.try_into().ok().map(Value::Time),
        (ValueType::Float, Some(number)) => {
            let float = number as f64;
            (float as i128 == number).then_some(Value::Float(float))
        }
        (ValueType::CoreLink, None) => match value {
            Value::String(text) => Some(Value::CoreLink(text)),
            _ => None,
        },
        _ => None,
    };
    fitted.ok_or(ValueError { expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_takes_the_type_of_its_resource_if_nothing_is_lost() {
        assert_eq!(
            fit(Value::Integer(21), ValueType::Float),
            Ok(Value::Float(21.0))
        );
        assert_eq!(
            fit(Value::Unsigned(21), ValueType::Time),
            Ok(Value::Time(21))
        );
        let refused =
            |value, expected| assert_eq!(fit(value, expected), Err(ValueError { expected }));
        refused(Value::Integer(-1), ValueType::Unsigned);
        refused(Value::Integer(i64::MAX), ValueType::Float);
        refused(Value::Float(1.0), ValueType::Integer);
        refused(Value::String("1".to_owned()), ValueType::Integer);
    }
}
