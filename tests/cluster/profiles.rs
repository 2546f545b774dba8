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

#[test]
fn object_instances_are_made_and_taken_away_as_they_are_desired() {
    let drover = Drover::start(&Options {
        devices: 2,
        ..Options::default()
    });
    let devices = endpoints(&drover);
    let (one, other) = (devices[0].as_str(), devices[1].as_str());
    let put = |presence: &str| {
        let set = format!("/3303/7={presence}");
        done(&drover, &["profiles", "put", "sensors", "--set", &set]);
        until_counted(&drover, "sensors", "inSync", 2);
    };
    put("present");
    until_told(&drover, one, "/3303/7", true);
    until_told(&drover, other, "/3303/7", true);

    let set = ["desired", "set", one, "/3303/5=present", "/3303/5/5701=Cel"];
    done(&drover, &set);
    until_desired(&drover, one, "InSync");
    let read = drover.json(&["read", one, "/3303/5/5701"]);
    assert_eq!(read["values"][0]["value"], "Cel", "{read}");
    // What somebody takes away is made again.
    done(&drover, &["delete", one, "/3303/5"]);
    until_some("another Create", LIMIT, || {
        let operations = drover.json(&["operations", "list", one]);
        let all = operations["operations"].as_array().unwrap().iter();
        let creates = all.filter(|one| one["name"] == "create").count();
        if creates >= 3 {
            Ok(())
        } else {
            Err(operations)
        }
    });
    until_desired(&drover, one, "InSync");
    until_told(&drover, one, "/3303/5", true);

    let contradiction = drover.run(&["desired", "set", one, "/3303/5=absent"]);
    assert_eq!(contradiction.code, 2, "{contradiction:?}");
    assert!(
        contradiction.stderr.contains("/3303/5/5701"),
        "{contradiction:?}"
    );
    done(&drover, &["desired", "remove", one, "/3303/5/5701"]);
    done(&drover, &["desired", "set", one, "/3303/5=absent"]);
    until_told(&drover, one, "/3303/5", false);
    put("absent");
    until_told(&drover, other, "/3303/7", false);
}

/// Waits until all that is desired of a device is in a state.
fn until_desired(drover: &Drover, endpoint: &str, state: &str) {
    until_some(&format!("all {state}"), LIMIT, || {
        let desired = drover.json(&["desired", "list", endpoint]);
        let all = desired["resources"].as_array().unwrap();
        if !all.is_empty() && all.iter().all(|one| one["state"] == state) {
            Ok(())
        } else {
            Err(desired)
        }
    });
}

/// Waits until a device says of itself that it has an object instance, or that it has not.
fn until_told(drover: &Drover, endpoint: &str, instance: &str, has_it: bool) {
    until_some(
        &format!("{instance} of {endpoint}: {has_it}"),
        LIMIT,
        || {
            let device = drover.json(&["device", endpoint]);
            let objects = device["objects"].as_array().unwrap();
            if objects.contains(&instance.into()) == has_it {
                Ok(())
            } else {
                Err(device)
            }
        },
    );
}

/// Puts what all devices refuse, one after the other, until one has.
fn put_carefully(drover: &Drover, more: &[&str]) {
    let put = ["profiles", "put", "wrong", "--set", "/3/0/0=somebody"];
    done(drover, &[&put[..], more].concat());
}

#[test]
fn a_change_stops_at_the_first_devices_that_refuse_it() {
    let drover = Drover::start(&Options {
        devices: 4,
        ..Options::default()
    });
    let counts = |wanted: [(&str, u64); 2], hold: &str| {
        until_some(&format!("{wanted:?} {hold}"), LIMIT, || {
            let profile = drover.json(&["profiles", "get", "wrong"]);
            let counts = &profile["counts"];
            let is_so = wanted.iter().all(|(name, count)| counts[name] == *count)
                && profile["hold"] == hold;
            if is_so { Ok(()) } else { Err(profile) }
        });
    };
    put_carefully(
        &drover,
        &["--max-concurrent", "1", "--failure-threshold", "2"],
    );
    counts([("rejected", 2), ("waiting", 2)], "Failures");
    let table = done(&drover, &["profiles", "list"]);
    assert!(table.contains("Stopped"), "{table}");
    let listed = drover.json(&["profiles", "devices", "wrong", "--state", "waiting"]);
    assert_eq!(listed["devices"].as_array().unwrap().len(), 2, "{listed}");
    // Who knows better goes on; and nobody who has begun is waited for twice.
    put_carefully(&drover, &["--max-concurrent", "25%"]);
    counts([("rejected", 4), ("waiting", 0)], "");
    until_counted(&drover, "wrong", "rejected", 4);

    let never = drover.run(&["profiles", "put", "wrong", "--max-concurrent", "0"]);
    assert_eq!(never.code, 2, "{never:?}");
    assert!(
        never.stderr.contains("profile.rollout.max_concurrent"),
        "{never:?}"
    );
}
