//! An ingress node is told to end while datagrams still come to it.

use rustix::process::Signal;
use tests::{kill, metric, until};

use crate::fleet::{SOON, all_answer, fleet, progress, registered, three_nodes, undisturbed};

const DEVICES: usize = 30;

#[test]
fn a_node_that_ends_hands_its_sessions_over_and_forwards() {
    let (drover, nodes) = three_nodes();
    let coaps: Vec<String> = nodes.iter().map(|node| node.coaps.clone()).collect();
    let fleet = fleet(&drover, "cid", DEVICES, &coaps, &["--cid", "8"]);
    registered(&fleet);
    let leaver = &nodes[0];
    let sessions = |admin: &str| metric(admin, "drover_ingress_sessions") as u64;
    let owned = sessions(&leaver.admin);
    assert!(owned > 0, "the sessions are spread over the nodes");

    // No load balancer notices: a third of all datagrams goes on to come to it.
    kill(drover.pid("/ingress/0/pid"), Signal::TERM).unwrap();
    until("sessions let go", SOON, || sessions(&leaver.admin) == 0);
    let forwarded = metric(&leaver.admin, "drover_ingress_datagrams_forwarded_total");
    all_answer(&drover, DEVICES);
    let taken = |admin: &str| metric(admin, "drover_ingress_take_overs_total") as u64;
    let taken: u64 = nodes[1..].iter().map(|node| taken(&node.admin)).sum();
    assert!(
        taken >= owned,
        "{taken} of {owned} sessions were handed over"
    );
    let after = metric(&leaver.admin, "drover_ingress_datagrams_forwarded_total");
    assert!(
        after > forwarded,
        "{forwarded} datagrams were forwarded, then {after}"
    );

    let seen = progress(&fleet.program, "progress", |_| true);
    undisturbed(&seen, DEVICES, DEVICES);
}
