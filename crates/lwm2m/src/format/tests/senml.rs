use super::*;

fn json(base: &str, text: &str) -> Result<Vec<String>, DecodeError> {
    read(ContentFormat::SENML_JSON, base, text.as_bytes()).map(|entries| lines(&entries))
}

fn cbor(base: &str, hex: &str) -> Result<Vec<String>, DecodeError> {
    let payload = hex::decode(hex.replace(' ', "")).unwrap();
    read(ContentFormat::SENML_CBOR, base, &payload).map(|entries| lines(&entries))
}

fn written(format: ContentFormat, base: &str, entries: &[Entry]) -> Vec<u8> {
    encode(format, path(base), entries).unwrap()
}

#[test]
fn a_json_pack_is_read() {
    let pack = r#"[{"bn":"/3/0/","n":"0","vs":"Open Mobile Alliance"},{"n":"9","v":100,"u":"%"},
        {"n":"6/1","v":5.0},{"n":"13","v":1367491215},{"n":"22/0","vlo":"4:65535"},
        {"bn":"/1/0/","n":"6","vb":true},{"bn":"/0/0/3","vd":"_-8"},
        {"bn":"/3303/0/","n":"5700","v":5}]"#;
    assert_eq!(
        json("/", pack).unwrap(),
        [
            "/3/0/0 String(\"Open Mobile Alliance\")",
            "/3/0/9 Integer(100)",
            "/3/0/6/1 Integer(5)",
            "/3/0/13 Time(1367491215)",
            "/3/0/22/0 ObjectLink { object: 4, instance: 65535 }",
            "/1/0/6 Boolean(true)",
            "/0/0/3 Opaque([255, 239])",
            "/3303/0/5700 Float(5.0)",
        ]
    );
}

#[test]
fn a_cbor_pack_is_read() {
    // [{-2: "/3/0/", 0: "9", 2: 100}, {0: "14", 3: "+02:00"}]
    let definite = "82 a3 21 65 2f332f302f 00 61 39 02 1864 a2 00 62 3134 03 66 2b30323a3030";
    // The same with arrays, maps and texts of indefinite length and the number as a half float.
    let indefinite = "9f bf 21 7f 63 2f332f 62 302f ff 00 61 39 02 f95640 ff \
        bf 00 62 3134 03 66 2b30323a3030 ff ff";
    for hex in [definite, indefinite] {
        assert_eq!(
            cbor("/3/0", hex).unwrap(),
            ["/3/0/9 Integer(100)", "/3/0/14 String(\"+02:00\")"]
        );
    }
    // [{"bn": "/3/0/", 0: "22/0", "vlo": "4:0"}, {-2: "/0/0/3", 8: h'ff', -1: 10, "x": [1, {}]}]
    let text_labels = "82 a3 62 626e 65 2f332f302f 00 64 32322f30 63 766c6f 63 343a30 \
        a4 21 66 2f302f302f33 08 41 ff 20 0a 61 78 82 01 a0";
    assert_eq!(
        cbor("/", text_labels).unwrap(),
        [
            "/3/0/22/0 ObjectLink { object: 4, instance: 0 }",
            "/0/0/3 Opaque([255])"
        ]
    );
}

#[test]
fn packs_are_written_definite_and_short() {
    let entries = [
        Entry::new(path("/3/0/9"), Value::Integer(100)),
        Entry::new(path("/3/0/14"), string("+02:00")),
    ];
    assert_eq!(
        hex::encode(written(ContentFormat::SENML_CBOR, "/3/0", &entries)),
        "82a321652f332f302f0061390218 64a20062313403662b30323a3030".replace(' ', "")
    );
    let text = String::from_utf8(written(ContentFormat::SENML_JSON, "/3/0", &entries)).unwrap();
    assert_eq!(
        text,
        r#"[{"bn":"/3/0/","n":"9","v":100},{"n":"14","vs":"+02:00"}]"#
    );
    let text = written(ContentFormat::SENML_JSON, "/3/0/9", &entries[..1]);
    assert_eq!(text, br#"[{"bn":"/3/0/9","v":100}]"#);
    let text = written(ContentFormat::SENML_JSON, "/", &entries[..1]);
    assert_eq!(text, br#"[{"n":"/3/0/9","v":100}]"#);
    assert_eq!(written(ContentFormat::SENML_JSON, "/3/0", &[]), b"[]");
    assert_eq!(written(ContentFormat::SENML_CBOR, "/3/0", &[]), [0x80]);
}

#[test]
fn base_fields_hold_until_they_are_overridden() {
    let pack = r#"[{"bn":"/3/0/","bt":1600000000},{"n":"9","v":1},{"n":"9","v":2,"t":-0.5},
        {"bt":1600000100,"n":"9","v":3},{"bn":"/3/0/10","v":4}]"#;
    assert_eq!(
        json("/", pack).unwrap(),
        [
            "/3/0/9 Integer(1) UnixMillis(1600000000000)",
            "/3/0/9 Integer(2) UnixMillis(1599999999500)",
            "/3/0/9 Integer(3) UnixMillis(1600000100000)",
            "/3/0/10 Integer(4) UnixMillis(1600000100000)",
        ]
    );
}

#[test]
fn small_times_are_relative_to_now() {
    let time = |t: &str| json("/3/0/9", &format!(r#"[{{"n":"/3/0/9","v":1,"t":{t}}}]"#));
    assert_eq!(time("-5").unwrap(), ["/3/0/9 Integer(1) FromNow(-5000)"]);
    assert_eq!(
        time("268435455").unwrap(),
        ["/3/0/9 Integer(1) FromNow(268435455000)"]
    );
    assert_eq!(
        time("268435456").unwrap(),
        ["/3/0/9 Integer(1) UnixMillis(268435456000)"]
    );
    assert_eq!(time("1e30"), Err(DecodeError::BadTime));
    let entry = |time| Entry {
        time: Some(time),
        ..Entry::new(path("/3/0/9"), Value::Integer(1))
    };
    for time in [
        SampleTime::UnixMillis(5),
        SampleTime::FromNow(268_435_456_000),
        SampleTime::UnixMillis(i64::MAX),
        SampleTime::FromNow(i64::MIN),
    ] {
        assert_eq!(
            encode(ContentFormat::SENML_CBOR, path("/3/0"), &[entry(time)]),
            Err(EncodeError::BadTime(path("/3/0/9")))
        );
    }
}

#[test]
fn names_must_be_resources_below_the_base() {
    for pack in [
        r#"[{"n":"3/0/9","v":1}]"#,
        r#"[{"n":"/3/0/","v":1}]"#,
        r#"[{"n":"/3/0","v":1}]"#,
        r#"[{"v":1}]"#,
        r#"[{"n":"urn:dev:1","v":1}]"#,
    ] {
        assert_eq!(json("/", pack), Err(DecodeError::BadName), "{pack}");
    }
    let long = format!(r#"[{{"bn":"/{}"}}]"#, "1".repeat(100));
    assert_eq!(json("/", &long), Err(DecodeError::BadName));
    assert!(matches!(
        json("/3/0", r#"[{"n":"/3/1/9","v":1}]"#),
        Err(DecodeError::OutsideBase { .. })
    ));
}

#[test]
fn records_must_have_one_understood_value() {
    for pack in [
        r#"[{"n":"/3/0/9"}]"#,
        r#"[{"n":"/3/0/9","v":null}]"#,
        r#"[{"n":"/3/0/9","v":"1"}]"#,
        r#"[{"n":"/3/0/9","vs":"1","v":1}]"#,
        r#"[{"n":"/3/0/9","v":1,"bv":1}]"#,
        r#"[{"n":"/3/0/9","v":1,"x_":1}]"#,
        r#"[{"n":1,"v":1}]"#,
        r#"[{"n":"/0/0/3","vd":"*"}]"#,
        r#"[{"n":"/3/0/22/0","vlo":"4"}]"#,
        "[1]",
    ] {
        assert_eq!(json("/", pack), Err(DecodeError::Structure), "{pack}");
    }
    // {0: "/3/0/9", 3: 1} and {0: "/3/0/9", 2: 1, -5: 1}
    for hex in ["81a200662f332f302f390301", "81a300662f332f302f3902012401"] {
        assert_eq!(cbor("/", hex), Err(DecodeError::Structure), "{hex}");
    }
    assert!(matches!(
        json("/", r#"[{"n":"/3/0/9","v":1.5}]"#),
        Err(DecodeError::BadValue { .. })
    ));
}

#[test]
fn broken_packs_are_refused_with_their_place() {
    assert_eq!(json("/", ""), Err(DecodeError::Malformed(0)));
    assert_eq!(json("/", "[\n\n x]"), Err(DecodeError::Malformed(4)));
    assert_eq!(json("/", "[] x"), Err(DecodeError::Malformed(3)));
    assert!(matches!(
        json("/", &"[".repeat(100_000)),
        Err(DecodeError::Malformed(_))
    ));
    assert_eq!(cbor("/", ""), Err(DecodeError::Malformed(0)));
    assert_eq!(cbor("/", "8000"), Err(DecodeError::Malformed(1)));
    assert_eq!(cbor("/", "9f"), Err(DecodeError::Malformed(1)));
    assert_eq!(
        cbor("/", "9bffffffffffffffff"),
        Err(DecodeError::Malformed(9))
    );
    // An ignored field that nests deeply.
    let nested = format!("81a1617a{}", "81".repeat(100_000));
    assert!(matches!(cbor("/", &nested), Err(DecodeError::Malformed(_))));
}

#[test]
fn bytes_are_read_in_either_alphabet_with_or_without_padding() {
    for text in ["_-8", "_-8=", "/+8", "/+8=", "_+8"] {
        assert_eq!(
            json("/", &format!(r#"[{{"n":"/0/0/3","vd":"{text}"}}]"#)),
            Ok(vec!["/0/0/3 Opaque([255, 239])".to_owned()]),
            "{text}"
        );
    }
    let entry = Entry::new(path("/0/0/3"), Value::Opaque(vec![255, 239]));
    let written = written(ContentFormat::SENML_JSON, "/0/0/3", &[entry]);
    assert_eq!(written, br#"[{"bn":"/0/0/3","vd":"_-8"}]"#);
}

#[test]
fn a_missing_name_is_the_base_name() {
    // [{-2: "/3/0/9", 2: 100}, {2: 99, 6: -5}]
    assert_eq!(
        cbor(
            "/3/0/9",
            "82 a2 21 66 2f332f302f39 02 18 64 a2 02 18 63 06 24"
        )
        .unwrap(),
        ["/3/0/9 Integer(100)", "/3/0/9 Integer(99) FromNow(-5000)"]
    );
}

#[test]
fn numbers_are_read_in_every_encoding() {
    // [{0: "/3303/0/5700", 2: …}]
    for (number, line) in [
        ("05", "5.0"),
        ("24", "-5.0"),
        ("f9 4100", "2.5"),
        ("fa 40200000", "2.5"),
        ("fb 4004000000000000", "2.5"),
        ("c4 82 20 18 19", "2.5"),
        ("c4 9f 20 18 19 ff", "2.5"),
        ("c4 82 02 20", "-100.0"),
        ("1b ffffffffffffffff", "1.8446744073709552e19"),
    ] {
        assert_eq!(
            cbor(
                "/",
                &format!("81 a2 00 6c 2f333330332f302f35373030 02 {number}")
            ),
            Ok(vec![format!("/3303/0/5700 Float({line})")]),
            "{number}"
        );
    }
    for number in [
        "c4 81 20",
        "c4 83 20 01 01",
        "c4 82 19 ffff 01",
        "c5 82 20 01",
    ] {
        assert_eq!(
            cbor(
                "/",
                &format!("81 a2 00 6c 2f333330332f302f35373030 02 {number}")
            ),
            Err(DecodeError::Malformed(17)),
            "{number}"
        );
    }
    // A time may have its tag: [{0: "/3/0/13", 2: 1(1367491215)}]
    assert_eq!(
        cbor("/", "81 a2 00 67 2f332f302f3133 02 c1 1a 5182428f").unwrap(),
        ["/3/0/13 Time(1367491215)"]
    );
}

#[test]
fn object_links_are_written_behind_a_text_label() {
    let entry = Entry::new(path("/3/0/22/0"), Value::NULL_LINK);
    let entries = std::slice::from_ref(&entry);
    assert_eq!(
        hex::encode(written(ContentFormat::SENML_CBOR, "/", entries)),
        "81a200692f332f302f32322f3063766c6f6b36353533353a3635353335"
    );
    let text = written(ContentFormat::SENML_JSON, "/", entries);
    assert_eq!(text, br#"[{"n":"/3/0/22/0","vlo":"65535:65535"}]"#);
}

#[test]
fn times_add_up_and_persist_in_cbor() {
    // [{-3: 1600000000, -2: "/3/0/", 0: "9", 2: 1, 6: -0.5}, {0: "10", 2: 2, 6: f16 1.5}]
    assert_eq!(
        cbor(
            "/3/0",
            "82 a5 22 1a 5f5e1000 21 65 2f332f302f 00 61 39 02 01 06 f9 b800 \
             a3 00 62 3130 02 02 06 f9 3e00"
        )
        .unwrap(),
        [
            "/3/0/9 Integer(1) UnixMillis(1599999999500)",
            "/3/0/10 Integer(2) UnixMillis(1600000001500)",
        ]
    );
    // Small sums are relative to now: [{-3: -100, 0: "/3/0/9", 2: 1, 6: 40}]
    assert_eq!(
        cbor("/", "81 a4 22 38 63 00 66 2f332f302f39 02 01 06 18 28").unwrap(),
        ["/3/0/9 Integer(1) FromNow(-60000)"]
    );
}

#[test]
fn names_may_begin_with_the_root_path_of_the_device() {
    let root: AlternatePath = "/dev0".parse().unwrap();
    let read = |text: &str| {
        let format = ContentFormat::SENML_JSON;
        decode_below(
            &root,
            format,
            path("/3303/0"),
            text.as_bytes(),
            Registry::oma(),
        )
        .map(|entries| lines(&entries))
    };
    for pack in [
        r#"[{"n":"/dev0/3303/0/5701","vs":"K"}]"#,
        r#"[{"bn":"/dev0/3303/0/","n":"5701","vs":"K"}]"#,
        r#"[{"bn":"/dev0","n":"/3303/0/5701","vs":"K"}]"#,
        r#"[{"bn":"/dev0/","n":"3303/0/5701","vs":"K"}]"#,
        r#"[{"bn":"/3303/0/","n":"5701","vs":"K"}]"#,
    ] {
        assert_eq!(
            read(pack),
            Ok(vec!["/3303/0/5701 String(\"K\")".to_owned()]),
            "{pack}"
        );
    }
    for pack in [
        r#"[{"n":"/dev1/3303/0/5701","vs":"K"}]"#,
        r#"[{"n":"/dev0x/3303/0/5701","vs":"K"}]"#,
        r#"[{"n":"/dev0/dev0/3303/0/5701","vs":"K"}]"#,
    ] {
        assert_eq!(read(pack), Err(DecodeError::BadName), "{pack}");
    }
    // A device without a root path has no such names.
    let elsewhere = json("/3303/0", r#"[{"n":"/dev0/3303/0/5701","vs":"K"}]"#);
    assert_eq!(elsewhere, Err(DecodeError::BadName));
}

#[test]
fn names_are_written_with_the_root_path_of_the_device() {
    let root: AlternatePath = "/dev0".parse().unwrap();
    let entries = [
        Entry::new(path("/3303/0/5701"), string("K")),
        Entry::new(path("/3303/0/5750"), string("x")),
    ];
    let written = |base: &str, entries: &[Entry]| {
        let bytes = encode_below(&root, ContentFormat::SENML_JSON, path(base), entries);
        String::from_utf8(bytes.unwrap()).unwrap()
    };
    assert_eq!(
        written("/3303/0", &entries),
        r#"[{"bn":"/dev0/3303/0/","n":"5701","vs":"K"},{"n":"5750","vs":"x"}]"#
    );
    assert_eq!(
        written("/3303/0/5701", &entries[..1]),
        r#"[{"bn":"/dev0/3303/0/5701","vs":"K"}]"#
    );
    assert_eq!(
        written("/", &entries[..1]),
        r#"[{"n":"/dev0/3303/0/5701","vs":"K"}]"#
    );
}
