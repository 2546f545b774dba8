//! Send (LwM2M Core 1.2 §6.4.6).

use coap::{Code, Request};
use lwm2m::{ContentFormat, Path, Value};
use lwm2m_server::CommitError;

use crate::scripted::Scripted;

const BATTERY: Path = Path::Resource(3, 0, 9);

fn registered() -> Scripted {
    Scripted::registered("1.2", "</1/0>,</3/0>", |_| None)
}

fn send(format: Option<ContentFormat>, payload: &[u8]) -> Request {
    Request {
        content_format: format.map(|format| format.0),
        payload: payload.to_vec(),
        ..Request::new(Code::POST, ["dp"])
    }
}

#[test]
fn a_send_is_taken_in_each_format_that_names_whole_paths() {
    let payloads: [(ContentFormat, &[u8]); 3] = [
        (ContentFormat::SENML_JSON, br#"[{"n":"/3/0/9","v":1}]"#),
        (ContentFormat::SENML_CBOR, b"\x81\xa2\x00\x66/3/0/9\x02\x02"),
        (ContentFormat::LWM2M_CBOR, b"\xa1\x83\x03\x00\x09\x03"),
    ];
    let mut device = registered();
    for (number, (format, payload)) in (1..).zip(payloads) {
        let answer = device.uplink(send(Some(format), payload));
        assert_eq!(answer.code, Code::CHANGED_2_04, "{format}");
        let last = device.last_value(BATTERY).map(|(value, _)| value);
        assert_eq!(last, Some(Value::Integer(number)), "{format}");
    }
}

#[test]
fn a_send_that_cannot_be_taken_is_refused_with_the_code_for_its_reason() {
    let json = Some(ContentFormat::SENML_JSON);
    let refusals: [(Option<ContentFormat>, &[u8], Code); 6] = [
        (json, br#"[{"n":"/3/0/9","v":"#, Code::BAD_REQUEST_4_00),
        (
            json,
            br#"[{"n":"/3/0/9","vs":"full"}]"#,
            Code::BAD_REQUEST_4_00,
        ),
        (
            Some(ContentFormat::TLV),
            &[0xc1, 9, 1],
            Code::UNSUPPORTED_CONTENT_FORMAT_4_15,
        ),
        (None, b"1", Code::UNSUPPORTED_CONTENT_FORMAT_4_15),
        // An object that was not registered, by itself and beside one that was.
        (json, br#"[{"n":"/6/0/0","v":1}]"#, Code::NOT_FOUND_4_04),
        (
            json,
            br#"[{"n":"/3/0/9","v":1},{"n":"/6/0/0","v":1}]"#,
            Code::NOT_FOUND_4_04,
        ),
    ];
    let mut device = registered();
    for (format, payload, code) in refusals {
        let answer = device.uplink(send(format, payload));
        assert_eq!(answer.code, code, "{}", String::from_utf8_lossy(payload));
        assert_eq!(device.last_value(BATTERY), None, "nothing is kept");
    }
}

#[test]
fn a_send_is_answered_once_its_values_are_kept_and_not_before() {
    let mut device = registered();
    device.holds_commits = true;
    let one = send(
        Some(ContentFormat::SENML_JSON),
        br#"[{"n":"/3/0/9","v":1}]"#,
    );
    device.begin_uplink(one.clone());
    assert_eq!(device.answer(), None);
    assert_eq!(device.last_value(BATTERY), None);
    device.commit(Ok(()));
    assert!(device.last_value(BATTERY).is_some());
    assert_eq!(device.answer().unwrap().code, Code::CHANGED_2_04);

    device.begin_uplink(one);
    device.commit(Err(CommitError::Unavailable));
    let answer = device.answer().unwrap();
    assert_eq!(answer.code, Code::SERVICE_UNAVAILABLE_5_03);
    assert!(answer.max_age.is_some());
}

#[test]
fn the_times_of_a_send_are_kept() {
    let mut device = registered();
    let mut sent = |record: &str| {
        let payload = format!(r#"[{{"n":"/3/0/9",{record}}}]"#);
        let request = send(Some(ContentFormat::SENML_JSON), payload.as_bytes());
        assert_eq!(device.uplink(request).code, Code::CHANGED_2_04);
        let now = device.wall();
        (device.last_value(BATTERY).unwrap(), now)
    };
    let ((_, at), _) = sent(r#""v":1,"bt":1600000000,"t":5"#);
    assert_eq!(at, 1_600_000_005_000);
    let ((_, at), now) = sent(r#""v":2,"t":-60"#);
    assert_eq!(at, now - 60_000);
    let ((value, at), now) = sent(r#""v":3"#);
    assert_eq!((value, at), (Value::Integer(3), now));
}
