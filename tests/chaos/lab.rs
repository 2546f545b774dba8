//! Three state nodes, each with a network card, a disk and a clock of its own, of which each can be broken and mended.
//!
//! The cards are on one bridge. The way from one node to another is cut by the address that it believes the other's card
//! to have: what it sends is lost without a word, and what it is sent arrives.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tests::{Program, binary, kill, until, wait_until_ready};

pub(crate) const NODES: usize = 3;
/// Size of each disk.
const DISK: &str = "384m";
/// Below this much free space commands are refused.
const RESERVE: u64 = 48 << 20;
/// How a node ends that cannot trust its disk any more.
const STOPPED_ITSELF: Option<i32> = Some(70);
/// Nobody's card.
const NOWHERE: &str = "02:00:00:00:00:99";
/// The callers' side of the bridge.
const CALLERS: (&str, &str) = ("10.77.0.1", "02:00:00:00:00:01");

fn ip(node: usize) -> String {
    format!("10.77.0.{}", 10 + node)
}

fn card(node: usize) -> String {
    format!("02:00:00:00:00:{}", 10 + node)
}

/// What is to be left of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Less than the reserve.
    Little,
    None,
}

/// What a node's disk has been through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    Good,
    /// A node that cannot write stops.
    Full,
}

struct Machine {
    /// Keeps the network namespace.
    network: Program,
    dir: PathBuf,
    clock: PathBuf,
    disk: Disk,
    node: Option<Program>,
    starts: usize,
}

pub(crate) struct Lab {
    machines: Vec<Machine>,
    faketime: Option<PathBuf>,
    /// Where the nodes' logs go: `CHAOS_LOGS`, or away with the rest.
    logs: PathBuf,
    folder: TempDir,
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
    /// Starts three nodes and waits until they are a cluster.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cluster.key"), "42".repeat(32)).unwrap();
        run("ip link set lo up");
        run(&format!(
            "ip link add bridge0 address {} type bridge",
            CALLERS.1
        ));
        run(&format!("ip addr add {}/24 dev bridge0", CALLERS.0));
        run("ip link set bridge0 up");
        let machines = (0..NODES)
            .map(|node| Machine::new(node, folder.path()))
            .collect();
        let mut lab = Self {
            machines,
            faketime: faketime(),
            logs: std::env::var_os("CHAOS_LOGS")
                .map_or_else(|| folder.path().to_owned(), PathBuf::from),
            folder,
        };
        for node in 0..NODES {
            lab.start_node(node);
        }
        lab.wait_until_ready();
        lab
    }

    pub(crate) fn apis(&self) -> Vec<String> {
        (0..NODES)
            .map(|node| format!("{}:7443", ip(node)))
            .collect()
    }

    pub(crate) fn has_clocks(&self) -> bool {
        self.faketime.is_some()
    }

    pub(crate) fn start_node(&mut self, node: usize) {
        let key = self.folder.path().join("cluster.key");
        let machine = &mut self.machines[node];
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
        let seeds: Vec<String> = (0..NODES)
            .map(|node| format!("{}:7444", ip(node)))
            .collect();
        let own = ip(node);
        command.arg(binary("drover-state"));
        command.arg("--data-dir").arg(machine.dir.join("data"));
        command.arg("--cluster-key-file").arg(key);
        command.args(["--api-listen", &format!("{own}:7443")]);
        command.args(["--internal-listen", &format!("{own}:7444")]);
        command.args(["--internal-advertise", &format!("{own}:7444")]);
        command.args(["--admin-listen", &format!("{own}:9090")]);
        command.args(["--seeds", &seeds.join(","), "--cluster-name", "chaos"]);
        command.env("DROVER_STATE__DISK_RESERVE_BYTES", RESERVE.to_string());
        // The machines are network namespaces of this one: nobody else is there.
        command.env("DROVER_STATE__API_ALLOW_ANONYMOUS", "true");
        command.env("DROVER_STATE__INTERNAL_ALLOW_PLAINTEXT", "true");
        let log = self
            .logs
            .join(format!("node-{node}-{}.log", machine.starts));
        machine.starts += 1;
        machine.node = Some(Program::start(&mut command, &log).unwrap());
    }

    pub(crate) fn kill_node(&mut self, node: usize) {
        drop(self.machines[node].node.take());
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

    pub(crate) fn unplug(&self, node: usize) {
        run(&format!("ip link set port{node} down"));
    }

    pub(crate) fn plug(&self, node: usize) {
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
        self.machines[node].disk = Disk::Good;
    }

    fn restart_stopped(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        let program = machine.node.as_mut().expect("the node is on");
        if program.is_running() {
            return;
        }
        let code = program.wait_for_end(Duration::ZERO);
        let excused = machine.disk == Disk::Full && code == STOPPED_ITSELF;
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
        for node in 0..NODES {
            self.restart_stopped(node);
        }
    }

    /// Waits until every node is ready, now that nothing is broken any more.
    pub(crate) fn heal(&mut self) {
        self.all_run();
        self.wait_until_ready();
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

impl Machine {
    fn new(node: usize, folder: &Path) -> Self {
        let dir = folder.join(format!("disk-{node}"));
        fs::create_dir(&dir).unwrap();
        run(&format!(
            "mount -t tmpfs -o size={DISK} disk{node} {}",
            dir.display()
        ));
        let mut holder = Command::new("unshare");
        holder.args(["--net", "cat"]);
        let log = folder.join(format!("network-{node}"));
        let network = Program::start(&mut holder, &log).unwrap();
        let own = fs::read_link("/proc/self/ns/net").unwrap();
        let theirs = PathBuf::from(format!("/proc/{}/ns/net", network.pid()));
        until("a network of its own", Duration::from_secs(10), || {
            fs::read_link(&theirs).is_ok_and(|theirs| theirs != own)
        });
        let machine = Self {
            network,
            dir,
            clock: folder.join(format!("clock-{node}")),
            disk: Disk::Good,
            node: None,
            starts: 0,
        };
        machine.set_clock(0);
        machine.connect(node);
        machine
    }

    fn connect(&self, node: usize) {
        let (ip, card, pid) = (ip(node), card(node), self.network.pid());
        run(&format!(
            "ip link add port{node} type veth peer name eth0 address {card} netns {pid}"
        ));
        run(&format!("ip link set port{node} master bridge0"));
        run(&format!("ip link set port{node} up"));
        run(&self.command("ip link set lo up"));
        run(&self.command(&format!("ip addr add {ip}/24 dev eth0")));
        run(&self.command("ip link set eth0 up"));
        run(&format!(
            "ip neigh replace {ip} lladdr {card} dev bridge0 nud permanent"
        ));
        self.knows(CALLERS.0, CALLERS.1);
        for other in (0..NODES).filter(|other| *other != node) {
            self.knows(&self::ip(other), &self::card(other));
        }
    }

    fn knows(&self, ip: &str, card: &str) {
        let neighbour = format!("ip neigh replace {ip} lladdr {card} dev eth0 nud permanent");
        run(&self.command(&neighbour));
    }

    /// A command inside its network.
    fn command(&self, command: &str) -> String {
        format!(
            "nsenter --net=/proc/{}/ns/net {command}",
            self.network.pid()
        )
    }

    fn inside(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.network.pid()));
        command
    }

    fn set_clock(&self, offset: i64) {
        // In one step: the node may read it at any moment.
        let new = self.clock.with_extension("new");
        fs::write(&new, format!("{offset:+}s\n")).unwrap();
        fs::rename(new, &self.clock).unwrap();
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
