use super::*;

fn json(base: &str, text: &str) -> Result<Vec<String>, DecodeError> {
    read(ContentFormat::JSON, base, text.as_bytes()).map(|entries| lines(&entries))
}

fn write(base: &str, entries: &[Entry]) -> String {
    let payload = encode(ContentFormat::JSON, path(base), entries).unwrap();
    String::from_utf8(payload).unwrap()
}

#[test]
fn the_device_example_is_read() {
    // The answer to `GET /3/0` that LwM2M 1.0 prints as its JSON example, shortened.
    let device = r#"{"bn":"/3/0/","e":[{"n":"0","sv":"Open Mobile Alliance"},{"n":"6/0","v":1},
        {"n":"6/1","v":5},{"n":"9","v":100},{"n":"13","v":1367491215},{"n":"14","sv":"+02:00"},
        {"n":"22/0","ov":"10:1"}]}"#;
    for base in ["/", "/3", "/3/0"] {
        assert_eq!(
            json(base, device).unwrap(),
            [
                "/3/0/0 String(\"Open Mobile Alliance\")",
                "/3/0/6/0 Integer(1)",
                "/3/0/6/1 Integer(5)",
                "/3/0/9 Integer(100)",
                "/3/0/13 Time(1367491215)",
                "/3/0/14 String(\"+02:00\")",
                "/3/0/22/0 ObjectLink { object: 10, instance: 1 }",
            ]
        );
    }
    assert_eq!(json("/3/0", r#"{"bn":"/3/0/","e":[]}"#), Ok(vec![]));
}

#[test]
fn historical_values_keep_their_times() {
    let notification = r#"{"bn":"/3303/","e":[{"n":"1/5700","v":22.4,"t":-5},
        {"n":"1/5700","v":22.9,"t":-30.5}],"bt":25462634}"#;
    assert_eq!(
        json("/3303", notification).unwrap(),
        [
            "/3303/1/5700 Float(22.4) UnixMillis(25462629000)",
            "/3303/1/5700 Float(22.9) UnixMillis(25462603500)",
        ]
    );
    let time = |t: &str| json("/3/0/9", &format!(r#"{{"e":[{{"n":"","v":1,"t":{t}}}]}}"#));
    assert_eq!(time("-5").unwrap(), ["/3/0/9 Integer(1) FromNow(-5000)"]);
    assert_eq!(time("0").unwrap(), ["/3/0/9 Integer(1) FromNow(0)"]);
    assert_eq!(
        time("1600000000").unwrap(),
        ["/3/0/9 Integer(1) UnixMillis(1600000000000)"]
    );
    assert_eq!(time("1e30"), Err(DecodeError::BadTime));
    assert_eq!(time("\"1\""), Err(DecodeError::Structure));
}

#[test]
fn names_are_joined_by_one_slash() {
    for (base, pack) in [
        ("/3/0", r#"{"bn":"/3/0/","e":[{"n":"6/1","v":5}]}"#),
        ("/3/0", r#"{"bn":"/3/0","e":[{"n":"/6/1","v":5}]}"#),
        ("/3/0", r#"{"bn":"/3/0","e":[{"n":"6/1","v":5}]}"#),
        ("/3/0", r#"{"bn":"/3/0/","e":[{"n":"/6/1","v":5}]}"#),
        ("/3/0", r#"{"bn":"/","e":[{"n":"3/0/6/1","v":5}]}"#),
        ("/3/0/6/1", r#"{"bn":"/3/0/6/1","e":[{"v":5}]}"#),
        ("/3/0/6/1", r#"{"bn":"/3/0/6/1","e":[{"n":"","v":5}]}"#),
        // Without base name, names continue the path of the request, or are whole.
        ("/3/0", r#"{"e":[{"n":"6/1","v":5}]}"#),
        ("/3/0", r#"{"bn":"","e":[{"n":"6/1","v":5}]}"#),
        ("/3", r#"{"e":[{"n":"0/6/1","v":5}]}"#),
        ("/3/0/6", r#"{"e":[{"n":"1","v":5}]}"#),
        ("/3/0/6/1", r#"{"e":[{"n":"","v":5}]}"#),
        ("/3/0", r#"{"e":[{"n":"/3/0/6/1","v":5}]}"#),
        ("/", r#"{"e":[{"n":"/3/0/6/1","v":5}]}"#),
    ] {
        assert_eq!(
            json(base, pack),
            Ok(vec!["/3/0/6/1 Integer(5)".to_owned()]),
            "{base} {pack}"
        );
    }
    for pack in [
        r#"{"bn":"/3/0/","e":[{"n":"","v":5}]}"#,
        r#"{"bn":"urn:dev:1","e":[{"n":"9","v":5}]}"#,
        r#"{"bn":"/3/0","e":[{"n":"9//1","v":5}]}"#,
    ] {
        assert_eq!(json("/", pack), Err(DecodeError::BadName), "{pack}");
    }
    let long = format!(r#"{{"e":[{{"n":"{}","v":1}}]}}"#, "1".repeat(100));
    assert_eq!(json("/", &long), Err(DecodeError::BadName));
    assert!(matches!(
        json("/3/0", r#"{"bn":"/3/1/","e":[{"n":"9","v":1}]}"#),
        Err(DecodeError::OutsideBase { .. })
    ));
}

#[test]
fn texts_take_the_type_of_their_resource() {
    let value = |at: &str, field: &str| json("/", &format!(r#"{{"e":[{{"n":"{at}",{field}}}]}}"#));
    for (at, field, line) in [
        ("/0/0/3", r#""sv":"AQID""#, "/0/0/3 Opaque([1, 2, 3])"),
        ("/0/0/3", r#""sv":"AQ==""#, "/0/0/3 Opaque([1])"),
        ("/0/0/3", r#""sv":"AQ""#, "/0/0/3 Opaque([1])"),
        ("/3/0/9", r#""sv":"95""#, "/3/0/9 Integer(95)"),
        ("/3/0/13", r#""v":1.3e9"#, "/3/0/13 Time(1300000000)"),
        ("/3303/0/5700", r#""v":5"#, "/3303/0/5700 Float(5.0)"),
        ("/1/0/6", r#""bv":true"#, "/1/0/6 Boolean(true)"),
        (
            "/0/0/13",
            r#""v":4294967295"#,
            "/0/0/13 Unsigned(4294967295)",
        ),
        (
            "/33000/0/1",
            r#""sv":"AQ==""#,
            "/33000/0/1 String(\"AQ==\")",
        ),
    ] {
        assert_eq!(value(at, field), Ok(vec![line.to_owned()]), "{field}");
    }
    for field in [r#""v":1.5"#, r#""sv":"x""#, r#""bv":true"#] {
        let error = value("/3/0/9", field).unwrap_err();
        assert!(matches!(error, DecodeError::BadValue { .. }), "{field}");
    }
}

#[test]
fn entries_must_have_one_understood_value() {
    for pack in [
        "[]",
        "{}",
        r#"{"e":{}}"#,
        r#"{"e":[1]}"#,
        r#"{"bn":1,"e":[]}"#,
        r#"{"bt":"1","e":[]}"#,
        r#"{"e":[{"n":"/3/0/9"}]}"#,
        r#"{"e":[{"n":1,"v":1}]}"#,
        r#"{"e":[{"n":"/3/0/9","v":null}]}"#,
        r#"{"e":[{"n":"/3/0/9","v":"1"}]}"#,
        r#"{"e":[{"n":"/3/0/9","v":1,"sv":"1"}]}"#,
        r#"{"e":[{"n":"/3/0/22/0","ov":"4"}]}"#,
    ] {
        assert_eq!(json("/", pack), Err(DecodeError::Structure), "{pack}");
    }
    assert_eq!(json("/", ""), Err(DecodeError::Malformed(0)));
    assert_eq!(json("/", "{\n x}"), Err(DecodeError::Malformed(3)));
    let many = format!("{{\"e\":[{}0]}}", "0,".repeat(MAX_ENTRIES));
    assert_eq!(json("/", &many), Err(DecodeError::TooManyEntries));
}

#[test]
fn packs_are_written_with_a_name_in_every_entry() {
    let entries = [
        Entry::new(path("/3/0/14"), string("+02:00")),
        Entry::new(path("/3/0/6/1"), Value::Integer(5)),
    ];
    assert_eq!(
        write("/3/0", &entries),
        r#"{"bn":"/3/0/","e":[{"n":"14","sv":"+02:00"},{"n":"6/1","v":5}]}"#
    );
    assert_eq!(
        write("/3/0/14", &entries[..1]),
        r#"{"bn":"/3/0/","e":[{"n":"14","sv":"+02:00"}]}"#
    );
    assert_eq!(
        write("/3", &entries[..1]),
        r#"{"bn":"/3/","e":[{"n":"0/14","sv":"+02:00"}]}"#
    );
    assert_eq!(
        write("/", &entries[..1]),
        r#"{"bn":"/","e":[{"n":"3/0/14","sv":"+02:00"}]}"#
    );
    let values = [
        Entry::new(path("/1/0/6"), Value::Boolean(true)),
        Entry::new(path("/0/0/3"), Value::Opaque(vec![1])),
        Entry::new(path("/3/0/22/0"), Value::NULL_LINK),
        Entry::new(path("/3/0/13"), Value::Time(5)),
    ];
    assert_eq!(
        write("/", &values),
        r#"{"bn":"/","e":[{"bv":true,"n":"1/0/6"},{"n":"0/0/3","sv":"AQ=="},{"n":"3/0/22/0","ov":"65535:65535"},{"n":"3/0/13","v":5}]}"#
    );
}

#[test]
fn times_that_would_be_misread_are_not_written() {
    let entry = |time| Entry {
        time: Some(time),
        ..Entry::new(path("/3/0/9"), Value::Integer(1))
    };
    for time in [
        SampleTime::UnixMillis(1),
        SampleTime::UnixMillis(25_462_629_000),
        SampleTime::FromNow(0),
        SampleTime::FromNow(-30_500),
    ] {
        let entries = [entry(time)];
        let payload = write("/3/0", &entries);
        let read = read(ContentFormat::JSON, "/3/0", payload.as_bytes());
        assert_eq!(read, Ok(entries.to_vec()), "{payload}");
    }
    for time in [
        SampleTime::UnixMillis(0),
        SampleTime::FromNow(1),
        SampleTime::UnixMillis(i64::MAX),
        SampleTime::FromNow(i64::MIN),
    ] {
        assert_eq!(
            encode(ContentFormat::JSON, path("/3/0"), &[entry(time)]),
            Err(EncodeError::BadTime(path("/3/0/9")))
        );
    }
    let nan = Entry::new(path("/3303/0/5700"), Value::Float(f64::NAN));
    assert!(encode(ContentFormat::JSON, Path::Root, &[nan]).is_err());
}

#[test]
fn early_clients_number_the_format_differently() {
    let pack = br#"{"e":[{"n":"9","v":100}]}"#;
    let entries = read(ContentFormat(1_543), "/3/0", pack).unwrap();
    assert_eq!(lines(&entries), ["/3/0/9 Integer(100)"]);
}
