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
use proto::drover::v1::backups_server::BackupsServer;
use proto::drover::v1::bootstrap_server::BootstrapServer;
use proto::drover::v1::campaigns_server::CampaignsServer;
use proto::drover::v1::cluster_server::ClusterServer;
use proto::drover::v1::credentials_server::CredentialsServer;
use proto::drover::v1::desired_state_server::DesiredStateServer;
use proto::drover::v1::device_groups_server::DeviceGroupsServer;
use proto::drover::v1::device_profiles_server::DeviceProfilesServer;
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
use crate::backups::Backups;
use crate::campaigns;
use crate::comparison::{Comparer, Pace};
use crate::config::{Config, ConfigError};
use crate::delivery::DeliveryParts;
use crate::delivery::dispatcher::Dispatcher;
use crate::dial::Dialer;
use crate::expiry;
use crate::fail_stop::FailStop;
use crate::identity::{IdentityError, IdentityFile};
use crate::listen::{self, OnlyFrom};
use crate::metrics::StateCollector;
use crate::profiles;
use crate::raft::bootstrap::Bootstrap;
use crate::raft::caretaker::Caretaker;
use crate::raft::group::{Group, GroupParts};
use crate::raft::log_store::{LogStore, OpenError};
use crate::raft::network::peers::Peers;
use crate::raft::network::{MAX_MESSAGE, Network, server};
use crate::raft::proposals::{DiskGuard, ProposerConfig};
use crate::raft::unstick::{self, PlanError};
use crate::raft::{Member, group};
use crate::rebuild::{self, RebuildError};
use crate::router::Router;
use crate::seal::canary::CanaryError;
use crate::seal::{KeyError, Seal};
use crate::service::api::Api;
use crate::service::backups::BackupService;
use crate::service::calls::Calls;
use crate::service::keeper::Keeper;
use crate::service::models::Models;
use crate::service::state::StateService;
use crate::service::watch::Watchers;
use crate::store::StoreError;
use crate::tenants::Tenants;
use crate::volume::{LockError, VolumeLock};
use storage::Storage;

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
    backups: Arc<Backups>,
    comparer: Comparer,
    seal: Arc<Seal>,
    watchers: Watchers,
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
    let parts = open(config, (id, own), tenants, seal, security.dialer, tasks).await?;
    parts.close_at_the_end(volume);
    parts.serve_internal(
        internal_listener,
        security.internal,
        security.only_state_nodes,
    );
    let health = parts.serve_api(api_listener, security.api, security.access)?;
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

async fn open(
    config: Config,
    (id, own): (NodeId, Member),
    tenants: Arc<Tenants>,
    seal: Arc<Seal>,
    dialer: Dialer,
    tasks: &Tasks,
) -> Result<Parts, NodeError> {
    let fail_stop = FailStop::exit(&config.data_dir);
    let disk = DiskGuard::default();
    let raft = crate::raft::config(&config.cluster_name)
        .map_err(|error| NodeError::Raft(Box::new(error)))?;
    let Storage { log, stores } = storage::open(&config, &seal, &fail_stop)?;
    unstick::carry_out(&config.data_dir, id, &log).await?;
    let peers = Arc::new(Peers::new(tasks.clone(), dialer.clone()));
    let pace = Arc::new(Pace::default());
    let mut groups = Vec::with_capacity(usize::from(config.shards));
    for store in stores {
        let shard = store.shard();
        let parts = GroupParts {
            node: id,
            config: raft.clone(),
            log: log.group(shard.0),
            network: Network::new(shard.0, id.0, peers.clone()),
            store: Arc::new(store),
            proposer: ProposerConfig { disk: disk.clone() },
            pace: pace.clone(),
            fail_stop: fail_stop.clone(),
            feed_buffer_bytes: config.watch_buffer_bytes / usize::from(config.shards),
        };
        let group = Group::start(parts, tasks)
            .await
            .map_err(|source| NodeError::Group { shard, source })?;
        groups.push(Arc::new(group));
    }
    let groups = Arc::new(groups);
    let client = random::random_u64();
    let router = Arc::new(Router::new(
        id,
        groups.clone(),
        dialer.clone(),
        client,
        tenants,
    ));
    let attachments = Arc::new(Attachments::new(config.awake_window));
    let watchers = Watchers::new(config.max_watchers, config.slow_watcher_patience);
    Ok(Parts {
        config,
        id,
        own,
        groups,
        log,
        disk,
        router,
        attachments,
        backups: Arc::new(Backups::new(id)),
        comparer: Comparer { node: id, peers },
        seal,
        watchers,
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
            data_dir: self.config.data_dir.as_path().into(),
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

    fn backup_service(&self) -> BackupsServer<BackupService> {
        let service = BackupService {
            state: self.state_service(),
            backups: self.backups.clone(),
            cluster_name: self.config.cluster_name.clone(),
            disk: self.disk.clone(),
        };
        BackupsServer::new(service)
    }

    /// The internal service goes last: others need this node's answers until its leaderships are handed over.
    fn serve_internal(&self, listener: TcpListener, tls: Option<Acceptor>, only: OnlyFrom) {
        let (groups, comparer) = (self.groups.clone(), self.comparer.clone());
        let raft = server::Service::new(groups, comparer, self.tasks.clone());
        let raft = RaftServer::new(raft)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        let state = StateServer::new(self.state_service()).max_decoding_message_size(MAX_MESSAGE);
        let raft = InterceptedService::new(raft, only.clone());
        // State nodes read checkpoints of each other for whoever asks them: all rows are in these, so nobody else does.
        let backups = InterceptedService::new(self.backup_service(), only);
        let router = builder()
            .add_service(raft)
            .add_service(state)
            .add_service(backups);
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
    ) -> Result<HealthReporter, NodeError> {
        let (health, health_service) = tonic_health::server::health_reporter();
        let api = Api {
            state: self.state_service(),
            models: Models::default(),
            tasks: self.tasks.clone(),
            signer: self.seal.signer().clone(),
            watchers: self.watchers.clone(),
        };
        let reflection = self.config.reflection.then(reflection).transpose()?;
        let router = builder()
            .layer(access)
            .add_service(health_service)
            .add_service(self.backup_service())
            .add_optional_service(reflection)
            .add_service(DevicesServer::new(api.clone()))
            .add_service(OperationsServer::new(api.clone()))
            .add_service(DesiredStateServer::new(api.clone()))
            .add_service(BootstrapServer::new(api.clone()))
            .add_service(CampaignsServer::new(api.clone()))
            .add_service(DeviceGroupsServer::new(api.clone()))
            .add_service(DeviceProfilesServer::new(api.clone()))
            .add_service(ClusterServer::new(api.clone()))
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
        Ok(health)
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
            data_dir: self.config.data_dir.clone(),
        }));
        self.watchers.register(&mut registry);
        let admin = admin::Admin {
            metrics: Arc::new(registry),
            readiness,
            log_level,
        };
        Ok(admin::serve(self.config.admin_listen, admin, &self.tasks).await?)
    }

    /// The data folder is another process's only once everything is written.
    fn close_at_the_end(&self, volume: VolumeLock) {
        let (groups, log) = (self.groups.clone(), self.log.clone());
        self.tasks
            .spawn_service("storage", Stage::Flush, |drain| async move {
                upkeep::close(groups, log, drain).await;
                drop(volume);
            });
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
            let expiring = group.clone();
            tasks.spawn_service("expiry", Stage::HandOver, |drain| {
                expiry::run(expiring, drain)
            });
            self.compare_replicas(group.clone(), &tasks);
        }
        let caretaker = Caretaker::new(
            self.id,
            self.groups.clone(),
            self.router.clone(),
            self.log.clone(),
            self.dialer.clone(),
        );
        self.tasks
            .spawn_service("caretaker", Stage::Intake, |drain| caretaker.run(drain));
        let router = self.router.clone();
        self.tasks
            .spawn_service("campaigns", Stage::HandOver, |drain| {
                campaigns::run(router, drain)
            });
        let router = self.router.clone();
        self.tasks
            .spawn_service("profiles", Stage::HandOver, |drain| {
                profiles::run(router, drain)
            });
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
        let backups = self.backups.clone();
        self.tasks
            .spawn_service("backups", Stage::Intake, |drain| backups.run(drain));
        let groups = self.groups.clone();
        self.tasks
            .spawn_service("hand-over", Stage::HandOver, |drain| {
                upkeep::hand_over(groups, drain)
            });
        self.join_cluster(identity);
        ready
    }

    fn compare_replicas(&self, group: Arc<Group>, tasks: &Tasks) {
        let (every, shards) = (self.config.compare_replicas_every, self.config.shards);
        if every.is_zero() {
            return;
        }
        let comparer = self.comparer.clone();
        tasks.spawn_service("comparison", Stage::HandOver, move |drain| {
            comparer.run(group, every, shards, drain)
        });
    }

    fn join_cluster(&self, identity: IdentityFile) {
        let (groups, seeds, own) = (
            self.groups.clone(),
            self.config.seeds.clone(),
            self.own.clone(),
        );
        let start = self.config.start;
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
                    start,
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

/// The public API as it describes itself, with the health of its services.
fn reflection() -> Result<
    tonic_reflection::server::v1::ServerReflectionServer<
        impl tonic_reflection::server::v1::ServerReflection,
    >,
    tonic_reflection::server::Error,
> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::drover::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
}

fn log_end(name: &str, served: Result<(), tonic::transport::Error>) {
    if let Err(error) = served {
        tracing::error!(name, %error, "a listener ended");
    }
}
