//! What watchers of all events cost those who write.

use std::process::Command;
use std::time::Duration;

use tests::{Drover, Options, Program, binary, cpu_seconds, metric, until};

use crate::{figure, middle, sim};

const WATCHERS: usize = 10;
const DEVICES: usize = 5_000;
const ROUNDS: usize = 5;
const LIMIT: Duration = Duration::from_secs(60);

/// On a machine that is busy, what the nodes compute for watchers is taken from writes. What the watchers compute themselves
/// happens elsewhere.
pub(crate) fn cost() {
    eprintln!("watchers: registrations with and without {WATCHERS} watchers of one state node");
    let drover = Drover::start(&Options {
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    });
    let rounds = (0..ROUNDS).map(|round| {
        let alone = seconds_to_register(&drover, &format!("alone-{round}-"));
        let _watchers = watchers(&drover, round);
        let watched = seconds_to_register(&drover, &format!("watched-{round}-"));
        eprintln!("  {alone:.2} s of CPU alone, {watched:.2} s watched");
        (watched / alone - 1.0) * 100.0
    });
    figure("watchers-cost", middle(rounds.collect()));
}

fn watchers(drover: &Drover, round: usize) -> Vec<Program> {
    let admin = drover.endpoint("/state/0/admin");
    let api = drover.endpoint("/state/0/api");
    let watching = || metric(&admin, "drover_state_watchers") as usize;
    until("no watcher of before", LIMIT, || watching() == 0);
    let watcher = |number| {
        let mut command = Command::new(binary("drover"));
        command.args(["watch", "--api", &api]);
        let log = drover.scratch().join(format!("watch-{round}-{number}"));
        Program::start(&mut command, &log).expect("drover can be started")
    };
    let watchers = (0..WATCHERS).map(watcher).collect();
    until("all watchers", LIMIT, || watching() == WATCHERS);
    watchers
}

/// What the nodes compute while devices register, until those who watch know.
fn seconds_to_register(drover: &Drover, prefix: &str) -> f64 {
    let admin = drover.endpoint("/state/0/admin");
    let sent = || metric(&admin, "drover_state_watch_events_sent_total") as usize;
    let watchers = metric(&admin, "drover_state_watchers") as usize;
    let due = sent() + watchers * DEVICES;
    let pids = [
        "/state/0/pid",
        "/state/1/pid",
        "/state/2/pid",
        "/ingress/0/pid",
    ];
    let pids = pids.map(|pointer| drover.pid(pointer));
    let spent = || -> f64 {
        let seconds = pids.map(|pid| cpu_seconds(pid).expect("the node runs"));
        seconds.iter().sum()
    };
    let before = spent();
    sim(&[
        "bench",
        "register",
        "--server",
        &format!("coap://{}", drover.endpoint("/ingress/0/coap")),
        "--endpoint-prefix",
        prefix,
        "--concurrency",
        "200",
        "--devices",
        &DEVICES.to_string(),
    ]);
    until("all events sent", LIMIT, || sent() >= due);
    spent() - before
}
