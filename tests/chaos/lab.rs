//! Three state nodes and two ingress nodes, each with a network card, a disk and a clock of its own, of which each can be
//! broken and mended. Between devices and ingress nodes any datagram takes any path.
//!
//! The cards are on one bridge. The way from one node to another is cut by the address that it believes the other's card
//! to have: what it sends is lost without a word, and what it is sent arrives.

mod machine;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use machine::{Disk, Machine, card, ip};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tests::{Answer, Program, Spray, binary, kill, until, until_some, wait_until_ready};

/// State nodes are the first machines.
pub(crate) const NODES: usize = 3;
/// The others are ingress nodes.
pub(crate) const MACHINES: usize = NODES + 2;
/// Below this much free space commands are refused.
const RESERVE: u64 = 48 << 20;
/// How a node ends that cannot trust its disk any more.
const STOPPED_ITSELF: Option<i32> = Some(70);
/// Nobody's card.
const NOWHERE: &str = "02:00:00:00:00:99";
/// The callers' side of the bridge.
const CALLERS: (&str, &str) = ("10.77.0.1", "02:00:00:00:00:01");

/// What is to be left of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Less than the reserve.
    Little,
    None,
}

pub(crate) struct Lab {
    machines: Vec<Machine>,
    faketime: Option<PathBuf>,
    /// Where the nodes' logs go: `CHAOS_LOGS`, or away with the rest.
    logs: PathBuf,
    /// What devices take for their server.
    spray: Spray,
    /// Of the state nodes, as the cluster calls them.
    ids: Vec<String>,
    folder: TempDir,
}

/// Internal addresses of all state nodes.
fn state_nodes() -> String {
    let all: Vec<String> = (0..NODES)
        .map(|node| format!("{}:7444", ip(node)))
        .collect();
    all.join(",")
}

/// Runs a command that has to succeed.
fn run(command: &str) {
    let words: Vec<&str> = command.split(' ').collect();
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
}

/// Whether a command succeeds.
fn succeeds(command: &str) -> bool {
    let words: Vec<&str> = command.split(' ').collect();
    let output = Command::new(words[0]).args(&words[1..]).output();
    output.is_ok_and(|output| output.status.success())
}

impl Lab {
    /// Starts all nodes and waits until they are a cluster.
    pub(crate) fn start(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cluster.key"), "42".repeat(32)).unwrap();
        run("ip link set lo up");
        run(&format!(
            "ip link add bridge0 address {} type bridge",
            CALLERS.1
        ));
        run(&format!("ip addr add {}/24 dev bridge0", CALLERS.0));
        run("ip link set bridge0 up");
        let machines = (0..MACHINES)
            .map(|machine| Machine::new(machine, folder.path()))
            .collect();
        let mut lab = Self {
            machines,
            faketime: faketime(),
            logs: std::env::var_os("CHAOS_LOGS")
                .map_or_else(|| folder.path().to_owned(), PathBuf::from),
            spray: Spray::start(&[], seed),
            ids: Vec::new(),
            folder,
        };
        for machine in 0..MACHINES {
            lab.start_node(machine);
        }
        lab.wait_until_ready();
        lab.ids = (0..NODES).map(Self::id).collect();
        lab
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn logs(&self) -> &Path {
        &self.logs
    }

    /// What devices take for their server.
    pub(crate) fn server(&self) -> String {
        format!("coaps://{}", self.spray.address())
    }

    /// Runs `drover`; the node that answers first is asked.
    pub(crate) fn drover(arguments: &[&str]) -> Answer {
        let mut command = Command::new(binary("drover"));
        command.args(["--api", &Self::apis().join(",")]);
        command.args(["--timeout", "5s"]).args(arguments);
        Answer::new(&command.output().unwrap())
    }

    fn id(node: usize) -> String {
        let internal = format!("{}:7444", ip(node));
        until_some("the id of a node", Duration::from_secs(60), || {
            let told = Self::drover(&["cluster", "-o", "json"]);
            let cluster: Value = serde_json::from_str(&told.stdout).unwrap_or_default();
            let mut nodes = cluster["nodes"].as_array().into_iter().flatten();
            let found = nodes.find(|one| one["internal"] == internal.as_str());
            found
                .and_then(|one| Some(one["id"].as_str()?.to_owned()))
                .ok_or(told)
        })
    }

    /// Takes all leaderships from a node, or gives it its share; whether that was acknowledged.
    pub(crate) fn lead(&self, node: usize, has_share: bool) -> bool {
        let flag = if has_share { "--back-to" } else { "--from" };
        let moved = Self::drover(&["cluster", "transfer", flag, &self.ids[node]]);
        moved.code == 0
    }

    pub(crate) fn apis() -> Vec<String> {
        (0..NODES)
            .map(|node| format!("{}:7443", ip(node)))
            .collect()
    }

    pub(crate) fn has_clocks(&self) -> bool {
        self.faketime.is_some()
    }

    pub(crate) fn start_node(&mut self, machine: usize) {
        let mut command = if machine < NODES {
            self.state_node(machine)
        } else {
            self.ingress_node(machine)
        };
        let key = self.folder.path().join("cluster.key");
        command.arg("--cluster-key-file").arg(key);
        let own = ip(machine);
        command.args(["--admin-listen", &format!("{own}:9090")]);
        let place = &mut self.machines[machine];
        let name = format!("node-{machine}-{}.log", place.starts);
        let log = self.logs.join(name);
        place.starts += 1;
        place.node = Some(Program::start(&mut command, &log).unwrap());
        self.balance();
    }

    fn state_node(&self, node: usize) -> Command {
        let machine = &self.machines[node];
        let mut command = machine.inside();
        if let Some(library) = &self.faketime {
            command.arg("env");
            command.arg(format!("LD_PRELOAD={}", library.display()));
            command.arg(format!(
                "FAKETIME_TIMESTAMP_FILE={}",
                machine.clock.display()
            ));
            // The monotonic clock is left alone, as by whoever sets a clock.
            command.args([
                "FAKETIME_CACHE_DURATION=1",
                "FAKETIME_DONT_FAKE_MONOTONIC=1",
                "NO_FAKE_STAT=1",
            ]);
        }
        let own = ip(node);
        command.arg(binary("drover-state"));
        command.arg("--data-dir").arg(machine.dir.join("data"));
        command.args(["--api-listen", &format!("{own}:7443")]);
        command.args(["--internal-listen", &format!("{own}:7444")]);
        command.args(["--internal-advertise", &format!("{own}:7444")]);
        command.args(["--seeds", &state_nodes(), "--cluster-name", "chaos"]);
        command.env("DROVER_STATE__DISK_RESERVE_BYTES", RESERVE.to_string());
        // The machines are network namespaces of this one: nobody else is there.
        command.env("DROVER_STATE__API_ALLOW_ANONYMOUS", "true");
        command.env("DROVER_STATE__INTERNAL_ALLOW_PLAINTEXT", "true");
        command
    }

    fn ingress_node(&self, machine: usize) -> Command {
        let own = ip(machine);
        let mut command = self.machines[machine].inside();
        command.arg(binary("drover-ingress"));
        command.args(["--coaps-listen", &format!("{own}:5684")]);
        command.args(["--forward-listen", &format!("{own}:7445")]);
        command.args(["--state", &state_nodes()]);
        command
    }

    /// Devices' datagrams go to the ingress nodes that are on, as by a load balancer that looks at processes.
    fn balance(&self) {
        let ingress = (NODES..MACHINES).filter(|machine| self.machines[*machine].node.is_some());
        let nodes: Vec<String> = ingress
            .map(|machine| format!("{}:5684", ip(machine)))
            .collect();
        self.spray.set_nodes(&nodes);
    }

    pub(crate) fn kill_node(&mut self, node: usize) {
        drop(self.machines[node].node.take());
        self.balance();
    }

    pub(crate) fn signal(&mut self, node: usize, signal: Signal) {
        let program = self.machines[node].node.as_ref();
        kill(program.expect("the node is on").pid(), signal).unwrap();
    }

    /// From now on nothing of what one node sends reaches the other.
    pub(crate) fn cut(&self, from: usize, to: usize) {
        self.machines[from].knows(&ip(to), NOWHERE);
    }

    pub(crate) fn join(&self, from: usize, to: usize) {
        self.machines[from].knows(&ip(to), &card(to));
    }

    pub(crate) fn unplug(node: usize) {
        run(&format!("ip link set port{node} down"));
    }

    pub(crate) fn plug(node: usize) {
        run(&format!("ip link set port{node} up"));
    }

    /// Loses and delays what a node sends.
    pub(crate) fn slow_down(&self, node: usize) {
        let machine = &self.machines[node];
        // Kernels without the emulator have a narrow way instead: under load it delays and drops.
        let lossy = machine.command("tc qdisc replace dev eth0 root netem delay 40ms 30ms loss 3%");
        if !succeeds(&lossy) {
            run(&machine.command(
                "tc qdisc replace dev eth0 root tbf rate 600kbit burst 8kb latency 200ms",
            ));
        }
    }

    pub(crate) fn speed_up(&self, node: usize) {
        run(&self.machines[node].command("tc qdisc del dev eth0 root"));
    }

    pub(crate) fn fill(&mut self, node: usize, room: Room) {
        let machine = &mut self.machines[node];
        if room == Room::None {
            machine.disk = Disk::Full;
        }
        fill(&machine.dir, room).unwrap();
    }

    /// There is room again. A node that stopped for the want of it is started, as whoever looks after it would.
    pub(crate) fn clear(&mut self, node: usize) {
        fs::remove_file(self.machines[node].dir.join("ballast")).unwrap();
        self.restart_stopped(node);
        self.machines[node].disk = Disk::Cleared(Instant::now());
    }

    fn restart_stopped(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        let program = machine.node.as_mut().expect("the node is on");
        if program.is_running() {
            return;
        }
        let code = program.wait_for_end(Duration::ZERO);
        let excused = machine.disk.excuses_a_stop() && code == STOPPED_ITSELF;
        assert!(
            excused,
            "node {node} ended with {code:?}: {}",
            program.output()
        );
        self.start_node(node);
    }

    /// Sets a node's clock, in seconds from the right time.
    pub(crate) fn set_clock(&self, node: usize, offset: i64) {
        self.machines[node].set_clock(offset);
    }

    /// No node has ended by itself.
    pub(crate) fn all_run(&mut self) {
        for node in 0..MACHINES {
            self.restart_stopped(node);
        }
    }

    /// Waits until every node is ready, now that nothing is broken any more.
    pub(crate) fn heal(&mut self) {
        self.all_run();
        self.wait_until_ready();
        for node in 0..NODES {
            until("a share of leaderships", Duration::from_secs(60), || {
                self.lead(node, true)
            });
        }
    }

    fn wait_until_ready(&mut self) {
        for (node, machine) in self.machines.iter_mut().enumerate() {
            let program = machine.node.as_mut().expect("the node is on");
            wait_until_ready(program, &format!("{}:9090", ip(node)));
        }
    }
}

impl Drop for Lab {
    /// Whoever looks at a failure wants to know what the nodes said.
    #[expect(clippy::print_stdout, reason = "it goes with the failure")]
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for (node, machine) in self.machines.iter().enumerate() {
            let last = machine.starts.saturating_sub(1);
            let log = self.logs.join(format!("node-{node}-{last}.log"));
            let log = fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().rev().take(25).collect();
            println!("--- node {node}, start {last}");
            for line in lines.iter().rev() {
                println!("{line}");
            }
        }
    }
}

/// Puts a file on a disk that leaves no more room.
fn fill(dir: &Path, room: Room) -> io::Result<()> {
    let mut ballast = File::create(dir.join("ballast"))?;
    let zeros = vec![0; 1 << 16];
    loop {
        let stat = rustix::fs::statvfs(dir)?;
        let free = stat.f_bavail * stat.f_frsize;
        if room == Room::Little && free < RESERVE * 3 / 4 {
            return Ok(());
        }
        match ballast.write(&zeros) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// The library that lies to a process about the time, if it is installed.
fn faketime() -> Option<PathBuf> {
    let libraries = fs::read_dir("/usr/lib").ok()?;
    let of_any = libraries.filter_map(|folder| {
        let library = folder.ok()?.path().join("faketime/libfaketimeMT.so.1");
        library.exists().then_some(library)
    });
    of_any.into_iter().next()
}
