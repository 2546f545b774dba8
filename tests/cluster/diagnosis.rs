//! What `drover diagnose` says of devices whose messages are lost, whose address changes, or that are refused.

use std::net::SocketAddr;
use std::time::Duration;

use coap::Code;
use lwm2m::{EndpointName, Lifetime};
use lwm2m_client::{Config, Device, Event};
use serde_json::Value;
use tests::{Drover, LiveDevice, Options, until_some};

use crate::device::Raw;

const SOON: Duration = Duration::from_secs(30);
const KEY: &str = "30313233343536373839616263646566";

fn address(drover: &Drover, pointer: &str) -> SocketAddr {
    drover.endpoint(pointer).parse().unwrap()
}

/// A device with this key that talks over DTLS with a Connection ID.
fn secured(name: &str, key: &str, server: SocketAddr) -> LiveDevice {
    let config = Config {
        lifetime: Lifetime::from_secs(86_400),
        ..Config::new(EndpointName::new(name).unwrap())
    };
    LiveDevice::start_secured(config, key, server)
}

fn finding(diagnosis: &Value, summary: &str) -> Option<Value> {
    let findings = diagnosis["findings"].as_array().unwrap();
    let found = findings.iter().find(|one| one["summary"] == summary);
    found.cloned()
}

/// Asks until something is found.
fn found(drover: &Drover, endpoint: &str, summary: &str) -> Value {
    until_some(summary, SOON, || {
        let asked = drover.run(&["diagnose", endpoint, "-o", "json"]);
        if asked.code != 0 {
            return Err(format!("{asked:?}"));
        }
        let diagnosis = asked.json();
        finding(&diagnosis, summary).ok_or_else(|| diagnosis.to_string())
    })
}

#[test]
fn a_port_that_changes_is_told_while_the_session_goes_on() {
    let drover = Drover::start(&Options {
        ingress_nodes: 2,
        ..Options::default()
    });
    drover.add_psk("mobile", "mobile", KEY);
    let device = secured("mobile", KEY, address(&drover, "/ingress/0/coaps"));
    let registered = |event: &Event| matches!(event, Event::Registered { .. });
    device.wait_for("the registration", 1, registered);
    let before = drover.json(&["diagnose", "mobile"]);
    assert_eq!(before["contact"]["moves"], 0, "{before}");
    assert!(
        before["contact"]["requests"].as_u64().unwrap() > 0,
        "{before}"
    );
    assert_eq!(before["refusedAttempts"], serde_json::json!([]), "{before}");

    device.move_away();
    device.with(Device::update);
    let updated = |event: &Event| matches!(event, Event::Updated);
    device.wait_for("an Update", 1, updated);
    let summary = "The device's port changes: an address translator forgets it.";
    let moved = found(&drover, "mobile", summary);
    assert!(
        moved["advice"].as_str().unwrap().contains("Connection ID"),
        "{moved}"
    );
    let after = drover.json(&["diagnose", "mobile"]);
    let last = &after["contact"]["lastMove"];
    assert_ne!(last["from"], last["to"], "{after}");
    assert_eq!(device.handshakes(), 1);
    let text = drover.run(&["diagnose", "mobile"]);
    assert!(text.stdout.contains("1 changes of address"), "{text:?}");
}

#[test]
fn messages_that_are_lost_are_told() {
    let drover = Drover::start(&Options {
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    });
    let server = address(&drover, "/ingress/0/coap");
    let mut device = Raw::connect(&server.to_string());
    let registered = device.request(
        Code::POST,
        &["rd"],
        &["ep=deaf", "lt=600", "lwm2m=1.1", "b=U"],
        b"</3/0>",
    );
    assert_eq!(registered, Some(Code::CREATED_2_01));
    let read = drover.run(&["read", "deaf", "/3/0/0", "--timeout", "20s"]);
    assert_eq!(read.code, 4, "{read:?}");
    // RFC 7252 §4.2: sent again after 2 to 3, 6 to 9 and 14 to 21 s.
    let lost = found(
        &drover,
        "deaf",
        "Messages to and from the device are lost or late.",
    );
    assert!(
        lost["evidence"].as_str().unwrap().contains("sent again"),
        "{lost}"
    );
}

#[test]
fn who_is_refused_is_told_though_never_let_in() {
    let drover = Drover::start(&Options {
        ingress_nodes: 2,
        ingress_workers: 2,
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    });
    let unknown = drover.run(&["diagnose", "stranger"]);
    assert_eq!(unknown.code, 3, "{unknown:?}");
    let server = address(&drover, "/ingress/1/coaps");
    drover.add_psk("forgetful", "forgetful", KEY);
    let other = KEY.replace('3', "4");
    let _wrong_key = secured("forgetful", &other, server);
    let _without_key = secured("stranger", KEY, server);
    for endpoint in ["forgetful", "stranger"] {
        let refused = found(&drover, endpoint, "The device is refused.");
        let evidence = refused["evidence"].as_str().unwrap();
        assert!(
            evidence.starts_with("A handshake from 127.0.0.1:"),
            "{evidence}"
        );
        assert_eq!(refused["severity"], "Problem");
    }

    let mut device = Raw::connect(&drover.endpoint("/ingress/0/coap"));
    let refused = device.request(
        Code::POST,
        &["rd"],
        &["ep=ahead", "lt=600", "lwm2m=9.0"],
        b"</3/0>",
    );
    assert_eq!(refused, Some(Code::PRECONDITION_FAILED_4_12));
    let refused = found(&drover, "ahead", "The device is refused.");
    let evidence = refused["evidence"].as_str().unwrap();
    assert!(evidence.starts_with("A registration from "), "{evidence}");
    // Whom nobody claimed to be is as unknown as before.
    assert_eq!(drover.run(&["diagnose", "nobody"]).code, 3);
}
