//! Profiles from the command line: devices get what one says, keep it, and tell what they refuse.

use std::time::Duration;

use serde_json::Value;
use tests::{Drover, Options, until_some};

const LIMIT: Duration = Duration::from_secs(60);
const OFFSET: &str = "/3/0/14";

fn done(drover: &Drover, arguments: &[&str]) -> String {
    let answer = drover.run(arguments);
    assert_eq!(answer.code, 0, "{arguments:?}: {answer:?}");
    answer.stdout
}

fn endpoints(drover: &Drover) -> Vec<String> {
    let devices = drover.json(&["devices"]);
    let devices = devices["devices"].as_array().unwrap().iter();
    let name = |device: &Value| device["endpoint"].as_str().unwrap().to_owned();
    devices.map(name).collect()
}

fn until_counted(drover: &Drover, name: &str, count: &str, devices: u64) {
    until_some(&format!("{devices} {count} in {name}"), LIMIT, || {
        let profile = drover.json(&["profiles", "get", name]);
        let is_so = profile["applied"] == true && profile["counts"][count] == devices;
        if is_so { Ok(()) } else { Err(profile) }
    });
}

fn until_read(drover: &Drover, endpoint: &str, value: &str) {
    until_some(&format!("{value} of {endpoint}"), LIMIT, || {
        let read = drover.json(&["read", endpoint, OFFSET]);
        if read["values"][0]["value"] == value {
            Ok(())
        } else {
            Err(read)
        }
    });
}

#[test]
fn devices_get_what_a_profile_says_and_have_it_again_after_somebody_changed_it() {
    let drover = Drover::start(&Options {
        devices: 4,
        ..Options::default()
    });
    let devices = endpoints(&drover);
    let (here, elsewhere) = (&devices[0], &devices[3]);
    for device in &devices[..2] {
        done(&drover, &["label", device, "site=berlin"]);
    }
    let set = format!("{OFFSET}=+05:30");
    let put = [
        "profiles",
        "put",
        "berlin",
        "-l",
        "site=berlin",
        "--set",
        &set,
        "--observe",
        OFFSET,
    ];
    done(&drover, &put);
    until_counted(&drover, "berlin", "inSync", 2);
    until_read(&drover, here, "+05:30");
    let read = drover.json(&["read", elsewhere, OFFSET]);
    assert_ne!(read["values"][0]["value"], "+05:30", "{read}");

    // Whoever comes later gets it, too.
    done(&drover, &["label", &devices[2], "site=berlin"]);
    until_counted(&drover, "berlin", "inSync", 3);
    until_read(&drover, &devices[2], "+05:30");

    // The device tells, because the profile observes it.
    done(&drover, &["write", here, OFFSET, "+00:00"]);
    until_read(&drover, here, "+05:30");
    until_counted(&drover, "berlin", "inSync", 3);

    let shown = done(&drover, &["device", here]);
    assert!(shown.contains("berlin"), "{shown}");
    let table = done(&drover, &["profiles", "list"]);
    assert!(table.contains("berlin"), "{table}");
    done(&drover, &["profiles", "remove", "berlin"]);
    until_some("a device without desired values", LIMIT, || {
        let device = drover.json(&["device", here]);
        if device["desired"] == serde_json::json!([]) {
            Ok(())
        } else {
            Err(device)
        }
    });
    // It keeps what it has.
    until_read(&drover, here, "+05:30");
    let gone = drover.run(&["profiles", "get", "berlin"]);
    assert_eq!(gone.code, 3, "{gone:?}");
}

#[test]
fn what_devices_refuse_is_listed_with_the_reason() {
    let drover = Drover::start(&Options {
        devices: 2,
        ..Options::default()
    });
    // The manufacturer is read-only.
    done(
        &drover,
        &["profiles", "put", "wrong", "--set", "/3/0/0=somebody"],
    );
    until_counted(&drover, "wrong", "rejected", 2);
    let listed = drover.json(&["profiles", "devices", "wrong", "--state", "rejected"]);
    let devices = listed["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 2, "{listed}");
    for device in devices {
        assert_eq!(
            (&device["path"], &device["coapCode"]),
            (&"/3/0/0".into(), &"4.05".into())
        );
    }
    let none = drover.json(&["profiles", "devices", "wrong", "--state", "in-sync"]);
    assert_eq!(none["devices"], serde_json::json!([]), "{none}");

    // A device that lacks something is no failure.
    let required = [
        "profiles",
        "put",
        "wrong",
        "--set",
        "/3/0/0=x",
        "--requires-object",
        "10241",
    ];
    done(&drover, &required);
    until_counted(&drover, "wrong", "unsupported", 2);
    let refused = drover.run(&["profiles", "put", "a b"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("profile.name"), "{refused:?}");
}
