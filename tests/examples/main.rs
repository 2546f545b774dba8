//! The client examples against a real cluster: each lists, reads and executes, and follows the events of the fleet while it
//! is killed and started again. `make examples` generates what they call the API with.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

mod client;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tests::{Drover, Options, Program, kill, until_some};

use client::Client;

/// How long anything may take.
const SOON: Duration = Duration::from_secs(60);
const DEVICES: usize = 7;
/// Values of each device between two blows.
const BETWEEN: usize = 3;
/// How often each client is started.
const RUNS: usize = 3;

/// The values that a watcher was told of, of each device in their order.
type Told = BTreeMap<String, Vec<String>>;

#[test]
fn the_examples_do_what_they_say_and_miss_nothing_when_they_are_killed() {
    let drover = Drover::start(&Options {
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    });
    let clients = [Client::python(), Client::go()];
    let mut running = clients.each_ref().map(|client| client.watch(&drover, 0));
    for client in &clients {
        client.has_begun(&drover);
    }
    let _control = control(&drover);
    let _fleet = fleet(&drover);
    for client in &clients {
        client.lists(&drover, DEVICES);
        client.reads(&drover);
        client.executes_once(&drover);
    }
    for run in 1..RUNS {
        for (client, running) in clients.iter().zip(&mut running) {
            running.wait_for_output("values_reported", SOON);
            kill(running.pid(), Signal::KILL).unwrap();
            more_values(&drover);
            *running = client.watch(&drover, run);
        }
    }
    more_values(&drover);
    let ledger = told_to_control(&drover);
    for client in &clients {
        client.has_told(&drover, &ledger);
    }
}

/// The watcher whose word counts.
fn control(drover: &Drover) -> Program {
    let arguments = ["watch", "--type", "values-reported", "-o", "json"];
    let mut command = drover.command(&arguments);
    Program::start(&mut command, &drover.scratch().join("control")).unwrap()
}

/// Devices that report their temperatures every second.
fn fleet(drover: &Drover) -> Program {
    let server = format!("coap://{}", drover.endpoint("/ingress/0/coap"));
    let mut command = std::process::Command::new(tests::binary("drover-sim"));
    command.args(["run", "--server", &server, "--endpoint-prefix", "example-"]);
    command.args([
        "--devices",
        &DEVICES.to_string(),
        "--temperature-interval",
        "1s",
    ]);
    let fleet = Program::start(&mut command, &drover.scratch().join("fleet")).unwrap();
    for number in 0..DEVICES {
        let endpoint = format!("example-{number:06}");
        drover.wait_for_device(&endpoint, SOON);
        // What is observed is reported.
        let path = "/3303/0/5700";
        let answer = drover.run(&["observations", "add", &endpoint, path]);
        assert_eq!(answer.code, 0, "{answer:?}");
    }
    fleet
}

fn told_to_control(drover: &Drover) -> Told {
    let mut told = Told::new();
    for event in lines(&drover.scratch().join("control")) {
        let values = told.entry(event["endpoint"].as_str().unwrap().to_owned());
        let reported = event["values"].as_array().unwrap().iter();
        values
            .or_default()
            .extend(reported.map(|value| number(&value["value"])));
    }
    told
}

/// Waits until the control watcher has been told of several more values of each device.
fn more_values(drover: &Drover) {
    let counts = || {
        let told = told_to_control(drover);
        (0..DEVICES)
            .map(|device| {
                told.get(&format!("example-{device:06}"))
                    .map_or(0, Vec::len)
            })
            .collect::<Vec<_>>()
    };
    let before = counts();
    until_some("more values", SOON, || {
        let now = counts();
        let enough = before
            .iter()
            .zip(&now)
            .all(|(before, now)| *now >= before + BETWEEN);
        enough.then_some(()).ok_or(now)
    });
}

/// The lines of JSON in a log; the last one of a program that was killed may be cut.
fn lines(log: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines.collect()
}

/// A number as text, the same from every client.
fn number(value: &Value) -> String {
    value
        .as_f64()
        .map_or_else(|| value.to_string(), |number| format!("{number:.6}"))
}
