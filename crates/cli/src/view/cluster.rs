//! The cluster's topology.

use std::collections::BTreeMap;

use proto::rpc::v1::DescribeClusterResponse;
use serde::Serialize;

use crate::table;

/// `{"clusterId", "shards", "nodes": […], "shardStates": […]}`; node ids are hex.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClusterView {
    cluster_id: String,
    shards: u32,
    pub(crate) nodes: Vec<NodeView>,
    shard_states: Vec<ShardView>,
}

/// A state node; `status` is `Ready` if it answers, else `Unreachable`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodeView {
    id: String,
    pub(crate) api: String,
    pub(crate) internal: String,
    pub(crate) status: &'static str,
    leads: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShardView {
    shard: u32,
    /// Null without a leader.
    leader: Option<String>,
    term: u64,
    applied: u64,
    voters: Vec<String>,
}

/// Node ids as they stand in logs.
fn id_text(id: u64) -> String {
    format!("{id:016x}")
}

impl From<DescribeClusterResponse> for ClusterView {
    fn from(cluster: DescribeClusterResponse) -> Self {
        let mut leads: BTreeMap<u64, usize> = BTreeMap::new();
        for shard in &cluster.shard_states {
            *leads.entry(shard.leader).or_default() += 1;
        }
        let nodes = cluster.nodes.into_iter().map(|node| NodeView {
            id: id_text(node.id),
            leads: leads.get(&node.id).copied().unwrap_or_default(),
            api: node.api,
            internal: node.internal,
            status: "Unreachable",
        });
        let shards = cluster.shard_states.into_iter().map(|shard| ShardView {
            shard: shard.shard,
            leader: (shard.leader != 0).then(|| id_text(shard.leader)),
            term: shard.term,
            applied: shard.applied,
            voters: shard.voters.into_iter().map(id_text).collect(),
        });
        Self {
            nodes: nodes.collect(),
            shard_states: shards.collect(),
            cluster_id: cluster.cluster_id,
            shards: cluster.shards,
        }
    }
}

impl ClusterView {
    pub(crate) fn table(&self) -> String {
        let nodes = self.nodes.iter().map(|node| {
            let leads = format!("{}/{}", node.leads, self.shards);
            vec![
                node.id.clone(),
                node.status.to_owned(),
                node.api.clone(),
                node.internal.clone(),
                leads,
            ]
        });
        let shards = self.shard_states.iter().map(|shard| {
            vec![
                shard.shard.to_string(),
                shard.leader.clone().unwrap_or_default(),
                shard.term.to_string(),
                shard.applied.to_string(),
                shard.voters.len().to_string(),
            ]
        });
        format!(
            "Cluster {}\n\n{}\n{}",
            self.cluster_id,
            table::render(&["NODE", "STATUS", "API", "INTERNAL", "LEADS"], nodes),
            table::render(&["SHARD", "LEADER", "TERM", "APPLIED", "VOTERS"], shards),
        )
    }
}

#[cfg(test)]
mod tests {
    use proto::rpc::v1::describe_cluster_response::{Node, Shard};

    use super::*;

    #[test]
    fn a_cluster_shows_nodes_and_leaders() {
        let node = |id, port| Node {
            id,
            api: format!("127.0.0.1:{port}"),
            internal: format!("127.0.0.1:{}", port + 1),
        };
        let shard = |shard, leader| Shard {
            shard,
            leader,
            term: 2,
            applied: 40,
            voters: vec![1, 2],
        };
        let mut view = ClusterView::from(DescribeClusterResponse {
            cluster_id: "c0ffee".to_owned(),
            shards: 2,
            nodes: vec![node(1, 7443), node(2, 7543)],
            shard_states: vec![shard(0, 2), shard(1, 0)],
        });
        view.nodes[1].status = "Ready";
        insta::assert_snapshot!(view.table(), @r"
        Cluster c0ffee

        NODE               STATUS        API              INTERNAL         LEADS
        0000000000000001   Unreachable   127.0.0.1:7443   127.0.0.1:7444   0/2
        0000000000000002   Ready         127.0.0.1:7543   127.0.0.1:7544   1/2

        SHARD   LEADER             TERM   APPLIED   VOTERS
        0       0000000000000002   2      40        2
        1       -                  2      40        2
        ");
    }
}
