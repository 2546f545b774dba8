//! An ingress node dies: its devices go on at another one with the sessions that they have.

use rustix::process::Signal;
use tests::{Drover, Options, Program, free_address, kill, metric, until_some};

use crate::fleet::{SOON, answer, more_values, progress, roamers, undisturbed};

const DEVICES: usize = 20;

#[test]
fn killed_ingress_node_costs_no_handshake() {
    let drover = Drover::start(&Options::default());
    let server = drover.endpoint("/ingress/0/coaps");
    let fleet = roamers(&drover, "roamer", DEVICES, &server);
    progress(&fleet, "all registered", |seen| {
        seen["registered"] == DEVICES
    });

    let mut observe = drover.command(&["observe", "roamer-000000", "/3303/0/5700", "-o", "json"]);
    let observer = Program::start(&mut observe, &drover.scratch().join("observe")).unwrap();
    more_values(&observer);

    kill(drover.pid("/ingress/0/pid"), Signal::KILL).unwrap();
    // Devices know one address: another node serves it now, with more than one worker.
    let (coaps, admin) = (drover.endpoint("/ingress/0/coaps"), free_address());
    let _successor = drover.start_ingress(&coaps, &admin, &["--workers", "3"], "successor");
    until_some("all sessions at the new node", SOON, || {
        let taken = metric(&admin, "drover_ingress_take_overs_total") as usize;
        if taken >= DEVICES {
            Ok(())
        } else {
            Err((taken, fleet.output()))
        }
    });
    for number in 0..DEVICES {
        answer(&drover, &["read", &format!("roamer-{number:06}"), "/3/0/0"]);
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
