//! What a state node is told from outside.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use backup::Wanted;
use clap::Parser;
use device_state::{Namespace, NamespaceError};
use node_runtime::telemetry::LogConfig;
use node_runtime::tls::NodeTls;
use serde::{Deserialize, Serialize};

use crate::access::config::{AccessConfigError, ApiAccess, ApiTls, Mode};
use crate::tenants::TenantLimits;

/// Prefix of the environment variables: `DROVER_STATE__DATA_DIR` sets `data_dir`.
pub const ENV_PREFIX: &str = "DROVER_STATE";

/// The configuration of a state node: defaults, then the file, then the environment, then flags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "settings that somebody says yes or no to"
)]
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
    /// How often files of certificates, keys and policies are looked at for changes.
    #[serde(with = "humantime_serde")]
    pub reload_interval: Duration,
    /// Whether whoever reaches `api_listen` may do everything, although it is not a loopback address.
    pub api_allow_anonymous: bool,
    /// Whether `api_listen` takes bearer tokens without TLS, although it is not a loopback address: only behind something
    /// that secures the way.
    pub api_allow_plaintext: bool,
    /// Whether `internal_listen` trusts whoever connects, although it is not a loopback address.
    pub internal_allow_plaintext: bool,
    /// Where changes through the API are put on record, as lines of JSON: a file, or "-" for standard output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_file: Option<PathBuf>,
    /// Whether a change that cannot be put on record is refused.
    pub audit_required: bool,
    /// Certificates between nodes; unset: none, and nothing is encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal_tls: Option<NodeTls>,
    /// The certificate of the public API; unset: none, and nothing is encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_tls: Option<ApiTls>,
    /// Who may call the public API.
    pub api_access: ApiAccess,
    /// How much each namespace may have and how often it may call, where nothing else is said of it in `tenants`.
    pub tenant_default: TenantLimits,
    /// The same for single namespaces, by name; what is left open is as in `tenant_default`. See docs/tenancy.md.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tenants: BTreeMap<String, TenantLimits>,
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
            reload_interval: Duration::from_secs(10),
            api_allow_anonymous: false,
            api_allow_plaintext: false,
            internal_allow_plaintext: false,
            audit_file: None,
            audit_required: false,
            internal_tls: None,
            api_tls: None,
            api_access: ApiAccess::default(),
            tenant_default: TenantLimits::default(),
            tenants: BTreeMap::new(),
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
    #[error(transparent)]
    Access(#[from] AccessConfigError),
    #[error(
        "whoever reaches {0} could do everything with all devices: configure who may call the API (api_tls and api_access, \
         see docs/access.md), listen on a loopback address (api_listen), or say that it is meant by \
         api_allow_anonymous = true"
    )]
    AnonymousApi(SocketAddr),
    #[error(
        "bearer tokens for {0} could be read on their way: configure api_tls, listen on a loopback address (api_listen), or \
         say by api_allow_plaintext = true that something else secures the way"
    )]
    PlaintextApi(SocketAddr),
    #[error(
        "whoever reaches {0} could act as a node of the cluster: configure internal_tls (see docs/access.md), listen on a \
         loopback address (internal_listen), or say by internal_allow_plaintext = true that only nodes reach it"
    )]
    PlaintextInternal(SocketAddr),
    #[error("tenants: {name:?} is none")]
    Namespace {
        name: String,
        source: NamespaceError,
    },
    #[error("audit_required needs audit_file")]
    NoAuditFile,
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
        for name in self.tenants.keys() {
            Namespace::new(name).map_err(|source| ConfigError::Namespace {
                name: name.clone(),
                source,
            })?;
        }
        self.validate_access()?;
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

impl Config {
    /// What strangers can reach needs to know who calls, or somebody who says that it need not.
    fn validate_access(&self) -> Result<(), ConfigError> {
        self.api_access.validate(self.api_tls.as_ref())?;
        let (api, internal) = (self.api_listen, self.internal_listen);
        match self.api_access.mode(self.api_tls.as_ref()) {
            _ if api.ip().is_loopback() => {}
            Mode::Anonymous if !self.api_allow_anonymous => {
                return Err(ConfigError::AnonymousApi(api));
            }
            Mode::Authenticated if self.api_tls.is_none() && !self.api_allow_plaintext => {
                return Err(ConfigError::PlaintextApi(api));
            }
            Mode::Anonymous | Mode::Authenticated => {}
        }
        let is_plaintext = self.internal_tls.is_none() && !self.internal_allow_plaintext;
        if is_plaintext && !internal.ip().is_loopback() {
            return Err(ConfigError::PlaintextInternal(internal));
        }
        if self.audit_required && self.audit_file.is_none() {
            return Err(ConfigError::NoAuditFile);
        }
        Ok(())
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

    const LOOPBACK: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn what_strangers_reach_is_not_open_by_accident() {
        let mut config = Config::default();
        let api = config.api_listen;
        assert_eq!(config.validate(), Err(ConfigError::AnonymousApi(api)));
        config.api_allow_anonymous = true;
        let internal = config.internal_listen;
        let refused = Err(ConfigError::PlaintextInternal(internal));
        assert_eq!(config.validate(), refused);
        config.internal_allow_plaintext = true;
        assert_eq!(config.validate(), Ok(()));
        config.api_allow_anonymous = false;
        config.api_access.kubernetes = Some(crate::access::config::Kubernetes::default());
        assert_eq!(config.validate(), Err(ConfigError::PlaintextApi(api)));
        config.api_allow_plaintext = true;
        assert_eq!(config.validate(), Ok(()));
        config.audit_required = true;
        assert_eq!(config.validate(), Err(ConfigError::NoAuditFile));
        let config = Config {
            api_listen: LOOPBACK,
            internal_listen: LOOPBACK,
            ..Config::default()
        };
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn a_seeded_node_has_to_be_one_of_the_seeds() {
        let mut config = Config {
            api_listen: LOOPBACK,
            internal_listen: LOOPBACK,
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
