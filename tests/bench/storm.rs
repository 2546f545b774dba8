//! A whole fleet that comes back at once, and what its devices cost a node afterwards.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::{Drover, Options, Program, binary, metric, resident_bytes, until_some};

use super::{figure, import_keys};

const DEVICES: usize = 100_000;
/// Each device has a socket, and the limit of open files is often 20,000.
const PROGRAMS: usize = 6;
const LIMIT: Duration = Duration::from_secs(300);

pub(crate) fn reconnect() {
    eprintln!("storm: {DEVICES} devices over DTLS come at once");
    let drover = Drover::start(&Options::default());
    let keys = import_keys(&drover, DEVICES);
    let pid = drover.pid("/ingress/0/pid");
    let before = resident_bytes(pid).expect("the node runs");
    let share = DEVICES / PROGRAMS;
    let begun = Instant::now();
    let fleets: Vec<Program> = (0..PROGRAMS)
        .map(|place| {
            let first = place * share;
            let devices = if place + 1 == PROGRAMS {
                DEVICES - first
            } else {
                share
            };
            fleet(&drover, &keys, first, devices)
        })
        .collect();
    // Counted by the node, once a second: reading what the devices print would take their processors' time.
    let admin = drover.endpoint("/ingress/0/admin");
    until_some("all registered", LIMIT, || {
        let devices = metric(&admin, "drover_ingress_devices");
        if devices as usize == DEVICES {
            Ok(())
        } else {
            Err(devices)
        }
    });
    let seconds = begun.elapsed().as_secs_f64();
    let count = |what| fleets.iter().map(|fleet| last(fleet, what)).sum::<u64>();
    let after = resident_bytes(pid).expect("the node runs");
    eprintln!(
        "  {seconds:.1} s, {} handshakes, {} of them failed, {} registrations refused, {} MB",
        count("handshakes"),
        count("handshake_failures"),
        count("registration_failures"),
        (after - before) / 1_000_000,
    );
    figure("storm-registrations", DEVICES as f64 / seconds);
    figure(
        "ingress-idle-device",
        (after - before) as f64 / DEVICES as f64,
    );
}

/// Devices that all start at once and then stay idle.
fn fleet(drover: &Drover, keys: &str, first: usize, devices: usize) -> Program {
    let mut command = Command::new(binary("drover-sim"));
    let server = format!("coaps://{}", drover.endpoint("/ingress/0/coaps"));
    command.args([
        "run",
        "--server",
        &server,
        "--psk-file",
        keys,
        "--rate",
        "0",
    ]);
    command.args([
        "--first",
        &first.to_string(),
        "--devices",
        &devices.to_string(),
    ]);
    command.args(["--lifetime", "86400", "--temperature-interval", "0s"]);
    command.args(["--output", "json", "--progress", "1s"]);
    let log = drover.scratch().join(format!("fleet-{first}"));
    Program::start(&mut command, &log).expect("drover-sim can be started")
}

/// A count in the last line of a fleet's progress.
fn last(fleet: &Program, what: &str) -> u64 {
    let output = fleet.output();
    let lines = output.lines().rev();
    let mut progress = lines
        .filter(|line| line.contains("\"progress\""))
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    progress
        .next()
        .and_then(|line| line.get(what)?.as_u64())
        .unwrap_or_default()
}
