//! A cluster of real processes in a temporary folder.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use device_state::{DeviceName, Namespace};
use free_port::free_port;
use proto::drover::v1::desired_state_client::DesiredStateClient;
use proto::drover::v1::{DesiredResources, GetDesiredRequest};
use proto::rpc::v1::state_client::StateClient;
use proto::rpc::v1::{DescribeClusterRequest, DescribeClusterResponse};
use state_client::{Client, Config};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long anything may take that needs a leader, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How a process is ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    Kill,
    Terminate,
}

struct Node {
    api: u16,
    internal: u16,
    process: Option<Child>,
}

pub(crate) struct Cluster {
    dir: TempDir,
    nodes: Vec<Node>,
    /// Settings of all nodes, such as `DROVER_STATE__MAX_WATCHERS`.
    environment: Vec<(&'static str, &'static str)>,
}

impl Cluster {
    /// Starts `size` nodes and waits until all are ready.
    pub(crate) async fn start(size: usize) -> Self {
        Self::start_with(size, &[]).await
    }

    /// The same with settings of their own.
    pub(crate) async fn start_with(
        size: usize,
        environment: &[(&'static str, &'static str)],
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key"), "42".repeat(32)).unwrap();
        let node = |_| Node {
            api: free_port(),
            internal: free_port(),
            process: None,
        };
        let mut cluster = Self {
            dir,
            nodes: (0..size).map(node).collect(),
            environment: environment.to_vec(),
        };
        let mut processes: Vec<_> = (0..size).map(|at| cluster.spawn(at)).collect();
        futures::future::join_all(processes.iter_mut().map(ready)).await;
        for (node, process) in cluster.nodes.iter_mut().zip(processes) {
            node.process = Some(process);
        }
        cluster
    }

    fn data_dir(&self, at: usize) -> PathBuf {
        self.dir.path().join(at.to_string())
    }

    fn spawn(&self, at: usize) -> Child {
        let node = &self.nodes[at];
        let internal = |node: &Node| format!("127.0.0.1:{}", node.internal);
        let seeds: Vec<_> = self.nodes.iter().map(internal).collect();
        let log = std::fs::File::create(self.dir.path().join(format!("{at}.log"))).unwrap();
        Command::new(env!("CARGO_BIN_EXE_drover-state"))
            .arg("--data-dir")
            .arg(self.data_dir(at))
            .args(["--api-listen", &format!("127.0.0.1:{}", node.api)])
            .args(["--internal-listen", &internal(node)])
            .args(["--internal-advertise", &internal(node)])
            .args(["--admin-listen", "127.0.0.1:0", "--shards", "4"])
            .args(["--seeds", &seeds.join(",")])
            .arg("--cluster-key-file")
            .arg(self.dir.path().join("key"))
            .envs(self.environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// Starts a stopped node again and waits until it is ready.
    pub(crate) async fn restart(&mut self, at: usize) {
        let mut process = self.spawn(at);
        ready(&mut process).await;
        self.nodes[at].process = Some(process);
    }

    /// Starts a stopped node again and does not wait for it: alone it may never be ready.
    pub(crate) fn restart_alone(&mut self, at: usize) {
        self.nodes[at].process = Some(self.spawn(at));
    }

    /// Ends a node's process and waits until it is gone.
    pub(crate) async fn stop(&mut self, at: usize, how: Stop) -> ExitStatus {
        let mut process = self.nodes[at].process.take().unwrap();
        match how {
            Stop::Kill => process.start_kill().unwrap(),
            Stop::Terminate => {
                let id = process.id().unwrap().to_string();
                let sent = Command::new("kill")
                    .args(["-TERM", &id])
                    .status()
                    .await
                    .unwrap();
                assert!(sent.success());
            }
        }
        let status = tokio::time::timeout(PATIENCE, process.wait())
            .await
            .unwrap()
            .unwrap();
        if matches!(how, Stop::Kill) {
            assert_eq!(status.signal(), Some(9));
        }
        status
    }

    /// Deletes everything that a stopped node has stored.
    pub(crate) fn wipe(&self, at: usize) {
        std::fs::remove_dir_all(self.data_dir(at)).unwrap();
    }

    /// The id on a node's volume.
    pub(crate) fn identity(&self, at: usize) -> u64 {
        let text = std::fs::read_to_string(self.data_dir(at).join("IDENTITY")).unwrap();
        let identity: serde_json::Value = serde_json::from_str(&text).unwrap();
        u64::from_str_radix(identity["node_id"].as_str().unwrap(), 16).unwrap()
    }

    /// The public API of a node.
    pub(crate) fn api(&self, at: usize) -> String {
        format!("http://127.0.0.1:{}", self.nodes[at].api)
    }

    /// A client of all nodes' internal services.
    pub(crate) async fn client(&self) -> Client {
        self.client_of(&Namespace::default()).await
    }

    /// The same for the devices of a namespace.
    pub(crate) async fn client_of(&self, namespace: &Namespace) -> Client {
        let seeds = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.internal));
        let config = Config {
            namespace: namespace.clone(),
            ..Config::new(seeds)
        };
        let client = Client::connect(config).unwrap();
        client.ready().await;
        client
    }

    /// The topology as one node knows it.
    pub(crate) async fn describe(&self, at: usize) -> DescribeClusterResponse {
        let address = format!("http://127.0.0.1:{}", self.nodes[at].internal);
        let mut client = StateClient::connect(address).await.unwrap();
        client
            .describe_cluster(DescribeClusterRequest {})
            .await
            .unwrap()
            .into_inner()
    }

    /// A device's desired set by way of one node's public API.
    pub(crate) async fn desired(&self, at: usize, endpoint: &DeviceName) -> DesiredResources {
        let mut client = DesiredStateClient::connect(self.api(at)).await.unwrap();
        let request = GetDesiredRequest {
            endpoint: endpoint.endpoint_str().to_owned(),
        };
        client.get_desired(request).await.unwrap().into_inner()
    }
}

/// Waits for the line that a node prints when it is ready.
async fn ready(process: &mut Child) {
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line())
        .await
        .expect("ready in time")
        .unwrap();
    assert!(
        line.unwrap_or_default()
            .starts_with("drover-state ready api="),
        "the node ended instead"
    );
}

/// Waits for a condition, with a deadline.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE * 2;
    while !condition().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not in time: {what}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
