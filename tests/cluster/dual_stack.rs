//! Devices with IPv4 and with IPv6 at the same ports of nodes that reach each other over IPv6.

use free_port::free_port;
use rustix::process::Signal;
use tests::{Drover, Options, Program, free_address, kill, metric, until, wait_for_members};

use crate::fleet::{SOON, answer, progress, roamers, undisturbed};

/// Of each kind.
const DEVICES: usize = 10;

#[test]
fn devices_of_both_families_are_served_and_outlive_a_node() {
    let drover = Drover::start(&Options::default());
    let first = Node::start(&drover, free_port(), "first");
    let second = Node::start(&drover, free_port(), "second");
    // It has IPv4 only.
    kill(drover.pid("/ingress/0/pid"), Signal::KILL).unwrap();
    wait_for_members(&[&first.admin, &second.admin]);

    let kinds = [("ipv4", "127.0.0.1"), ("ipv6", "[::1]")];
    let fleets = kinds.map(|(kind, host)| {
        let server = format!("{host}:{}", first.port);
        (kind, roamers(&drover, kind, DEVICES, &server))
    });
    for (_, fleet) in &fleets {
        progress(fleet, "all registered", |seen| {
            seen["registered"] == DEVICES
        });
    }
    all_answer(&drover);
    // By the hash of their addresses, some devices are the other node's.
    until("devices at the other node", SOON, || {
        metric(&second.admin, "drover_ingress_devices") > 0.0
    });

    let port = first.port;
    drop(first);
    let successor = Node::start(&drover, port, "successor");
    wait_for_members(&[&second.admin, &successor.admin]);
    all_answer(&drover);
    for (_, fleet) in &fleets {
        let seen = progress(fleet, "updates of all", |seen| {
            seen["updates"].as_u64() >= Some(DEVICES as u64)
        });
        undisturbed(&seen, DEVICES, DEVICES);
    }
}

/// An ingress node on both families; killed when dropped.
struct Node {
    port: u16,
    admin: String,
    _program: Program,
}

impl Node {
    fn start(drover: &Drover, port: u16, log: &str) -> Self {
        let (coaps, admin) = (format!("[::]:{port}"), free_address());
        let key = drover.dir().join("cluster.key");
        let flags = [
            ["--forward-listen", "[::1]:0"],
            ["--forward-advertise", "::1"],
            ["--workers", "2"],
            ["--cluster-key-file", key.to_str().unwrap()],
        ];
        let program = drover.start_ingress(&coaps, &admin, flags.as_flattened(), log);
        Self {
            port,
            admin,
            _program: program,
        }
    }
}

fn all_answer(drover: &Drover) {
    for kind in ["ipv4", "ipv6"] {
        for number in 0..DEVICES {
            answer(drover, &["read", &format!("{kind}-{number:06}"), "/3/0/0"]);
        }
    }
}
