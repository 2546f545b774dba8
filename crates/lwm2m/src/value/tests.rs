#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use proptest::prelude::*;

use super::*;

#[test]
fn texts_are_canonical() {
    for (value, text) in [
        (Value::Integer(-5), "-5"),
        (Value::Unsigned(u64::MAX), "18446744073709551615"),
        (Value::Float(1.0), "1.0"),
        (Value::Float(0.001), "0.001"),
        (Value::Boolean(true), "1"),
        (Value::Opaque(vec![1, 2, 3, 4]), "AQIDBA=="),
        (Value::Time(1_367_491_215), "1367491215"),
        (Value::NULL_LINK, "65535:65535"),
        (Value::CoreLink("</3/0>".to_owned()), "</3/0>"),
    ] {
        assert_eq!(value.to_text(), text);
        assert_eq!(Value::parse(value.value_type(), text), Ok(value));
    }
}

#[test]
fn reading_is_liberal_where_clients_differ() {
    let read = |value_type, text| Value::parse(value_type, text).unwrap();
    assert_eq!(read(ValueType::Float, "1.0E-3"), Value::Float(0.001));
    assert_eq!(read(ValueType::Float, "5"), Value::Float(5.0));
    assert_eq!(read(ValueType::Integer, "+7"), Value::Integer(7));
    assert_eq!(read(ValueType::Boolean, "true"), Value::Boolean(true));
    assert_eq!(
        read(ValueType::Opaque, "AQIDBA"),
        Value::Opaque(vec![1, 2, 3, 4])
    );
}

#[test]
fn texts_of_the_wrong_type_are_refused() {
    for (value_type, text) in [
        (ValueType::Integer, "1.5"),
        (ValueType::Integer, "9223372036854775808"),
        (ValueType::Unsigned, "-1"),
        (ValueType::Float, "nan"),
        (ValueType::Float, "inf"),
        (ValueType::Float, "1e999"),
        (ValueType::Boolean, "2"),
        (ValueType::Opaque, "*"),
        (ValueType::ObjectLink, "1"),
        (ValueType::ObjectLink, "1:70000"),
        (ValueType::Time, ""),
    ] {
        assert_eq!(
            Value::parse(value_type, text),
            Err(ValueError {
                expected: value_type
            })
        );
    }
}

#[test]
fn values_conform_only_without_loss() {
    let conform = |value: Value, value_type| value.conform(value_type).ok();
    assert_eq!(
        conform(Value::Integer(3), ValueType::Float),
        Some(Value::Float(3.0))
    );
    assert_eq!(
        conform(Value::Float(3.0), ValueType::Unsigned),
        Some(Value::Unsigned(3))
    );
    assert_eq!(conform(Value::Float(3.5), ValueType::Integer), None);
    assert_eq!(conform(Value::Float(f64::NAN), ValueType::Integer), None);
    assert_eq!(conform(Value::Float(1e30), ValueType::Integer), None);
    assert_eq!(conform(Value::Integer(-1), ValueType::Unsigned), None);
    assert_eq!(conform(Value::Boolean(true), ValueType::Integer), None);
    assert_eq!(
        conform(Value::String("3:0".to_owned()), ValueType::ObjectLink),
        Some(Value::ObjectLink {
            object: 3,
            instance: 0
        })
    );
}

proptest! {
    #[test]
    fn finite_floats_survive_their_text(number in prop::num::f64::NORMAL | prop::num::f64::ZERO) {
        let value = Value::Float(number);
        prop_assert_eq!(Value::parse(ValueType::Float, &value.to_text()), Ok(value));
    }

    #[test]
    fn bytes_survive_their_text(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let value = Value::Opaque(bytes);
        prop_assert_eq!(Value::parse(ValueType::Opaque, &value.to_text()), Ok(value));
    }
}
