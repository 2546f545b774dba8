//! What a state node is told from outside.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use node_runtime::telemetry::LogConfig;
use serde::{Deserialize, Serialize};

/// Prefix of the environment variables: `DROVER_STATE__DATA_DIR` sets `data_dir`.
pub const ENV_PREFIX: &str = "DROVER_STATE";

/// The configuration of a state node: defaults, then the file, then the environment, then flags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The folder of the log, the rows and the node's identity. It must be this node's alone and survive restarts.
    pub data_dir: PathBuf,
    /// Where the public gRPC API listens. Port 0 takes a free one.
    pub api_listen: SocketAddr,
    /// Where ingress nodes and other state nodes connect.
    pub internal_listen: SocketAddr,
    /// Where health, readiness, metrics and the log level are served.
    pub admin_listen: SocketAddr,
    /// `host:port` under which others reach the public API; empty: the address that it listens on.
    pub api_advertise: String,
    /// `host:port` under which other nodes reach the internal service; empty: the address that it listens on. Must be
    /// one of `seeds`, letter by letter, if there are any.
    pub internal_advertise: String,
    /// Internal addresses of all nodes that make the cluster, in the same order on every node. The first one makes it
    /// once all can be reached. Empty: a cluster of this node alone. Without effect once the cluster exists.
    pub seeds: Vec<String>,
    /// A name for people; the cluster's id is random.
    pub cluster_name: String,
    /// How many shards the devices are spread over. Fixed when the cluster is made; the same on every node.
    pub shards: u16,
    /// A file with the key that seals pre-shared keys and session exports at rest: 64 hex digits, the same on every
    /// node.
    pub cluster_key_file: PathBuf,
    /// Below this much free space on the volume new commands are refused.
    pub disk_reserve_bytes: u64,
    /// Memory for blocks read from the rows.
    pub block_cache_bytes: usize,
    /// Memory for rows that are not on the disk yet.
    pub write_buffer_bytes: usize,
    /// How long a device in queue mode takes requests after its last message, unless it says itself that it sleeps
    /// sooner. What ingress nodes have as `awake_window_seconds`.
    #[serde(with = "humantime_serde")]
    pub awake_window: Duration,
    /// Whether the public API describes itself (gRPC server reflection, v1), so that tools such as grpcurl need no
    /// `.proto` files.
    pub reflection: bool,
    /// How long a stop may take: handing over leaderships, ending calls, flushing.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    /// What is logged and how.
    pub log: LogConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("/var/lib/drover"),
            api_listen: SocketAddr::from(([0; 8], 7443)),
            internal_listen: SocketAddr::from(([0; 8], 7444)),
            admin_listen: SocketAddr::from(([0; 8], 9090)),
            api_advertise: String::new(),
            internal_advertise: String::new(),
            seeds: Vec::new(),
            cluster_name: "drover".to_owned(),
            shards: 8,
            cluster_key_file: PathBuf::from("/etc/drover/cluster.key"),
            disk_reserve_bytes: 512 << 20,
            block_cache_bytes: 128 << 20,
            write_buffer_bytes: 128 << 20,
            // RFC 7252 §4.8.2: MAX_TRANSMIT_WAIT, as LwM2M-Transport 1.2 recommends.
            awake_window: Duration::from_secs(93),
            reflection: true,
            grace: Duration::from_secs(20),
            log: LogConfig {
                filter: "info,openraft=warn".to_owned(),
                ..LogConfig::default()
            },
        }
    }
}

/// Why a configuration makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("shards must be 1 to 1024, not {0}")]
    Shards(u16),
    #[error("awake_window is zero: nothing could be sent to devices in queue mode")]
    NeverAwake,
    #[error("internal_advertise {0:?} is not one of the seeds")]
    NotASeed(String),
    #[error("seed {0:?} is listed twice")]
    RepeatedSeed(String),
}

impl Config {
    /// Checks what types cannot express.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !(1..=1_024).contains(&self.shards) {
            return Err(ConfigError::Shards(self.shards));
        }
        if self.awake_window.is_zero() {
            return Err(ConfigError::NeverAwake);
        }
        if !self.seeds.is_empty() && !self.seeds.contains(&self.internal_advertise) {
            return Err(ConfigError::NotASeed(self.internal_advertise.clone()));
        }
        let repeated = self
            .seeds
            .iter()
            .enumerate()
            .find(|(at, seed)| self.seeds[..*at].contains(seed));
        repeated.map_or(Ok(()), |(_, seed)| {
            Err(ConfigError::RepeatedSeed(seed.clone()))
        })
    }
}

/// Raft replica of Drover's device state, and its gRPC API.
#[derive(Debug, Parser)]
#[command(name = "drover-state", version)]
pub struct Arguments {
    /// Reads the configuration from this TOML file.
    #[arg(long, env = "DROVER_STATE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Prints the resulting configuration and exits.
    #[arg(long)]
    pub print_config: bool,
    #[command(flatten)]
    pub overrides: Overrides,
}

/// Flags that override the file and the environment.
#[derive(Debug, Default, Serialize, clap::Args)]
pub struct Overrides {
    /// Folder of the log, the rows and the identity.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Where the public gRPC API listens.
    #[arg(long)]
    api_listen: Option<SocketAddr>,
    /// Where ingress nodes and other state nodes connect.
    #[arg(long)]
    internal_listen: Option<SocketAddr>,
    /// Where health, readiness and metrics are served.
    #[arg(long)]
    admin_listen: Option<SocketAddr>,
    /// `host:port` of the public API for others.
    #[arg(long)]
    api_advertise: Option<String>,
    /// `host:port` of the internal service for others.
    #[arg(long)]
    internal_advertise: Option<String>,
    /// Internal addresses of all first members, separated by commas.
    #[arg(long, value_delimiter = ',')]
    seeds: Option<Vec<String>>,
    /// A name for people.
    #[arg(long)]
    cluster_name: Option<String>,
    /// How many shards the devices are spread over.
    #[arg(long)]
    shards: Option<u16>,
    /// File with the cluster key, 64 hex digits.
    #[arg(long)]
    cluster_key_file: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seeded_node_has_to_be_one_of_the_seeds() {
        let mut config = Config {
            seeds: vec!["a:1".to_owned(), "b:1".to_owned()],
            ..Config::default()
        };
        assert_eq!(config.validate(), Err(ConfigError::NotASeed(String::new())));
        config.internal_advertise = "b:1".to_owned();
        assert_eq!(config.validate(), Ok(()));
        config.seeds.push("a:1".to_owned());
        assert_eq!(
            config.validate(),
            Err(ConfigError::RepeatedSeed("a:1".to_owned()))
        );
    }

    #[test]
    fn the_configuration_survives_being_printed_and_read() {
        let text = node_runtime::config::render(&Config::default()).expect("printable");
        assert!(text.contains("shards = 8"), "{text}");
    }
}
