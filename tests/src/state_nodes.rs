//! State nodes that are started one by one, as those of a real cluster are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::admin::{free_address, ready_or_ended};
use crate::drover::Answer;
use crate::process::{Program, binary, kill};
use crate::wait::{until, until_some};

/// How long an election, a change of membership or a start may take.
const PATIENCE: Duration = Duration::from_secs(120);
const SHARDS: u16 = 4;

/// A folder with the volumes and the key of a cluster.
#[derive(Debug)]
pub struct Site {
    folder: tempfile::TempDir,
    shards: u16,
}

/// A state node: its addresses, its volume, and the process while it runs.
#[derive(Debug)]
pub struct StateNode {
    pub internal: String,
    pub api: String,
    pub admin: String,
    volume: PathBuf,
    key: PathBuf,
    shards: u16,
    program: Option<Program>,
}

impl Default for Site {
    fn default() -> Self {
        Self::of(tempfile::tempdir().expect("a temporary folder"), SHARDS)
    }
}

impl Site {
    /// Below `folder`, for a cluster of so many shards.
    pub fn within(folder: &Path, shards: u16) -> Self {
        let folder = tempfile::tempdir_in(folder).expect("a temporary folder");
        Self::of(folder, shards)
    }

    fn of(folder: tempfile::TempDir, shards: u16) -> Self {
        let key = "0123456789abcdef".repeat(4);
        std::fs::write(folder.path().join("cluster.key"), key).expect("a file in it");
        Self { folder, shards }
    }

    /// A node with an empty volume and addresses of its own, not started.
    pub fn node(&self, name: &str) -> StateNode {
        StateNode {
            internal: free_address(),
            api: free_address(),
            admin: free_address(),
            volume: self.folder.path().join(name),
            key: self.folder.path().join("cluster.key"),
            shards: self.shards,
            program: None,
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl StateNode {
    /// Starts the process with further flags.
    pub fn start(&mut self, flags: &[&str]) {
        let mut command = Command::new(binary("drover-state"));
        command.arg("--data-dir").arg(&self.volume);
        command.arg("--cluster-key-file").arg(&self.key);
        command.args(["--api-listen", &self.api, "--admin-listen", &self.admin]);
        command.args(["--internal-listen", &self.internal]);
        command.args(["--internal-advertise", &self.internal]);
        command.args(["--shards", &self.shards.to_string()]);
        command.args(flags);
        let log = self.volume.with_extension("log");
        self.program = Some(Program::start(&mut command, &log).expect("the node can be started"));
    }

    /// Waits until it takes calls.
    pub fn wait_until_ready(&mut self) {
        let program = self.program.as_mut().expect("it was started");
        ready_or_ended(program, &self.admin).unwrap_or_else(|output| panic!("{output}"));
    }

    /// Waits until it listens, whether it belongs to a cluster or not.
    pub fn wait_until_listening(&mut self) {
        let program = self.program.as_mut().expect("it was started");
        program.wait_for_output("listening", PATIENCE);
    }

    /// Ends the process in order and waits until it is gone.
    pub fn stop(&mut self) {
        kill(self.pid(), Signal::TERM).expect("the node runs");
        self.wait_for_end();
    }

    /// The running process.
    pub fn pid(&self) -> u32 {
        self.program.as_ref().expect("it was started").pid()
    }

    /// The folder of its data.
    pub fn volume(&self) -> &Path {
        &self.volume
    }

    /// Ends the process without warning.
    pub fn kill(&mut self) {
        if let Some(program) = self.program.take() {
            kill(program.pid(), Signal::KILL).expect("the node runs");
        }
    }

    /// Waits until the process has ended by itself.
    pub fn wait_for_end(&mut self) {
        if let Some(mut program) = self.program.take() {
            program.wait_for_end(PATIENCE);
        }
    }

    /// What it has logged.
    pub fn output(&self) -> String {
        self.program
            .as_ref()
            .map(Program::output)
            .unwrap_or_default()
    }

    /// Loses the volume.
    pub fn lose_volume(&self) {
        std::fs::remove_dir_all(&self.volume).expect("the volume was there");
    }
}

/// Public addresses of some nodes, for `--api`.
pub fn apis(nodes: &[&StateNode]) -> String {
    let all: Vec<&str> = nodes.iter().map(|node| node.api.as_str()).collect();
    all.join(",")
}

/// Runs `drover` against the nodes at `api`.
pub fn run(api: &str, arguments: &[&str]) -> Answer {
    let mut command = Command::new(binary("drover"));
    command.env("DROVER_API", api).args(arguments);
    Answer::new(&command.output().expect("drover can be started"))
}

/// What `drover cluster` tells, once it does.
pub fn cluster(api: &str) -> Value {
    until_some("a description of the cluster", PATIENCE, || {
        let answer = run(api, &["cluster", "-o", "json"]);
        serde_json::from_str(&answer.stdout).map_err(|_| answer.stderr)
    })
}

/// Waits until every shard has a leader and these nodes, in number, as voters.
pub fn wait_for_voters(api: &str, voters: usize) {
    wait_for_voters_of(SHARDS, api, voters);
}

/// The same in a cluster of so many shards.
pub fn wait_for_voters_of(shards: u16, api: &str, voters: usize) {
    until(&format!("{voters} voters in every shard"), PATIENCE, || {
        let cluster = cluster(api);
        let states = cluster["shardStates"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let fits = |shard: &Value| {
            let has = shard["voters"].as_array().map_or(0, Vec::len);
            has == voters && shard["leader"].is_string() && shard["quorum"] == true
        };
        states.len() == usize::from(shards) && states.iter().all(fits)
    });
}

/// The id of the node with these addresses.
pub fn id_of(api: &str, node: &StateNode) -> String {
    let cluster = cluster(api);
    let nodes = cluster["nodes"].as_array().cloned().unwrap_or_default();
    let found = nodes
        .iter()
        .find(|one| one["internal"] == node.internal.as_str());
    let id = found.and_then(|one| one["id"].as_str());
    id.unwrap_or_else(|| panic!("{} in {cluster}", node.internal))
        .to_owned()
}
