//! The main job as a user does it: devices register, are read, written, executed, observed and declared.

use std::time::Duration;

use serde_json::Value;
use tests::{Drover, Options, Program, until_some};

const SOON: Duration = Duration::from_secs(30);

fn lines(program: &Program) -> Vec<Value> {
    program
        .output()
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

#[test]
fn simulated_devices_are_managed_from_the_command_line() {
    let mut drover = Drover::start(&Options {
        ingress_nodes: 2,
        devices: 3,
        ..Options::default()
    });
    let devices = drover.devices();
    assert_eq!(devices.len(), 3, "{devices:?}");
    let device = devices[0].as_str();

    assert_eq!(
        drover.json(&["read", device, "/3/0/0"])["values"][0]["type"],
        "string"
    );
    let written = drover.run(&["write", device, "/3/0/14", "+03:00"]);
    assert_eq!(written.code, 0, "{written:?}");
    assert_eq!(
        drover.json(&["read", device, "/3/0/14"])["values"][0]["value"],
        "+03:00"
    );

    // The definition of the object forbids it; asked all the same, the device does.
    let refused = drover.run(&["write", device, "/3/0/0", "x"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    let refused = drover.run(&["write", device, "/3/0/0", "x", "--force"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    several_paths_at_once(&drover, device);
    let diagnosis = drover.json(&["diagnose", device]);
    let asked = diagnosis["exchanges"].as_array().unwrap();
    assert!(asked.iter().any(|one| one["path"] == "/3/0"), "{diagnosis}");
    // The device is well, but for the write that it refused.
    let findings = diagnosis["findings"].as_array().unwrap();
    let summaries: Vec<&str> = findings
        .iter()
        .map(|one| one["summary"].as_str().unwrap())
        .collect();
    assert!(
        summaries.contains(&"The device refused operations."),
        "{diagnosis}"
    );
    let problem = findings.iter().find(|one| one["severity"] == "Problem");
    assert_eq!(problem, None, "{diagnosis}");
    // As `drover --help` has it: 4 for a device that cannot be reached now, 3 for what does not exist.
    let absent = drover.run(&["read", "nobody", "/3/0/0"]);
    assert_eq!(absent.code, 4, "{absent:?}");
    assert!(absent.stderr.contains("nobody"), "{absent:?}");
    let unknown = drover.run(&["device", "nobody"]);
    assert_eq!(unknown.code, 3, "{unknown:?}");
    let malformed = drover.run(&["read", device, "/3/zero"]);
    assert_eq!(malformed.code, 2, "{malformed:?}");

    let mut observe = drover.command(&["observe", device, "/3303/0/5700", "-o", "json"]);
    let observer = Program::start(&mut observe, &drover.scratch().join("observe")).unwrap();
    until_some("four values", SOON, || {
        let seen = lines(&observer);
        if seen.len() >= 4 {
            Ok(())
        } else {
            Err(observer.output())
        }
    });
    drop(observer);

    let discovered = drover.run(&["discover", device, "/3"]);
    assert_eq!(discovered.code, 0, "{discovered:?}");
    assert!(discovered.stdout.contains("/3/0/14"), "{discovered:?}");

    let executed = drover.run(&["exec", device, "/3/0/4"]);
    assert_eq!(executed.code, 0, "{executed:?}");

    assert_eq!(drover.stop(), Some(0), "{}", drover.output());
}

fn several_paths_at_once(drover: &Drover, device: &str) {
    let paths = |read: &Value| -> Vec<String> {
        let values = read["values"].as_array().unwrap();
        let path = |value: &Value| value["path"].as_str().unwrap().to_owned();
        values.iter().map(path).collect()
    };
    // What the device does not have is left out.
    let read = drover.json(&["read", device, "/3303/0/5700", "/3/0/0", "/3/0/999"]);
    let mut read = paths(&read);
    read.sort_unstable();
    assert_eq!(read, ["/3/0/0", "/3303/0/5700"]);
    let written = drover.run(&["write-composite", device, "/3/0/14=+05:00", "/3/0/15=UTC"]);
    assert_eq!(written.code, 0, "{written:?}");
    let observe = [
        "observe", device, "/3/0/14", "/3/0/15", "pmin=1", "--count", "1",
    ];
    let observed = drover.json(&observe);
    assert_eq!(paths(&observed), ["/3/0/14", "/3/0/15"], "{observed}");
    let raw = drover.json(&["raw", device, "GET", "/3/0/15", "--accept", "text"]);
    assert_eq!(
        (&raw["coapCode"], &raw["text"]),
        (&"2.05".into(), &"UTC".into()),
        "{raw}"
    );
    let now = drover.run(&["write", device, "/3/0/15", "GMT", "--immediate"]);
    assert_eq!(now.code, 0, "{now:?}");
}

#[test]
fn declared_value_arrives_and_survives_a_killed_state_node() {
    let drover = Drover::start(&Options {
        devices: 1,
        ..Options::default()
    });
    let device = drover.devices()[0].clone();
    let manifest = drover.scratch().join("device.yaml");
    let declare = |value: &str| {
        let text = format!(
            "apiVersion: drover.dev/v1alpha1\nkind: Device\nmetadata: {{name: declared}}\nspec:\n  endpointName: {device}\n  \
             resources:\n  - {{path: /3/0/14, value: \"{value}\"}}\n"
        );
        std::fs::write(&manifest, text).unwrap();
        let applied = drover.run(&["apply", "-f", manifest.to_str().unwrap()]);
        assert_eq!(applied.code, 0, "{applied:?}");
        until_some("the declared value", SOON, || {
            let answer = drover.run(&["read", &device, "/3/0/14", "-o", "json"]);
            if answer.stdout.contains(value) {
                Ok(())
            } else {
                Err(answer)
            }
        });
    };
    declare("+05:00");
    drover.kill_state_node(1);
    declare("+06:00");
}
