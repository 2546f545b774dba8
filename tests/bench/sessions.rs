//! Sessions at another node than the one that their devices send to: while their owner lives, and after its death.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tests::{
    Drover, Options, Program, binary, cpu_seconds, free_address, kill, metric, until_some,
    wait_for_members,
};

use super::{ROUNDS, figure, import_keys, middle};

/// Devices whose records are forwarded.
const TALKERS: usize = 128;
/// Requests of each in a round.
const REQUESTS: usize = 1_000;
/// Sessions that lose their node.
const ORPHANS: usize = 10_000;
const LIMIT: Duration = Duration::from_secs(120);

/// Requests that a node answers by itself, sent to it and by way of another node.
pub(crate) fn forwarding() {
    eprintln!("forwarding: two ingress nodes, {TALKERS} devices over DTLS");
    let drover = Drover::start(&Options::default());
    let owner = Node::first(&drover);
    // All sessions are the first node's, because there is no other one yet.
    let requests = REQUESTS.to_string();
    let mut crowd = Crowd::start(&drover, &owner, TALKERS, &["--requests", &requests]);
    let (entry, _program) = Node::further(&drover, "entry");
    wait_for_members(&[&owner.admin, &entry.admin]);
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let direct = Round::measure(&mut crowd, &owner, [&owner, &entry]);
        let forwarded = Round::measure(&mut crowd, &entry, [&owner, &entry]);
        rounds.push((direct, forwarded));
    }
    let direct = rounds.iter().map(|(direct, _)| direct.per_cpu_second());
    figure("coaps-requests", middle(direct.collect()));
    let forwarded = rounds
        .iter()
        .map(|(_, forwarded)| forwarded.per_cpu_second());
    figure("forwarded-requests", middle(forwarded.collect()));
    let at_owner = rounds
        .iter()
        .map(|(direct, forwarded)| (1.0 - direct.owner_seconds / forwarded.owner_seconds) * 100.0);
    figure("forwarding-cost-owner", middle(at_owner.collect()));
    let in_all = rounds
        .iter()
        .map(|(direct, forwarded)| (1.0 - forwarded.rate / direct.rate) * 100.0);
    figure("forwarding-cost-throughput", middle(in_all.collect()));
}

/// Devices whose node is killed: how long the last of them waits if all speak at once right then, and how fast sessions
/// change hands once the dead node's lease has ended.
pub(crate) fn take_over() {
    eprintln!("take-over: {ORPHANS} devices over DTLS");
    let drover = Drover::start(&Options::default());
    let first = Node::first(&drover);
    let mut crowd = Crowd::start(&drover, &first, ORPHANS, &["--ask", "update"]);
    let (second, _second) = Node::further(&drover, "second");
    wait_for_members(&[&first.admin, &second.admin]);
    kill(first.pid, Signal::KILL).expect("the node runs");
    let round = crowd.round(&second);
    figure("take-over-longest", number(&round, "longest_ms") / 1000.0);
    let (third, _third) = Node::further(&drover, "third");
    wait_for_members(&[&second.admin, &third.admin]);
    kill(second.pid, Signal::KILL).expect("the node runs");
    wait_for_members(&[&third.admin]);
    let round = crowd.round(&third);
    figure("take-over-rate", number(&round, "requests_per_second"));
    let taken = metric(&third.admin, "drover_ingress_take_overs_total");
    assert!(
        taken as usize == ORPHANS,
        "{taken} of {ORPHANS} sessions were taken over"
    );
    let handshakes = metric(&third.admin, "drover_ingress_handshakes_total");
    assert!(handshakes < 1.0, "{handshakes} handshakes");
}

/// An ingress node.
struct Node {
    coaps: String,
    admin: String,
    pid: u32,
}

impl Node {
    fn first(drover: &Drover) -> Self {
        Self {
            coaps: drover.endpoint("/ingress/0/coaps"),
            admin: drover.endpoint("/ingress/0/admin"),
            pid: drover.pid("/ingress/0/pid"),
        }
    }

    fn further(drover: &Drover, log: &str) -> (Self, Program) {
        let (coaps, admin) = (free_address(), free_address());
        let key = drover.dir().join("cluster.key");
        let key = key.to_str().expect("a temporary folder has a plain name");
        let flags = [
            "--forward-listen",
            "127.0.0.1:0",
            "--workers",
            "1",
            "--cluster-key-file",
            key,
        ];
        let program = drover.start_ingress(&coaps, &admin, &flags, log);
        let pid = program.pid();
        (Self { coaps, admin, pid }, program)
    }
}

/// Devices of `drover-sim bench request`.
struct Crowd {
    program: Program,
    rounds: usize,
}

impl Crowd {
    /// Makes the devices' sessions at a node.
    fn start(drover: &Drover, node: &Node, devices: usize, flags: &[&str]) -> Self {
        let keys = import_keys(drover, devices);
        let mut command = Command::new(binary("drover-sim"));
        command.args(["bench", "request", "--wait", "--psk-file", &keys]);
        command.args(["--server", &format!("coaps://{}", node.coaps)]);
        command.args(["--concurrency", &devices.to_string()]);
        command.args(flags);
        let mut program = Program::start(&mut command, &drover.scratch().join("crowd"))
            .expect("it can be started");
        program.wait_for_output("\"ready\"", LIMIT);
        Self { program, rounds: 0 }
    }

    /// A request of every device, or several, by way of a node.
    fn round(&mut self, via: &Node) -> Value {
        self.program.say(&format!("coaps://{}", via.coaps));
        self.rounds += 1;
        let rounds = self.rounds;
        let round = until_some("a round of requests", LIMIT, || {
            let output = self.program.output();
            let mut lines = output.lines().filter(|line| line.contains("\"requests\""));
            let line = lines.nth(rounds - 1).ok_or_else(|| output.clone())?;
            serde_json::from_str::<Value>(line).map_err(|error| error.to_string())
        });
        eprintln!("  {round}");
        assert_eq!(round["failed"], 0, "{round}");
        round
    }
}

/// One round of requests, and what it cost the nodes.
struct Round {
    requests: f64,
    rate: f64,
    owner_seconds: f64,
    seconds: f64,
}

impl Round {
    fn measure(crowd: &mut Crowd, via: &Node, nodes: [&Node; 2]) -> Self {
        let used = || nodes.map(|node| cpu_seconds(node.pid).expect("the node runs"));
        let before = used();
        let round = crowd.round(via);
        let [owner, entry] = used();
        Self {
            requests: number(&round, "requests"),
            rate: number(&round, "requests_per_second"),
            owner_seconds: owner - before[0],
            seconds: owner - before[0] + entry - before[1],
        }
    }

    fn per_cpu_second(&self) -> f64 {
        self.requests / self.seconds
    }
}

fn number(line: &Value, field: &str) -> f64 {
    let found = line.get(field).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("{field} in {line}"))
}
