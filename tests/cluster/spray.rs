//! Every datagram of every device goes to another ingress node, and nobody notices.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tests::{Drover, Options, Program, Spray, binary, metric, until_some};

const KEY: &str = "000102030405060708090a0b0c0d0e0f";
const SOON: Duration = Duration::from_secs(90);
/// Devices that every read and write goes to, one of each kind at a time.
const ROUNDS: usize = 12;

/// Devices of one kind, and the network that they are behind.
pub(crate) struct Fleet {
    pub(crate) kind: &'static str,
    pub(crate) devices: usize,
    pub(crate) program: Program,
    pub(crate) spray: Spray,
}

/// Where an ingress node listens.
pub(crate) struct Node {
    pub(crate) admin: String,
    pub(crate) coaps: String,
    pub(crate) coap: String,
}

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
        let seen = progress(fleet, "updates of all", |seen| {
            let updates = seen["updates"].as_u64();
            updates.is_some_and(|updates| updates >= fleet.devices as u64)
        });
        assert_eq!(seen["handshakes"], handshakes, "{}: {seen}", fleet.kind);
        assert_eq!(seen["sessions_lost"], 0, "{}: {seen}", fleet.kind);
        assert_eq!(
            seen["registrations"], fleet.devices,
            "{}: {seen}",
            fleet.kind
        );
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
    let before = updates(&progress(fleet, "progress", |_| true));
    fleet.spray.rebind();
    // Each updates its registration as often as the others.
    progress(fleet, "updates from new ports", |seen| {
        updates(seen) >= before + 3 * fleet.devices as u64
    });
}

pub(crate) fn total(nodes: &[Node], name: &str) -> u64 {
    nodes
        .iter()
        .map(|node| metric(&node.admin, name) as u64)
        .sum()
}

fn ask(drover: &Drover, arguments: &[&str]) {
    let answer = drover.run(arguments);
    assert_eq!(answer.code, 0, "{answer:?}");
}

/// A cluster of three ingress nodes of two workers each.
pub(crate) fn three_nodes() -> (Drover, Vec<Node>) {
    let drover = Drover::start(&Options {
        ingress_nodes: 3,
        ingress_workers: 2,
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    });
    let nodes: Vec<Node> = (0..3)
        .map(|index| {
            let at = |what: &str| drover.endpoint(&format!("/ingress/{index}/{what}"));
            Node {
                admin: at("admin"),
                coaps: at("coaps"),
                coap: at("coap"),
            }
        })
        .collect();
    members_known(&nodes);
    (drover, nodes)
}

/// Waits until every node knows of all.
pub(crate) fn members_known(nodes: &[Node]) {
    for node in nodes {
        until_some("all members", SOON, || {
            let members = metric(&node.admin, "drover_ingress_members");
            if members as usize == nodes.len() {
                Ok(())
            } else {
                Err(members)
            }
        });
    }
}

pub(crate) fn fleet(
    drover: &Drover,
    kind: &'static str,
    devices: usize,
    nodes: &[String],
    flags: &[&str],
) -> Fleet {
    let spray = Spray::start(nodes, 0x5eed);
    let keys = drover.scratch().join(format!("{kind}.csv"));
    let lines = (0..devices).fold(String::new(), |mut text, number| {
        writeln!(text, "{kind}-{number:06},{kind}-{number:06},{KEY}").unwrap();
        text
    });
    std::fs::write(&keys, lines).unwrap();
    let keys = keys.to_str().unwrap();
    let mut command = Command::new(binary("drover-sim"));
    command.arg("run");
    if kind == "plain" {
        command.args(["--server", &format!("coap://{}", spray.address())]);
        command.args(["--devices", &devices.to_string()]);
        command.args(["--endpoint-prefix", "plain-"]);
    } else {
        ask(drover, &["credentials", "import", keys]);
        command.args(["--server", &format!("coaps://{}", spray.address())]);
        command.args(["--psk-file", keys]);
    }
    command.args(flags);
    command.args(["--lifetime", "20", "--temperature-interval", "1s"]);
    command.args(["--output", "json", "--progress", "500ms"]);
    let log = drover.scratch().join(format!("fleet-{kind}"));
    let program = Program::start(&mut command, &log).unwrap();
    Fleet {
        kind,
        devices,
        program,
        spray,
    }
}

pub(crate) fn registered(fleet: &Fleet) {
    progress(fleet, "all registered", |seen| {
        seen["registered"] == fleet.devices
    });
}

/// Follows a temperature.
fn watch(drover: &Drover, fleet: &Fleet) -> Program {
    let device = format!("{}-{:06}", fleet.kind, fleet.devices - 1);
    let mut observe = drover.command(&["observe", &device, "/3303/0/5700", "-o", "json"]);
    let log = drover.scratch().join(format!("observe-{}", fleet.kind));
    Program::start(&mut observe, &log).unwrap()
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

/// Waits for a line of the fleet's progress that is as it should be.
pub(crate) fn progress(fleet: &Fleet, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    until_some(what, SOON, || {
        let output = fleet.program.output();
        let last = output
            .lines()
            .rev()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| line["event"] == "progress");
        last.filter(|seen| wanted(seen)).ok_or(output)
    })
}
