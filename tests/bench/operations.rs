//! What is asked of devices and what they report: notifications, queued commands, large bodies.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::{Drover, Options, Program, binary, cpu_seconds, metric, until, until_some};

use super::{ROUNDS, figure, import_keys, median, sim};

/// Devices that notify, and how often each does. Together they offer more than is promised.
const TALKERS: &str = "28";
const INTERVAL: &str = "1ms";
/// Devices that wake at once.
const WAKING: &str = "10000";
/// Sleeping devices with commands, in programs of this many devices: each has a socket.
const ASLEEP: usize = 100_000;
const PROGRAMS: usize = 6;
/// How long nodes are left alone before they are watched, and how long they are watched.
const SETTLING: Duration = Duration::from_secs(60);
const WATCHED: Duration = Duration::from_secs(30);
const LIMIT: Duration = Duration::from_secs(600);
/// Devices that take a package at once, and its size.
const UPGRADED: usize = 100;
const PACKAGE: usize = 1_000_000;

pub(crate) fn notifications() {
    eprintln!("notifications: {TALKERS} devices, each every {INTERVAL}");
    let drover = plain(Vec::new());
    let (server, api) = addresses(&drover);
    let rounds = (0..ROUNDS).map(|round| {
        let prefix = format!("talker-{round}-");
        let fleet = ["--endpoint-prefix", &prefix, "--devices", TALKERS];
        let to = ["bench", "notify", "--server", &server, "--api", &api];
        sim(&[&to[..], &fleet[..], &["--interval", INTERVAL]].concat())
    });
    let rounds: Vec<Value> = rounds.collect();
    figure("notifications", median(&rounds, "notifications_per_second"));
}

pub(crate) fn wake() {
    eprintln!("wake: {WAKING} devices with 10 commands each");
    // Long enough to get all of it to all of them: who gets nothing for so long has fallen asleep, and the rest waits.
    let drover = sleepers("60");
    let (server, api) = addresses(&drover);
    let rounds = (0..3).map(|round| {
        let prefix = format!("waking-{round}-");
        let fleet = ["--endpoint-prefix", &prefix, "--devices", WAKING];
        let to = ["bench", "commands", "--server", &server, "--api", &api];
        sim(&[&to[..], &fleet[..], &["--asleep", "65s"]].concat())
    });
    let rounds: Vec<Value> = rounds.collect();
    figure("commands-accepted", median(&rounds, "accepted_per_second"));
    figure(
        "commands-delivered",
        median(&rounds, "delivered_per_second"),
    );
}

/// What the processors do while commands wait for devices that sleep.
pub(crate) fn million() {
    eprintln!("queue: 1,000,000 commands for {ASLEEP} devices");
    let drover = sleepers("2");
    let share = ASLEEP / PROGRAMS + 1;
    let fleets: Vec<Program> = (0..PROGRAMS)
        .map(|place| queueing(&drover, place, share))
        .collect();
    let admin = drover.endpoint("/ingress/0/admin");
    until_some("all registered", LIMIT, || {
        let devices = metric(&admin, "drover_ingress_devices") as usize;
        if devices == share * PROGRAMS {
            Ok(())
        } else {
            Err(devices)
        }
    });
    let idle = watch(&drover);
    until_some("all commands", LIMIT, || {
        let accepted = |fleet: &&Program| fleet.output().contains("accepted");
        let done = fleets.iter().filter(accepted).count();
        if done == PROGRAMS { Ok(()) } else { Err(done) }
    });
    let queued = watch(&drover);
    eprintln!("  idle {idle:.1} %, with the queue {queued:.1} % of a processor");
    figure("queue-idle-cpu", idle);
    figure("queue-growth-cpu", queued - idle);
}

/// Devices that fall asleep, for which commands are queued long after all have registered.
fn queueing(drover: &Drover, place: usize, devices: usize) -> Program {
    let (server, api) = addresses(drover);
    let mut command = Command::new(binary("drover-sim"));
    command.args(["bench", "commands", "--server", &server, "--api", &api]);
    command.args(["--endpoint-prefix", &format!("asleep-{place}-")]);
    command.args(["--devices", &devices.to_string(), "--lifetime", "86400"]);
    command.args(["--asleep", "120s", "--stay", "--timeout", "300s"]);
    command.args(["--concurrency", "64"]);
    let log = drover.scratch().join(format!("asleep-{place}"));
    Program::start(&mut command, &log).expect("drover-sim can be started")
}

/// How much of one processor all nodes take, in per cent.
fn watch(drover: &Drover) -> f64 {
    let nodes = [
        "/state/0/pid",
        "/state/1/pid",
        "/state/2/pid",
        "/ingress/0/pid",
    ];
    let used = || -> f64 {
        let seconds = |node| cpu_seconds(drover.pid(node)).expect("the node runs");
        nodes.into_iter().map(seconds).sum()
    };
    // What was just written is flushed and compacted first.
    pause(SETTLING);
    let before = used();
    pause(WATCHED);
    (used() - before) / WATCHED.as_secs_f64() * 100.0
}

/// A package to many devices at once, and what becomes of registrations meanwhile.
pub(crate) fn package() {
    eprintln!("package: {PACKAGE} bytes to {UPGRADED} devices");
    let drover = plain(Vec::new());
    let (server, api) = addresses(&drover);
    let register = |prefix: &str| {
        let fleet = ["--endpoint-prefix", prefix, "--devices", "2000"];
        let to = ["bench", "register", "--server", &server];
        sim(&[&to[..], &fleet[..], &["--concurrency", "8"]].concat())
    };
    let alone = register("alone-");
    let mut upload = Command::new(binary("drover-sim"));
    upload.args(["bench", "commands", "--server", &server, "--api", &api]);
    let (devices, bytes) = (UPGRADED.to_string(), PACKAGE.to_string());
    upload.args(["--endpoint-prefix", "upgraded-", "--devices", &devices]);
    upload.args(["--commands", "1", "--bytes", &bytes, "--timeout", "300s"]);
    upload.args(["--concurrency", "8"]);
    let log = drover.scratch().join("upload");
    let mut upload = Program::start(&mut upload, &log).expect("drover-sim can be started");
    let (mut meanwhile, mut round) = (Vec::new(), 0);
    while upload.is_running() {
        meanwhile.push(register(&format!("meanwhile-{round}-")));
        round += 1;
    }
    let printed = upload.output();
    let line = printed.lines().find(|line| line.starts_with('{'));
    let uploaded = line.and_then(|line| serde_json::from_str::<Value>(line).ok());
    let uploaded = uploaded.unwrap_or_else(|| panic!("no result: {printed}"));
    eprintln!("  {uploaded}");
    assert_eq!(uploaded["delivered"], uploaded["accepted"], "{uploaded}");
    figure("package-seconds", median(&[uploaded], "delivering_seconds"));
    figure("registration-p99-alone", median(&[alone], "p99_ms"));
    figure("registration-p99-package", median(&meanwhile, "p99_ms"));
}

fn pause(time: Duration) {
    let begun = Instant::now();
    until("a pause", time * 2, || begun.elapsed() >= time);
}

/// From the call that has a package written to the last block of the last device, the commits of it included.
pub(crate) fn transfer() {
    eprintln!("transfer: {PACKAGE} bytes to {UPGRADED} devices over DTLS");
    let drover = Drover::start(&Options::default());
    let keys = import_keys(&drover, UPGRADED);
    let server = format!("coaps://{}", drover.endpoint("/ingress/0/coaps"));
    let api = drover.endpoint("/state/0/api");
    let (devices, bytes) = (UPGRADED.to_string(), PACKAGE.to_string());
    let rounds = (0..ROUNDS).map(|_| {
        let to = ["bench", "commands", "--server", &server, "--api", &api];
        let fleet = ["--psk-file", &keys, "--devices", &devices];
        let what = ["--commands", "1", "--bytes", &bytes, "--concurrency", "8"];
        sim(&[&to[..], &fleet[..], &what[..]].concat())
    });
    let rounds: Vec<Value> = rounds.collect();
    let seconds = median(&rounds, "delivering_seconds");
    figure("transfer-dtls", (UPGRADED * PACKAGE) as f64 / seconds);
}

fn plain(environment: Vec<(&'static str, String)>) -> Drover {
    Drover::start(&Options {
        flags: vec!["--coap".to_owned()],
        environment,
        ..Options::default()
    })
}

/// A cluster whose devices in queue mode are taken to be asleep so many seconds after their last message.
fn sleepers(window: &str) -> Drover {
    plain(vec![
        ("DROVER_INGRESS__AWAKE_WINDOW_SECONDS", window.to_owned()),
        ("DROVER_STATE__AWAKE_WINDOW", format!("{window}s")),
    ])
}

/// The server URL of devices, and the address of the API.
fn addresses(drover: &Drover) -> (String, String) {
    let server = format!("coap://{}", drover.endpoint("/ingress/0/coap"));
    (server, drover.endpoint("/state/0/api"))
}
