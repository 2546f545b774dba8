//! What a state node is told from outside.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use backup::Wanted;
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
    /// once all can be reached. Empty: a cluster of this node alone. Without effect once the node belongs to one.
    pub seeds: Vec<String>,
    /// What a node with an empty volume does: `found` a cluster with the seeds, or `join` the one that the seeds
    /// belong to. A joining node without seeds waits for `drover cluster add`.
    pub start: Start,
    /// A name for people; the cluster's id is random.
    pub cluster_name: String,
    /// How many shards the devices are spread over. Fixed when the cluster is made; the same on every node.
    pub shards: u16,
    /// A file with the key under which pre-shared keys, OSCORE secrets and session exports are sealed at rest, and from
    /// which the key is derived that signs page tokens and resume tokens: 64 hex digits, the same on every node.
    pub cluster_key_file: PathBuf,
    /// Files with further keys, of the same form: what they sealed is opened, nothing new is sealed with them. For
    /// changing the key (see docs/security.md).
    pub retired_key_files: Vec<PathBuf>,
    /// Below this much free space on the volume new commands are refused.
    pub disk_reserve_bytes: u64,
    /// What a start does when the data was found corrupt: `"automatic"` sets it aside, under `quarantine-<n>` in
    /// `data_dir`, and has this replica rebuilt from the other nodes, if a majority of three or more voters is there
    /// without it; `"never"` refuses to start until somebody ran `drover-state rebuild`.
    pub rebuild_corrupt: RebuildCorrupt,
    /// How often the replicas of each shard are compared by a hash over all rows; all of them are read for it, 64 MiB a
    /// second at most. Zero: never.
    #[serde(with = "humantime_serde")]
    pub compare_replicas_every: Duration,
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
    /// Watches of events that this node serves at a time; more are refused, and may go to another node.
    pub max_watchers: u32,
    /// How long a watcher may take nothing of what waits for it before its watch is ended.
    #[serde(with = "humantime_serde")]
    pub slow_watcher_patience: Duration,
    /// Memory for the newest events, which watchers share.
    pub watch_buffer_bytes: usize,
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
            start: Start::Found,
            cluster_name: "drover".to_owned(),
            shards: 8,
            cluster_key_file: PathBuf::from("/etc/drover/cluster.key"),
            retired_key_files: Vec::new(),
            disk_reserve_bytes: 512 << 20,
            rebuild_corrupt: RebuildCorrupt::Automatic,
            compare_replicas_every: Duration::from_secs(3_600),
            block_cache_bytes: 128 << 20,
            write_buffer_bytes: 128 << 20,
            // RFC 7252 §4.8.2: MAX_TRANSMIT_WAIT, as LwM2M-Transport 1.2 recommends.
            awake_window: Duration::from_secs(93),
            reflection: true,
            max_watchers: 256,
            slow_watcher_patience: Duration::from_secs(30),
            watch_buffer_bytes: 32 << 20,
            grace: Duration::from_secs(20),
            log: LogConfig {
                filter: "info,openraft=warn".to_owned(),
                ..LogConfig::default()
            },
        }
    }
}

/// Longer pauses between comparisons are a mistake.
const MAX_COMPARE_EVERY: Duration = Duration::from_secs(366 * 24 * 3_600);

/// What a node that belongs to no cluster does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    #[default]
    Found,
    Join,
}

/// What becomes of corrupt data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RebuildCorrupt {
    Automatic,
    Never,
}

/// Why a configuration makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("shards must be 1 to 1024, not {0}")]
    Shards(u16),
    #[error("awake_window is zero: nothing could be sent to devices in queue mode")]
    NeverAwake,
    #[error("compare_replicas_every is more than a year")]
    NeverCompared,
    #[error("slow_watcher_patience is zero: no watcher could be served")]
    NoPatience,
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
        if self.slow_watcher_patience.is_zero() {
            return Err(ConfigError::NoPatience);
        }
        if self.compare_replicas_every > MAX_COMPARE_EVERY {
            return Err(ConfigError::NeverCompared);
        }
        let founds = self.start == Start::Found && !self.seeds.is_empty();
        if founds && !self.seeds.contains(&self.internal_advertise) {
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
#[command(name = "drover-state", version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Subcommand>,
    /// Reads the configuration from this TOML file.
    #[arg(long, env = "DROVER_STATE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Prints the resulting configuration and exits.
    #[arg(long)]
    pub print_config: bool,
    #[command(flatten)]
    pub overrides: Overrides,
}

/// What to do instead of running a node.
#[derive(Debug, clap::Subcommand)]
pub enum Subcommand {
    Rebuild(Rebuild),
    /// Make the data folder of a new cluster from a backup.
    ///
    /// The folder must be empty; nothing is done if it was restored from this backup before. The cluster key is that of
    /// the cluster that was backed up. The node that starts in the folder is alone in a new cluster.
    Restore(Box<Restore>),
}

/// Sets the data of a stopped node aside, so that it is rebuilt from the other nodes.
///
/// The identity, the log and the rows move to `quarantine-<n>` in the data folder, in place of an earlier quarantine, and
/// the node gets another identity. When it starts, the leaders of the shards give it everything that is committed, and
/// let it take the place of its former self. Until then the cluster runs without this node: do it with one node at a
/// time, and only while the others are up. Of a cluster of one node nothing would be left.
#[derive(Debug, clap::Args)]
pub struct Rebuild {
    /// Folder of the log, the rows and the identity.
    #[arg(long)]
    pub data_dir: PathBuf,
    /// Does it; without, it is only told what would be done.
    #[arg(long)]
    pub yes: bool,
    /// Does it although it was done less than an hour ago.
    #[arg(long)]
    pub again: bool,
}

/// Which backup, and for which node.
#[derive(Debug, clap::Args)]
pub struct Restore {
    /// Where backups lie: file:///folder or s3://bucket/prefix.
    #[arg(long, value_name = "URL")]
    pub from: String,
    /// Id of the backup, or latest.
    #[arg(long, value_name = "ID")]
    pub backup: Wanted,
    /// Reads the configuration of the node from this TOML file.
    #[arg(long, env = "DROVER_STATE_CONFIG")]
    pub config: Option<PathBuf>,
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
    /// What a node with an empty volume does: found a cluster with the seeds, or join theirs.
    #[arg(long, value_enum)]
    start: Option<Start>,
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
    fn how_corrupt_data_is_looked_after_is_said_in_words() {
        let arguments = Arguments::parse_from(["drover-state", "rebuild", "--data-dir", "d"]);
        let Some(Subcommand::Rebuild(rebuild)) = arguments.command else {
            panic!("another command")
        };
        assert!(!rebuild.yes && !rebuild.again);
        let text = node_runtime::config::render(&Config::default()).expect("printable");
        assert!(text.contains("rebuild_corrupt = \"automatic\""), "{text}");
        assert!(text.contains("compare_replicas_every = \"1h\""), "{text}");
        let config = Config {
            compare_replicas_every: Duration::MAX,
            ..Config::default()
        };
        assert_eq!(config.validate(), Err(ConfigError::NeverCompared));
    }

    #[test]
    fn the_configuration_survives_being_printed_and_read() {
        let text = node_runtime::config::render(&Config::default()).expect("printable");
        assert!(text.contains("shards = 8"), "{text}");
    }
}
