//! Observations that are declared, and go on whoever listens.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Drover, Options, Program, binary, until, until_some};

const DEVICE: &str = "later-000000";
const TEMPERATURE: &str = "/3303/0/5700";
/// How long the device takes requests after a message, as the nodes of one test have it.
const AWAKE: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn what_was_declared_is_observed_whenever_the_device_registers_and_until_it_is_removed() {
    let drover = Drover::start(&Options {
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    });
    let add = |paths: &[&str]| drover.json(&[&["observations", "add", DEVICE], paths].concat());
    // Nobody has heard of the device yet.
    let added = add(&[TEMPERATURE, "pmin=0"]);
    assert_eq!(added["operation"], Value::Null, "{added}");
    {
        let device = device(&drover, "first");
        device_reports(&drover, TEMPERATURE, "Notify");
        // Asked for at once, as it is here now.
        let added = add(&["/3/0/9"]);
        let id = added["operation"]["id"].as_str().unwrap();
        until_some("the device's answer", LIMIT, || {
            let operation = drover.json(&["operations", "get", DEVICE, id]);
            if operation["coapCode"] == "2.05" {
                Ok(())
            } else {
                Err(operation)
            }
        });
        device_reports(&drover, "/3/0/9", "Notify");
        drop(device);
    }
    let listed = drover.json(&["observations", "list", DEVICE]);
    let declared = |paths: [&str; 1], parameters: &str| json!({"child": null, "paths": paths, "parameters": parameters, "declared": true, "callers": 0});
    let expected = [declared(["/3/0/9"], ""), declared([TEMPERATURE], "pmin=0")];
    assert_eq!(listed["observations"], json!(expected), "{listed}");

    // Another registration, and each is asked for once.
    let device = device(&drover, "second");
    let started = |path: &str| {
        let lines = events(&device, "observation-started");
        lines.iter().filter(|line| line["path"] == path).count()
    };
    until_some("both observations", LIMIT, || {
        let seen = (started(TEMPERATURE), started("/3/0/9"));
        if seen == (1, 1) { Ok(()) } else { Err(seen) }
    });
    drover.run(&["observations", "remove", DEVICE, TEMPERATURE]);
    until_some("the end of one", LIMIT, || {
        let ended = events(&device, "observation-ended");
        if ended.len() == 1 { Ok(()) } else { Err(ended) }
    });
    let left = drover.json(&["observations", "list", DEVICE]);
    assert_eq!(left["observations"], json!([declared(["/3/0/9"], "")]));
    let gone = drover.run(&["observations", "remove", DEVICE, TEMPERATURE]);
    assert_eq!(gone.code, 3, "{gone:?}");
    assert_eq!((started(TEMPERATURE), started("/3/0/9")), (1, 1));
}

#[test]
fn a_sleeping_device_is_asked_once_and_not_for_what_was_taken_back() {
    let drover = Drover::start(&Options {
        flags: vec!["--coap".to_owned()],
        environment: vec![
            (
                "DROVER_INGRESS__AWAKE_WINDOW_SECONDS",
                AWAKE.as_secs().to_string(),
            ),
            (
                "DROVER_STATE__AWAKE_WINDOW",
                format!("{}s", AWAKE.as_secs()),
            ),
        ],
        ..Options::default()
    });
    let device = device_with(&drover, "asleep", &["--queue-mode", "--lifetime", "30"]);
    drover.wait_for_device(DEVICE, LIMIT);
    // Its answer would keep it awake.
    let mut asked = Instant::now();
    until("a device that sleeps", LIMIT, || {
        if asked.elapsed() < 2 * AWAKE {
            return false;
        }
        asked = Instant::now();
        let read = drover.run(&["read", DEVICE, "/3/0/9", "--timeout", "2s"]);
        read.stderr.contains("DEVICE_ASLEEP")
    });
    let put = drover.run(&["groups", "put", "all"]);
    assert_eq!(put.code, 0, "{put:?}");
    until_some("a device counted as asleep", LIMIT, || {
        let group = drover.json(&["groups", "get", "all"]);
        let counts = (&group["devices"], &group["registered"], &group["asleep"]);
        if counts == (&1.into(), &1.into(), &1.into()) {
            Ok(())
        } else {
            Err(group)
        }
    });
    let add = |path: &str| {
        let added = drover.json(&["observations", "add", DEVICE, path]);
        added["operation"]["id"].as_str().unwrap().to_owned()
    };
    let wanted = add("/3/0/9");
    assert_eq!(add("/3/0/9"), wanted);
    let taken_back = add(TEMPERATURE);
    let removed = drover.run(&["observations", "remove", DEVICE, TEMPERATURE]);
    assert_eq!(removed.code, 0, "{removed:?}");
    for (id, state) in [(wanted, "Delivered"), (taken_back, "Cancelled")] {
        until_some(state, LIMIT, || {
            let operation = drover.json(&["operations", "get", DEVICE, &id]);
            if operation["state"] == state {
                Ok(())
            } else {
                Err(operation)
            }
        });
    }
    let started = events(&device, "observation-started");
    assert_eq!(started.len(), 1, "{started:?}");
    assert_eq!(started[0]["path"], "/3/0/9");
}

fn device(drover: &Drover, log: &str) -> Program {
    device_with(drover, log, &[])
}

fn device_with(drover: &Drover, log: &str, arguments: &[&str]) -> Program {
    let server = format!("coap://{}", drover.endpoint("/ingress/0/coap"));
    let mut command = Command::new(binary("drover-sim"));
    command.args(["run", "--server", &server, "--endpoint-prefix", "later-"]);
    command.args(arguments);
    command.args(["--output", "json", "--temperature-interval", "200ms"]);
    Program::start(&mut command, &drover.scratch().join(log)).unwrap()
}

/// Events of the device of one kind.
fn events(device: &Program, kind: &str) -> Vec<Value> {
    let output = device.output();
    let lines = output
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines.filter(|line: &Value| line["event"] == kind).collect()
}

fn device_reports(drover: &Drover, path: &str, origin: &str) {
    until_some("a value that was reported", LIMIT, || {
        let shown = drover.json(&["device", DEVICE]);
        let values = shown["values"].as_array().cloned().unwrap_or_default();
        let found = values
            .iter()
            .any(|one| one["path"] == path && one["origin"] == origin);
        if found { Ok(()) } else { Err(shown) }
    });
}
