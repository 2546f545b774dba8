//! Every datagram of every device goes to another ingress node, and nobody notices.

use serde_json::Value;
use tests::{Drover, Program, metric};

use crate::fleet::{
    Fleet, Node, ask, fleet, more_values, progress, registered, three_nodes, undisturbed,
};

/// Devices that every read and write goes to, one of each kind at a time.
const ROUNDS: usize = 12;

#[test]
fn datagrams_sprayed_over_three_nodes_find_their_owner() {
    let (drover, nodes) = three_nodes();
    let coaps: Vec<String> = nodes.iter().map(|node| node.coaps.clone()).collect();
    let coap: Vec<String> = nodes.iter().map(|node| node.coap.clone()).collect();
    let fleets = [
        fleet(&drover, "cid", 80, &coaps, &["--cid", "8"]),
        fleet(&drover, "bare", 60, &coaps, &["--cid", "none"]),
        fleet(&drover, "plain", 60, &coap, &[]),
    ];
    for fleet in &fleets {
        registered(fleet);
    }

    let watchers: Vec<Program> = fleets.iter().map(|fleet| watch(&drover, fleet)).collect();
    for round in 0..ROUNDS {
        for fleet in &fleets {
            let device = format!("{}-{round:06}", fleet.kind);
            ask(&drover, &["read", &device, "/3/0/0"]);
            // Longer than a block (RFC 7959), each of which takes a path of its own.
            let text = format!("{round:02}").repeat(750);
            ask(&drover, &["write", &device, "/3/0/15", &text]);
            let read = drover.json(&["read", &device, "/3/0/15"]);
            assert!(read.to_string().contains(&text), "{device}: {read}");
        }
        if round % 5 == 4 {
            move_all(&fleets[0]);
        }
    }
    for watcher in &watchers {
        more_values(watcher);
    }

    for fleet in &fleets {
        let handshakes = if fleet.kind == "plain" {
            0
        } else {
            fleet.devices
        };
        let seen = progress(&fleet.program, "updates of all", |seen| {
            let updates = seen["updates"].as_u64();
            updates.is_some_and(|updates| updates >= fleet.devices as u64)
        });
        undisturbed(&seen, fleet.devices, handshakes);
        let Fleet { spray, kind, .. } = fleet;
        assert!(
            spray.sent() > 0 && spray.received() > 0,
            "{kind}: {spray:?}"
        );
        if *kind != "cid" {
            assert_eq!(
                spray.refused(),
                0,
                "{kind}: answered by a node that was not asked"
            );
        }
    }
    assert_eq!(total(&nodes, "drover_ingress_handshakes_total"), 140);
    assert_eq!(total(&nodes, "drover_ingress_handshakes_failed_total"), 0);
    assert_eq!(total(&nodes, "drover_ingress_take_overs_total"), 0);
    assert!(total(&nodes, "drover_ingress_datagrams_forwarded_total") > 1000);
}

/// Gives all devices new ports, and waits until each has sent something from it. Only a Connection ID survives that.
fn move_all(fleet: &Fleet) {
    let updates = |seen: &Value| seen["updates"].as_u64().unwrap_or_default();
    let before = updates(&progress(&fleet.program, "progress", |_| true));
    fleet.spray.rebind();
    // Each updates its registration as often as the others.
    progress(&fleet.program, "updates from new ports", |seen| {
        updates(seen) >= before + 3 * fleet.devices as u64
    });
}

fn total(nodes: &[Node], name: &str) -> u64 {
    nodes
        .iter()
        .map(|node| metric(&node.admin, name) as u64)
        .sum()
}

/// Follows a temperature.
fn watch(drover: &Drover, fleet: &Fleet) -> Program {
    let device = format!("{}-{:06}", fleet.kind, fleet.devices - 1);
    let mut observe = drover.command(&["observe", &device, "/3303/0/5700", "-o", "json"]);
    let log = drover.scratch().join(format!("observe-{}", fleet.kind));
    Program::start(&mut observe, &log).unwrap()
}
