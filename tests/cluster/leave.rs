//! An ingress node is told to end while datagrams still come to it.

use std::process::Command;

use rustix::process::Signal;
use tests::{Drover, Program, Spray, binary, kill, metric, until};

use crate::fleet::{
    Node, SOON, all_answer, answer, ask, fleet, progress, registered, sessions_counted,
    three_nodes, undisturbed,
};

const DEVICES: usize = 30;
/// Devices with OSCORE.
const PROTECTED: usize = 12;

#[test]
fn a_node_that_ends_hands_its_sessions_over_and_forwards() {
    let (drover, nodes) = three_nodes();
    let coaps: Vec<String> = nodes.iter().map(|node| node.coaps.clone()).collect();
    let fleet = fleet(&drover, "cid", DEVICES, &coaps, &["--cid", "8"]);
    registered(&fleet);
    let leaver = &nodes[0];
    let sessions = |admin: &str| metric(admin, "drover_ingress_sessions") as u64;
    sessions_counted(&nodes, DEVICES);
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

#[test]
fn a_node_that_ends_hands_over_what_its_contexts_have_accepted() {
    let (drover, nodes) = three_nodes();
    let coap: Vec<String> = nodes.iter().map(|node| node.coap.clone()).collect();
    let spray = Spray::start(&coap, 0x05c0);
    let fleet = protected_fleet(&drover, &spray);
    progress(&fleet, "all registered", |seen| {
        seen["registered"] == PROTECTED
    });
    let contexts = |node: &Node| metric(&node.admin, "drover_ingress_contexts") as usize;
    until("a context each", SOON, || {
        nodes.iter().map(contexts).sum::<usize>() == PROTECTED
    });
    // Chance has spread them: a given node may have none, that with the most has a third.
    let index = (0..nodes.len()).max_by_key(|&index| contexts(&nodes[index]));
    let index = index.unwrap();
    let mut rest = nodes;
    let leaver = &rest.remove(index);
    let before: usize = rest.iter().map(challenges).sum();

    kill(drover.pid(&format!("/ingress/{index}/pid")), Signal::TERM).unwrap();
    until("contexts let go", SOON, || contexts(leaver) == 0);
    // The next Update of each device brings it over.
    until("a context each at the others", SOON, || {
        rest.iter().map(contexts).sum::<usize>() == PROTECTED
    });
    for number in 0..PROTECTED {
        answer(&drover, &["read", &format!("osc-{number:02}"), "/3/0/0"]);
    }
    let after: usize = rest.iter().map(challenges).sum();
    assert_eq!(after, before, "requests were challenged");
    let seen = progress(&fleet, "progress", |_| true);
    assert_eq!(seen["registrations"], PROTECTED, "{seen}");
}

/// Requests that a node has challenged.
fn challenges(node: &Node) -> usize {
    let of_worker = |worker| {
        let labels = format!("{{worker=\"{worker}\",layer=\"oscore\",reason=\"challenged\"");
        metric(&node.admin, &format!("drover_ingress_dropped{labels}")) as usize
    };
    of_worker(0) + of_worker(1)
}

fn protected_fleet(drover: &Drover, spray: &Spray) -> Program {
    let secret = "101112131415161718191a1b1c1d1e1f";
    let mut lines = String::new();
    for number in 0..PROTECTED {
        let (endpoint, id) = (format!("osc-{number:02}"), format!("{:02x}", number + 1));
        ask(
            drover,
            &[
                "credentials",
                "add",
                "--endpoint",
                &endpoint,
                "--oscore-client-id",
                &id,
                "--oscore-server-id",
                "00",
                "--oscore-master-secret",
                secret,
            ],
        );
        lines += &format!("{endpoint},{id},00,{secret}\n");
    }
    let file = drover.scratch().join("contexts.csv");
    std::fs::write(&file, lines).unwrap();
    let mut command = Command::new(binary("drover-sim"));
    command.args(["run", "--server", &format!("coap://{}", spray.address())]);
    command.arg("--oscore-file").arg(&file);
    command.args([
        "--lifetime",
        "20",
        "--output",
        "json",
        "--progress",
        "500ms",
    ]);
    Program::start(&mut command, &drover.scratch().join("fleet")).unwrap()
}
