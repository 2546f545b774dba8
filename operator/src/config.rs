//! Configuration: defaults, then file, then `DROVER_OPERATOR__…` environment, then flags.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};
use node_runtime::telemetry::LogConfig;
use node_runtime::tls::ClientTls;
use serde::{Deserialize, Serialize};

/// Kubernetes controller of Drover: keeps devices as their custom resources describe them.
#[derive(Parser, Debug)]
#[command(name = "drover-operator", version, about)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// TOML file with the keys that --print-config shows.
    #[arg(long, env = "DROVER_OPERATOR_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Print the configuration that would be used, and end.
    #[arg(long)]
    pub(crate) print_config: bool,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

/// What to do instead of nothing being named: run.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run the controller (the default).
    Run,
    /// Print the CustomResourceDefinitions, and who may approve rollouts, as YAML.
    Crd {
        /// Write one file for each object into this folder instead.
        #[arg(long, value_name = "FOLDER")]
        output: Option<PathBuf>,
    },
}

/// Flags that override the file and the environment.
#[derive(Parser, Debug, Serialize)]
pub(crate) struct Overrides {
    /// Addresses of the public gRPC API of state nodes, some of them at least; with https:// before them, TLS is used.
    #[arg(long, global = true, value_name = "HOST:PORT", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<Vec<String>>,
    /// Kubeconfig file; without one, that of KUBECONFIG, of the user or of the pod is used.
    #[arg(long, global = true, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    kubeconfig: Option<PathBuf>,
    /// Only objects of this namespace; without one, all.
    #[arg(long, global = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    /// Address of health, readiness, metrics and log level.
    #[arg(long, global = true, value_name = "HOST:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_listen: Option<SocketAddr>,
    /// Name of the Lease that the working replica holds.
    #[arg(long, global = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_name: Option<String>,
    /// Namespace of the Lease; without one, that of the pod.
    #[arg(long, global = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_namespace: Option<String>,
    /// Work without a Lease: only for a single replica.
    #[arg(long = "no-leader-election", global = true, action = ArgAction::SetFalse)]
    #[serde(skip_serializing_if = "is_set")]
    leader_election: bool,
}

/// A flag that only ever switches off says nothing while it is on.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the form that serde calls"
)]
fn is_set(flag: &bool) -> bool {
    *flag
}

/// What the operator runs with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Addresses of the public gRPC API of state nodes, some of them at least; with https:// before them, TLS is used.
    pub(crate) api: Vec<String>,
    /// A file with the bearer token for the API, such as a projected ServiceAccount token; it is read again when it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) api_token_file: Option<PathBuf>,
    /// How often the files of the token and of api_tls are looked at for changes, in seconds.
    pub(crate) reload_seconds: u64,
    /// Kubeconfig file; unset: that of KUBECONFIG, of the user or of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Only objects of this namespace; unset: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    /// Address of health, readiness, metrics and log level.
    pub(crate) admin_listen: SocketAddr,
    /// Whether a Lease decides which replica works.
    pub(crate) leader_election: bool,
    /// Name of the Lease.
    pub(crate) lease_name: String,
    /// Namespace of the Lease; unset: that of the pod or of the kubeconfig.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lease_namespace: Option<String>,
    /// How long a Lease holds without being renewed, in seconds. It is renewed every sixth of that
    /// and given up as lost after two thirds.
    pub(crate) lease_seconds: u32,
    /// Objects that are reconciled at the same time.
    pub(crate) concurrency: u16,
    /// How long changes of an object are collected before it is reconciled, in milliseconds.
    pub(crate) debounce_ms: u32,
    /// Every object is reconciled at least this often, in seconds, give or take a fifth.
    pub(crate) resync_seconds: u32,
    /// How often a rollout, a profile or an operation that goes on is looked at, in seconds, give or take a fifth.
    pub(crate) rollout_poll_seconds: u32,
    /// How often the devices of groups and profiles are counted anew, in seconds, give or take a fifth.
    pub(crate) recount_seconds: u32,
    /// Seconds that ending may take.
    pub(crate) grace_seconds: u64,
    /// Certificates for addresses with https://.
    pub(crate) api_tls: ClientTls,
    /// Logging.
    pub(crate) log: LogConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            api: vec!["127.0.0.1:7443".to_owned()],
            api_token_file: None,
            reload_seconds: 10,
            api_tls: ClientTls::default(),
            kubeconfig: None,
            namespace: None,
            admin_listen: SocketAddr::from(([0, 0, 0, 0], 9090)),
            leader_election: true,
            lease_name: "drover-operator".to_owned(),
            lease_namespace: None,
            lease_seconds: 15,
            concurrency: 32,
            debounce_ms: 250,
            resync_seconds: 900,
            rollout_poll_seconds: 5,
            recount_seconds: 60,
            grace_seconds: 20,
            log: LogConfig::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    fn load(arguments: &[&str]) -> Config {
        let arguments = Arguments::try_parse_from(arguments).unwrap();
        let prefix = "DROVER_OPERATOR_TEST";
        node_runtime::config::load(&Config::default(), None, prefix, &arguments.overrides).unwrap()
    }

    #[test]
    fn flags_override_the_defaults() {
        let config = load(&[
            "drover-operator",
            "--api",
            "a:1,b:2",
            "--no-leader-election",
        ]);
        assert_eq!(config.api, ["a:1", "b:2"]);
        assert!(!config.leader_election);
        assert!(load(&["drover-operator", "run"]).leader_election);
        assert!(!load(&["drover-operator", "run", "--no-leader-election"]).leader_election);
    }
}
