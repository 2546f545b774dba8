//! Who may register is said by policies, and holds for devices that are registered already.

use std::time::Duration;

use lwm2m::{EndpointName, Lifetime};
use lwm2m_client::{Config, Event, Retry};
use serde_json::{Value, json};
use tests::{Drover, LiveDevice, Options, until_some};

const SOON: Duration = Duration::from_secs(30);

fn start(drover: &Drover, name: &str) -> LiveDevice {
    let config = Config {
        lifetime: Lifetime::from_secs(60),
        // It says soon that it is still there.
        update_interval: Some(Duration::from_secs(1)),
        retry: Retry {
            shortest: Duration::from_millis(500),
            longest: Duration::from_secs(1),
        },
        ..Config::new(EndpointName::new(name).unwrap())
    };
    let server = drover.endpoint("/ingress/0/coap").parse().unwrap();
    LiveDevice::start(config, server)
}

fn registered(event: &Event) -> bool {
    matches!(event, Event::Registered { .. })
}

fn put(drover: &Drover, arguments: &[&str]) {
    let answer = drover.run(&[&["enrollment", "put"], arguments].concat());
    assert_eq!(answer.code, 0, "{answer:?}");
}

/// Waits until the device is as it should be.
fn wait_for(drover: &Drover, name: &str, holds: impl Fn(&Value) -> bool) {
    until_some("the device as it should be", SOON, || {
        let answer = drover.run(&["device", name, "-o", "json"]);
        if answer.code != 0 {
            return Err(format!("{answer:?}"));
        }
        let device = answer.json();
        if holds(&device) {
            Ok(())
        } else {
            Err(device.to_string())
        }
    });
}

/// Waits until every state node has applied that a policy has so many devices.
fn wait_for_count(drover: &Drover, name: &str, what: &str, count: u64) {
    until_some(&format!("{count} {what} by {name}"), SOON, || {
        let told = (0..3).map(|node| {
            let api = drover.endpoint(&format!("/state/{node}/api"));
            drover.json(&["enrollment", "get", name, "--api", &api])[what].clone()
        });
        let told: Vec<Value> = told.collect();
        if told.iter().all(|told| *told == count) {
            Ok(())
        } else {
            Err(told)
        }
    });
}

#[test]
fn devices_register_as_policies_say_and_again_when_those_change() {
    let drover = Drover::start(&Options {
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    });
    put(&drover, &["nobody-else", "--action", "deny"]);
    let meters = ["meters", "--pattern", "meter-[0-9]+", "--priority", "5"];
    let labels = ["--label", "kind=meter", "--max-devices", "1"];
    put(&drover, &[&meters[..], &labels[..]].concat());
    let lab = ["lab", "--pattern", "lab-.*", "--priority", "5"];
    let quarantine = ["--action", "quarantine"];
    put(&drover, &[&lab[..], &quarantine[..]].concat());

    until_some("the policies at every state node", SOON, || {
        let known = |node: usize| {
            let api = drover.endpoint(&format!("/state/{node}/api"));
            let listed = drover.json(&["enrollment", "list", "--api", &api]);
            listed["policies"].as_array().map_or(0, Vec::len)
        };
        let known = (0..3).map(known).collect::<Vec<_>>();
        if known == [3, 3, 3] {
            Ok(())
        } else {
            Err(known)
        }
    });

    let meter = start(&drover, "meter-1");
    meter.wait_for("a registration", 1, registered);
    wait_for(&drover, "meter-1", |device| {
        device["enrollmentPolicy"] == "meters" && device["labels"] == json!({"kind": "meter"})
    });
    wait_for_count(&drover, "meters", "admitted", 1);
    // One is as many as there may be.
    let second = start(&drover, "meter-2");
    let stranger = start(&drover, "stranger-1");
    let guest = start(&drover, "lab-1");
    guest.wait_for("a registration", 1, registered);
    wait_for(&drover, "lab-1", |device| device["quarantined"] == true);
    until_some("two refusals", SOON, || {
        // Each state node counts whom it has refused.
        let refused = |name: &str| {
            (0..3).any(|node| {
                let api = drover.endpoint(&format!("/state/{node}/api"));
                let told = drover.json(&["enrollment", "get", name, "--api", &api]);
                told["denied"] != 0
            })
        };
        if refused("nobody-else") && refused("meters") {
            Ok(())
        } else {
            Err("not yet")
        }
    });
    assert_eq!(second.count(registered) + stranger.count(registered), 0);
    wait_for_count(&drover, "lab", "quarantined", 1);

    // It can be read, but what would change it waits.
    let read = drover.run(&["read", "lab-1", "/3/0/0"]);
    assert_eq!(read.code, 0, "{read:?}");
    let write = [
        "write",
        "lab-1",
        "/3/0/14",
        "+02:00",
        "--no-wait",
        "--timeout",
        "5m",
    ];
    let waits = drover.json(&write);
    let id = waits["id"].as_str().unwrap().to_owned();
    let operation = drover.json(&["operations", "get", "lab-1", &id]);
    assert_eq!(operation["state"], "Pending", "{operation}");
    // The next message of the device tells that it is admitted by now.
    put(&drover, &lab);
    guest.wait_for("another registration", 2, registered);
    wait_for(&drover, "lab-1", |device| {
        device["state"] == "Registered" && device["quarantined"] == false
    });
    until_some("what waited", SOON, || {
        let read = drover.run(&["read", "lab-1", "/3/0/14", "-o", "json"]);
        if read.stdout.contains("+02:00") {
            Ok(())
        } else {
            Err(read)
        }
    });

    // Who is not admitted any more is not registered any more.
    put(&drover, &[&meters[..], &["--action", "deny"]].concat());
    wait_for(&drover, "meter-1", |device| {
        device["state"] == "NotRegistered"
    });
    wait_for_count(&drover, "meters", "admitted", 0);
    for name in ["meters", "lab", "nobody-else"] {
        let removed = drover.run(&["enrollment", "remove", name]);
        assert_eq!(removed.code, 0, "{removed:?}");
    }
    // Nothing is said of anybody: all come as ever.
    for device in [&second, &stranger] {
        device.wait_for("a registration", 1, registered);
    }
    wait_for(&drover, "lab-1", |device| {
        device["enrollmentPolicy"].is_null()
    });

    let wrong = drover.run(&["enrollment", "put", "wrong", "--pattern", "meter-("]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.stderr.contains("endpoint_pattern"), "{wrong:?}");
}
