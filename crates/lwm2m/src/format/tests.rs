#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use super::*;

mod composite;
mod json;
mod lwm2m_cbor;
mod properties;
mod senml;
mod single;
mod tlv;

fn path(text: &str) -> Path {
    text.parse().unwrap()
}

fn read(format: ContentFormat, base: &str, payload: &[u8]) -> Result<Vec<Entry>, DecodeError> {
    decode(format, path(base), payload, Registry::oma())
}

/// Entries as lines, for comparison in one look.
fn lines(entries: &[Entry]) -> Vec<String> {
    let line = |entry: &Entry| match entry.time {
        None => format!("{} {:?}", entry.path, entry.value),
        Some(time) => format!("{} {:?} {time:?}", entry.path, entry.value),
    };
    entries.iter().map(line).collect()
}

fn string(text: &str) -> Value {
    Value::String(text.to_owned())
}

#[test]
fn unknown_formats_are_refused() {
    for format in [ContentFormat(9_999), ContentFormat::LINK] {
        assert_eq!(
            read(format, "/3/0", &[]),
            Err(DecodeError::UnsupportedFormat(format))
        );
        let refused = EncodeError::UnsupportedFormat(format);
        assert_eq!(encode(format, path("/3/0"), &[]), Err(refused));
    }
}

#[test]
fn numbers_of_early_clients_are_understood() {
    let entries = read(ContentFormat(1_542), "/3/0/9", &[0xc1, 0x09, 0x64]).unwrap();
    assert_eq!(lines(&entries), ["/3/0/9 Integer(100)"]);
    assert_eq!(ContentFormat(1_541).canonical(), ContentFormat::TEXT);
    assert_eq!(ContentFormat::TLV.to_string(), "tlv");
    assert_eq!(ContentFormat(7).to_string(), "7");
}

#[test]
fn payloads_and_entries_are_bounded() {
    let long = vec![0; MAX_PAYLOAD_BYTES + 1];
    assert_eq!(
        read(ContentFormat::OPAQUE, "/5/0/0", &long),
        Err(DecodeError::TooLong(long.len()))
    );
    let many = vec![Entry::new(path("/3/0/9"), Value::Integer(1)); MAX_ENTRIES + 1];
    assert_eq!(
        encode(ContentFormat::SENML_CBOR, Path::Root, &many),
        Err(EncodeError::TooManyEntries)
    );
    let mut records = vec![0x9f];
    records.extend([0xa0].repeat(MAX_ENTRIES + 1));
    assert_eq!(
        read(ContentFormat::SENML_CBOR, "/", &records),
        Err(DecodeError::TooManyEntries)
    );
    let instances = [0xc1, 0x09, 0x64].repeat(MAX_ENTRIES + 1);
    assert_eq!(
        read(ContentFormat::TLV, "/3/0", &instances),
        Err(DecodeError::TooManyEntries)
    );
}

#[test]
fn entries_outside_of_the_base_are_not_written() {
    let entry = Entry::new(path("/3/0/9"), Value::Integer(1));
    for format in [
        ContentFormat::TLV,
        ContentFormat::SENML_JSON,
        ContentFormat::TEXT,
    ] {
        assert_eq!(
            encode(format, path("/3/1"), std::slice::from_ref(&entry)),
            Err(EncodeError::OutsideBase(entry.path))
        );
    }
    let instance = Entry::new(path("/3/0"), Value::Integer(1));
    assert_eq!(
        encode(ContentFormat::TLV, path("/3/0"), &[instance]),
        Err(EncodeError::OutsideBase(path("/3/0")))
    );
}

#[test]
fn relative_times_resolve_against_now() {
    assert_eq!(SampleTime::FromNow(-1_500).resolve(10_000), 8_500);
    assert_eq!(SampleTime::UnixMillis(5).resolve(10_000), 5);
    assert_eq!(SampleTime::FromNow(i64::MAX).resolve(1), i64::MAX);
}
