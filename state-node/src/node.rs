//! Puts a node together: opens the disk, starts the groups, serves, and joins its cluster.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use device_state::{NodeId, ShardId};
use node_runtime::files::Reloading;
use node_runtime::telemetry::LogLevel;
use node_runtime::tls::{Acceptor, ClientCertificates, Connector, TlsError};
use node_runtime::{Readiness, Stage, Tasks, admin, random};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::access::layer::AccessLayer;
use crate::access::{Access, AccessError};
use crate::audit::{Audit, AuditConfig, AuditError, Required};
use crate::config::{Config, ConfigError};
use crate::dial::Dialer;
use crate::fail_stop::FailStop;
use crate::identity::{IdentityError, IdentityFile};
use crate::listen::{self, OnlyFrom};
use crate::raft::log_store::OpenError;
use crate::raft::unstick::{self, PlanError};
use crate::raft::{Member, group};
use crate::rebuild::{self, RebuildError};
use crate::seal::canary::CanaryError;
use crate::seal::{KeyError, Seal};
use crate::store::StoreError;
use crate::tenants::Tenants;
use crate::volume::{LockError, VolumeLock};
use parts::{Parts, Surroundings};

mod parts;
mod serving;
#[cfg(test)]
mod sim;
mod storage;
mod upkeep;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("the configuration is not valid")]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Keys(#[from] CanaryError),
    #[error(transparent)]
    Volume(#[from] LockError),
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    #[error("the node's identity cannot be used")]
    Identity(#[from] IdentityError),
    #[error("the log cannot be opened")]
    Log(#[from] OpenError),
    #[error("the shards cannot go on without the nodes that are lost")]
    Unstick(#[from] PlanError),
    #[error("the rows of shard {shard} cannot be opened")]
    Store {
        shard: ShardId,
        #[source]
        source: StoreError,
    },
    #[error("shard {shard} does not start")]
    Group {
        shard: ShardId,
        #[source]
        source: group::StartError,
    },
    #[error("the raft configuration is not valid")]
    Raft(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("cannot listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("the public API cannot describe itself")]
    Reflection(#[from] tonic_reflection::server::Error),
    #[error("cannot serve the admin endpoint")]
    Admin(#[from] admin::ServeError),
    #[error("{key}")]
    Tls {
        key: &'static str,
        #[source]
        source: Box<TlsError>,
    },
    #[error("nobody could be let in to the API")]
    Access(#[from] AccessError),
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    pub id: NodeId,
    pub api: SocketAddr,
    pub internal: SocketAddr,
    pub admin: SocketAddr,
    ready: watch::Receiver<Progress>,
}

/// How far a node has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Starting,
    Ready,
}

impl Node {
    /// Waits until every shard has a leader and this node has applied what it knows to be committed.
    pub async fn ready(&self) {
        let mut ready = self.ready.clone();
        // An error means that the node stops.
        drop(
            ready
                .wait_for(|progress| *progress == Progress::Ready)
                .await,
        );
    }
}

/// How the listeners tell friends from strangers.
struct Security {
    internal: Option<Acceptor>,
    dialer: Dialer,
    only_state_nodes: OnlyFrom,
    api: Option<Acceptor>,
    access: AccessLayer,
}

impl Security {
    async fn open(
        config: &Config,
        tenants: &Arc<Tenants>,
        registry: &mut Registry,
        tasks: &Tasks,
    ) -> Result<Self, NodeError> {
        let reloading = Reloading::new(tasks, config.reload_interval);
        reloading.register(registry);
        let internal_tls = |source| NodeError::Tls {
            key: "internal_tls",
            source: Box::new(source),
        };
        let (mut internal, mut dialer, mut only) = (None, Dialer::Plaintext, OnlyFrom::Anybody);
        if let Some(tls) = &config.internal_tls {
            internal = Some(Acceptor::between_nodes(tls, &reloading).map_err(internal_tls)?);
            let connector = Connector::between_nodes(tls, &reloading).map_err(internal_tls)?;
            dialer = Dialer::tls(connector);
            only = OnlyFrom::Named(tls.state_names.clone().into());
        }
        let tls = config.api_tls.as_ref();
        let access = Access::open(&config.api_access, tls, &reloading).await?;
        let audit = AuditConfig {
            file: config.audit_file.clone(),
            required: if config.audit_required {
                Required::Yes
            } else {
                Required::No
            },
        };
        let audit = Audit::open(&audit, registry, tasks)?;
        Ok(Self {
            internal,
            dialer,
            only_state_nodes: only,
            api: api_acceptor(config, &reloading)?,
            access: AccessLayer::new(access, audit, tenants.clone(), registry),
        })
    }
}

fn api_acceptor(config: &Config, reloading: &Reloading) -> Result<Option<Acceptor>, NodeError> {
    let Some(tls) = config.api_tls.clone() else {
        return Ok(None);
    };
    let clients = match tls.client_authorities_file {
        Some(authorities_file) => ClientCertificates::Optional { authorities_file },
        None => ClientCertificates::None,
    };
    Acceptor::new(
        "api-certificate",
        tls.certificate_file,
        tls.key_file,
        clients,
        reloading,
    )
    .map(Some)
    .map_err(|source| NodeError::Tls {
        key: "api_tls",
        source: Box::new(source),
    })
}

/// Starts a node. Its tasks run until `tasks` are shut down.
pub async fn start(
    config: Config,
    tasks: &Tasks,
    readiness: &Readiness,
    log_level: LogLevel,
) -> Result<Node, NodeError> {
    config.validate()?;
    let seal = Arc::new(Seal::from_files(
        &config.cluster_key_file,
        &config.retired_key_files,
    )?);
    let volume = VolumeLock::take_over(&config.data_dir).await?;
    let mut registry = Registry::with_prefix("drover_state");
    let tenants = Tenants::new(&config.tenants, config.tenant_default, &mut registry);
    let tenants = Arc::new(tenants.expect("the names were looked at with the configuration"));
    let security = Security::open(&config, &tenants, &mut registry, tasks).await?;
    rebuild::before_start(&config, &security.dialer).await?;
    let identity = IdentityFile::open(
        &config.data_dir,
        config.shards,
        NodeId(random::random_u64()),
    )?;
    let (api_listener, api) = listen(config.api_listen).await?;
    let (internal_listener, internal) = listen(config.internal_listen).await?;
    let own = Member {
        internal: advertised(&config.internal_advertise, internal),
        api: advertised(&config.api_advertise, api),
        cluster: String::new(),
    };
    let id = identity.node();
    let fail_stop = FailStop::exit(&config.data_dir);
    let storage = storage::open(&config, &seal, &fail_stop)?;
    unstick::carry_out(&config.data_dir, id, &storage.log).await?;
    let around = Surroundings {
        storage,
        dialer: security.dialer,
        fail_stop,
        tenants,
        seal,
    };
    let parts = Parts::open(config, (id, own), around, tasks).await?;
    parts.close_at_the_end(volume);
    let (tls, stage) = (security.internal, Stage::Flush);
    let incoming = listen::connections("internal", internal_listener, tls, stage, tasks);
    parts.serve_internal(incoming, security.only_state_nodes);
    let (tls, stage) = (security.api, Stage::Intake);
    let incoming = listen::connections("api", api_listener, tls, stage, tasks);
    let health = parts.serve_api(incoming, security.access)?;
    let condition = readiness.condition("shards");
    let admin = parts
        .serve_admin(registry, readiness.clone(), log_level)
        .await?;
    let ready = parts.run(identity, condition, health);
    tracing::info!(node = %parts.id, %api, %internal, %admin, "listening");
    Ok(Node {
        id: parts.id,
        api,
        internal,
        admin,
        ready,
    })
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), NodeError> {
    let failed = |source| NodeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

pub(crate) fn advertised(configured: &str, bound: SocketAddr) -> String {
    match configured {
        "" if bound.ip().is_unspecified() => format!("127.0.0.1:{}", bound.port()),
        "" => bound.to_string(),
        address => address.to_owned(),
    }
}
