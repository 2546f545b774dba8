use super::*;

const ETCH: [ContentFormat; 2] = [
    ContentFormat::SENML_ETCH_JSON,
    ContentFormat::SENML_ETCH_CBOR,
];

fn paths(text: &str) -> Result<Vec<String>, DecodeError> {
    let read = decode_paths(ContentFormat::SENML_ETCH_JSON, text.as_bytes())?;
    Ok(read.iter().map(Path::to_string).collect())
}

fn patch(text: &str) -> Result<Vec<Patch>, DecodeError> {
    decode_patch(
        ContentFormat::SENML_ETCH_JSON,
        text.as_bytes(),
        Registry::oma(),
    )
}

fn set(at: &str, value: Value) -> Patch {
    Patch::Set(Entry::new(path(at), value))
}

#[test]
fn paths_are_written_as_records_without_value() {
    let list = [path("/3/0/0"), path("/4"), Path::Root];
    for format in [ContentFormat::SENML_JSON, ContentFormat::SENML_ETCH_JSON] {
        assert_eq!(
            encode_paths(format, &list).unwrap(),
            br#"[{"n":"/3/0/0"},{"n":"/4"},{"n":"/"}]"#
        );
    }
    for format in [ContentFormat::SENML_CBOR, ContentFormat::SENML_ETCH_CBOR] {
        let written = encode_paths(format, &list).unwrap();
        assert_eq!(
            hex::encode(&written),
            "83a100662f332f302f30a100622f34a100612f"
        );
        assert_eq!(decode_paths(format, &written), Ok(list.to_vec()));
    }
}

#[test]
fn paths_are_read_with_their_base_names() {
    let list = r#"[{"bn":"/3/0/"},{"n":"9"},{"n":"6/1"},{"bn":"/4"},{"bn":"/1/","n":"0"},{}]"#;
    assert_eq!(
        paths(list).unwrap(),
        ["/3/0/9", "/3/0/6/1", "/4", "/1/0"].map(str::to_owned)
    );
    assert_eq!(paths("[]"), Ok(vec![]));
    assert_eq!(paths(r#"[{"n":"3/0"}]"#), Err(DecodeError::BadName));
    assert_eq!(paths(r#"[{"n":"/3","v":1}]"#), Err(DecodeError::Structure));
    assert_eq!(
        paths(r#"[{"n":"/3/0/6/0","v":null}]"#),
        Err(DecodeError::Structure)
    );
}

#[test]
fn patches_set_and_remove() {
    let patches = [
        set("/3/0/14", string("+02:00")),
        Patch::Remove(path("/3442/0/1110/2")),
    ];
    let json = encode_patch(ContentFormat::SENML_ETCH_JSON, &patches).unwrap();
    assert_eq!(
        String::from_utf8(json).unwrap(),
        r#"[{"n":"/3/0/14","vs":"+02:00"},{"n":"/3442/0/1110/2","v":null}]"#
    );
    let cbor = encode_patch(ContentFormat::SENML_ETCH_CBOR, &patches[1..]).unwrap();
    assert_eq!(
        hex::encode(cbor),
        "81a2006e2f333434322f302f313131302f3202f6"
    );
    for format in ETCH {
        let written = encode_patch(format, &patches).unwrap();
        assert_eq!(
            decode_patch(format, &written, Registry::oma()),
            Ok(patches.to_vec())
        );
    }
}

#[test]
fn a_null_behind_any_value_label_removes() {
    for label in ["v", "vs", "vb", "vd", "vlo"] {
        let record = format!(r#"[{{"bn":"/3442/0/","n":"1110/2","{label}":null,"t":5}}]"#);
        assert_eq!(
            patch(&record),
            Ok(vec![Patch::Remove(path("/3442/0/1110/2"))])
        );
    }
    for record in [
        r#"[{"n":"/3442/0/1110/2","u":null}]"#,
        r#"[{"n":null,"v":1}]"#,
        r#"[{"n":"/3442/0/1110/2","v":null,"vs":null}]"#,
    ] {
        assert_eq!(patch(record), Err(DecodeError::Structure), "{record}");
    }
    assert_eq!(
        patch(r#"[{"n":"/3/0/14","v":null}]"#),
        Err(DecodeError::NotRemovable(path("/3/0/14")))
    );
    assert_eq!(patch(r#"[{"n":"/3/0","v":1}]"#), Err(DecodeError::BadName));
}

#[test]
fn plain_senml_sets_but_does_not_remove() {
    let remove = Patch::Remove(path("/3442/0/1110/2"));
    for (format, etch) in [
        (ContentFormat::SENML_JSON, ContentFormat::SENML_ETCH_JSON),
        (ContentFormat::SENML_CBOR, ContentFormat::SENML_ETCH_CBOR),
    ] {
        let sets = [set("/3/0/14", string("+02:00"))];
        let written = encode_patch(format, &sets).unwrap();
        let read = decode_patch(format, &written, Registry::oma());
        assert_eq!(read, Ok(sets.to_vec()));
        assert_eq!(
            encode_patch(format, std::slice::from_ref(&remove)),
            Err(EncodeError::NoRemovals(format))
        );
        let removal = encode_patch(etch, std::slice::from_ref(&remove)).unwrap();
        assert_eq!(
            decode_patch(format, &removal, Registry::oma()),
            Err(DecodeError::Structure)
        );
    }
}

#[test]
fn patches_that_could_be_misread_are_not_written() {
    let write = |patches: &[Patch]| encode_patch(ContentFormat::SENML_ETCH_CBOR, patches);
    assert_eq!(
        write(&[Patch::Remove(path("/3/0/14"))]),
        Err(EncodeError::NotRemovable(path("/3/0/14")))
    );
    assert_eq!(
        write(&[set("/3/0", Value::Integer(1))]),
        Err(EncodeError::OutsideBase(path("/3/0")))
    );
    for other in ["/3442/0/1110", "/3442/0/1110/2"] {
        assert_eq!(
            write(&[
                Patch::Remove(path("/3442/0/1110/2")),
                set(other, string("x"))
            ]),
            Err(EncodeError::Repeated(path("/3442/0/1110/2")))
        );
    }
    let timed = Entry {
        time: Some(SampleTime::FromNow(0)),
        ..Entry::new(path("/3/0/14"), string("x"))
    };
    assert_eq!(
        write(&[Patch::Set(timed)]),
        Err(EncodeError::NoTimes(ContentFormat::SENML_ETCH_CBOR))
    );
}

#[test]
fn composite_bodies_are_bounded_and_of_known_formats() {
    let many = vec![path("/3"); MAX_ENTRIES + 1];
    let format = ContentFormat::SENML_ETCH_CBOR;
    assert_eq!(
        encode_paths(format, &many),
        Err(EncodeError::TooManyEntries)
    );
    let removals = vec![Patch::Remove(path("/3/0/6/0")); MAX_ENTRIES + 1];
    assert_eq!(
        encode_patch(format, &removals),
        Err(EncodeError::TooManyEntries)
    );
    let mut records = vec![0x9f];
    records.extend([0xa1, 0x00, 0x61, b'/'].repeat(MAX_ENTRIES + 1));
    assert_eq!(
        decode_paths(format, &records),
        Err(DecodeError::TooManyEntries)
    );
    let long = vec![0; MAX_PAYLOAD_BYTES + 1];
    let too_long = DecodeError::TooLong(long.len());
    assert_eq!(decode_paths(format, &long), Err(too_long));
    assert_eq!(decode_patch(format, &long, Registry::oma()), Err(too_long));
    let tlv = ContentFormat::TLV;
    assert_eq!(
        encode_paths(tlv, &[]),
        Err(EncodeError::UnsupportedFormat(tlv))
    );
    assert_eq!(
        decode_paths(tlv, &[]),
        Err(DecodeError::UnsupportedFormat(tlv))
    );
    assert_eq!(
        encode_patch(tlv, &[]),
        Err(EncodeError::UnsupportedFormat(tlv))
    );
    assert_eq!(
        decode_patch(tlv, &[], Registry::oma()),
        Err(DecodeError::UnsupportedFormat(tlv))
    );
}
