//! A device on Eclipse Leshan's client library: DTLS by Scandium, CoAP by Californium.

use std::time::Duration;

use serde_json::Value;
use tests::leshan::start_device;
use tests::{Drover, Options, Program, until_some};

pub(crate) const KEY: &str = "00112233445566778899aabbccddeeff";
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) fn value_of(drover: &Drover, endpoint: &str, path: &str) -> Value {
    drover.json(&["read", endpoint, path])["values"][0]["value"].clone()
}

/// Lines that `drover observe` printed so far.
pub(crate) fn observed(observer: &Program) -> Vec<Value> {
    observer
        .output()
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

#[test]
fn leshan_device_is_managed_over_dtls_with_a_connection_id() {
    let drover = Drover::start(&Options::default());
    let endpoint = "leshan-psk";
    drover.add_psk(endpoint, "leshan-identity", KEY);
    let uri = format!("coaps://{}", drover.endpoint("/ingress/0/coaps"));
    let mut device = start_device(
        &drover,
        endpoint,
        &[&uri, "300", "0", "psk", "leshan-identity", KEY],
    );
    drover.wait_for_device(endpoint, SOON);

    let shown = drover.json(&["device", endpoint]);
    assert_eq!(shown["transport"], "DTLS", "{shown}");
    assert_eq!(
        shown["connectionId"].as_str().map(str::len),
        Some(16),
        "{shown}"
    );
    assert_eq!(shown["lifetimeSeconds"], 300, "{shown}");

    assert_eq!(value_of(&drover, endpoint, "/3/0/0"), "Drover");

    let written = drover.run(&["write", endpoint, "/3/0/14", "+02:00"]);
    assert_eq!(written.code, 0, "{written:?}");
    assert_eq!(value_of(&drover, endpoint, "/3/0/14"), "+02:00");
    device.wait_for_output("written 14 +02:00", SOON);

    let mut observe = drover.command(&["observe", endpoint, "/3303/0/5700", "-o", "json"]);
    let observer = Program::start(&mut observe, &drover.scratch().join("observe")).unwrap();
    let seen = until_some("three changing notifications", SOON, || {
        let lines = observed(&observer);
        if lines.len() >= 4 {
            Ok(lines)
        } else {
            Err(lines)
        }
    });
    let values: Vec<f64> = seen
        .iter()
        .map(|line| line["values"][0]["value"].as_f64().unwrap())
        .collect();
    assert!(
        values.windows(2).all(|pair| pair[0] < pair[1]),
        "{values:?}"
    );
    drop(observer);

    let executed = drover.run(&["exec", endpoint, "/3/0/4"]);
    assert_eq!(executed.code, 0, "{executed:?}");
    device.wait_for_output("executed 4", SOON);

    // A write to the lifetime makes the client send an Update with it.
    let extended = drover.run(&["write", endpoint, "/1/0/1", "600"]);
    assert_eq!(extended.code, 0, "{extended:?}");
    until_some("the new lifetime", SOON, || {
        let lifetime = drover.json(&["device", endpoint])["lifetimeSeconds"].clone();
        if lifetime == 600 {
            Ok(())
        } else {
            Err(lifetime)
        }
    });

    let refused = drover.run(&["write", endpoint, "/3/0/0", "x"]);
    assert_ne!(refused.code, 0, "{refused:?}");

    device.say("quit");
    until_some("the de-registration", SOON, || {
        let devices = drover.devices();
        if devices.is_empty() {
            Ok(())
        } else {
            Err(devices)
        }
    });
}

#[test]
fn leshan_device_answers_composite_operations() {
    let drover = Drover::start(&Options {
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    });
    let endpoint = "leshan-composite";
    let uri = format!("coap://{}", drover.endpoint("/ingress/0/coap"));
    let mut device = start_device(&drover, endpoint, &[&uri, "300", "0", "nosec"]);
    drover.wait_for_device(endpoint, SOON);

    // What the device does not have is left out.
    let read = drover.json(&["read", endpoint, "/3/0/0", "/3/0/99", "/1/0/1"]);
    assert_eq!(
        values(&read),
        [
            ("/1/0/1", "300".to_owned()),
            ("/3/0/0", "Drover".to_owned())
        ]
    );

    let written = drover.run(&["write-composite", endpoint, "/3/0/14=+03:00", "/1/0/1=400"]);
    assert_eq!(written.code, 0, "{written:?}");
    device.wait_for_output("written 14 +03:00", SOON);
    // All or nothing: the manufacturer cannot be written.
    let refused = drover.run(&[
        "write-composite",
        endpoint,
        "/3/0/14=+04:00",
        "/3/0/0=x",
        "--force",
    ]);
    assert_ne!(refused.code, 0, "{refused:?}");
    let read = drover.json(&["read", endpoint, "/3/0/14", "/1/0/1"]);
    assert_eq!(
        values(&read),
        [
            ("/1/0/1", "400".to_owned()),
            ("/3/0/14", "+03:00".to_owned())
        ]
    );

    let mut observe = drover.command(&[
        "observe",
        endpoint,
        "/3303/0/5700",
        "/3/0/14",
        "--count",
        "3",
        "-o",
        "json",
    ]);
    let mut observer = Program::start(&mut observe, &drover.scratch().join("observe")).unwrap();
    assert_eq!(
        observer.wait_for_end(SOON),
        Some(0),
        "{}",
        observer.output()
    );
    for line in observed(&observer) {
        let paths: Vec<&str> = values(&line).into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["/3/0/14", "/3303/0/5700"], "{line}");
    }

    let raw = drover.json(&["raw", endpoint, "GET", "/3/0/0", "--accept", "text"]);
    assert_eq!(
        (&raw["coapCode"], &raw["text"]),
        (&"2.05".into(), &"Drover".into()),
        "{raw}"
    );
    let refused = drover.json(&["raw", endpoint, "DELETE", "/3/0"]);
    assert_eq!(refused["coapCode"], "4.05", "{refused}");
    let quirks = drover.json(&["device", endpoint])["quirks"].clone();
    assert_eq!(quirks, serde_json::json!([]), "it knows them all");
}

/// Pushed in blocks to its `/5/0/0`, installed, and followed by what it says of itself.
#[test]
fn leshan_device_gets_firmware_by_a_push() {
    let drover = Drover::start(&Options::default());
    let endpoint = "leshan-firmware";
    drover.add_psk(endpoint, "leshan-identity", KEY);
    let uri = format!("coaps://{}", drover.endpoint("/ingress/0/coaps"));
    let mut device = start_device(
        &drover,
        endpoint,
        &[&uri, "300", "0", "psk", "leshan-identity", KEY],
    );
    drover.wait_for_device(endpoint, SOON);

    let damaged = push(&drover, "damaged", b"garbage", "2.0.0");
    assert_eq!(damaged["phase"], "Failed", "{damaged}");
    let reason = damaged["reason"].as_str().unwrap_or_default();
    assert!(reason.contains('5'), "an integrity check failed: {damaged}");

    let mut package = b"meters 2.0.0\n".to_vec();
    package.extend((0..50_000_u32).map(|byte| byte as u8));
    let good = push(&drover, "good", &package, "2.0.0");
    assert_eq!(good["phase"], "Succeeded", "{good}");
    assert_eq!(good["versionBefore"], "1.0.0", "{good}");
    device.wait_for_output(&format!("package of {} bytes", package.len()), SOON);
    assert_eq!(value_of(&drover, endpoint, "/3/0/3"), "2.0.0");
    let told = device.output();
    let states = told.lines().filter(|line| line.starts_with("firmware"));
    let states: Vec<&str> = states.collect();
    assert_eq!(
        states,
        [
            "firmware state 0 result 5",
            "firmware state 2 result 0",
            "firmware state 3 result 0",
            "firmware state 0 result 1"
        ]
    );
}

/// What became of the one device in a campaign that pushes a package.
fn push(drover: &Drover, campaign: &str, package: &[u8], version: &str) -> Value {
    let file = drover.scratch().join(campaign);
    std::fs::write(&file, package).unwrap();
    let create = [
        "rollout",
        "create",
        campaign,
        "--version",
        version,
        "--package",
        file.to_str().unwrap(),
        "--push",
    ];
    let created = drover.run(&create);
    assert_eq!(created.code, 0, "{created:?}");
    until_some("the end of the device", 2 * SOON, || {
        let devices = drover.json(&["rollout", "devices", campaign]);
        let device = devices["devices"][0].clone();
        match device["phase"].as_str() {
            Some("Succeeded" | "Failed") => Ok(device),
            _ => Err(devices),
        }
    })
}

/// What was read, by path.
fn values(read: &Value) -> Vec<(&str, String)> {
    let mut values: Vec<(&str, String)> = read["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| {
            let text = match &value["value"] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            (value["path"].as_str().unwrap(), text)
        })
        .collect();
    values.sort_unstable();
    values
}

#[test]
fn leshan_device_with_a_wrong_key_does_not_register() {
    let drover = Drover::start(&Options {
        state_nodes: 1,
        ..Options::default()
    });
    drover.add_psk("leshan-wrong", "leshan-identity", KEY);
    let uri = format!("coaps://{}", drover.endpoint("/ingress/0/coaps"));
    let other = "ffeeddccbbaa99887766554433221100";
    let mut device = start_device(
        &drover,
        "leshan-wrong",
        &[&uri, "300", "0", "psk", "leshan-identity", other],
    );
    device.wait_for_output("Unable to", SOON);
    assert_eq!(drover.devices(), Vec::<String>::new());
}
