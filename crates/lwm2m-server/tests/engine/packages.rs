//! Packages that devices fetch from this server.

use bytes::Bytes;
use coap::{Code, Request};
use device_state::{Digest, OperationOutcome};
use lwm2m::{ContentFormat, Entry, Operation, Path, Value, WriteMode};
use lwm2m_server::{CommitError, MAX_BASE, OperationFailure, Principal};

use crate::scripted::{Scripted, endpoint, refused};

const DIGEST: Digest = Digest([0xa5; Digest::BYTES]);

fn package() -> Bytes {
    (0..20_000_u32).map(|byte| byte as u8).collect()
}

/// Somebody who is not registered: packages are fetched by a session of their own.
fn device() -> Scripted {
    let mut device = Scripted::of(Principal::anyone(), |_| None);
    device.packages = Ok([(DIGEST, package())].into());
    device
}

fn request(method: Code, digest: &str) -> Request {
    Request::new(method, ["fw", digest])
}

#[test]
fn a_package_is_fetched_in_blocks_by_its_digest() {
    let mut device = device();
    let got = device.uplink(request(Code::GET, &DIGEST.to_hex()));
    assert_eq!(got.code, Code::CONTENT_2_05);
    assert_eq!(got.content_format, Some(ContentFormat::OPAQUE.0));
    assert_eq!(got.etag.unwrap().as_bytes(), [0xa5; 8]);
    assert!(got.payload == package(), "{} bytes", got.payload.len());
}

#[test]
fn what_is_no_package_is_not_found() {
    let mut device = device();
    for unknown in [
        Digest([0; Digest::BYTES]).to_hex(),
        "a5".to_owned(),
        String::new(),
    ] {
        let got = device.uplink(request(Code::GET, &unknown));
        assert_eq!(got.code, Code::NOT_FOUND_4_04, "{unknown}");
    }
    let put = device.uplink(request(Code::PUT, &DIGEST.to_hex()));
    assert_eq!(put.code, Code::METHOD_NOT_ALLOWED_4_05);
}

#[test]
fn a_device_comes_back_for_a_package_that_cannot_be_had_now() {
    let mut device = device();
    let packages = device.packages.clone();
    device.packages = Err(CommitError::Unavailable);
    let got = device.uplink(request(Code::GET, &DIGEST.to_hex()));
    assert_eq!(got.code, Code::SERVICE_UNAVAILABLE_5_03);
    assert!(got.max_age.is_some());
    device.packages = packages;
    let got = device.uplink(request(Code::GET, &DIGEST.to_hex()));
    assert_eq!(got.code, Code::CONTENT_2_05);
}

const PACKAGE_URI: Path = Path::Resource(5, 0, 1);

fn offer(uri: &str) -> Operation {
    Operation::Write {
        path: PACKAGE_URI,
        mode: WriteMode::Replace,
        values: vec![Entry::new(PACKAGE_URI, Value::String(uri.to_owned()))],
    }
}

/// What the device was written.
fn written(device: &Scripted) -> Vec<String> {
    let asked = device.asked.iter();
    let puts = asked.filter(|request| request.method == Code::PUT);
    puts.map(|request| String::from_utf8(request.payload.clone()).unwrap())
        .collect()
}

fn registered() -> Scripted {
    Scripted::registered("1.1", "</3/0>,</5/0>", |_| {
        Some(coap::Response::new(Code::CHANGED_2_04))
    })
}

#[test]
fn a_package_is_offered_by_a_uri_that_the_device_can_reach() {
    let mut device = registered();
    let reached = format!("coap://192.0.2.9:5683/fw/{}", "a5".repeat(32));
    device.operate(offer(&DIGEST.package_uri())).unwrap();
    assert_eq!(written(&device).concat(), reached);
    assert_eq!(
        reached.len() - "coap://192.0.2.9:5683".len(),
        255 - MAX_BASE
    );
    // What stands for no package is written as it is.
    for other in ["coap://h/1", "drover:sha256:a5"] {
        device.operate(offer(other)).unwrap();
        assert_eq!(written(&device).last().unwrap(), other);
    }
}

/// What is offered while the device is being registered waits for that, and is no exception.
#[test]
fn a_package_that_is_offered_early_is_offered_by_such_a_uri_too() {
    let mut device = Scripted::of(Principal::anyone(), |_| {
        Some(coap::Response::new(Code::CHANGED_2_04))
    });
    let query = [
        format!("ep={}", endpoint()),
        "lwm2m=1.1".to_owned(),
        "lt=300".to_owned(),
        "b=U".to_owned(),
        "Q".to_owned(),
    ];
    let registered = device.uplink(Request {
        query: query.to_vec(),
        payload: b"</3/0>,</5/0>".to_vec(),
        ..Request::new(Code::POST, ["rd"])
    });
    assert_eq!(registered.code, Code::CREATED_2_01, "{registered:?}");
    device.holds_commits = true;
    let id = device.registration().id;
    device.begin_uplink(Request::new(Code::POST, ["rd", id.as_str()]));
    let tag = device.begin(offer(&DIGEST.package_uri()));
    device.holds_commits = false;
    device.commit(Ok(()));
    device.drive(std::time::Duration::from_secs(5));
    let told = written(&device);
    assert!(told[0].starts_with("coap://192.0.2.9:5683/fw/"), "{told:?}");
    device.cancel(tag);
}

fn push() -> Operation {
    let path = Path::Resource(5, 0, 0);
    Operation::Write {
        path,
        mode: WriteMode::Replace,
        values: vec![Entry::new(path, Value::String(DIGEST.package_uri()))],
    }
}

fn registered_with_package() -> Scripted {
    let mut device = registered();
    device.packages = Ok([(DIGEST, package())].into());
    device
}

#[test]
fn a_package_is_pushed_in_blocks() {
    let mut device = registered_with_package();
    let reply = device.operate(push()).unwrap();
    assert!(matches!(
        reply.outcome,
        OperationOutcome::Delivered { code, .. } if Code::from_byte(code) == Code::CHANGED_2_04
    ));
    let [written] = device.asked.as_slice() else {
        panic!("{:?}", device.asked)
    };
    assert_eq!(written.method, Code::PUT);
    assert_eq!(written.path, ["5", "0", "0"]);
    assert_eq!(written.content_format, Some(ContentFormat::OPAQUE.0));
    assert!(written.payload == package(), "{}", written.payload.len());
}

#[test]
fn a_package_that_cannot_be_had_is_not_pushed() {
    let mut device = registered();
    let missing = device.operate(push()).unwrap_err();
    let OperationFailure::Invalid(missing) = missing else {
        panic!("{missing:?}")
    };
    assert!(missing.contains(&DIGEST.to_string()), "{missing}");
    device.packages = Err(CommitError::Unavailable);
    let later = device.operate(push()).unwrap_err();
    assert!(matches!(later, OperationFailure::Busy { .. }), "{later:?}");
    assert!(device.asked.is_empty());
}

#[test]
fn a_device_without_memory_for_a_package_says_so_once() {
    let mut device = registered_with_package();
    device.answer_by(|_| Some(coap::Response::new(Code::REQUEST_ENTITY_TOO_LARGE_4_13)));
    let code = refused(device.operate(push()));
    assert_eq!(code, Code::REQUEST_ENTITY_TOO_LARGE_4_13);
}

/// The leader of its shard was replaced in the middle of a push, and the next one begins it again.
#[test]
fn of_two_pushes_to_a_device_the_later_one_counts() {
    let mut device = registered_with_package();
    device.answer_by(|_| None);
    let first = device.begin(push());
    device.answer_by(|_| Some(coap::Response::new(Code::CHANGED_2_04)));
    device.operate(push()).unwrap();
    assert_eq!(device.asked.len(), 1);
    assert_eq!(device.outcome(first), Err(OperationFailure::Timeout));
}

#[test]
fn a_push_that_nobody_waits_for_ends() {
    let mut device = registered_with_package();
    device.answer_by(|_| None);
    let push = device.begin(push());
    device.cancel(push);
    device.answer_by(|_| Some(coap::Response::new(Code::CHANGED_2_04)));
    // What comes next is not held up by it.
    device.operate(offer("coap://h/1")).unwrap();
}
