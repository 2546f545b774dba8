//! The state nodes and their shards.

use proto::drover::v1::cluster_node::{Condition, Leadership, Role};
use proto::drover::v1::{ClusterNode, ClusterShard, ClusterStatus, cluster_shard};
use serde::Serialize;

use crate::table;

/// `{"clusterId", "featureLevel", "shards", "nodes": […], "shardStates": […]}`; node ids are hex.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClusterView {
    cluster_id: String,
    feature_level: u32,
    shards: usize,
    nodes: Vec<NodeView>,
    shard_states: Vec<ShardView>,
}

/// `{"nodes": […]}`
#[derive(Debug, Serialize)]
pub(crate) struct MemberView {
    nodes: Vec<NodeView>,
}

/// A state node; `status` is `Ready`, `Unreachable` or `Replaced`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeView {
    id: String,
    status: &'static str,
    role: &'static str,
    api: String,
    internal: String,
    leads: u32,
    votes: u32,
    behind: u32,
    leadership: &'static str,
    version: String,
    feature_level: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShardView {
    shard: u32,
    /// Null without a leader.
    leader: Option<String>,
    term: u64,
    voters: Vec<String>,
    learners: Vec<String>,
    quorum: bool,
    replicas: Vec<ReplicaView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReplicaView {
    node: String,
    applied: u64,
    last_log_index: u64,
    last_log_term: u64,
}

impl From<ClusterNode> for NodeView {
    fn from(node: ClusterNode) -> Self {
        Self {
            status: match node.condition() {
                Condition::Ready => "Ready",
                Condition::Replaced => "Replaced",
                Condition::Unreachable | Condition::Unspecified => "Unreachable",
            },
            role: match node.role() {
                Role::Voter => "Voter",
                Role::Learner => "Learner",
                Role::Leaving => "Leaving",
                Role::Joining | Role::Unspecified => "Joining",
            },
            leadership: match node.leadership() {
                Leadership::Avoided => "Avoided",
                Leadership::Allowed | Leadership::Unspecified => "Allowed",
            },
            id: node.id,
            api: node.api,
            internal: node.internal,
            leads: node.leads,
            votes: node.votes,
            behind: node.behind,
            version: node.version,
            feature_level: node.feature_level,
        }
    }
}

impl From<ClusterShard> for ShardView {
    fn from(shard: ClusterShard) -> Self {
        let replica = |replica: cluster_shard::Replica| ReplicaView {
            node: replica.node,
            applied: replica.applied,
            last_log_index: replica.last_log_index,
            last_log_term: replica.last_log_term,
        };
        Self {
            shard: shard.shard,
            leader: (!shard.leader.is_empty()).then_some(shard.leader),
            term: shard.term,
            voters: shard.voters,
            learners: shard.learners,
            quorum: shard.quorum,
            replicas: shard.replicas.into_iter().map(replica).collect(),
        }
    }
}

impl From<ClusterStatus> for ClusterView {
    fn from(cluster: ClusterStatus) -> Self {
        Self {
            cluster_id: cluster.id,
            feature_level: cluster.feature_level,
            shards: cluster.shards.len(),
            nodes: cluster.nodes.into_iter().map(Into::into).collect(),
            shard_states: cluster.shards.into_iter().map(Into::into).collect(),
        }
    }
}

impl NodeView {
    fn row(&self) -> Vec<String> {
        let leads = match self.leadership {
            "Avoided" => format!("{} (avoided)", self.leads),
            _ => self.leads.to_string(),
        };
        vec![
            self.id.clone(),
            self.status.to_owned(),
            self.role.to_owned(),
            self.api.clone(),
            self.internal.clone(),
            leads,
            self.behind.to_string(),
            self.version.clone(),
        ]
    }
}

const NODE_HEADINGS: [&str; 8] = [
    "NODE", "STATUS", "ROLE", "API", "INTERNAL", "LEADS", "BEHIND", "VERSION",
];

fn node_table(nodes: &[NodeView]) -> String {
    table::render(&NODE_HEADINGS, nodes.iter().map(NodeView::row))
}

impl ShardView {
    fn row(&self) -> Vec<String> {
        let applied = self.replicas.iter().map(|replica| replica.applied).max();
        vec![
            self.shard.to_string(),
            self.leader.clone().unwrap_or_default(),
            self.term.to_string(),
            applied.unwrap_or_default().to_string(),
            self.voters.len().to_string(),
            self.learners.len().to_string(),
            if self.quorum { "yes" } else { "NO" }.to_owned(),
        ]
    }
}

impl ClusterView {
    pub(crate) fn into_members(self) -> MemberView {
        MemberView { nodes: self.nodes }
    }

    pub(crate) fn table(&self) -> String {
        let headings = [
            "SHARD", "LEADER", "TERM", "APPLIED", "VOTERS", "LEARNERS", "QUORUM",
        ];
        format!(
            "Cluster {}, feature level {}\n\n{}\n{}",
            self.cluster_id,
            self.feature_level,
            node_table(&self.nodes),
            table::render(&headings, self.shard_states.iter().map(ShardView::row)),
        )
    }
}

impl MemberView {
    pub(crate) fn one(node: ClusterNode) -> Self {
        Self {
            nodes: vec![node.into()],
        }
    }

    pub(crate) fn table(&self) -> String {
        node_table(&self.nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_shows_nodes_and_leaders() {
        let node = |id: &str, port, condition: Condition| ClusterNode {
            id: id.to_owned(),
            api: format!("127.0.0.1:{port}"),
            internal: format!("127.0.0.1:{}", port + 1),
            condition: condition.into(),
            role: Role::Voter.into(),
            leads: 1,
            version: "0.1.0".to_owned(),
            ..ClusterNode::default()
        };
        let shard = |shard, leader: &str, quorum| ClusterShard {
            shard,
            leader: leader.to_owned(),
            term: 2,
            voters: vec!["a".to_owned(), "b".to_owned()],
            quorum,
            ..ClusterShard::default()
        };
        let view = ClusterView::from(ClusterStatus {
            id: "c0ffee".to_owned(),
            feature_level: 1,
            nodes: vec![
                node("a", 7443, Condition::Unreachable),
                node("b", 7543, Condition::Ready),
            ],
            shards: vec![shard(0, "b", true), shard(1, "", false)],
            answered_by: "b".to_owned(),
        });
        insta::assert_snapshot!(view.table(), @r"
        Cluster c0ffee, feature level 1

        NODE   STATUS        ROLE    API              INTERNAL         LEADS   BEHIND   VERSION
        a      Unreachable   Voter   127.0.0.1:7443   127.0.0.1:7444   1       0        0.1.0
        b      Ready         Voter   127.0.0.1:7543   127.0.0.1:7544   1       0        0.1.0

        SHARD   LEADER   TERM   APPLIED   VOTERS   LEARNERS   QUORUM
        0       b        2      0         2        0          yes
        1       -        2      0         2        0          NO
        ");
    }
}
