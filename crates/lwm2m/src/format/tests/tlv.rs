use super::*;

/// The answer to `GET /3/0` that LwM2M-Core prints as its TLV example: 121 bytes.
const DEVICE: &str = "c800144f70656e204d6f62696c6520416c6c69616e6365c801164c69676874776569676874\
    204d324d20436c69656e74c80209333435303030313233c303312e30860641000141010588070842000ed8420113\
    88870841007d42010384c10964c10a0f830b410000c40d5182428fc60e2b30323a3030c11055";

fn device_lines() -> Vec<String> {
    [
        "/3/0/0 String(\"Open Mobile Alliance\")",
        "/3/0/1 String(\"Lightweight M2M Client\")",
        "/3/0/2 String(\"345000123\")",
        "/3/0/3 String(\"1.0\")",
        "/3/0/6/0 Integer(1)",
        "/3/0/6/1 Integer(5)",
        "/3/0/7/0 Integer(3800)",
        "/3/0/7/1 Integer(5000)",
        "/3/0/8/0 Integer(125)",
        "/3/0/8/1 Integer(900)",
        "/3/0/9 Integer(100)",
        "/3/0/10 Integer(15)",
        "/3/0/11/0 Integer(0)",
        "/3/0/13 Time(1367491215)",
        "/3/0/14 String(\"+02:00\")",
        "/3/0/16 String(\"U\")",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex.replace(' ', "")).unwrap()
}

fn read_hex(base: &str, hex: &str) -> Result<Vec<String>, DecodeError> {
    read(ContentFormat::TLV, base, &bytes(hex)).map(|entries| lines(&entries))
}

#[test]
fn the_device_example_is_read_and_written() {
    let payload = bytes(DEVICE);
    assert_eq!(payload.len(), 121);
    let entries = read(ContentFormat::TLV, "/3/0", &payload).unwrap();
    assert_eq!(lines(&entries), device_lines());
    assert_eq!(
        encode(ContentFormat::TLV, path("/3/0"), &entries),
        Ok(payload)
    );
}

#[test]
fn the_device_example_may_be_wrapped() {
    let wrapped = format!("080079{DEVICE}");
    for base in ["/3", "/3/0"] {
        assert_eq!(read_hex(base, &wrapped), Ok(device_lines()));
    }
    assert_eq!(read_hex("/3", DEVICE), Ok(device_lines()));
    let entries = read(ContentFormat::TLV, "/3", &bytes(&wrapped)).unwrap();
    assert_eq!(
        encode(ContentFormat::TLV, path("/3"), &entries),
        Ok(bytes(&wrapped))
    );
}

#[test]
fn the_server_object_of_the_interoperability_test_is_read() {
    let server = "C10265 C20303F2 C20507D0 C10601 C10755";
    let entries = read(ContentFormat::TLV, "/1/0", &bytes(server)).unwrap();
    assert_eq!(
        lines(&entries),
        [
            "/1/0/2 Integer(101)",
            "/1/0/3 Integer(1010)",
            "/1/0/5 Integer(2000)",
            "/1/0/6 Boolean(true)",
            "/1/0/7 String(\"U\")",
        ]
    );
    assert_eq!(
        encode(ContentFormat::TLV, path("/1/0"), &entries),
        Ok(bytes(server))
    );
}

#[test]
fn access_control_instances_are_read() {
    let acl =
        "08000e c10001 c10100 83024 17f07 c1037f 080112 c10003 c10100 87024 17f07 61013601 c1037f";
    assert_eq!(
        read_hex("/2", acl).unwrap(),
        [
            "/2/0/0 Integer(1)",
            "/2/0/1 Integer(0)",
            "/2/0/2/127 Integer(7)",
            "/2/0/3 Integer(127)",
            "/2/1/0 Integer(3)",
            "/2/1/1 Integer(0)",
            "/2/1/2/127 Integer(7)",
            "/2/1/2/310 Integer(1)",
            "/2/1/3 Integer(127)",
        ]
    );
}

#[test]
fn empty_instances_hold_nothing() {
    assert_eq!(read_hex("/3", "00420000"), Ok(vec![]));
    assert_eq!(read_hex("/3/0", ""), Ok(vec![]));
    assert_eq!(read_hex("/3/0", "8006"), Ok(vec![]));
}

#[test]
fn an_instance_without_values_is_named() {
    for (id, hex) in [(7, "0007"), (0, "0000"), (300, "20012c")] {
        let payload = encode_empty_instance(id).unwrap();
        assert_eq!(hex::encode(&payload), hex);
        assert_eq!(first_instance(&payload), Some(id));
    }
    for other in ["", "00", "2001", "c10964", "8006"] {
        let payload = hex::decode(other).unwrap();
        assert_eq!(first_instance(&payload), None, "{other}");
    }
}

#[test]
fn all_forms_of_length_and_id_are_read() {
    for hex in [
        "c10964",
        "e1000964",
        "c8090164",
        "cf090164",
        "d009000164",
        "d80900000164",
    ] {
        assert_eq!(
            read_hex("/3/0", hex).unwrap(),
            ["/3/0/9 Integer(100)"],
            "{hex}"
        );
    }
    for (count, header) in [
        (7, "c700"),
        (8, "c80008"),
        (256, "d0000100"),
        (65_536, "d800010000"),
    ] {
        let payload = [bytes(header), vec![b'x'; count]].concat();
        let entries = read(ContentFormat::TLV, "/3/0", &payload).unwrap();
        assert_eq!(entries[0].value, string(&"x".repeat(count)));
        assert_eq!(
            encode(ContentFormat::TLV, path("/3/0"), &entries),
            Ok(payload)
        );
    }
}

#[test]
fn values_of_every_type_are_read() {
    for (base, hex, line) in [
        ("/3/0/9", "c109ff", "/3/0/9 Integer(-1)"),
        ("/3/0/9", "c209ff00", "/3/0/9 Integer(-256)"),
        (
            "/3/0/9",
            "c809 08 8000000000000000",
            "/3/0/9 Integer(-9223372036854775808)",
        ),
        ("/3303/0/5700", "e416443f000000", "/3303/0/5700 Float(0.5)"),
        (
            "/3303/0/5700",
            "e81644083fb999999999999a",
            "/3303/0/5700 Float(0.1)",
        ),
        ("/0/0/13", "c10dff", "/0/0/13 Unsigned(255)"),
        ("/3/0/0", "c000", "/3/0/0 String(\"\")"),
        (
            "/3/0/22/1",
            "4401ffffffff",
            "/3/0/22/1 ObjectLink { object: 65535, instance: 65535 }",
        ),
        ("/33000/0/5", "c205ff00", "/33000/0/5 Opaque([255, 0])"),
    ] {
        assert_eq!(read_hex(base, hex).unwrap(), [line], "{hex}");
    }
}

#[test]
fn a_resource_instance_is_read_in_every_wrapping() {
    for hex in ["410105", "8306410105", "c10605"] {
        assert_eq!(
            read_hex("/3/0/6/1", hex).unwrap(),
            ["/3/0/6/1 Integer(5)"],
            "{hex}"
        );
    }
    assert_eq!(
        read_hex("/3/0/6", "410105").unwrap(),
        ["/3/0/6/1 Integer(5)"]
    );
    let entry = Entry::new(path("/3/0/6/1"), Value::Integer(5));
    assert_eq!(
        encode(ContentFormat::TLV, entry.path, &[entry]),
        Ok(bytes("410105"))
    );
}

#[test]
fn structure_and_lengths_must_be_exact() {
    for (base, hex, at) in [
        ("/3/0", "c2096", 0),
        ("/3/0", "c10964c1", 3),
        ("/3/0", "c809", 0),
        ("/3/0", "8306420001", 2),
        ("/3/0", "8303c10001", 2),
        ("/3/0", "410105", 0),
        ("/3", "0300020001", 2),
        ("/3", "0303c20001", 2),
        ("/3", "20ffff", 0),
    ] {
        let hex = if hex.len() % 2 == 0 {
            hex
        } else {
            &hex[..hex.len() - 1]
        };
        assert_eq!(
            read_hex(base, hex),
            Err(DecodeError::Malformed(at)),
            "{hex}"
        );
    }
    assert_eq!(
        read_hex("/", "c10964"),
        Err(DecodeError::NotAResource(Path::Root))
    );
}

#[test]
fn values_must_fit_their_type_and_place() {
    for (base, hex) in [
        ("/3/0/9", "c309000001"),
        ("/3/0/9", "c009"),
        ("/1/0/6", "c10602"),
        ("/3303/0/5700", "e2164400 00"),
        ("/3/0/22", "8416 420001 02"),
        ("/3/0/0", "c100ff"),
    ] {
        let error = read_hex(base, hex).unwrap_err();
        assert!(
            matches!(error, DecodeError::BadValue { .. }),
            "{hex} {error}"
        );
    }
    for (base, hex) in [
        ("/3/0/9", "c10a64"),
        ("/3/0", "0301c10964"),
        ("/3/0/6/1", "410205"),
    ] {
        let error = read_hex(base, hex).unwrap_err();
        assert!(
            matches!(error, DecodeError::OutsideBase { .. }),
            "{hex} {error}"
        );
    }
}

#[test]
fn what_tlv_cannot_say_is_not_written() {
    let entry = Entry::new(path("/3/0/9"), Value::Integer(1));
    let write = |base: &str, entries: &[Entry]| encode(ContentFormat::TLV, path(base), entries);
    assert_eq!(
        write("/", std::slice::from_ref(&entry)),
        Err(EncodeError::NeedsObject(ContentFormat::TLV))
    );
    assert_eq!(
        write("/3/0", &[entry.clone(), entry.clone()]),
        Err(EncodeError::Repeated(entry.path))
    );
    let timed = Entry {
        time: Some(SampleTime::FromNow(0)),
        ..entry
    };
    assert_eq!(
        write("/3/0", &[timed]),
        Err(EncodeError::NoTimes(ContentFormat::TLV))
    );
}

#[test]
fn unsigned_values_read_the_same_when_taken_as_signed() {
    let entry = Entry::new(path("/0/0/13"), Value::Unsigned(200));
    assert_eq!(
        encode(ContentFormat::TLV, path("/0/0"), &[entry]),
        Ok(bytes("c20d00c8"))
    );
}
