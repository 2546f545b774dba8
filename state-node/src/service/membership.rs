//! Adding and removing state nodes: what is wanted is checked here and stored in shard 0, and brought about by the leaders
//! of all shards ([`crate::raft::caretaker`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use device_state::{Command, FeatureLevel, Leadership, NodeId, StateNode, StateNodeRole, query};
use futures::future::join_all;
use proto::rpc::v1::DescribeClusterResponse;
use tonic::Status;

use crate::identity::parse_id;
use crate::raft::bootstrap::{Probe, describe, probe};
use crate::raft::caretaker::members_of;
use crate::raft::group::Group;
use crate::router::COMMON;
use crate::service::keeper;
use crate::service::state::StateService;
use crate::service::status::{self, Obstacle};

pub(crate) mod survey;
pub(crate) mod unstick;

use survey::Survey;

/// Whether a change is made or only checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Commit,
    Check,
}

impl Mode {
    pub(crate) const fn of(validate_only: bool) -> Self {
        if validate_only {
            Self::Check
        } else {
            Self::Commit
        }
    }
}

/// How safe a removal has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caution {
    /// Every shard keeps a majority of voters that answer.
    Quorum,
    /// Whoever asks knows better.
    None,
}

/// What is wanted of state nodes, from the leader of shard 0.
async fn records(service: &StateService) -> Vec<StateNode> {
    let group = service.router.common_group();
    let read = group.read_current(|rows| query::state_nodes(rows)).await;
    // Another node leads: what this one has applied is close to it, and every change is checked again when applied.
    read.unwrap_or_else(|_| group.store().read(|rows| query::state_nodes(rows)))
}

/// Asks every node of the cluster how it is.
pub(crate) async fn survey(service: &StateService) -> Survey {
    let records = records(service).await;
    let mut addresses: BTreeMap<NodeId, String> = members_of(service.router.groups())
        .into_iter()
        .map(|(id, member)| (id, member.internal))
        .collect();
    for record in &records {
        let address = || record.internal.clone();
        addresses.entry(record.node).or_insert_with(address);
    }
    addresses.remove(&service.node);
    let dialer = service.router.dialer();
    let ask =
        |(id, address): (NodeId, String)| async move { (id, describe(dialer, &address).await) };
    let mut answers: BTreeMap<NodeId, Option<(NodeId, DescribeClusterResponse)>> =
        join_all(addresses.into_iter().map(ask))
            .await
            .into_iter()
            .collect();
    let own = service.describe_topology();
    answers.insert(service.node, Some((service.node, own)));
    Survey::new(service.node, records, answers)
}

/// A node asks to be taken in.
pub(crate) async fn join(service: &StateService, address: &str) -> Result<(), Status> {
    let found = waiting(service, address).await?;
    let successor = members_of(service.router.groups())
        .into_iter()
        .any(|(id, member)| member.internal == address && id != found.node);
    if successor {
        // It lost its volume; the leaders find that out, and put it in the place of the node before.
        return Ok(());
    }
    put(service, &found, address, StateNodeRole::Voter, Mode::Commit)
        .await
        .map(drop)
}

/// Takes in the node that waits at an address.
pub(crate) async fn add(
    service: &StateService,
    address: &str,
    role: StateNodeRole,
    mode: Mode,
) -> Result<NodeId, Status> {
    let found = waiting(service, address).await?;
    put(service, &found, address, role, mode).await
}

/// The node at an address, if it can become a member.
async fn waiting(service: &StateService, address: &str) -> Result<Probe, Status> {
    if address.is_empty() || address.len() > StateNode::MAX_ADDRESS {
        return Err(status::field("address", &"is not host:port"));
    }
    let cluster = service.cluster_id();
    if cluster.is_empty() {
        return Err(status::no_leader());
    }
    let found = probe(service.router.dialer(), address)
        .await
        .ok_or_else(|| status::no_state_node(address))?;
    if !found.cluster.is_empty() && found.cluster != cluster {
        let message = format!("the node at {address} belongs to cluster {}", found.cluster);
        return Err(status::membership(Obstacle::OtherCluster, message));
    }
    let shards = service.router.shards();
    if found.shards != shards {
        let message = format!(
            "the node at {address} is configured for {} shards, the cluster has {shards}",
            found.shards
        );
        return Err(status::membership(Obstacle::OtherShards, message));
    }
    let levels = service
        .router
        .groups()
        .iter()
        .map(|group| group.feature_level());
    let level = levels.max().unwrap_or_default();
    if found.level < level {
        let FeatureLevel(theirs) = found.level;
        let message = format!(
            "the node at {address} runs an older release: feature level {theirs}, the cluster has {}",
            level.0
        );
        return Err(status::membership(Obstacle::OlderRelease, message));
    }
    Ok(found)
}

async fn put(
    service: &StateService,
    found: &Probe,
    address: &str,
    role: StateNodeRole,
    mode: Mode,
) -> Result<NodeId, Status> {
    let known = known(service, found.node).await;
    if known.as_ref().is_some_and(|known| known.role == role) {
        return Ok(found.node);
    }
    if known.is_some_and(|known| known.role == StateNodeRole::Voter) {
        let message = format!("node {} is a voter already", found.node);
        return Err(status::membership(Obstacle::AlreadyVoter, message));
    }
    let api = found.member.as_ref().map(|member| member.api.clone());
    let node = StateNode {
        node: found.node,
        internal: address.to_owned(),
        api: api.unwrap_or_default(),
        role,
        leadership: Leadership::Allowed,
    };
    store(service, node, mode).await
}

/// What a node is to be, whether that was ever said or it was a member from the beginning.
async fn known(service: &StateService, id: NodeId) -> Option<StateNode> {
    let record = records(service)
        .await
        .into_iter()
        .find(|record| record.node == id);
    record.or_else(|| {
        let votes = |group: &Arc<Group>| group.status().voters.contains(&id.0);
        let role = if service.router.groups().iter().any(votes) {
            StateNodeRole::Voter
        } else {
            StateNodeRole::Learner
        };
        let member = members_of(service.router.groups()).remove(&id)?;
        Some(StateNode {
            node: id,
            internal: member.internal,
            api: member.api,
            role,
            leadership: Leadership::Allowed,
        })
    })
}

async fn find(service: &StateService, id: &str) -> Result<StateNode, Status> {
    let id = parse_id(id)
        .map(NodeId)
        .ok_or_else(|| status::field("id", &"is not sixteen hex digits"))?;
    known(service, id)
        .await
        .ok_or_else(|| status::not_found("the state node"))
}

async fn store(service: &StateService, node: StateNode, mode: Mode) -> Result<NodeId, Status> {
    let id = node.node;
    match mode {
        Mode::Check => {}
        Mode::Commit => {
            let command = Command::PutStateNode { node };
            keeper::commit(&service.router, COMMON, command).await?;
        }
    }
    Ok(id)
}

/// Makes a learner a voter.
pub(crate) async fn promote(
    service: &StateService,
    id: &str,
    mode: Mode,
) -> Result<NodeId, Status> {
    let node = find(service, id).await?;
    match node.role {
        StateNodeRole::Leaving => Err(status::rejection(device_state::Rejection::StateNodeLeaves)),
        StateNodeRole::Voter => Ok(node.node),
        StateNodeRole::Learner => {
            let role = StateNodeRole::Voter;
            store(service, StateNode { role, ..node }, mode).await
        }
    }
}

/// Takes a node out for good.
pub(crate) async fn remove(
    service: &StateService,
    id: &str,
    caution: Caution,
    mode: Mode,
) -> Result<NodeId, Status> {
    let node = find(service, id).await?;
    let survey = survey(service).await;
    if survey.is_last_voter(node.node) {
        let message = "it is the last voter: its shards would be gone";
        return Err(status::membership(Obstacle::LastVoter, message));
    }
    let stuck = survey.stuck_without(node.node);
    if caution == Caution::Quorum && !stuck.is_empty() {
        let shards: Vec<String> = stuck.iter().map(ToString::to_string).collect();
        let message = format!(
            "too few of the voters that would stay answer, in shards {}: start them first",
            shards.join(", ")
        );
        return Err(status::membership(Obstacle::QuorumAtRisk, message));
    }
    let role = StateNodeRole::Leaving;
    store(service, StateNode { role, ..node }, mode).await
}

/// Lets a node lead shards or not.
pub(crate) async fn set_leadership(
    service: &StateService,
    id: &str,
    leadership: Leadership,
    mode: Mode,
) -> Result<NodeId, Status> {
    let node = find(service, id).await?;
    store(service, StateNode { leadership, ..node }, mode).await
}
