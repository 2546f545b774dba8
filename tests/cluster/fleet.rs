//! Fleets behind the worst network, and the ingress nodes that they talk to.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tests::{Drover, Options, Program, Spray, binary, metric, until_some, wait_for_members};

pub(crate) const KEY: &str = "000102030405060708090a0b0c0d0e0f";
/// How long anything may take.
pub(crate) const SOON: Duration = Duration::from_secs(60);

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

pub(crate) fn ask(drover: &Drover, arguments: &[&str]) {
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
    let nodes: Vec<Node> = (0..3).map(|index| node(&drover, index)).collect();
    (drover, nodes)
}

/// An ingress node of a cluster that serves CoAP without security, too.
pub(crate) fn node(drover: &Drover, index: usize) -> Node {
    let at = |what: &str| drover.endpoint(&format!("/ingress/{index}/{what}"));
    Node {
        admin: at("admin"),
        coaps: at("coaps"),
        coap: at("coap"),
    }
}

/// Waits until every node knows of all.
pub(crate) fn members_known(nodes: &[Node]) {
    let admins: Vec<&str> = nodes.iter().map(|node| node.admin.as_str()).collect();
    wait_for_members(&admins);
}

pub(crate) fn fleet(
    drover: &Drover,
    kind: &'static str,
    devices: usize,
    nodes: &[String],
    flags: &[&str],
) -> Fleet {
    let spray = Spray::start(nodes, 0x5eed);
    let mut command = Command::new(binary("drover-sim"));
    command.arg("run");
    if kind == "plain" {
        command.args(["--server", &format!("coap://{}", spray.address())]);
        command.args(["--devices", &devices.to_string()]);
        command.args(["--endpoint-prefix", "plain-"]);
    } else {
        command.args(["--server", &format!("coaps://{}", spray.address())]);
        command.args(["--psk-file", &keys(drover, kind, devices)]);
    }
    command.args(flags);
    let program = restless(drover, kind, &mut command);
    Fleet {
        kind,
        devices,
        program,
        spray,
    }
}

/// Devices over DTLS that send to a server as it is.
pub(crate) fn roamers(drover: &Drover, kind: &str, devices: usize, server: &str) -> Program {
    let mut command = Command::new(binary("drover-sim"));
    command.args(["run", "--server", &format!("coaps://{server}")]);
    command.args(["--psk-file", &keys(drover, kind, devices)]);
    restless(drover, kind, &mut command)
}

/// Starts devices that update their registrations every few seconds and move their temperatures every second.
fn restless(drover: &Drover, kind: &str, command: &mut Command) -> Program {
    command.args(["--lifetime", "20", "--temperature-interval", "1s"]);
    command.args(["--output", "json", "--progress", "500ms"]);
    let log = drover.scratch().join(format!("fleet-{kind}"));
    Program::start(command, &log).unwrap()
}

/// Stores a key for each device of a kind; the file with them.
pub(crate) fn keys(drover: &Drover, kind: &str, devices: usize) -> String {
    let keys = drover.scratch().join(format!("{kind}.csv"));
    let lines = (0..devices).fold(String::new(), |mut text, number| {
        writeln!(text, "{kind}-{number:06},{kind}-{number:06},{KEY}").unwrap();
        text
    });
    std::fs::write(&keys, lines).unwrap();
    let keys = keys.to_str().unwrap();
    ask(drover, &["credentials", "import", keys]);
    keys.to_owned()
}

pub(crate) fn registered(fleet: &Fleet) {
    progress(&fleet.program, "all registered", |seen| {
        seen["registered"] == fleet.devices
    });
}

/// Waits until the nodes tell of a session for each of so many devices: they count once in a while.
pub(crate) fn sessions_counted(nodes: &[Node], devices: usize) {
    until_some("a session each", SOON, || {
        let of_node = |node: &Node| metric(&node.admin, "drover_ingress_sessions") as usize;
        let counted: Vec<usize> = nodes.iter().map(of_node).collect();
        if counted.iter().sum::<usize>() == devices {
            Ok(())
        } else {
            Err(counted)
        }
    });
}

/// Waits until a watched temperature has moved twice from now on.
pub(crate) fn more_values(observer: &Program) {
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
pub(crate) fn progress(fleet: &Program, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
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

/// Nobody registered twice or lost a session, by what the devices say.
pub(crate) fn undisturbed(seen: &Value, devices: usize, handshakes: usize) {
    assert_eq!(seen["handshakes"], handshakes, "{seen}");
    assert_eq!(seen["sessions_lost"], 0, "{seen}");
    assert_eq!(seen["registrations"], devices, "{seen}");
}

/// Waits until each device of the kind "cid" has answered. One that has sent nothing since its node died is found by its
/// next Update.
pub(crate) fn all_answer(drover: &Drover, devices: usize) {
    for number in 0..devices {
        answer(drover, &["read", &format!("cid-{number:06}"), "/3/0/0"]);
    }
}

/// Asks until there is an answer; what it says.
pub(crate) fn answer(drover: &Drover, arguments: &[&str]) -> String {
    until_some("an answer", SOON, || {
        let answer = drover.run(arguments);
        if answer.code == 0 {
            Ok(answer.stdout)
        } else {
            Err(answer)
        }
    })
}
