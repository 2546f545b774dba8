//! What a node is made of, and the tasks that run as long as it does.

use std::sync::Arc;

use device_state::NodeId;
use node_runtime::{Condition, Stage, Tasks, random};
use tokio::sync::{Mutex, watch};
use tonic_health::server::HealthReporter;

use crate::attachments::Attachments;
use crate::backups::Backups;
use crate::campaigns;
use crate::comparison::{Comparer, Pace};
use crate::config::Config;
use crate::delivery::DeliveryParts;
use crate::delivery::dispatcher::Dispatcher;
use crate::dial::Dialer;
use crate::expiry;
use crate::fail_stop::FailStop;
use crate::identity::IdentityFile;
use crate::node::storage::Storage;
use crate::node::{NodeError, Progress, upkeep};
use crate::profiles;
use crate::raft::Member;
use crate::raft::bootstrap::Bootstrap;
use crate::raft::caretaker::Caretaker;
use crate::raft::group::{Group, GroupParts};
use crate::raft::log_store::LogStore;
use crate::raft::network::Network;
use crate::raft::network::peers::Peers;
use crate::raft::proposals::{DiskGuard, ProposerConfig};
use crate::router::Router;
use crate::seal::Seal;
use crate::service::watch::Watchers;
use crate::tenants::Tenants;
use crate::volume::VolumeLock;

/// What outlives the start of a node.
pub(super) struct Parts {
    pub(super) config: Config,
    pub(super) id: NodeId,
    pub(super) own: Member,
    pub(super) groups: Arc<Vec<Arc<Group>>>,
    pub(super) log: LogStore,
    pub(super) disk: DiskGuard,
    pub(super) router: Arc<Router>,
    pub(super) attachments: Arc<Attachments>,
    pub(super) backups: Arc<Backups>,
    pub(super) comparer: Comparer,
    pub(super) seal: Arc<Seal>,
    pub(super) watchers: Watchers,
    pub(super) fail_stop: FailStop,
    pub(super) dialer: Dialer,
    pub(super) tasks: Tasks,
}

/// What a node finds where it runs, and what is another thing in a simulation.
pub(super) struct Surroundings {
    pub(super) storage: Storage,
    pub(super) dialer: Dialer,
    pub(super) fail_stop: FailStop,
    pub(super) tenants: Arc<Tenants>,
    pub(super) seal: Arc<Seal>,
}

impl Parts {
    /// Starts the groups on what is stored. Nothing is served yet.
    pub(super) async fn open(
        config: Config,
        (id, own): (NodeId, Member),
        around: Surroundings,
        tasks: &Tasks,
    ) -> Result<Self, NodeError> {
        let Surroundings {
            storage: Storage { log, stores },
            dialer,
            fail_stop,
            tenants,
            seal,
        } = around;
        let disk = DiskGuard::default();
        let raft = crate::raft::config(&config.cluster_name)
            .map_err(|error| NodeError::Raft(Box::new(error)))?;
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
        Ok(Self {
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

    /// The data folder is another process's only once everything is written.
    pub(super) fn close_at_the_end(&self, volume: VolumeLock) {
        let (groups, log) = (self.groups.clone(), self.log.clone());
        self.tasks
            .spawn_service("storage", Stage::Flush, |drain| async move {
                upkeep::close(groups, log, drain).await;
                drop(volume);
            });
    }

    /// Starts everything that is not a listener.
    pub(super) fn run(
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
