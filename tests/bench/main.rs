//! Figures of the whole path: `drover dev` with three replicas, the load generator on the same machine. And those of the
//! state tier alone.
//!
//! Prints one JSON object a line, `{"figure", "value"}`, which `cargo xtask bench` collects. Each figure of speed is the
//! median of several rounds.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "figures go to stdout, progress to stderr"
)]

mod operations;
mod operator;
mod sessions;
mod state;
mod storm;
mod watchers;

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tests::{Drover, Options, binary};

const ROUNDS: usize = 5;
/// Each has a socket of its own, and the limit of open files is often 20,000.
const PLAIN_DEVICES: usize = 15_000;
const SECURED_DEVICES: usize = 5_000;
const KEY: &str = "000102030405060708090a0b0c0d0e0f";
/// Devices that are read in turn, so that none runs out of message ids.
const AWAKE: usize = 16;

/// What is measured, by name: `cargo bench --bench path -- NAME…` measures some of it.
const PARTS: [(&str, fn()); 17] = [
    ("registrations", registrations),
    ("reads", reads),
    ("notifications", operations::notifications),
    ("watchers", watchers::cost),
    ("wake", operations::wake),
    ("queue", operations::million),
    ("package", operations::package),
    ("transfer", operations::transfer),
    ("forwarding", sessions::forwarding),
    ("take-over", sessions::take_over),
    ("storm", storm::reconnect),
    ("operator", operator::ten_thousand_objects),
    ("state-puts", state::puts),
    ("state-reads", state::reads),
    ("state-leader", state::loss),
    ("state-million", state::million),
    ("state-snapshot", state::snapshot),
];

fn main() {
    // Cargo says `--bench`.
    let chosen: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    for (name, part) in PARTS {
        if chosen.is_empty() || chosen.iter().any(|one| one == name) {
            part();
        }
    }
}

fn registrations() {
    eprintln!("registrations: three state nodes, one ingress node");
    let drover = Drover::start(&Options {
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    });
    let plain = format!("coap://{}", drover.endpoint("/ingress/0/coap"));
    let rounds = (0..ROUNDS).map(|round| {
        let prefix = format!("plain-{round}-");
        sim(&[
            "bench",
            "register",
            "--server",
            &plain,
            "--endpoint-prefix",
            &prefix,
            "--concurrency",
            "1000",
            "--devices",
            &PLAIN_DEVICES.to_string(),
        ])
    });
    let rounds: Vec<Value> = rounds.collect();
    figure(
        "plain-registrations",
        median(&rounds, "registrations_per_second"),
    );

    let keys = import_keys(&drover, ROUNDS * SECURED_DEVICES);
    let secured = format!("coaps://{}", drover.endpoint("/ingress/0/coaps"));
    let rounds = (0..ROUNDS).map(|round| {
        sim(&[
            "bench",
            "register",
            "--server",
            &secured,
            "--psk-file",
            &keys,
            "--concurrency",
            "500",
            "--first",
            &(round * SECURED_DEVICES).to_string(),
            "--devices",
            &SECURED_DEVICES.to_string(),
        ])
    });
    let rounds: Vec<Value> = rounds.collect();
    figure(
        "dtls-registrations",
        median(&rounds, "registrations_per_second"),
    );
}

fn reads() {
    eprintln!("reads: three state nodes, one ingress node, {AWAKE} devices over DTLS");
    let drover = Drover::start(&Options {
        devices: AWAKE,
        ..Options::default()
    });
    let api = drover.endpoint("/state/0/api");
    let devices = drover.devices().join(",");
    let read = |endpoints: &str, callers: &str, reads: &str| {
        sim(&[
            "bench",
            "read",
            "--api",
            &api,
            "--endpoint",
            endpoints,
            "--callers",
            callers,
            "--reads",
            reads,
        ])
    };
    let alone: Vec<Value> = (0..ROUNDS).map(|_| read(&devices, "1", "10000")).collect();
    figure("read-p50", median(&alone, "p50_ms"));
    figure("read-p99", median(&alone, "p99_ms"));
    let many: Vec<Value> = (0..ROUNDS).map(|_| read(&devices, "16", "40000")).collect();
    figure("reads-16", median(&many, "reads_per_second"));
    figure("reads-16-p99", median(&many, "p99_ms"));
}

/// Stores the keys of so many devices; the file of `endpoint,identity,key`.
fn import_keys(drover: &Drover, devices: usize) -> String {
    let text = (0..devices).fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "tls-{number:06},tls-{number:06},{KEY}");
        text
    });
    let keys = drover.scratch().join("keys.csv");
    std::fs::write(&keys, text).expect("the folder can be written");
    let keys = keys.to_str().expect("a temporary folder has a plain name");
    let imported = drover.run(&["credentials", "import", keys]);
    assert_eq!(imported.code, 0, "{imported:?}");
    keys.to_owned()
}

/// Runs drover-sim and gives the one line of JSON that it prints.
fn sim(arguments: &[&str]) -> Value {
    let output = Command::new(binary("drover-sim"))
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .expect("drover-sim can be started");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    let line = String::from_utf8_lossy(&output.stdout);
    eprint!("  {line}");
    serde_json::from_str(&line).expect("drover-sim prints JSON")
}

fn median(rounds: &[Value], field: &str) -> f64 {
    let values: Vec<f64> = rounds
        .iter()
        .filter_map(|round| round.get(field)?.as_f64())
        .collect();
    assert_eq!(values.len(), rounds.len(), "{field} in {rounds:?}");
    middle(values)
}

/// The median.
fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn figure(name: &str, value: f64) {
    println!("{}", json!({"figure": name, "value": value}));
}
