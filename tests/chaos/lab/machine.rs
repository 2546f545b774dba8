//! A machine: a network card, a disk and a clock, and the program that runs on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tests::{Program, until};

use super::{CALLERS, MACHINES, run};

/// Size of each disk.
const DISK: &str = "384m";

pub(super) fn ip(machine: usize) -> String {
    format!("10.77.0.{}", 10 + machine)
}

pub(super) fn card(machine: usize) -> String {
    format!("02:00:00:00:00:{}", 10 + machine)
}

/// What a machine's disk has been through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disk {
    Good,
    /// A node that cannot write stops.
    Full,
    /// There is room since then. A node that could not write before may only now come to its end.
    Cleared(Instant),
}

impl Disk {
    /// Whether a node may have stopped because of it.
    pub(super) fn excuses_a_stop(self) -> bool {
        match self {
            Self::Good => false,
            Self::Full => true,
            Self::Cleared(since) => since.elapsed() < STOPPING,
        }
    }
}

/// How long a node takes that stops itself.
const STOPPING: Duration = Duration::from_secs(10);

pub(super) struct Machine {
    /// Keeps the network namespace.
    network: Program,
    pub(super) dir: PathBuf,
    pub(super) clock: PathBuf,
    pub(super) disk: Disk,
    pub(super) node: Option<Program>,
    pub(super) starts: usize,
}

impl Machine {
    pub(super) fn new(node: usize, folder: &Path) -> Self {
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
        for other in (0..MACHINES).filter(|other| *other != node) {
            self.knows(&self::ip(other), &self::card(other));
        }
    }

    pub(super) fn knows(&self, ip: &str, card: &str) {
        let neighbour = format!("ip neigh replace {ip} lladdr {card} dev eth0 nud permanent");
        run(&self.command(&neighbour));
    }

    /// A command inside its network.
    pub(super) fn command(&self, command: &str) -> String {
        format!(
            "nsenter --net=/proc/{}/ns/net {command}",
            self.network.pid()
        )
    }

    pub(super) fn inside(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.network.pid()));
        command
    }

    pub(super) fn set_clock(&self, offset: i64) {
        // In one step: the node may read it at any moment.
        let new = self.clock.with_extension("new");
        fs::write(&new, format!("{offset:+}s\n")).unwrap();
        fs::rename(new, &self.clock).unwrap();
    }
}
