//! Configuration: defaults, then file, then `DROVER_INGRESS__…` environment, then flags.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Parser;
use device_state::Namespace;
use node_runtime::telemetry::LogConfig;
use node_runtime::tls::NodeTls;
use serde::{Deserialize, Serialize};

use crate::packages::PackageUris;
use crate::trust::{DtlsKey, ExpiredLists};

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
    /// What devices are served: management, or bootstrap (usually on ports 5783 and 5784).
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    /// Address of CoAP over DTLS (usually port 5684).
    #[arg(long, value_name = "HOST:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    coaps_listen: Option<SocketAddr>,
    /// Address of CoAP without security (usually port 5683); not served unless given.
    #[arg(long, value_name = "HOST:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    coap_listen: Option<SocketAddr>,
    /// Address of CoAP over TCP without security (usually port 5683); not served unless given.
    #[arg(long, value_name = "HOST:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    coap_tcp_listen: Option<SocketAddr>,
    /// Address of CoAP over TLS (usually port 5684); not served unless given.
    #[arg(long, value_name = "HOST:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    coaps_tcp_listen: Option<SocketAddr>,
    /// Namespace whose devices are served [default: default].
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    /// Address of health, readiness, metrics and log level.
    #[arg(long, value_name = "HOST:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_listen: Option<SocketAddr>,
    /// Address that the first worker takes datagrams from other ingress nodes on (usually port 7445); the others follow.
    /// With port 0 each takes a free one.
    #[arg(long, value_name = "HOST:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    forward_listen: Option<SocketAddr>,
    /// Address under which other ingress nodes reach this one, if not the one it reaches the state tier from.
    #[arg(long, value_name = "HOST")]
    #[serde(skip_serializing_if = "Option::is_none")]
    forward_advertise: Option<IpAddr>,
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
    /// Seconds for which datagrams are still forwarded after SIGTERM.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    linger_seconds: Option<u64>,
    /// Worker threads.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    workers: Option<u8>,
}

/// What devices are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    /// Device management (LwM2M Core 1.2 §6.2 to §6.4).
    Device,
    /// Bootstrap (LwM2M Core 1.2 §6.1).
    Bootstrap,
}

/// Who gets accounts from a bootstrap node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BootstrapFor {
    /// Devices that proved who they are.
    Proved,
    /// All, as long as there are no keys in their accounts.
    Anyone,
}

/// What the node runs with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// What devices are served: "device" for management, or "bootstrap".
    pub(crate) role: Role,
    /// The namespace whose devices are served: whatever connects here is in it.
    pub(crate) namespace: String,
    /// Who gets accounts from a bootstrap node: "proved" for devices that proved who they are, or "anyone", who gets no keys,
    /// though.
    pub(crate) bootstrap_for: BootstrapFor,
    /// Address of CoAP over DTLS.
    pub(crate) coaps_listen: SocketAddr,
    /// Address of CoAP without security; not served unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) coap_listen: Option<SocketAddr>,
    /// Whether coap_listen, coap_tcp_listen and devices without a certificate on coaps_tcp_listen are served only in
    /// messages that OSCORE protects. Otherwise anyone there is who they say they are.
    pub(crate) coap_requires_oscore: bool,
    /// Address of CoAP over TCP without security; not served unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) coap_tcp_listen: Option<SocketAddr>,
    /// Address of CoAP over TLS; not served unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) coaps_tcp_listen: Option<SocketAddr>,
    /// Whether devices on coaps_tcp_listen have to show a certificate: one of client_authorities_file, or one whose key
    /// is a credential. Without one, those on it are who they say they are, like those on coap_listen.
    pub(crate) coaps_tcp_requires_certificate: bool,
    /// PEM file with this node's certificate and those that lead to the root; needed for coaps_tcp_listen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls_certificate_file: Option<PathBuf>,
    /// PEM file with the key of that certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls_key_file: Option<PathBuf>,
    /// Keys of this node in DTLS, for devices with raw public keys or certificates. Pre-shared keys need none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) dtls_keys: Vec<DtlsKey>,
    /// PEM file with the authorities whose certificates devices may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_authorities_file: Option<PathBuf>,
    /// PEM files with the revocation lists of those authorities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) revocation_list_files: Vec<PathBuf>,
    /// What becomes of new sessions of certificates whose issuer's list in revocation_list_files is past its nextUpdate:
    /// "refuse", or "trust" to go on with what the list says. Sessions that are there already go on.
    pub(crate) expired_revocation_lists: ExpiredLists,
    /// Seconds between looks whether the files of dtls_keys, TLS, authorities and revocation lists have changed.
    pub(crate) trust_reload_seconds: u64,
    /// Address of health, readiness, metrics and log level.
    pub(crate) admin_listen: SocketAddr,
    /// Address that the first worker takes datagrams from other ingress nodes on; the others follow.
    pub(crate) forward_listen: SocketAddr,
    /// Address under which other ingress nodes reach this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) forward_advertise: Option<IpAddr>,
    /// Internal addresses of state nodes, some of them at least.
    pub(crate) state: Vec<String>,
    /// File with the cluster key (64 hex digits). Without one the node serves by itself: it forwards nothing to others.
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
    /// Whether devices get session ids in DTLS, and can resume their sessions at any node by them.
    pub(crate) resumption: bool,
    /// How long after its full handshake a device can resume, in hours.
    pub(crate) resumption_hours: u32,
    /// Handshakes under way, per worker; a quarter of them of one IPv4 address or IPv6 /64 network.
    pub(crate) max_handshakes: usize,
    /// DTLS handshakes that begin per second, per worker; twice as many at once after a rest. One with ECDHE counts for
    /// ten. Devices beyond it repeat their hello. As much again is for TLS, where connections beyond it are closed.
    pub(crate) handshakes_per_second: u32,
    /// Of those, handshakes from one IPv4 address or IPv6 /64 network.
    pub(crate) handshakes_per_second_per_source: u32,
    /// Devices, per worker.
    pub(crate) max_devices: usize,
    /// Lists of objects in link format, such as "</1/0>,</3/0>", by the profile id that devices of LwM2M 1.2 register with
    /// in place of the list.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) profile_ids: BTreeMap<String, String>,
    /// Where devices find packages of the cluster, by the scheme that they talk by: coap, coaps, coap+tcp or coaps+tcp, each
    /// with the beginning of a URI, such as "coaps://lwm2m.example.com:5684". Without one, devices are told the address that
    /// they talk to, which is not right behind a load balancer that translates addresses.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) package_uris: PackageUris,
    /// Bytes of packages that are kept in memory, and not fetched from the state tier anew, for all workers.
    pub(crate) package_cache_bytes: u64,
    /// Seconds for which a device in queue mode takes requests after its last message, unless it says itself that it
    /// sleeps sooner. What state nodes have as awake_window.
    pub(crate) awake_window_seconds: u32,
    /// Seconds for which datagrams are still forwarded after SIGTERM: as long as load balancers may send some.
    pub(crate) linger_seconds: u64,
    /// TCP and TLS connections, per worker.
    pub(crate) max_connections: usize,
    /// Of those, connections of one IPv4 address or IPv6 /64 network.
    pub(crate) max_connections_per_source: usize,
    /// Seconds after which a silent TCP or TLS connection is released.
    pub(crate) connection_idle_seconds: u64,
    /// Seconds that ending may take.
    pub(crate) grace_seconds: u64,
    /// Certificates between nodes, as state nodes have them in internal_tls; unset: none, and nothing is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) internal_tls: Option<NodeTls>,
    /// Logging.
    pub(crate) log: LogConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            role: Role::Device,
            namespace: Namespace::DEFAULT.to_owned(),
            bootstrap_for: BootstrapFor::Proved,
            coaps_listen: SocketAddr::from(([0, 0, 0, 0], 5684)),
            coap_listen: None,
            coap_requires_oscore: false,
            coap_tcp_listen: None,
            coaps_tcp_listen: None,
            coaps_tcp_requires_certificate: true,
            tls_certificate_file: None,
            tls_key_file: None,
            dtls_keys: Vec::new(),
            client_authorities_file: None,
            revocation_list_files: Vec::new(),
            expired_revocation_lists: ExpiredLists::default(),
            trust_reload_seconds: 10,
            admin_listen: SocketAddr::from(([0, 0, 0, 0], 9090)),
            forward_listen: SocketAddr::from(([0, 0, 0, 0], 7445)),
            forward_advertise: None,
            state: vec!["127.0.0.1:7444".to_owned()],
            cluster_key_file: None,
            name: "ingress".to_owned(),
            workers: std::thread::available_parallelism()
                .map_or(1, |cores| cores.get().min(64) as u8),
            commit_timeout_ms: 10_000,
            session_hours: 168,
            resumption: true,
            resumption_hours: 168,
            max_handshakes: 20_000,
            handshakes_per_second: 50_000,
            handshakes_per_second_per_source: 10_000,
            max_devices: 1_000_000,
            profile_ids: BTreeMap::new(),
            package_uris: PackageUris::new(),
            package_cache_bytes: 256 << 20,
            // RFC 7252 §4.8.2: MAX_TRANSMIT_WAIT, as LwM2M-Transport 1.2 recommends.
            awake_window_seconds: 93,
            linger_seconds: 15,
            max_connections: 20_000,
            max_connections_per_source: 1000,
            connection_idle_seconds: 24 * 3600,
            grace_seconds: 25,
            internal_tls: None,
            log: LogConfig::default(),
        }
    }
}
