//! Puts a node together: opens the disk, starts the groups, serves, and joins its cluster.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use device_state::{NodeId, ShardId};
use node_runtime::files::Reloading;
use node_runtime::telemetry::LogLevel;
use node_runtime::tls::{Acceptor, ClientCertificates, Connector, TlsError};
use node_runtime::{Condition, Readiness, Stage, Tasks, admin, random};
use prometheus_client::registry::Registry;
use proto::drover::v1::bootstrap_server::BootstrapServer;
use proto::drover::v1::credentials_server::CredentialsServer;
use proto::drover::v1::desired_state_server::DesiredStateServer;
use proto::drover::v1::devices_server::DevicesServer;
use proto::drover::v1::diagnostics_server::DiagnosticsServer;
use proto::drover::v1::object_models_server::ObjectModelsServer;
use proto::drover::v1::observations_server::ObservationsServer;
use proto::drover::v1::operations_server::OperationsServer;
use proto::rpc::v1::raft_server::RaftServer;
use proto::rpc::v1::state_server::StateServer;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic_health::server::HealthReporter;

use crate::access::layer::AccessLayer;
use crate::access::{Access, AccessError};
use crate::attachments::Attachments;
use crate::audit::{Audit, AuditConfig, AuditError, Required};
use crate::config::{Config, ConfigError};
use crate::delivery::DeliveryParts;
use crate::delivery::dispatcher::Dispatcher;
use crate::dial::Dialer;
use crate::expiry;
use crate::fail_stop::FailStop;
use crate::identity::{IdentityError, IdentityFile};
use crate::listen::{self, OnlyFrom};
use crate::metrics::StateCollector;
use crate::raft::bootstrap::Bootstrap;
use crate::raft::group::{Group, GroupParts};
use crate::raft::log_store::{LogStore, OpenError};
use crate::raft::network::peers::Peers;
use crate::raft::network::{MAX_MESSAGE, Network, server};
use crate::raft::proposals::{DiskGuard, ProposerConfig};
use crate::raft::replacement::Caretaker;
use crate::raft::{Member, group};
use crate::router::Router;
use crate::seal::{KeyError, Seal};
use crate::service::api::Api;
use crate::service::calls::Calls;
use crate::service::keeper::Keeper;
use crate::service::models::Models;
use crate::service::state::StateService;
use crate::store::database::SharedOptions;
use crate::store::{ShardStore, StoreError};

mod upkeep;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("the configuration is not valid")]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the node's identity cannot be used")]
    Identity(#[from] IdentityError),
    #[error("the log cannot be opened")]
    Log(#[from] OpenError),
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

/// What outlives the start of a node.
struct Parts {
    config: Config,
    id: NodeId,
    own: Member,
    groups: Arc<Vec<Arc<Group>>>,
    log: LogStore,
    disk: DiskGuard,
    router: Arc<Router>,
    attachments: Arc<Attachments>,
    seal: Arc<Seal>,
    fail_stop: FailStop,
    dialer: Dialer,
    tasks: Tasks,
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
            dialer = Dialer::Tls(connector);
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
            access: AccessLayer::new(access, audit, registry),
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
    let seal = Arc::new(Seal::from_file(&config.cluster_key_file)?);
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
    let mut registry = Registry::with_prefix("drover_state");
    let security = Security::open(&config, &mut registry, tasks).await?;
    let parts = open(config, identity.node(), own, seal, security.dialer, tasks).await?;
    parts.serve_internal(
        internal_listener,
        security.internal,
        security.only_state_nodes,
    );
    let health = parts.serve_api(api_listener, security.api, security.access);
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

fn advertised(configured: &str, bound: SocketAddr) -> String {
    match configured {
        "" if bound.ip().is_unspecified() => format!("127.0.0.1:{}", bound.port()),
        "" => bound.to_string(),
        address => address.to_owned(),
    }
}

async fn open(
    config: Config,
    id: NodeId,
    own: Member,
    seal: Arc<Seal>,
    dialer: Dialer,
    tasks: &Tasks,
) -> Result<Parts, NodeError> {
    let fail_stop = FailStop::exit();
    let disk = DiskGuard::default();
    let raft = crate::raft::config(&config.cluster_name)
        .map_err(|error| NodeError::Raft(Box::new(error)))?;
    let log = LogStore::open(
        &config.data_dir.join("log"),
        config.shards,
        fail_stop.clone(),
    )?;
    let options = SharedOptions::new(
        config.block_cache_bytes,
        config.write_buffer_bytes,
        config.shards,
    );
    let peers = Arc::new(Peers::new(tasks.clone(), dialer.clone()));
    let mut groups = Vec::with_capacity(usize::from(config.shards));
    for number in 0..config.shards {
        let shard = ShardId(number);
        let dir = config.data_dir.join("shards").join(number.to_string());
        let store = ShardStore::open(shard, &dir, options.clone(), fail_stop.clone());
        let parts = GroupParts {
            node: id,
            config: raft.clone(),
            log: log.group(number),
            network: Network::new(number, id.0, peers.clone()),
            store: Arc::new(store.map_err(|source| NodeError::Store { shard, source })?),
            proposer: ProposerConfig { disk: disk.clone() },
            fail_stop: fail_stop.clone(),
        };
        let group = Group::start(parts, tasks)
            .await
            .map_err(|source| NodeError::Group { shard, source })?;
        groups.push(Arc::new(group));
    }
    let groups = Arc::new(groups);
    let client = random::random_u64();
    let router = Arc::new(Router::new(id, groups.clone(), dialer.clone(), client));
    let attachments = Arc::new(Attachments::new(config.awake_window));
    Ok(Parts {
        config,
        id,
        own,
        groups,
        log,
        disk,
        router,
        attachments,
        seal,
        fail_stop,
        dialer,
        tasks: tasks.clone(),
    })
}

fn builder() -> Server {
    Server::builder()
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(32 << 20)
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
}

impl Parts {
    fn state_service(&self) -> StateService {
        StateService {
            node: self.id,
            own: self.own.clone(),
            router: self.router.clone(),
            attachments: self.attachments.clone(),
            calls: Calls {
                router: self.router.clone(),
                seal: self.seal.clone(),
            },
            keeper: Keeper {
                router: self.router.clone(),
                seal: self.seal.clone(),
                tasks: self.tasks.clone(),
            },
            tasks: self.tasks.clone(),
        }
    }

    /// The internal service goes last: others need this node's answers until its leaderships are handed over.
    fn serve_internal(&self, listener: TcpListener, tls: Option<Acceptor>, only: OnlyFrom) {
        let raft = server::Service::new(self.id.0, self.groups.clone(), self.tasks.clone());
        let raft = RaftServer::new(raft)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        let state = StateServer::new(self.state_service()).max_decoding_message_size(MAX_MESSAGE);
        let raft = InterceptedService::new(raft, only);
        let router = builder().add_service(raft).add_service(state);
        let incoming = listen::connections("internal", listener, tls, Stage::Flush, &self.tasks);
        self.tasks
            .spawn_service("internal", Stage::Flush, |drain| async move {
                let served = router
                    .serve_with_incoming_shutdown(incoming, drain.started_owned())
                    .await;
                log_end("internal", served);
            });
    }

    fn serve_api(
        &self,
        listener: TcpListener,
        tls: Option<Acceptor>,
        access: AccessLayer,
    ) -> HealthReporter {
        let (health, health_service) = tonic_health::server::health_reporter();
        let api = Api {
            state: self.state_service(),
            models: Models::default(),
            tasks: self.tasks.clone(),
        };
        let router = builder()
            .layer(access)
            .add_service(health_service)
            .add_service(DevicesServer::new(api.clone()))
            .add_service(OperationsServer::new(api.clone()))
            .add_service(DesiredStateServer::new(api.clone()))
            .add_service(BootstrapServer::new(api.clone()))
            .add_service(ObjectModelsServer::new(api.clone()))
            .add_service(ObservationsServer::new(api.clone()))
            .add_service(DiagnosticsServer::new(api.clone()))
            .add_service(CredentialsServer::new(api));
        let incoming = listen::connections("api", listener, tls, Stage::Intake, &self.tasks);
        self.tasks
            .spawn_service("api", Stage::Intake, |drain| async move {
                let served = router
                    .serve_with_incoming_shutdown(incoming, drain.started_owned())
                    .await;
                log_end("api", served);
            });
        health
    }

    async fn serve_admin(
        &self,
        mut registry: Registry,
        readiness: Readiness,
        log_level: LogLevel,
    ) -> Result<SocketAddr, NodeError> {
        registry.register_collector(Box::new(StateCollector {
            groups: self.groups.clone(),
            attachments: self.attachments.clone(),
            log: self.log.clone(),
            disk: self.disk.clone(),
        }));
        let admin = admin::Admin {
            metrics: Arc::new(registry),
            readiness,
            log_level,
        };
        Ok(admin::serve(self.config.admin_listen, admin, &self.tasks).await?)
    }

    /// Starts everything that is not a listener.
    fn run(
        &self,
        identity: IdentityFile,
        condition: Condition,
        health: HealthReporter,
    ) -> watch::Receiver<Progress> {
        for group in self.groups.iter() {
            let tasks = self.tasks.scoped(&format!("shard-{}", group.shard()));
            let parts = DeliveryParts {
                node: self.id,
                group: group.clone(),
                attachments: self.attachments.clone(),
                router: self.router.clone(),
            };
            tasks.spawn_service("dispatcher", Stage::HandOver, |drain| {
                Dispatcher::new(parts).run(drain)
            });
            let group = group.clone();
            tasks.spawn_service("expiry", Stage::HandOver, |drain| expiry::run(group, drain));
        }
        let caretaker = Caretaker::new(
            self.id,
            self.groups.clone(),
            self.log.clone(),
            self.dialer.clone(),
        );
        self.tasks
            .spawn_service("caretaker", Stage::Intake, |drain| caretaker.run(drain));
        let (progress, ready) = watch::channel(Progress::Starting);
        let (groups, fail_stop) = (self.groups.clone(), self.fail_stop.clone());
        self.tasks
            .spawn_service("readiness", Stage::Intake, |drain| {
                upkeep::watch_readiness(groups, fail_stop, condition, health, progress, drain)
            });
        let (disk, dir, reserve) = (
            self.disk.clone(),
            self.config.data_dir.clone(),
            self.config.disk_reserve_bytes,
        );
        self.tasks
            .spawn_service("disk", Stage::Flush, move |drain| async move {
                upkeep::watch_disk(disk, &dir, reserve, drain).await;
            });
        let groups = self.groups.clone();
        self.tasks
            .spawn_service("hand-over", Stage::HandOver, |drain| {
                upkeep::hand_over(groups, drain)
            });
        let (groups, log) = (self.groups.clone(), self.log.clone());
        self.tasks.spawn_service("storage", Stage::Flush, |drain| {
            upkeep::close(groups, log, drain)
        });
        self.join_cluster(identity);
        ready
    }

    fn join_cluster(&self, identity: IdentityFile) {
        let (groups, seeds, own) = (
            self.groups.clone(),
            self.config.seeds.clone(),
            self.own.clone(),
        );
        let (fail_stop, dialer) = (self.fail_stop.clone(), self.dialer.clone());
        let identity = Mutex::new(identity);
        let cluster_id = format!("{:016x}", random::random_u64());
        self.tasks
            .spawn_job("bootstrap", Stage::Intake, move |drain| async move {
                let mut identity = identity.lock().await;
                let bootstrap = Bootstrap {
                    identity: &mut identity,
                    groups: &groups,
                    seeds: &seeds,
                    own,
                    cluster_id,
                    dialer: &dialer,
                };
                let done = tokio::select! {
                    () = drain.started() => return,
                    done = bootstrap.run() => done,
                };
                match done {
                    Ok(()) => tracing::info!("this node belongs to its cluster"),
                    Err(error) => fail_stop.fatal("this node cannot join a cluster", &error),
                }
            });
    }
}

fn log_end(name: &str, served: Result<(), tonic::transport::Error>) {
    if let Err(error) = served {
        tracing::error!(name, %error, "a listener ended");
    }
}
