//! The client: what callers see.

mod artefact;
mod definitions;
mod device;
mod query;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use device_state::{
    Command, CredentialId, CredentialName, DeviceName, Namespace, NodeId, Outcome, RequestId,
    ShardId,
};
use lwm2m::EndpointName;
use proto::rpc::v1::{Propose, call, call_result};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;

pub use self::definitions::Definitions;
pub use self::device::{OperateAnswer, PreparedBootstrap, Proof};
pub use self::query::ClearCredential;
use crate::attach::{self, AttachHandle, DeviceOperations};
use crate::config::Config;
use crate::error::{AnswerError, ConnectError, DescribeError, ProposeError};
use crate::link::{self, Link, Links};
use crate::refresh;
use crate::topology::{Routes, Topology};

/// A client of the state tier. Clones are cheap and share everything; the connections end with the last one.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    /// Ends the task that keeps the topology fresh.
    _refresh: Arc<JoinSet<()>>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) links: Links,
    pub(crate) routes: watch::Sender<Routes>,
    /// Asks for the topology to be looked at soon.
    pub(crate) refresh: Notify,
    pub(crate) in_flight: Arc<Semaphore>,
    client_id: u64,
    next_sequence: AtomicU64,
    next_turn: AtomicUsize,
}

impl Client {
    /// Starts a client of the cluster that `config` names; needs a Tokio runtime. Connections are made when they are
    /// needed, so this succeeds before the state tier is up.
    pub fn connect(config: Config) -> Result<Self, ConnectError> {
        if config.seeds.is_empty() {
            return Err(ConnectError::NoSeeds);
        }
        config
            .seeds
            .iter()
            .try_for_each(|seed| link::check(&config, seed))?;
        let shared = Arc::new(Shared {
            links: Links::new(config.clone()),
            routes: watch::Sender::new(Routes::default()),
            refresh: Notify::new(),
            in_flight: Arc::new(Semaphore::new(
                config.max_in_flight.min(Semaphore::MAX_PERMITS),
            )),
            client_id: rand::random(),
            next_sequence: AtomicU64::new(0),
            next_turn: AtomicUsize::new(0),
            config,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(refresh::run(shared.clone()));
        Ok(Self {
            shared,
            _refresh: Arc::new(tasks),
        })
    }

    /// Waits until a state node described the cluster.
    pub async fn ready(&self) -> Arc<Topology> {
        let mut routes = self.shared.routes.subscribe();
        loop {
            let known = routes.borrow_and_update().topology.clone();
            match known {
                Some(topology) => return topology,
                // The sender lives as long as this client: it cannot be gone.
                None => drop(routes.changed().await),
            }
        }
    }

    /// The cluster as last described; `None` before the first description.
    pub fn topology(&self) -> Option<Arc<Topology>> {
        self.shared.topology()
    }

    /// Whose devices the client speaks of.
    pub fn namespace(&self) -> &Namespace {
        &self.shared.config.namespace
    }

    /// The device that registers as `endpoint` here.
    pub fn device(&self, endpoint: &EndpointName) -> DeviceName {
        DeviceName::new(self.namespace(), endpoint)
    }

    /// A credential of this id here.
    pub fn credential_name(&self, id: &CredentialId) -> CredentialName {
        CredentialName::new(self.namespace(), id.clone())
    }

    /// Asks for the topology now.
    pub async fn describe_cluster(&self) -> Result<Arc<Topology>, DescribeError> {
        let topology = refresh::describe_any(&self.shared, self.shared.turn()).await?;
        self.shared.learn(topology.clone());
        Ok(Arc::new(topology))
    }

    /// Commits `command` in `shard` and answers what it led to.
    ///
    /// Within `timeout` the command is sent again, to other nodes if need be, with one request id, so that it is
    /// applied at most once. A caller that drops this future does not take the command back.
    pub async fn propose(
        &self,
        shard: ShardId,
        command: Command,
        timeout: Duration,
    ) -> Result<Outcome, ProposeError> {
        let propose = Propose {
            request_id: Some(self.shared.request_id().into()),
            command: Some(command.into()),
        };
        match self
            .shared
            .call(shard, call::Kind::Propose(propose), timeout)
            .await?
        {
            call_result::Kind::Outcome(outcome) => {
                Ok(outcome.try_into().map_err(AnswerError::from)?)
            }
            call_result::Kind::Query(_) | call_result::Kind::Error(_) => {
                Err(AnswerError::Mismatch.into())
            }
        }
    }

    /// Attaches the ingress node `node` to every state node, now and as they come and go. `name` is for their logs.
    ///
    /// Operations on devices whose registration names `node` as owner come out of the second part; their results go
    /// back by the first. Dropping either ends the attachment.
    pub fn attach(&self, node: NodeId, name: &str) -> (AttachHandle, DeviceOperations) {
        attach::start(self.shared.clone(), self.clone(), node, name)
    }
}

impl Shared {
    pub(crate) fn topology(&self) -> Option<Arc<Topology>> {
        self.routes.borrow().topology.clone()
    }

    /// The node to ask about `shard`.
    pub(crate) fn route(&self, shard: ShardId) -> Option<Arc<Link>> {
        self.routes.borrow().of(shard, self.turn())
    }

    pub(crate) fn turn(&self) -> usize {
        self.next_turn.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn request_id(&self) -> RequestId {
        RequestId {
            client: self.client_id,
            sequence: self.next_sequence.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Addresses of all nodes that are known, and of the seeds.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let topology = self.topology();
        let nodes = topology
            .iter()
            .flat_map(|topology| topology.nodes.iter().map(|node| &node.internal));
        let mut addresses: Vec<String> = nodes.cloned().collect();
        let seeds = self
            .config
            .seeds
            .iter()
            .filter(|seed| !addresses.contains(*seed))
            .cloned();
        let seeds: Vec<String> = seeds.collect();
        addresses.extend(seeds);
        addresses
    }

    pub(crate) fn learn(&self, topology: Topology) {
        self.routes.send_if_modified(|routes| {
            let before = routes.topology.clone();
            routes.describe(topology, |address| self.links.to(address).ok());
            before != routes.topology
        });
        let known = self.addresses();
        self.links
            .retain(|address| known.iter().any(|known| known == address));
    }
}
