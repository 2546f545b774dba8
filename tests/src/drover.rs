//! `drover dev` and the command line against it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;
use serde_json::Value;

use crate::admin::ready_or_ended;
use crate::process::{Program, binary, is_alive, kill};
use crate::wait::{look_for, until, until_some};

/// How long a cluster may take to be ready.
const READY: Duration = Duration::from_secs(120);

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    pub state_nodes: usize,
    pub ingress_nodes: usize,
    pub ingress_workers: usize,
    pub devices: usize,
    /// Further flags of `drover dev`.
    pub flags: Vec<String>,
    /// Settings of its nodes, such as `DROVER_INGRESS__LINGER_SECONDS`.
    pub environment: Vec<(&'static str, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            state_nodes: 3,
            ingress_nodes: 1,
            ingress_workers: 1,
            devices: 0,
            flags: Vec::new(),
            environment: Vec::new(),
        }
    }
}

/// What the command line said.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    /// What a command said that has ended.
    pub fn new(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The output as JSON; panics if the command failed.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A running cluster; ended when dropped.
#[derive(Debug)]
pub struct Drover {
    program: Program,
    folder: tempfile::TempDir,
    endpoints: Value,
    environment: Vec<(&'static str, String)>,
}

impl Drover {
    /// Starts `drover dev` and waits until it is ready.
    pub fn start(options: &Options) -> Self {
        // Ports that were free a moment ago may be somebody's who calls, or those of another test.
        for _ in 0..3 {
            match Self::try_start(options).expect("drover dev can be started") {
                Ok(drover) => return drover,
                Err(output) if output.contains("Address already in use") => {}
                Err(output) => panic!("drover dev ended: {output}"),
            }
        }
        panic!("drover dev finds no ports that stay free");
    }

    /// The cluster, or what `drover dev` said if it ended.
    fn try_start(options: &Options) -> Result<Result<Self, String>> {
        let folder = tempfile::tempdir()?;
        let dir = folder.path().join("dev");
        let mut command = Command::new(binary("drover"));
        command.arg("dev").arg("--dir").arg(&dir);
        command.args(["--state-nodes", &options.state_nodes.to_string()]);
        command.args(["--ingress-nodes", &options.ingress_nodes.to_string()]);
        command.args(["--ingress-workers", &options.ingress_workers.to_string()]);
        command.args(["--devices", &options.devices.to_string()]);
        command.args(&options.flags);
        command.envs(options.environment.iter().cloned());
        let mut program = Program::start(&mut command, &folder.path().join("dev.log"))?;
        let file = dir.join("endpoints.json");
        let endpoints = until_some("a ready cluster", READY, || {
            if !program.is_running() {
                return Ok(Err(program.output()));
            }
            let text = std::fs::read_to_string(&file).map_err(|_| program.output())?;
            serde_json::from_str(&text)
                .map(Ok)
                .map_err(|error| error.to_string())
        });
        let endpoints = match endpoints {
            Ok(endpoints) => endpoints,
            Err(output) => return Ok(Err(output)),
        };
        Ok(Ok(Self {
            program,
            folder,
            endpoints,
            environment: options.environment.clone(),
        }))
    }

    /// A folder that goes away with the cluster.
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// The folder given to `drover dev`.
    pub fn dir(&self) -> PathBuf {
        self.folder.path().join("dev")
    }

    /// What `endpoints.json` says at a JSON pointer, such as `/ingress/0/coaps`.
    pub fn endpoint(&self, pointer: &str) -> String {
        let found = self.endpoints.pointer(pointer).and_then(Value::as_str);
        found
            .unwrap_or_else(|| panic!("{pointer} in {}", self.endpoints))
            .to_owned()
    }

    /// A process id of `endpoints.json`.
    pub fn pid(&self, pointer: &str) -> u32 {
        let found = self.endpoints.pointer(pointer).and_then(Value::as_u64);
        found
            .and_then(|pid| u32::try_from(pid).ok())
            .unwrap_or_else(|| panic!("{pointer} in {}", self.endpoints))
    }

    /// Public API addresses of all state nodes.
    pub fn apis(&self) -> String {
        let nodes = self
            .endpoints
            .pointer("/state")
            .and_then(Value::as_array)
            .expect("endpoints.json lists state nodes");
        nodes
            .iter()
            .filter_map(|node| node.get("api")?.as_str())
            .collect::<Vec<_>>()
            .join(",")
    }

    /// The state node that leads most shards now, one at least. A node that was killed just now is none: the others take it for
    /// the leader of its shards until they have elected another.
    pub fn leading_state_node(&self) -> usize {
        until_some("a leader", READY, || {
            let dir = self.dir();
            let cluster = self.run(&["--dir", &dir.to_string_lossy(), "cluster", "-o", "json"]);
            let described: Value =
                serde_json::from_str(&cluster.stdout).map_err(|_| cluster.stderr.clone())?;
            let leads = |index: &usize| {
                let internal = self.endpoint(&format!("/state/{index}/internal"));
                let nodes = described.get("nodes")?.as_array()?;
                let node = nodes
                    .iter()
                    .find(|node| node.get("internal").and_then(Value::as_str) == Some(&internal))?;
                let ready = node.get("status")?.as_str() == Some("Ready");
                let leads = node.get("leads")?.as_u64();
                leads.filter(|leads| ready && *leads > 0)
            };
            (0..self.state_nodes())
                .max_by_key(leads)
                .filter(|index| leads(index).is_some())
                .ok_or(cluster.stdout)
        })
    }

    fn state_nodes(&self) -> usize {
        let nodes = self.endpoints.pointer("/state").and_then(Value::as_array);
        nodes.expect("endpoints.json lists state nodes").len()
    }

    /// Starts a further ingress node, with its output in the file `log`, and waits until it is ready.
    pub fn start_ingress(&self, coaps: &str, admin: &str, flags: &[&str], log: &str) -> Program {
        let mut command = Command::new(binary("drover-ingress"));
        command.args(["--coaps-listen", coaps, "--admin-listen", admin]);
        command.args(["--state", &self.endpoint("/state/0/internal")]);
        command.args(flags);
        command.envs(self.environment.iter().cloned());
        let log = self.scratch().join(log);
        start_on_its_ports(&mut command, &log, admin)
    }

    /// Starts a state node again after its end, with its output in the file `log`, and waits until it is ready.
    pub fn restart_state_node(&self, index: usize, log: &str) -> Program {
        let log = self.scratch().join(log);
        let admin = self.endpoint(&format!("/state/{index}/admin"));
        start_on_its_ports(&mut self.state_node(index), &log, &admin)
    }

    /// What starts a state node again after its end.
    pub fn state_node(&self, index: usize) -> Command {
        let at = |what: &str| self.endpoint(&format!("/state/{index}/{what}"));
        let seeds: Vec<String> = (0..self.state_nodes())
            .map(|index| self.endpoint(&format!("/state/{index}/internal")))
            .collect();
        let mut command = Command::new(binary("drover-state"));
        command.arg("--data-dir");
        command.arg(self.state_dir(index));
        command.arg("--cluster-key-file");
        command.arg(self.dir().join("cluster.key"));
        command.args(["--api-listen", &at("api"), "--admin-listen", &at("admin")]);
        command.args(["--internal-listen", &at("internal")]);
        command.args(["--internal-advertise", &at("internal")]);
        command.args(["--seeds", &seeds.join(","), "--cluster-name", "dev"]);
        command.envs(self.environment.iter().cloned());
        command
    }

    /// The data folder of a state node.
    pub fn state_dir(&self, index: usize) -> PathBuf {
        self.dir().join(format!("state-{index}"))
    }

    /// Ends a state node in order and waits until it is gone.
    pub fn stop_state_node(&self, index: usize) {
        let pid = self.pid(&format!("/state/{index}/pid"));
        kill(pid, Signal::TERM).expect("the state node runs");
        until("the end of a state node", READY, || !is_alive(pid));
    }

    /// Ends a state node without warning.
    pub fn kill_state_node(&self, index: usize) {
        kill(self.pid(&format!("/state/{index}/pid")), Signal::KILL).expect("the state node runs");
    }

    /// A command of `drover` against this cluster.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("drover"));
        if self.endpoints.get("access").is_some() {
            command.env("DROVER_DIR", self.dir());
        } else {
            command.env("DROVER_API", self.apis());
        }
        command.args(arguments);
        command
    }

    /// Runs `drover` against this cluster.
    pub fn run(&self, arguments: &[&str]) -> Answer {
        Answer::new(
            &self
                .command(arguments)
                .output()
                .expect("drover can be started"),
        )
    }

    /// Runs `drover` and reads its JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.run(&[arguments, &["-o", "json"]].concat()).json()
    }

    /// Adds a pre-shared key.
    pub fn add_psk(&self, endpoint: &str, identity: &str, key: &str) {
        let answer = self.run(&[
            "credentials",
            "add",
            "--endpoint",
            endpoint,
            "--psk-identity",
            identity,
            "--psk-key",
            key,
        ]);
        assert_eq!(answer.code, 0, "{answer:?}");
    }

    /// Endpoints of the registered devices.
    pub fn devices(&self) -> Vec<String> {
        let answer = self.run(&["devices", "-o", "json"]);
        let Ok(listed) = serde_json::from_str::<Value>(&answer.stdout) else {
            return Vec::new();
        };
        let devices = listed
            .get("devices")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        devices
            .iter()
            .filter(|device| {
                device
                    .get("state")
                    .is_some_and(|state| state == "Registered")
            })
            .filter_map(|device| Some(device.get("endpoint")?.as_str()?.to_owned()))
            .collect()
    }

    /// Waits until `endpoint` is registered.
    pub fn wait_for_device(&self, endpoint: &str, limit: Duration) {
        until_some(&format!("registration of {endpoint}"), limit, || {
            let devices = self.devices();
            if devices.iter().any(|device| device == endpoint) {
                Ok(())
            } else {
                Err(devices)
            }
        });
    }

    /// A simulated device besides, with every object that it can have, and its name, which begins with `prefix`.
    pub fn full_device(&self, prefix: &str) -> (Program, String) {
        let server = format!("coap://{}", self.endpoint("/ingress/0/coap"));
        let mut command = Command::new(binary("drover-sim"));
        command.args(["run", "--server", &server, "--endpoint-prefix", prefix]);
        command.args(["--devices", "1", "--all-objects"]);
        let simulator = Program::start(&mut command, &self.scratch().join(prefix));
        let endpoint = format!("{prefix}000000");
        self.wait_for_device(&endpoint, READY);
        (simulator.expect("drover-sim can be started"), endpoint)
    }

    /// Ends the cluster as Ctrl-C would and waits for it.
    pub fn stop(&mut self) -> Option<i32> {
        kill(self.program.pid(), Signal::INT).expect("drover dev runs");
        self.program.wait_for_end(Duration::from_secs(60))
    }

    /// What `drover dev` printed.
    pub fn output(&self) -> String {
        self.program.output()
    }
}

impl Drop for Drover {
    fn drop(&mut self) {
        if self.program.is_running() {
            // Its children end with it; a test that failed does not wait for an orderly end.
            let _gone = kill(self.program.pid(), Signal::TERM);
            // If it does not end, dropping the program kills it; a panic here would hide the test's own.
            let _running = look_for(Duration::from_secs(20), || {
                if self.program.is_running() {
                    Err(())
                } else {
                    Ok(())
                }
            });
        }
    }
}

/// Starts a node on the ports that it had, and waits until it is ready. While it was gone, the kernel may have given one of
/// them to somebody who asked for any.
fn start_on_its_ports(command: &mut Command, log: &Path, admin: &str) -> Program {
    until_some("a node on its ports", READY, || {
        let mut program = Program::start(command, log).expect("the node can be started");
        match ready_or_ended(&mut program, admin) {
            Ok(()) => Ok(program),
            Err(output) if output.contains("Address already in use") => Err(output),
            Err(output) => panic!("{output}"),
        }
    })
}
