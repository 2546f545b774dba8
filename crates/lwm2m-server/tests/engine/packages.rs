//! Packages that devices fetch from this server.

use bytes::Bytes;
use coap::{Code, Request};
use device_state::Digest;
use lwm2m::{ContentFormat, Entry, Operation, Path, Value, WriteMode};
use lwm2m_server::{CommitError, MAX_BASE, Principal};

use crate::scripted::{Scripted, endpoint};

const DIGEST: Digest = Digest([0xa5; Digest::BYTES]);

/// Somebody who is not registered: packages are fetched by a session of their own.
fn device() -> Scripted {
    let mut device = Scripted::of(Principal::anyone(), |_| None);
    let package: Vec<u8> = (0..20_000_u32).map(|byte| byte as u8).collect();
    device.packages = Ok([(DIGEST, Bytes::from(package))].into());
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
    let package: Vec<u8> = (0..20_000_u32).map(|byte| byte as u8).collect();
    assert!(got.payload == package, "{} bytes", got.payload.len());
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
