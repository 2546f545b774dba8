//! Devices behind a gateway, asked by way of it (OMA LwM2M Gateway 1.1).

use std::time::Duration;

use serde_json::Value;
use tests::{Drover, Options, Program, until_some};

const ZONE: &str = "/3/0/14";
const LIMIT: Duration = Duration::from_secs(60);

/// What is known of a path of a child, by `drover device`.
fn kept<'a>(device: &'a Value, child: &str, path: &str) -> &'a Value {
    let values = device["childValues"].as_array().unwrap();
    let mut found = values
        .iter()
        .filter(|value| value["child"] == child && value["path"] == path);
    found.next().unwrap_or(&Value::Null)
}

#[test]
fn a_device_behind_a_gateway_is_listed_read_written_executed_and_discovered() {
    let drover = Drover::start(&Options {
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    });
    let (_simulator, gateway) = drover.full_device("gateway-");
    let gateway = gateway.as_str();
    let listed = drover.json(&["children", gateway]);
    let second = &listed["children"][1];
    assert_eq!(second["id"], "gateway-000000-dev1", "{listed}");
    assert_eq!(second["prefix"], "dev1", "{listed}");
    assert_eq!(
        second["objects"],
        serde_json::json!(["/3/0", "/3303/0"]),
        "{listed}"
    );

    let read = |path: &str, child: &str| {
        let read = drover.json(&["read", gateway, path, "--child", child]);
        read["values"][0]["value"].clone()
    };
    let zone = ZONE;
    let own = "+01:00";
    drover.json(&["write", gateway, zone, own]);
    let written = drover.json(&["write", gateway, zone, "+07:00", "--child", "dev1"]);
    assert_eq!(written["path"], "/dev1/3/0/14", "{written}");
    assert_eq!(written["state"], "Delivered", "{written}");
    assert_eq!(read(zone, "dev1"), "+07:00");
    assert_eq!(read(zone, "dev0"), "+00:00");
    assert_eq!(
        drover.json(&["read", gateway, zone])["values"][0]["value"],
        own
    );
    // What was written to the child is not taken for a value of the gateway.
    let known = drover.json(&["device", gateway]);
    assert_eq!(kept(&known, "dev1", zone)["value"], "+07:00", "{known}");
    let known = known["values"].as_array().unwrap();
    let known = known.iter().find(|value| value["path"] == zone).unwrap();
    assert_eq!(known["value"], own, "{known}");

    let executed = drover.json(&["exec", gateway, "/3/0/4", "--child", "dev0"]);
    assert_eq!(executed["state"], "Delivered", "{executed}");
    let set = [
        "attributes",
        gateway,
        "/3303/0/5700",
        "pmin=10",
        "--child",
        "dev0",
    ];
    assert_eq!(drover.json(&set)["state"], "Delivered");
    let links = drover.json(&["discover", gateway, "/3303/0", "--child", "dev0"]);
    let links = links["links"].as_array().unwrap();
    assert!(
        links.iter().any(|link| link["path"] == "/3303/0/5700"),
        "{links:?}"
    );

    let nobody = drover.run(&["read", gateway, zone, "--child", "dev7"]);
    assert_eq!(nobody.code, 3, "{nobody:?}");
    let number = drover.run(&["read", gateway, zone, "--child", "33"]);
    assert_eq!(number.code, 2, "{number:?}");
}

/// What an observer has printed, as pairs of child and value.
fn reported(observer: &Program) -> Vec<(String, String)> {
    let output = observer.output();
    let lines = output.lines();
    let lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let value = |line: Value| {
        let value = &line["values"][0];
        let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
        (text("child"), text("value"))
    };
    lines.map(value).collect()
}

#[test]
fn a_device_behind_a_gateway_is_observed_and_its_values_are_kept() {
    let drover = Drover::start(&Options {
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    });
    let (_simulator, gateway) = drover.full_device("gateway-");
    let gateway = gateway.as_str();
    let write = |child: &str, zone: &str| {
        let written = drover.json(&["write", gateway, ZONE, zone, "--child", child]);
        assert_eq!(written["state"], "Delivered", "{written}");
    };
    let observe = [
        "observe", gateway, ZONE, "--child", "dev0", "--count", "2", "-o", "json",
    ];
    let mut observe = drover.command(&observe);
    let mut observer = Program::start(&mut observe, &drover.scratch().join("observe")).unwrap();
    let first = [("dev0".to_owned(), "+00:00".to_owned())];
    until_some("the value now", LIMIT, || {
        let seen = reported(&observer);
        if seen == first { Ok(()) } else { Err(seen) }
    });
    let listed = drover.json(&["observations", "list", gateway]);
    let listed = &listed["observations"][0];
    assert_eq!(listed["child"], "dev0", "{listed}");
    assert_eq!(listed["callers"], 1, "{listed}");
    // The same path of another device is none of its concern.
    write("dev1", "+05:00");
    write("dev0", "+02:00");
    assert_eq!(
        observer.wait_for_end(LIMIT),
        Some(0),
        "{}",
        observer.output()
    );
    let told = [("dev0", "+00:00"), ("dev0", "+02:00")];
    let told = told.map(|(child, value)| (child.to_owned(), value.to_owned()));
    assert_eq!(reported(&observer), told);

    let added = drover.json(&["observations", "add", gateway, ZONE, "--child", "dev1"]);
    assert_eq!(added["child"], "dev1", "{added}");
    let becomes = |zone: &str, origins: &[&str]| {
        until_some("the value of the child", LIMIT, || {
            let device = drover.json(&["device", gateway]);
            let value = kept(&device, "dev1", ZONE);
            let is_of = |origin: &&str| value["origin"] == **origin;
            if value["value"] == zone && origins.iter().any(is_of) {
                Ok(())
            } else {
                Err(device)
            }
        });
    };
    // The first value is reported as those that follow.
    becomes("+05:00", &["Notify"]);
    write("dev1", "+08:00");
    // The notification can overtake the end of the write.
    becomes("+08:00", &["Notify", "Write"]);
    let device = drover.json(&["device", gateway]);
    let own = device["values"].as_array().unwrap();
    assert!(own.iter().all(|value| value["path"] != ZONE), "{device}");

    let remove = ["observations", "remove", gateway, ZONE];
    let not_its_own = drover.run(&remove);
    assert_eq!(not_its_own.code, 3, "{not_its_own:?}");
    let removed = drover.run(&[&remove[..], &["--child", "dev1"]].concat());
    assert_eq!(removed.code, 0, "{removed:?}");
    let left = drover.json(&["observations", "list", gateway]);
    let left = left["observations"].as_array().unwrap();
    assert!(left.iter().all(|one| one["child"] != "dev1"), "{left:?}");
}
