//! Two ingress nodes believe that they own the same sessions: one slept, and others went on without it.

use std::time::Duration;

use rustix::process::Signal;
use tests::{Drover, kill, metric, until, until_some};

use crate::spray::{Fleet, Node, fleet, members_known, progress, registered, three_nodes};

const DEVICES: usize = 30;
const SOON: Duration = Duration::from_secs(90);

#[test]
fn an_owner_that_slept_repeats_no_nonce_and_is_not_heard() {
    let (drover, nodes) = three_nodes();
    let coaps: Vec<String> = nodes.iter().map(|node| node.coaps.clone()).collect();
    let fleet = fleet(&drover, "cid", DEVICES, &coaps, &["--cid", "8"]);
    registered(&fleet);
    let owned = sessions(&nodes[0]);
    assert!(owned > 0, "the sessions are spread over the nodes");

    let sleeper = drover.pid("/ingress/0/pid");
    kill(sleeper, Signal::STOP).unwrap();
    // What is sent to it now waits in its socket, and is the first that it answers when it wakes up.
    until_some("sessions that others went on with", SOON, || {
        let taken: u64 = nodes[1..].iter().map(take_overs).sum();
        if taken >= owned {
            Ok(())
        } else {
            Err((taken, owned))
        }
    });
    all_answer(&drover);

    kill(sleeper, Signal::CONT).unwrap();
    until("records of an owner that slept", SOON, || {
        fleet.spray.outdated_records() > 0
    });
    members_known(&nodes);
    all_answer(&drover);
    no_harm_done(&fleet);
}

fn sessions(node: &Node) -> u64 {
    metric(&node.admin, "drover_ingress_sessions") as u64
}

fn take_overs(node: &Node) -> u64 {
    metric(&node.admin, "drover_ingress_take_overs_total") as u64
}

fn all_answer(drover: &Drover) {
    for number in 0..DEVICES {
        let device = format!("cid-{number:06}");
        until_some("an answer", SOON, || {
            let answer = drover.run(&["read", &device, "/3/0/0"]);
            if answer.code == 0 {
                Ok(())
            } else {
                Err(answer)
            }
        });
    }
}

fn no_harm_done(fleet: &Fleet) {
    assert_eq!(fleet.spray.repeated_nonces(), 0);
    let seen = progress(fleet, "progress", |_| true);
    assert_eq!(seen["handshakes"], DEVICES, "{seen}");
    assert_eq!(seen["sessions_lost"], 0, "{seen}");
    assert_eq!(seen["registrations"], DEVICES, "{seen}");
}
