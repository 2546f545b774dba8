//! An ingress node dies: its devices go on at another one with the sessions that they have.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tests::{
    Drover, Options, Program, binary, free_address, kill, metric, until_some, wait_until_ready,
};

const DEVICES: usize = 20;
const KEY: &str = "000102030405060708090a0b0c0d0e0f";
const SOON: Duration = Duration::from_secs(60);

#[test]
fn killed_ingress_node_costs_no_handshake() {
    let drover = Drover::start(&Options::default());
    let fleet = fleet(&drover);
    progress(&fleet, "all registered", |seen| {
        seen["registered"] == DEVICES
    });

    let mut observe = drover.command(&["observe", "roamer-00", "/3303/0/5700", "-o", "json"]);
    let observer = Program::start(&mut observe, &drover.scratch().join("observe")).unwrap();
    more_values(&observer);

    kill(drover.pid("/ingress/0/pid"), Signal::KILL).unwrap();
    // Devices know one address: another node serves it now, with more than one worker.
    let (_successor, admin) = ingress(&drover, &drover.endpoint("/ingress/0/coaps"));
    until_some("all sessions at the new node", SOON, || {
        let taken = metric(&admin, "drover_ingress_take_overs_total") as usize;
        if taken >= DEVICES {
            Ok(())
        } else {
            Err((taken, fleet.output()))
        }
    });
    for number in 0..DEVICES {
        let device = format!("roamer-{number:02}");
        until_some("a read by way of the new node", SOON, || {
            let answer = drover.run(&["read", &device, "/3/0/0"]);
            if answer.code == 0 {
                Ok(())
            } else {
                Err(answer)
            }
        });
    }
    more_values(&observer);
    assert!(metric(&admin, "drover_ingress_handshakes_total").abs() < f64::EPSILON);
    let seen = progress(&fleet, "updates of all", |seen| {
        seen["updates"]
            .as_u64()
            .is_some_and(|updates| updates >= DEVICES as u64)
    });
    assert_eq!(seen["handshakes"], DEVICES, "{seen}");
    assert_eq!(seen["sessions_lost"], 0, "{seen}");
    assert_eq!(seen["registrations"], DEVICES, "{seen}");
}

/// Waits until a watched temperature has moved twice from now on.
fn more_values(observer: &Program) {
    let values = || observer.output().matches("\"value\"").count();
    let before = values();
    until_some("two more values", SOON, || {
        if values() >= before + 2 {
            Ok(())
        } else {
            Err(observer.output())
        }
    });
}

/// Devices that update their registrations every few seconds.
fn fleet(drover: &Drover) -> Program {
    let keys = drover.scratch().join("keys.csv");
    let lines = (0..DEVICES).fold(String::new(), |mut text, number| {
        writeln!(text, "roamer-{number:02},roamer-{number:02},{KEY}").unwrap();
        text
    });
    std::fs::write(&keys, lines).unwrap();
    let keys = keys.to_str().unwrap();
    let imported = drover.run(&["credentials", "import", keys]);
    assert_eq!(imported.code, 0, "{imported:?}");
    let server = format!("coaps://{}", drover.endpoint("/ingress/0/coaps"));
    let mut command = Command::new(binary("drover-sim"));
    command.args([
        "run",
        "--server",
        &server,
        "--psk-file",
        keys,
        "--lifetime",
        "20",
    ]);
    command.args(["--temperature-interval", "1s"]);
    command.args(["--output", "json", "--progress", "500ms"]);
    Program::start(&mut command, &drover.scratch().join("fleet")).unwrap()
}

/// Another ingress node at `coaps`, and its admin address.
fn ingress(drover: &Drover, coaps: &str) -> (Program, String) {
    let admin = free_address();
    let mut command = Command::new(binary("drover-ingress"));
    command.args([
        "--coaps-listen",
        coaps,
        "--admin-listen",
        &admin,
        "--workers",
        "3",
    ]);
    command.args(["--state", &drover.endpoint("/state/0/internal")]);
    let mut program = Program::start(&mut command, &drover.scratch().join("successor")).unwrap();
    wait_until_ready(&mut program, &admin);
    (program, admin)
}

/// Waits for a line of the fleet's progress that is as it should be.
fn progress(fleet: &Program, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    until_some(what, SOON, || {
        let output = fleet.output();
        let last = output
            .lines()
            .rev()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| line["event"] == "progress");
        last.filter(|seen| wanted(seen)).ok_or(output)
    })
}
