use super::*;
use crate::value::ValueType;

fn write(format: ContentFormat, base: &str, value: Value) -> Result<Vec<u8>, EncodeError> {
    encode(format, path(base), &[Entry::new(path(base), value)])
}

#[test]
fn texts_take_the_type_of_their_resource() {
    let value = |base, text: &str| {
        let entries = read(ContentFormat::TEXT, base, text.as_bytes())?;
        Ok(entries[0].value.clone())
    };
    assert_eq!(value("/3/0/9", "95"), Ok(Value::Integer(95)));
    assert_eq!(value("/3303/0/5700", "1.0E-3"), Ok(Value::Float(0.001)));
    assert_eq!(
        value("/3/0/13", "1367491215"),
        Ok(Value::Time(1_367_491_215))
    );
    assert_eq!(value("/1/0/6", "1"), Ok(Value::Boolean(true)));
    assert_eq!(
        value("/3/0/22/0", "4:0"),
        Ok(Value::ObjectLink {
            object: 4,
            instance: 0
        })
    );
    assert_eq!(value("/0/0/3", "AQID"), Ok(Value::Opaque(vec![1, 2, 3])));
    assert_eq!(value("/33000/0/1", "95"), Ok(string("95")));
    assert_eq!(
        value("/3/0/9", "x"),
        Err(DecodeError::BadValue {
            path: path("/3/0/9"),
            expected: ValueType::Integer
        })
    );
}

#[test]
fn a_single_value_needs_a_resource() {
    for format in [
        ContentFormat::TEXT,
        ContentFormat::OPAQUE,
        ContentFormat::CBOR,
    ] {
        assert_eq!(
            read(format, "/3/0", b"0"),
            Err(DecodeError::NotAResource(path("/3/0")))
        );
        let two = [0, 1].map(|id| {
            let path = Path::ResourceInstance(3, 0, 6, id);
            Entry::new(path, Value::Integer(1))
        });
        assert_eq!(
            encode(format, path("/3/0/6"), &two),
            Err(EncodeError::NotOneValue(format))
        );
        assert_eq!(
            encode(format, path("/3/0/6"), &two[..1]),
            Err(EncodeError::NotOneValue(format))
        );
        let timed = Entry {
            time: Some(SampleTime::FromNow(0)),
            ..two[0].clone()
        };
        assert_eq!(
            encode(format, path("/3/0/6"), &[timed]),
            Err(EncodeError::NoTimes(format))
        );
    }
}

#[test]
fn texts_are_written_canonically() {
    assert_eq!(
        write(ContentFormat::TEXT, "/3/0/14", string("+01:00")).unwrap(),
        b"+01:00"
    );
    assert_eq!(
        write(ContentFormat::TEXT, "/5/0/0", Value::Opaque(vec![0])).unwrap(),
        b"AA=="
    );
    assert!(write(ContentFormat::TEXT, "/3303/0/5700", Value::Float(f64::NAN)).is_err());
}

#[test]
fn opaque_carries_bytes_only() {
    let entries = read(ContentFormat::OPAQUE, "/5/0/0", &[1, 2]).unwrap();
    assert_eq!(entries[0].value, Value::Opaque(vec![1, 2]));
    assert!(read(ContentFormat::OPAQUE, "/3/0/9", &[1]).is_err());
    let bytes = Value::Opaque(vec![7]);
    assert_eq!(write(ContentFormat::OPAQUE, "/5/0/0", bytes).unwrap(), [7]);
    assert!(write(ContentFormat::OPAQUE, "/3/0/9", Value::Integer(1)).is_err());
}

#[test]
fn cbor_values_are_read_in_every_encoding() {
    let value = |base, hex: &str| {
        let entries = read(ContentFormat::CBOR, base, &hex::decode(hex).unwrap())?;
        Ok::<_, DecodeError>(entries[0].value.clone())
    };
    // Integers, also as half, single and double floats.
    for integer in [
        "1864",
        "190064",
        "fb4059000000000000",
        "fa42c80000",
        "f95640",
    ] {
        assert_eq!(
            value("/3/0/9", integer),
            Ok(Value::Integer(100)),
            "{integer}"
        );
    }
    assert_eq!(value("/3303/0/5700", "05"), Ok(Value::Float(5.0)));
    // 4([-1, 25])
    assert_eq!(value("/3303/0/5700", "c482201819"), Ok(Value::Float(2.5)));
    // Times, tagged and bare.
    for time in ["c11a5182428f", "1a5182428f", "c1fb41d46090a3c00000"] {
        assert_eq!(
            value("/3/0/13", time),
            Ok(Value::Time(1_367_491_215)),
            "{time}"
        );
    }
    // Texts in one piece and in several.
    for text in ["662b30323a3030", "7f632b3032633a3030ff"] {
        assert_eq!(value("/3/0/14", text), Ok(string("+02:00")), "{text}");
    }
    assert_eq!(
        value("/0/0/3", "5f41014102ff"),
        Ok(Value::Opaque(vec![1, 2]))
    );
    assert_eq!(
        value("/3/0/22/0", "63343a30"),
        Ok(Value::ObjectLink {
            object: 4,
            instance: 0
        })
    );
    // Unknown resources have the type that the payload shows.
    assert_eq!(value("/33000/0/1", "c101"), Ok(Value::Time(1)));
    assert_eq!(
        value("/33000/0/1", "1bffffffffffffffff"),
        Ok(Value::Unsigned(u64::MAX))
    );
    assert_eq!(value("/33000/0/1", "f5"), Ok(Value::Boolean(true)));
    assert_eq!(
        value("/33000/0/1", "3bffffffffffffffff"),
        Err(DecodeError::Malformed(0))
    );
}

#[test]
fn broken_cbor_is_refused() {
    for (hex, at) in [
        ("", 0),
        ("0000", 1),
        ("c2", 0),
        ("80", 0),
        ("f6", 0),
        ("c1", 1),
    ] {
        let payload = hex::decode(hex).unwrap();
        let error = read(ContentFormat::CBOR, "/33000/0/1", &payload);
        assert_eq!(error, Err(DecodeError::Malformed(at)), "{hex}");
    }
}

#[test]
fn cbor_times_are_written_with_their_tag() {
    let time = write(ContentFormat::CBOR, "/3/0/13", Value::Time(1_367_491_215)).unwrap();
    assert_eq!(hex::encode(time), "c11a5182428f");
}
