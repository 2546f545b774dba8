//! Two ingress nodes believe that they own the same sessions: one slept, and others went on without it.

use std::time::Duration;

use rustix::process::Signal;
use tests::{Drover, Program, kill, metric, until, until_some};

use crate::fleet::{
    Fleet, Node, SOON, all_answer, fleet, members_known, progress, registered, sessions_counted,
    three_nodes, undisturbed,
};

const DEVICES: usize = 30;
/// Datagrams, a third of which goes to the sleeper.
const ENOUGH: u64 = 60;
/// How long it may take until each device has been heard.
const ALL_HEARD: Duration = Duration::from_secs(90);
/// How long a read waits that the sleeper was asked for: longer than it sleeps, so that none is cancelled.
const PATIENCE: &str = "10m";

#[test]
fn an_owner_that_slept_repeats_no_nonce_and_is_not_heard() {
    let (drover, nodes) = three_nodes();
    let coaps: Vec<String> = nodes.iter().map(|node| node.coaps.clone()).collect();
    let fleet = fleet(&drover, "cid", DEVICES, &coaps, &["--cid", "8"]);
    registered(&fleet);
    sessions_counted(&nodes, DEVICES);
    let owned = sessions(&nodes[0]);
    assert!(owned > 0, "the sessions are spread over the nodes");

    let sleeper = drover.pid("/ingress/0/pid");
    let _asking = unanswered_reads(&drover, &fleet);
    kill(sleeper, Signal::STOP).unwrap();
    fleet.spray.set_nodes(&coaps);
    let sent = fleet.spray.sent();
    until("datagrams for the sleeper among others", ALL_HEARD, || {
        fleet.spray.sent() >= sent + ENOUGH
    });
    // A device whose every retransmission came to a sleeper would shake hands again, and rightly.
    fleet.spray.set_nodes(&coaps[1..]);
    until_some("sessions that others went on with", ALL_HEARD, || {
        let taken: u64 = nodes[1..].iter().map(take_overs).sum();
        if taken >= owned {
            Ok(())
        } else {
            Err((taken, owned))
        }
    });
    all_answer(&drover, DEVICES);

    kill(sleeper, Signal::CONT).unwrap();
    fleet.spray.set_nodes(&coaps);
    until("records of an owner that slept", SOON, || {
        fleet.spray.outdated_records() > 0
    });
    members_known(&nodes);
    all_answer(&drover, DEVICES);
    assert_eq!(fleet.spray.repeated_nonces(), 0);
    let seen = progress(&fleet.program, "progress", |_| true);
    undisturbed(&seen, DEVICES, DEVICES);
}

/// Asks every device while nothing that it sends arrives: its owner repeats the request, and one that slept does so the
/// moment it wakes up. Whatever else it would send needs the state tier, which may tell it first that others went on.
fn unanswered_reads(drover: &Drover, fleet: &Fleet) -> Vec<Program> {
    fleet.spray.set_nodes(&[]);
    let asked = fleet.spray.received() + fleet.devices as u64;
    let reads = (0..fleet.devices).map(|number| {
        let endpoint = format!("{}-{number:06}", fleet.kind);
        let mut read = drover.command(&["read", &endpoint, "/3/0/0", "--timeout", PATIENCE]);
        let log = drover.scratch().join(format!("read-{number}"));
        Program::start(&mut read, &log).unwrap()
    });
    let reads = reads.collect();
    until("requests to all devices", SOON, || {
        fleet.spray.received() >= asked
    });
    reads
}

fn sessions(node: &Node) -> u64 {
    metric(&node.admin, "drover_ingress_sessions") as u64
}

fn take_overs(node: &Node) -> u64 {
    metric(&node.admin, "drover_ingress_take_overs_total") as u64
}
