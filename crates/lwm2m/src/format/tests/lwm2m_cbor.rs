use super::*;

const FORMAT: ContentFormat = ContentFormat::LWM2M_CBOR;

fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex.replace(' ', "")).unwrap()
}

fn read_hex(base: &str, hex: &str) -> Result<Vec<String>, DecodeError> {
    read(FORMAT, base, &bytes(hex)).map(|entries| lines(&entries))
}

fn write(base: &str, entries: &[Entry]) -> Result<String, EncodeError> {
    encode(FORMAT, path(base), entries).map(hex::encode)
}

#[test]
fn keys_nest_in_every_way() {
    for hex in [
        "a1 03 a1 00 a1 00 61 78",          // {3: {0: {0: "x"}}}
        "a1 83 03 00 00 61 78",             // {[3, 0, 0]: "x"}
        "a1 82 03 00 a1 00 61 78",          // {[3, 0]: {0: "x"}}
        "a1 03 a1 82 00 00 61 78",          // {3: {[0, 0]: "x"}}
        "a1 81 03 a1 81 00 a1 81 00 61 78", // {[3]: {[0]: {[0]: "x"}}}
        "bf 03 bf 00 bf 00 61 78 ff ff ff", // {_ 3: {_ 0: {_ 0: "x"}}}
        "bf 9f 03 00 00 ff 7f 61 78 ff ff", // {_ [_ 3, 0, 0]: (_ "x")}
        "a1 19 0003 a1 18 00 a1 1a 00000000 61 78",
    ] {
        for base in ["/", "/3", "/3/0", "/3/0/0"] {
            assert_eq!(
                read_hex(base, hex),
                Ok(vec!["/3/0/0 String(\"x\")".to_owned()]),
                "{base} {hex}"
            );
        }
    }
}

#[test]
fn mixed_nesting_is_read_in_order() {
    // {[13, 26]: {1: 42}, [13, 26, 2]: 21} and {[13, 26, 1]: 42, [13, 26]: {[2]: 21}}
    for hex in [
        "a2 82 0d 18 1a a1 01 18 2a 83 0d 18 1a 02 15",
        "a2 83 0d 18 1a 01 18 2a 82 0d 18 1a a1 81 02 15",
    ] {
        assert_eq!(
            read(FORMAT, "/13/26", &bytes(hex)).map(|entries| entries.len()),
            Ok(2),
            "{hex}"
        );
    }
    // {33000: {0: {1: 42, 2: {0: 21, 7: 22}}, 5: {}}, [33001, 3]: {[2]: h'ff'}}
    assert_eq!(
        read_hex(
            "/",
            "a2 19 80e8 a2 00 a2 01 18 2a 02 a2 00 15 07 16 05 a0 82 19 80e9 03 a1 81 02 41 ff"
        )
        .unwrap(),
        [
            "/33000/0/1 Integer(42)",
            "/33000/0/2/0 Integer(21)",
            "/33000/0/2/7 Integer(22)",
            "/33001/3/2 Opaque([255])",
        ]
    );
    assert_eq!(read_hex("/3", "a0"), Ok(vec![]));
    assert_eq!(read_hex("/3", "bf ff"), Ok(vec![]));
    assert_eq!(read_hex("/3", "a1 03 a1 00 a1 06 a0"), Ok(vec![]));
}

#[test]
fn values_take_the_type_of_their_resource() {
    for (hex, line) in [
        ("a1 83 03 00 0d c1 1a 5182428f", "/3/0/13 Time(1367491215)"),
        ("a1 83 03 00 0d 1a 5182428f", "/3/0/13 Time(1367491215)"),
        (
            "a1 83 03 00 0d c1 fb 41d46090a3c00000",
            "/3/0/13 Time(1367491215)",
        ),
        (
            "a1 84 03 00 16 00 63 343a30",
            "/3/0/22/0 ObjectLink { object: 4, instance: 0 }",
        ),
        ("a1 83 19 0ce7 00 19 1644 05", "/3303/0/5700 Float(5.0)"),
        (
            "a1 83 19 0ce7 00 19 1644 f9 4100",
            "/3303/0/5700 Float(2.5)",
        ),
        (
            "a1 83 19 0ce7 00 19 1644 fa 40200000",
            "/3303/0/5700 Float(2.5)",
        ),
        ("a1 83 03 00 09 f9 5640", "/3/0/9 Integer(100)"),
        ("a1 83 00 00 03 5f 41 01 41 02 ff", "/0/0/3 Opaque([1, 2])"),
        ("a1 83 01 00 06 f5", "/1/0/6 Boolean(true)"),
        ("a1 83 00 00 0d 18 ff", "/0/0/13 Unsigned(255)"),
        ("a1 83 19 80e8 00 01 c1 05", "/33000/0/1 Time(5)"),
        (
            "a1 83 19 80e8 00 01 1b ffffffffffffffff",
            "/33000/0/1 Unsigned(18446744073709551615)",
        ),
    ] {
        assert_eq!(read_hex("/", hex), Ok(vec![line.to_owned()]), "{hex}");
    }
    let error = read_hex("/", "a1 83 03 00 09 61 78").unwrap_err();
    assert!(matches!(error, DecodeError::BadValue { .. }), "{error}");
}

#[test]
fn short_keys_continue_the_path_of_the_request() {
    for (base, hex, line) in [
        // {9: 100}, {6: {1: 5}}, {[6, 1]: 5}
        ("/3/0", "a1 09 18 64", "/3/0/9 Integer(100)"),
        ("/3/0", "a1 06 a1 01 05", "/3/0/6/1 Integer(5)"),
        ("/3/0", "a1 82 06 01 05", "/3/0/6/1 Integer(5)"),
        // {0: {9: 100}}
        ("/3", "a1 00 a1 09 18 64", "/3/0/9 Integer(100)"),
        // {1: 5}
        ("/3/0/6", "a1 01 05", "/3/0/6/1 Integer(5)"),
    ] {
        assert_eq!(
            read_hex(base, hex),
            Ok(vec![line.to_owned()]),
            "{base} {hex}"
        );
    }
    // {0: {6: {1: 5}, 9: 100}}: one key that can only be relative makes all of them so.
    assert_eq!(
        read_hex("/3", "a1 00 a2 06 a1 01 05 09 18 64").unwrap(),
        ["/3/0/6/1 Integer(5)", "/3/0/9 Integer(100)"]
    );
    // {3: {0: {9: 100}}} names a whole path, though /3/3/0/9 is one below /3 too.
    assert_eq!(
        read_hex("/3", "a1 03 a1 00 a1 09 18 64").unwrap(),
        ["/3/0/9 Integer(100)"]
    );
}

#[test]
fn paths_must_be_resources_below_the_base() {
    for (base, hex) in [
        ("/", "a1 03 01"),            // {3: 1}
        ("/", "a1 82 03 00 01"),      // {[3, 0]: 1}
        ("/3/0/9", "a1 82 03 00 01"), // too deep for a relative one
        ("/", "a1 85 03 00 06 00 00 01"),
        ("/", "a1 84 03 00 06 00 a1 00 01"),
        ("/", "a1 83 19 ffff 00 00 01"),
    ] {
        let error = read_hex(base, hex).unwrap_err();
        assert!(
            matches!(error, DecodeError::BadName | DecodeError::Malformed(_)),
            "{hex} {error}"
        );
    }
    for (base, found) in [
        ("/4", "/3/0/9"),
        ("/3/1", "/3/0/9"),
        ("/3/0/10", "/3/0/9"),
        ("/3/0/9/0", "/3/0/9"),
    ] {
        assert_eq!(
            read_hex(base, "a1 83 03 00 09 18 64"),
            Err(DecodeError::OutsideBase {
                base: path(base),
                found: path(found)
            })
        );
    }
}

#[test]
fn broken_payloads_are_refused_with_their_place() {
    for (hex, at) in [
        ("", 0),
        ("00", 0),
        ("84 01 02 03 04", 0),
        ("a1 03 a1 00 a1 00", 6),          // ends before the value
        ("a1 03 a1 00 a1", 5),             // ends before the key
        ("bf 83 03 00 09 01", 6),          // ends before the break
        ("a0 00", 1),                      // more than a map
        ("a1 80 a1 83 03 00 00 01", 1),    // an empty key
        ("a1 83 03 1a 00010000 01 05", 3), // an id above 65535
        ("a1 83 03 20 01 05", 3),          // a negative id
        ("a1 83 03 f9 0000 01 05", 3),     // a float as id
        ("a1 0d a1 62 3236 a1 01 05", 3),  // a text as id
        ("a1 82 03 81 00 05", 3),          // an array in an array
        ("a1 83 03 00 00 81 05", 5),       // an array as value
        ("a1 83 03 00 00 c2 41 01", 5),    // another tag
        ("a1 83 03 00 00 f7", 5),          // undefined
        ("a1 84 03 00 06 00 a1 00 01", 6), // a map below a resource instance
        ("bb ffffffffffffffff", 9),
        ("a1 9b ffffffffffffffff 00", 11),
    ] {
        assert_eq!(read_hex("/", hex), Err(DecodeError::Malformed(at)), "{hex}");
    }
    assert_eq!(
        read_hex("/", "a1 83 03 00 00 f6"),
        Err(DecodeError::Structure)
    );
    let nested = format!("a1{}", "00a1".repeat(100_000));
    assert_eq!(read_hex("/", &nested), Err(DecodeError::Malformed(8)));
}

#[test]
fn payloads_are_written_as_nested_maps() {
    let entries = [
        Entry::new(path("/3/0/9"), Value::Integer(100)),
        Entry::new(path("/3/0/6/1"), Value::Integer(5)),
        Entry::new(path("/3/0/6/0"), Value::Integer(1)),
        Entry::new(path("/3/0/13"), Value::Time(1_367_491_215)),
        Entry::new(path("/3/0/22/0"), Value::NULL_LINK),
    ];
    assert_eq!(
        write("/3/0", &entries).unwrap(),
        "a1 03 a1 00 a4 06 a2 00 01 01 05 09 18 64 0d c1 1a 5182428f 16 a1 00 6b \
         36353533353a3635353335"
            .replace(' ', "")
    );
    assert_eq!(write("/", &entries[..1]).unwrap(), "a103a100a1091864");
    assert_eq!(write("/3", &[]).unwrap(), "a0");
}

#[test]
fn what_the_format_cannot_say_is_not_written() {
    let entry = Entry::new(path("/3/0/9"), Value::Integer(1));
    assert_eq!(
        write("/", &[entry.clone(), entry.clone()]),
        Err(EncodeError::Repeated(entry.path))
    );
    let timed = Entry {
        time: Some(SampleTime::FromNow(0)),
        ..entry
    };
    assert_eq!(write("/", &[timed]), Err(EncodeError::NoTimes(FORMAT)));
}

#[test]
fn payloads_are_bounded() {
    let mut many = vec![0xbf];
    many.extend([0x83, 0x03, 0x00, 0x09, 0x01].repeat(MAX_ENTRIES + 1));
    many.push(0xff);
    assert_eq!(read(FORMAT, "/", &many), Err(DecodeError::TooManyEntries));
}

#[test]
fn paths_are_listed_with_null() {
    let paths = [path("/3/0/9"), path("/3"), path("/4/0"), path("/3")];
    let written = encode_paths(FORMAT, &paths).unwrap();
    // {[3]: null, [3, 0, 9]: null, [4, 0]: null}
    assert_eq!(hex::encode(&written), "a38103f683030009f6820400f6");
    assert_eq!(
        decode_paths(FORMAT, &written),
        Ok(vec![path("/3"), path("/3/0/9"), path("/4/0")])
    );
    // {3: {0: {9: null}}, 4: null}
    let nested = bytes("a2 03 a1 00 a1 09 f6 04 f6");
    assert_eq!(
        decode_paths(FORMAT, &nested),
        Ok(vec![path("/3/0/9"), path("/4")])
    );
    assert_eq!(
        decode_paths(FORMAT, &bytes("a1 03 01")),
        Err(DecodeError::Structure)
    );
    assert_eq!(
        encode_paths(FORMAT, &[Path::Root]),
        Err(EncodeError::NeedsObject(FORMAT))
    );
}

#[test]
fn patches_remove_with_null() {
    let patches = [
        Patch::Set(Entry::new(path("/3/0/14"), string("+02:00"))),
        Patch::Remove(path("/3442/0/1110/2")),
    ];
    let written = encode_patch(FORMAT, &patches).unwrap();
    // {3: {0: {14: "+02:00"}}, 3442: {0: {1110: {2: null}}}}
    assert_eq!(
        hex::encode(&written),
        "a203a100a10e662b30323a3030190d72a100a1190456a102f6"
    );
    let read = |payload: &[u8]| decode_patch(FORMAT, payload, Registry::oma());
    assert_eq!(read(&written), Ok(patches.to_vec()));
    // {[13, 26, 1]: {2: null, 3: 5}}
    let mixed = bytes("a1 83 0d 18 1a 01 a2 02 f6 03 05");
    assert_eq!(
        read(&mixed).map(|patches| patches[0].clone()),
        Ok(Patch::Remove(path("/13/26/1/2")))
    );
    assert_eq!(
        read(&bytes("a1 83 03 00 0e f6")),
        Err(DecodeError::NotRemovable(path("/3/0/14")))
    );
    assert_eq!(read(&bytes("a1 03 01")), Err(DecodeError::BadName));
}
