//! An ingress node dies: its devices go on at another one with the sessions that they have.

use std::fmt::Write as _;
use std::process::Command;

use rustix::process::Signal;
use tests::{Drover, Options, Program, binary, free_address, kill, metric, until_some};

use crate::fleet::{SOON, answer, ingress, more_values, progress, undisturbed};

const DEVICES: usize = 20;
const KEY: &str = "000102030405060708090a0b0c0d0e0f";

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
    let (coaps, admin) = (drover.endpoint("/ingress/0/coaps"), free_address());
    let _successor = ingress(&drover, &coaps, &admin, &["--workers", "3"], "successor");
    until_some("all sessions at the new node", SOON, || {
        let taken = metric(&admin, "drover_ingress_take_overs_total") as usize;
        if taken >= DEVICES {
            Ok(())
        } else {
            Err((taken, fleet.output()))
        }
    });
    for number in 0..DEVICES {
        answer(&drover, &["read", &format!("roamer-{number:02}"), "/3/0/0"]);
    }
    more_values(&observer);
    assert!(metric(&admin, "drover_ingress_handshakes_total").abs() < f64::EPSILON);
    let seen = progress(&fleet, "updates of all", |seen| {
        seen["updates"]
            .as_u64()
            .is_some_and(|updates| updates >= DEVICES as u64)
    });
    undisturbed(&seen, DEVICES, DEVICES);
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
