//! A firmware update by pull: whoever drives the device gets the package.

use std::time::Duration;

use coap::{Code, Request};
use lwm2m::{ContentFormat, LwM2mVersion, Patch, Value};
use lwm2m_client::{Config, Event, FirmwareState, Pull, PullFailure, PullId, PullProtocol};
use proptest::prelude::*;

use crate::firmware::firmware_state;
use crate::pair::{
    Pair, accepting, config, fetch, get, patch, put, request, text, values, with_version, words,
};

const URI: &str = "coap://192.0.2.1/fw?v=2";
const PACKAGE: &[u8] = b"sim-firmware 2.5.0\n\x7fELF";

fn pulling() -> Pair {
    Pair::registered(Config {
        pull: vec![PullProtocol::Coap, PullProtocol::Http],
        max_package: 1000,
        ..with_version(LwM2mVersion::V1_2)
    })
}

/// Writes the URI, and gives what the device asks for.
fn write_uri(pair: &mut Pair, uri: &str) -> Pull {
    let written = pair.ask(text(Code::PUT, "/5/0/1", uri));
    assert_eq!(written.code, Code::CHANGED_2_04);
    assert_eq!(firmware_state(pair), ("1".to_owned(), "0".to_owned()));
    pair.pulls.pop().unwrap()
}

fn hand(pair: &mut Pair, pull: PullId, package: Result<&[u8], PullFailure>) {
    pair.device.handle_package(pair.now, pull, package);
    pair.settle();
}

fn wait_for(pair: &mut Pair, wanted: FirmwareState) {
    pair.wait_for(
        |event| matches!(event, Event::FirmwareChanged { state, .. } if *state == wanted),
    );
}

fn state(state: &str, result: &str) -> (String, String) {
    (state.to_owned(), result.to_owned())
}

#[test]
fn firmware_is_pulled_and_installed() {
    let mut pair = pulling();
    pair.observe("/5/0/3", &[]);
    let pull = write_uri(&mut pair, URI);
    assert_eq!((pull.uri.as_str(), pull.max_bytes), (URI, 1000));
    assert_eq!(words(&pair.ask(get("/5/0/1"))), URI);
    // However long it takes.
    pair.drive(Duration::from_secs(100));
    assert_eq!(firmware_state(&mut pair), state("1", "0"));
    assert_eq!(
        pair.ask(request(Code::POST, "/5/0/2")).code,
        Code::METHOD_NOT_ALLOWED_4_05
    );
    hand(&mut pair, pull.id, Ok(PACKAGE));
    wait_for(&mut pair, FirmwareState::Downloaded);
    assert_eq!(words(&pair.ask(get("/5/0/7"))), "2.5.0");
    let notified = |(_, response): &(_, _)| words(response);
    let states: Vec<String> = pair.notifications.iter().map(notified).collect();
    assert_eq!(states, ["1", "2"]);
    pair.ask(request(Code::POST, "/5/0/2"));
    pair.events.clear();
    pair.wait_for(|event| matches!(event, Event::Registered { .. }));
    assert_eq!(words(&pair.ask(get("/3/0/3"))), "2.5.0");
    assert_eq!(firmware_state(&mut pair), state("0", "1"));
}

#[test]
fn what_is_supported_is_told() {
    let mut pair = pulling();
    let told = pair.ask(accepting("/5/0/8", ContentFormat::SENML_CBOR));
    assert_eq!(
        values(&told),
        [
            ("/5/0/8/0".to_owned(), Value::Integer(0)),
            ("/5/0/8/1".to_owned(), Value::Integer(2))
        ]
    );
    assert_eq!(words(&pair.ask(get("/5/0/9"))), "2");
    let mut pair = Pair::registered(config());
    assert_eq!(pair.ask(get("/5/0/8")).code, Code::NOT_FOUND_4_04);
    assert_eq!(words(&pair.ask(get("/5/0/9"))), "1");
}

#[test]
fn what_is_not_supported_is_not_pulled() {
    let mut pair = Pair::registered(config());
    pair.ask(text(Code::PUT, "/5/0/1", URI));
    assert_eq!(firmware_state(&mut pair), state("0", "9"));
    let mut pair = pulling();
    for (uri, result) in [("coaps://192.0.2.1/fw", "9"), ("fw.bin", "7")] {
        pair.ask(text(Code::PUT, "/5/0/1", uri));
        assert_eq!(firmware_state(&mut pair), state("0", result));
    }
    assert_eq!(pair.pulls, []);
}

#[test]
fn a_uri_longer_than_its_range_is_refused() {
    let mut pair = pulling();
    let uri = format!("coap://192.0.2.1/{}", "a".repeat(239));
    let written = pair.ask(text(Code::PUT, "/5/0/1", &uri));
    assert_eq!(written.code, Code::BAD_REQUEST_4_00);
    assert_eq!(words(&pair.ask(get("/5/0/1"))), "");
    write_uri(&mut pair, &uri[..255]);
}

#[test]
fn a_package_larger_than_the_memory_is_dropped() {
    let mut pair = pulling();
    let pull = write_uri(&mut pair, URI);
    hand(&mut pair, pull.id, Ok(&[0xa5; 1001]));
    assert_eq!(firmware_state(&mut pair), state("0", "3"));
}

#[test]
fn a_pull_that_fails_leaves_the_device_idle() {
    let mut pair = pulling();
    for (failure, result) in [
        (PullFailure::OutOfMemory, "3"),
        (PullFailure::ConnectionLost, "4"),
        (PullFailure::InvalidUri, "7"),
        (PullFailure::UnsupportedProtocol, "9"),
    ] {
        let pull = write_uri(&mut pair, URI);
        hand(&mut pair, pull.id, Err(failure));
        assert_eq!(firmware_state(&mut pair), state("0", result));
    }
    assert_eq!(words(&pair.ask(get("/3/0/3"))), "1.0.0");
}

#[test]
fn a_pull_is_cancelled_by_what_comes_later() {
    let zero = Request {
        content_format: Some(ContentFormat::OPAQUE.0),
        payload: vec![0],
        ..request(Code::PUT, "/5/0/0")
    };
    let reset = text(Code::PUT, "/5/0/1", "");
    let cancel = request(Code::POST, "/5/0/10");
    let mut pair = pulling();
    for (end, result) in [(zero, "0"), (reset, "0"), (cancel, "10")] {
        let pull = write_uri(&mut pair, URI);
        assert_eq!(pair.ask(end).code, Code::CHANGED_2_04);
        hand(&mut pair, pull.id, Ok(PACKAGE));
        hand(&mut pair, pull.id, Err(PullFailure::ConnectionLost));
        assert_eq!(firmware_state(&mut pair), state("0", result));
    }
    let first = write_uri(&mut pair, URI);
    let second = write_uri(&mut pair, "coap://192.0.2.1/other");
    assert_ne!(first.id, second.id);
    hand(&mut pair, first.id, Err(PullFailure::ConnectionLost));
    assert_eq!(firmware_state(&mut pair), state("1", "0"));
    hand(&mut pair, second.id, Ok(PACKAGE));
    wait_for(&mut pair, FirmwareState::Downloaded);
}

#[test]
fn a_pushed_package_takes_the_place_of_a_pull() {
    let mut pair = pulling();
    let pull = write_uri(&mut pair, URI);
    pair.ask(Request {
        content_format: Some(ContentFormat::OPAQUE.0),
        payload: b"pushed 3.0.0".to_vec(),
        ..request(Code::PUT, "/5/0/0")
    });
    hand(&mut pair, pull.id, Ok(PACKAGE));
    wait_for(&mut pair, FirmwareState::Downloaded);
    assert_eq!(words(&pair.ask(get("/5/0/7"))), "3.0.0");
}

#[test]
fn a_pull_does_not_outlive_a_reboot() {
    let mut pair = pulling();
    let pull = write_uri(&mut pair, URI);
    pair.ask(request(Code::POST, "/3/0/4"));
    pair.wait_for(|event| *event == Event::RebootStarted);
    hand(&mut pair, pull.id, Ok(PACKAGE));
    pair.wait_for(|event| matches!(event, Event::Registered { .. }));
    assert_eq!(firmware_state(&mut pair), state("0", "4"));
}

#[test]
fn a_factory_reset_forgets_a_package() {
    let mut pair = pulling();
    let pull = write_uri(&mut pair, URI);
    hand(&mut pair, pull.id, Ok(PACKAGE));
    wait_for(&mut pair, FirmwareState::Downloaded);
    pair.ask(request(Code::POST, "/3/0/5"));
    pair.wait_for(|event| matches!(event, Event::Registered { .. }));
    assert_eq!(firmware_state(&mut pair), state("0", "0"));
    assert_eq!(
        pair.ask(request(Code::POST, "/5/0/2")).code,
        Code::METHOD_NOT_ALLOWED_4_05
    );
}

#[test]
fn a_package_and_a_uri_are_not_written_at_once() {
    let mut pair = pulling();
    // TLV: Package with 2 bytes, Package URI with 10.
    let mut payload = vec![0xc2, 0, 0xa5, 0xa5, 0xc8, 1, 10];
    payload.extend_from_slice(b"coap://h/1");
    let written = pair.ask(Request {
        content_format: Some(ContentFormat::TLV.0),
        payload,
        ..request(Code::POST, "/5/0")
    });
    assert_eq!(written.code, Code::METHOD_NOT_ALLOWED_4_05);
    assert_eq!(firmware_state(&mut pair), state("0", "0"));
    assert_eq!(pair.pulls, []);
}

#[test]
fn a_composite_write_pulls() {
    let mut pair = Pair::registered(Config {
        pull: vec![PullProtocol::Coap],
        ..with_version(LwM2mVersion::V1_2)
    });
    let format = ContentFormat::SENML_CBOR;
    let uri: [Patch; 1] = [put("/5/0/1", Value::String(URI.to_owned()))];
    assert_eq!(pair.ask(patch(format, &uri)).code, Code::CHANGED_2_04);
    let pull = pair.pulls.pop().unwrap();
    hand(&mut pair, pull.id, Err(PullFailure::ConnectionLost));
    let told = pair.ask(fetch(format, &["/5/0/5", "/5/0/1"]));
    assert_eq!(
        values(&told),
        [
            ("/5/0/1".to_owned(), Value::String(URI.to_owned())),
            ("/5/0/5".to_owned(), Value::Integer(4))
        ]
    );
}

proptest! {
    #[test]
    fn any_uri_is_pulled_refused_or_has_a_result(uri in "(coap|COAP|http|coaps|x|)(://|:|)\\PC{0,250}") {
        let mut pair = pulling();
        let written = pair.ask(text(Code::PUT, "/5/0/1", &uri));
        let (state, result) = firmware_state(&mut pair);
        match pair.pulls.pop() {
            Some(pull) => {
                prop_assert!(pull.uri == uri && uri.len() <= 255);
                prop_assert_eq!((state.as_str(), result.as_str()), ("1", "0"));
            }
            None if written.code == Code::CHANGED_2_04 => {
                prop_assert!(state == "0" && (uri.is_empty() || matches!(result.as_str(), "7" | "9")));
            }
            None => prop_assert!(uri.len() > 255),
        }
    }
}
