//! Configuration: defaults, then file, then `DROVER_INGRESS__…` environment, then flags.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use node_runtime::telemetry::LogConfig;
use serde::{Deserialize, Serialize};

/// UDP, DTLS and CoAP edge of Drover: terminates LwM2M sessions and keeps their state in the state tier.
#[derive(Parser, Debug)]
#[command(name = "drover-ingress", version, about)]
pub(crate) struct Arguments {
    /// TOML file with the keys that --print-config shows.
    #[arg(long, env = "DROVER_INGRESS_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Print the configuration that would be used, and end.
    #[arg(long)]
    pub(crate) print_config: bool,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

/// Flags that override the file and the environment.
#[derive(Parser, Debug, Serialize)]
pub(crate) struct Overrides {
    /// Address of CoAP over DTLS (usually port 5684).
    #[arg(long, value_name = "HOST:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    coaps_listen: Option<SocketAddr>,
    /// Address of CoAP without security (usually port 5683); not served unless given.
    #[arg(long, value_name = "HOST:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    coap_listen: Option<SocketAddr>,
    /// Address of health, readiness, metrics and log level.
    #[arg(long, value_name = "HOST:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_listen: Option<SocketAddr>,
    /// Internal addresses of state nodes, some of them at least.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Vec<String>>,
    /// File with the cluster key (64 hex digits), the same on every node.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_key_file: Option<PathBuf>,
    /// Name of this node in logs; its id is random.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Worker threads.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    workers: Option<u8>,
}

/// What the node runs with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Address of CoAP over DTLS.
    pub(crate) coaps_listen: SocketAddr,
    /// Address of CoAP without security; not served unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) coap_listen: Option<SocketAddr>,
    /// Address of health, readiness, metrics and log level.
    pub(crate) admin_listen: SocketAddr,
    /// Internal addresses of state nodes, some of them at least.
    pub(crate) state: Vec<String>,
    /// File with the cluster key (64 hex digits). Without one the cookies of this node are its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cluster_key_file: Option<PathBuf>,
    /// Name of this node in logs.
    pub(crate) name: String,
    /// Worker threads, 1 to 64. Each has its own sockets and devices.
    pub(crate) workers: u8,
    /// Longest wait for a commit, in milliseconds; then the device is answered 5.03.
    pub(crate) commit_timeout_ms: u32,
    /// How long a stored DTLS session is kept without being used, in hours.
    pub(crate) session_hours: u32,
    /// Handshakes under way, per worker.
    pub(crate) max_handshakes: usize,
    /// Devices, per worker.
    pub(crate) max_devices: usize,
    /// Seconds that ending may take.
    pub(crate) grace_seconds: u64,
    /// Logging.
    pub(crate) log: LogConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            coaps_listen: SocketAddr::from(([0, 0, 0, 0], 5684)),
            coap_listen: None,
            admin_listen: SocketAddr::from(([0, 0, 0, 0], 9090)),
            state: vec!["127.0.0.1:7444".to_owned()],
            cluster_key_file: None,
            name: "ingress".to_owned(),
            workers: std::thread::available_parallelism()
                .map_or(1, |cores| cores.get().min(64) as u8),
            commit_timeout_ms: 10_000,
            session_hours: 168,
            max_handshakes: 20_000,
            max_devices: 1_000_000,
            grace_seconds: 25,
            log: LogConfig::default(),
        }
    }
}
