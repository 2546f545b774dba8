//! How a cluster comes into being without Kubernetes: every node knows the seeds, the first seed makes the cluster.
//!
//! 1. A node whose volume knows a cluster just starts: its groups go on from their logs, or, if its data was set aside,
//!    wait as those of a node that lost its volume.
//! 2. The node at the first seed address asks all seeds who they are. If one belongs to a cluster, this node lost its
//!    volume and waits to be taken in (see [`super::caretaker`]). If all answer and none does, it writes the members
//!    into its identity and initialises every group with them.
//! 3. Every other node waits until a membership names it. One that was started to join asks the seeds to be taken in,
//!    or waits until somebody tells the cluster of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use device_state::{FeatureLevel, NodeId};
use openraft::errors::{InitializeError, RaftError};
use proto::rpc::v1::state_client::StateClient;
use proto::rpc::v1::{DescribeClusterRequest, DescribeClusterResponse, JoinRequest};

use crate::config::Start;
use crate::dial::Dialer;
use crate::identity::{Founder, IdentityError, IdentityFile, format_id, parse_id};
use crate::raft::Member;
use crate::raft::group::Group;
use crate::raft::network::peers::NODE_HEADER;

const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(300);
/// The seed asks back before it answers.
const JOIN_TIMEOUT: Duration = Duration::from_secs(15);
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// What a node says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub node: NodeId,
    /// Empty while it belongs to no cluster.
    pub cluster: String,
    pub shards: u16,
    /// What it understands.
    pub level: FeatureLevel,
    /// Where it is reached, as it says itself.
    pub member: Option<Member>,
}

/// Why a cluster cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("seed {seed} is configured for {theirs} shards, this node for {ours}")]
    Shards {
        seed: String,
        theirs: u16,
        ours: u16,
    },
    #[error("two seeds are the same node {0}")]
    SameNode(NodeId),
    #[error("a group refuses to be initialised: {0}")]
    Group(String),
}

/// Asks the node at `address` who it is; `None` if it does not answer.
pub async fn probe(dialer: &Dialer, address: &str) -> Option<Probe> {
    let (node, answer) = describe(dialer, address).await?;
    let own = answer.nodes.into_iter().find(|listed| listed.id == node.0);
    let member = own.map(|own| Member {
        internal: own.internal,
        api: own.api,
        cluster: String::new(),
    });
    Some(Probe {
        node,
        cluster: answer.cluster_id,
        shards: u16::try_from(answer.shards).ok()?,
        level: FeatureLevel(answer.feature_level),
        member,
    })
}

/// Asks the node at `address` what it knows of its cluster; `None` if it does not answer.
pub async fn describe(dialer: &Dialer, address: &str) -> Option<(NodeId, DescribeClusterResponse)> {
    let mut client = StateClient::new(dialer.channel(address));
    let answer = tokio::time::timeout(
        PROBE_TIMEOUT,
        client.describe_cluster(DescribeClusterRequest {}),
    )
    .await;
    let answer = answer.ok()?.ok()?;
    let node = answer.metadata().get(NODE_HEADER)?.to_str().ok()?;
    let node = NodeId(parse_id(node)?);
    Some((node, answer.into_inner()))
}

/// What bootstrapping needs to know of the node.
#[derive(Debug)]
pub struct Bootstrap<'a> {
    pub identity: &'a mut IdentityFile,
    pub groups: &'a [Arc<Group>],
    /// Internal addresses of all first members, in an order that all of them share; empty for a cluster of one.
    pub seeds: &'a [String],
    pub start: Start,
    pub own: Member,
    pub cluster_id: String,
    pub dialer: &'a Dialer,
}

impl Bootstrap<'_> {
    /// Makes the cluster if that is this node's part; returns once every group is initialised here or by others.
    pub async fn run(mut self) -> Result<(), BootstrapError> {
        if self.identity.identity().founders.is_some() {
            return self.initialise().await;
        }
        let first = self
            .seeds
            .first()
            .is_none_or(|seed| *seed == self.own.internal);
        let first = first && self.start == Start::Found;
        if self.identity.identity().cluster_id.is_none() && first && !self.any_initialised().await {
            if let Some(founders) = self.gather().await? {
                let cluster = self.cluster_id.clone();
                self.identity.update(|identity| {
                    identity.founders = Some(founders);
                    identity.cluster_id = Some(cluster);
                })?;
                return self.initialise().await;
            }
            tracing::warn!(
                "the cluster exists already: this node lost its volume and waits to be taken in"
            );
        }
        self.join().await
    }

    async fn any_initialised(&self) -> bool {
        for group in self.groups {
            if group.raft().is_initialized().await.unwrap_or(true) {
                return true;
            }
        }
        false
    }

    /// Asks every seed until all have answered; `None` if one belongs to a cluster.
    async fn gather(&self) -> Result<Option<Vec<Founder>>, BootstrapError> {
        let mut members = BTreeMap::from([(self.identity.node(), self.own.clone())]);
        let others = self.seeds.iter().filter(|seed| **seed != self.own.internal);
        for seed in others {
            let probe = loop {
                match probe(self.dialer, seed).await {
                    Some(probe) => break probe,
                    None => tokio::time::sleep(RETRY).await,
                }
            };
            if !probe.cluster.is_empty() {
                return Ok(None);
            }
            let ours = self.identity.identity().shards;
            if probe.shards != ours {
                return Err(BootstrapError::Shards {
                    seed: seed.clone(),
                    theirs: probe.shards,
                    ours,
                });
            }
            let member = probe.member.unwrap_or_default();
            // The seed address is how everybody knows the node, whatever it thinks its own address is.
            let member = Member {
                internal: seed.clone(),
                ..member
            };
            if members.insert(probe.node, member).is_some() {
                return Err(BootstrapError::SameNode(probe.node));
            }
        }
        let founder = |(node, member): (NodeId, Member)| Founder {
            node_id: format_id(node.0),
            member: Member {
                cluster: self.cluster_id.clone(),
                ..member
            },
        };
        Ok(Some(members.into_iter().map(founder).collect()))
    }

    async fn initialise(&self) -> Result<(), BootstrapError> {
        let founders = self
            .identity
            .identity()
            .founders
            .clone()
            .unwrap_or_default();
        let members: BTreeMap<u64, Member> = founders
            .into_iter()
            .filter_map(|founder| Some((parse_id(&founder.node_id)?, founder.member)))
            .collect();
        for group in self.groups {
            match group.raft().initialize(members.clone()).await {
                // Not allowed: it was initialised before.
                Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
                Err(error) => return Err(BootstrapError::Group(error.to_string())),
            }
        }
        Ok(())
    }

    /// Waits until a membership names this node and notes which cluster that is.
    async fn join(&mut self) -> Result<(), BootstrapError> {
        if !self.any_initialised().await {
            tracing::info!(node = %self.identity.node(), "waiting to be taken in by the cluster");
        }
        let cluster = tokio::select! {
            cluster = self.named() => cluster,
            () = self.ask() => self.named().await,
        };
        if self.identity.identity().cluster_id.as_deref() != Some(&cluster) {
            self.identity
                .update(|identity| identity.cluster_id = Some(cluster))?;
        }
        Ok(())
    }

    /// The cluster whose memberships name this node.
    async fn named(&self) -> String {
        let node = self.identity.node();
        loop {
            let own = self
                .groups
                .iter()
                .flat_map(|group| group.status().members)
                .find(|member| member.id == node);
            match own {
                Some(own) => return own.member.cluster,
                None => tokio::time::sleep(RETRY).await,
            }
        }
    }

    /// Asks the seeds, one after the other, to take this node in, until one has said yes.
    async fn ask(&self) {
        if self.start == Start::Found || self.identity.identity().cluster_id.is_some() {
            return;
        }
        for seed in self.seeds.iter().cycle() {
            let request = JoinRequest {
                address: self.own.internal.clone(),
            };
            let mut client = StateClient::new(self.dialer.channel(seed));
            match tokio::time::timeout(JOIN_TIMEOUT, client.join(request)).await {
                Ok(Ok(_)) => return,
                Ok(Err(refused)) => {
                    tracing::warn!(seed, reason = refused.message(), "not taken in");
                }
                Err(_) => tracing::warn!(seed, "no answer to the request to be taken in"),
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
}
