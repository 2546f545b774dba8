//! How the nodes of a cluster are, put together from what each of them says.

use std::collections::{BTreeMap, BTreeSet};

use device_state::{Leadership, NodeId, ShardId, StateNode, StateNodeRole};
use proto::drover::v1::cluster_node::{self, Condition, Role};
use proto::drover::v1::cluster_shard::Replica;
use proto::drover::v1::{ClusterNode, ClusterShard, ClusterStatus};
use proto::rpc::v1::DescribeClusterResponse;
use proto::rpc::v1::describe_cluster_response::{Node, Shard};

use crate::identity::format_id;

/// What a replica may be behind its leader and count as up to date: the answers come at different moments.
const MAX_LAG: u64 = 1_000;

/// Who answered at the address of a node, and with what.
type Answer = Option<(NodeId, DescribeClusterResponse)>;

/// The answers of all nodes.
#[derive(Debug)]
pub(crate) struct Survey {
    by: NodeId,
    records: Vec<StateNode>,
    answers: BTreeMap<NodeId, Answer>,
    shards: Vec<ShardView>,
}

/// A shard as the node with the newest knowledge of it says.
#[derive(Debug, Default)]
struct ShardView {
    leader: Option<NodeId>,
    term: u64,
    applied: u64,
    voters: BTreeSet<NodeId>,
    learners: BTreeSet<NodeId>,
}

impl Survey {
    pub(crate) fn new(
        by: NodeId,
        records: Vec<StateNode>,
        answers: BTreeMap<NodeId, Answer>,
    ) -> Self {
        let mut shards: Vec<ShardView> = Vec::new();
        for (id, answer) in &answers {
            let states = own_answer(*id, answer).map(|answer| &answer.shard_states);
            for state in states.into_iter().flatten() {
                let at = state.shard as usize;
                // Answers are of nodes of this cluster, which all have the same shards.
                if shards.len() <= at {
                    shards.resize_with(at + 1, ShardView::default);
                }
                shards[at].learn(*id, state);
            }
        }
        Self {
            by,
            records,
            answers,
            shards,
        }
    }

    fn answer(&self, id: NodeId) -> Option<&DescribeClusterResponse> {
        own_answer(id, self.answers.get(&id)?)
    }

    fn has_quorum(&self, voters: &BTreeSet<NodeId>) -> bool {
        let live = voters.iter().filter(|id| self.answer(**id).is_some());
        live.count() * 2 > voters.len()
    }

    /// Whether a shard would have no voter without the node.
    pub(crate) fn is_last_voter(&self, node: NodeId) -> bool {
        let only = BTreeSet::from([node]);
        self.shards.iter().any(|shard| shard.voters == only)
    }

    /// The shards whose remaining voters would have no majority that answers.
    pub(crate) fn stuck_without(&self, node: NodeId) -> Vec<ShardId> {
        let stuck = |shard: &ShardView| {
            let mut rest = shard.voters.clone();
            rest.remove(&node) && !self.has_quorum(&rest)
        };
        let numbered = (0_u16..).map(ShardId).zip(&self.shards);
        numbered
            .filter(|(_, shard)| stuck(shard))
            .map(|(shard, _)| shard)
            .collect()
    }

    /// The cluster that the node that asked belongs to.
    pub(crate) fn cluster(&self) -> &str {
        self.answer(self.by)
            .map(|own| own.cluster_id.as_str())
            .unwrap_or_default()
    }

    /// The shards of which no majority of voters answers.
    pub(crate) fn stuck(&self) -> Vec<ShardId> {
        let numbered = (0_u16..).map(ShardId).zip(&self.shards);
        let stuck = numbered.filter(|(_, shard)| !self.has_quorum(&shard.voters));
        stuck.map(|(shard, _)| shard).collect()
    }

    /// Whether the node answers and is the one that it is taken for.
    pub(crate) fn is_there(&self, node: NodeId) -> bool {
        self.answer(node).is_some()
    }

    /// The node, as the API shows it.
    pub(crate) fn node(&self, id: NodeId) -> ClusterNode {
        let record = self.records.iter().find(|record| record.node == id);
        let answer = self.answer(id);
        let listed = self.listed(id);
        let leadership = match record.map(|record| record.leadership) {
            Some(Leadership::Avoided) => cluster_node::Leadership::Avoided,
            Some(Leadership::Allowed) | None => cluster_node::Leadership::Allowed,
        };
        let leads = |shard: &&ShardView| shard.leader == Some(id);
        let votes = |shard: &&ShardView| shard.voters.contains(&id);
        ClusterNode {
            id: format_id(id.0),
            api: listed
                .as_ref()
                .map(|node| node.api.clone())
                .unwrap_or_default(),
            internal: listed.map(|node| node.internal).unwrap_or_default(),
            role: self.role(id, record).into(),
            leadership: leadership.into(),
            condition: self.condition(id).into(),
            leads: self.shards.iter().filter(leads).count() as u32,
            votes: self.shards.iter().filter(votes).count() as u32,
            behind: answer.map_or(0, |answer| self.behind(answer)),
            version: answer
                .map(|answer| answer.version.clone())
                .unwrap_or_default(),
            feature_level: answer.map_or(0, |answer| answer.feature_level),
        }
    }

    /// Addresses of a node, by whoever knows them; it knows its own best.
    fn listed(&self, id: NodeId) -> Option<Node> {
        let own = self.answer(id).into_iter();
        let others = self
            .answers
            .iter()
            .filter_map(|(id, answer)| own_answer(*id, answer));
        let mut lists = own.chain(others).flat_map(|answer| &answer.nodes);
        let listed = lists.find(|node| node.id == id.0).cloned();
        listed.or_else(|| {
            let record = self.records.iter().find(|record| record.node == id)?;
            Some(Node {
                id: id.0,
                api: record.api.clone(),
                internal: record.internal.clone(),
            })
        })
    }

    fn role(&self, id: NodeId, record: Option<&StateNode>) -> Role {
        let voter_of_all = self.shards.iter().all(|shard| shard.voters.contains(&id));
        let member = |shard: &ShardView| shard.voters.contains(&id) || shard.learners.contains(&id);
        match record.map(|record| record.role) {
            Some(StateNodeRole::Leaving) => Role::Leaving,
            Some(StateNodeRole::Voter) if !voter_of_all => Role::Joining,
            Some(StateNodeRole::Learner) if !self.shards.iter().all(member) => Role::Joining,
            Some(StateNodeRole::Learner) => Role::Learner,
            Some(StateNodeRole::Voter) => Role::Voter,
            None if voter_of_all => Role::Voter,
            None if self.shards.iter().any(|shard| shard.voters.contains(&id)) => Role::Joining,
            None => Role::Learner,
        }
    }

    fn condition(&self, id: NodeId) -> Condition {
        match self.answers.get(&id) {
            Some(Some((found, _))) if *found == id => Condition::Ready,
            Some(Some(_)) => Condition::Replaced,
            Some(None) | None => Condition::Unreachable,
        }
    }

    fn behind(&self, answer: &DescribeClusterResponse) -> u32 {
        let behind = |state: &&Shard| {
            let newest = self.shards.get(state.shard as usize);
            newest.is_none_or(|newest| state.applied + MAX_LAG < newest.applied)
        };
        let states = answer.shard_states.iter();
        let missing = self.shards.len().saturating_sub(answer.shard_states.len());
        (states.filter(behind).count() + missing) as u32
    }

    fn shard(&self, number: u32, shard: &ShardView) -> ClusterShard {
        let replica = |(id, answer): (&NodeId, &Answer)| {
            let states = &own_answer(*id, answer)?.shard_states;
            let state = states.iter().find(|state| state.shard == number)?;
            Some(Replica {
                node: format_id(id.0),
                applied: state.applied,
                last_log_index: state.last_log_index,
                last_log_term: state.last_log_term,
            })
        };
        ClusterShard {
            shard: number,
            leader: shard.leader.map(|id| format_id(id.0)).unwrap_or_default(),
            term: shard.term,
            voters: shard.voters.iter().map(|id| format_id(id.0)).collect(),
            learners: shard.learners.iter().map(|id| format_id(id.0)).collect(),
            quorum: self.has_quorum(&shard.voters),
            replicas: self.answers.iter().filter_map(replica).collect(),
        }
    }

    /// All of it, as the API shows it.
    pub(crate) fn status(&self) -> ClusterStatus {
        let own = self.answer(self.by);
        let states = own
            .map(|own| own.shard_states.as_slice())
            .unwrap_or_default();
        let numbered = (0..).zip(&self.shards);
        ClusterStatus {
            id: self.cluster().to_owned(),
            feature_level: states
                .iter()
                .map(|state| state.feature_level)
                .min()
                .unwrap_or(0),
            nodes: self.answers.keys().map(|id| self.node(*id)).collect(),
            shards: numbered
                .map(|(number, shard)| self.shard(number, shard))
                .collect(),
            answered_by: format_id(self.by.0),
        }
    }
}

/// What a node says of itself; nothing if another one answered at its address.
fn own_answer(id: NodeId, answer: &Answer) -> Option<&DescribeClusterResponse> {
    answer
        .as_ref()
        .filter(|(found, _)| *found == id)
        .map(|(_, answer)| answer)
}

impl ShardView {
    /// The newest term counts, and of one term what the leader itself says.
    fn learn(&mut self, from: NodeId, state: &Shard) {
        let set = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
        let leads = state.leader == from.0;
        if state.term > self.term || self.voters.is_empty() || (state.term == self.term && leads) {
            self.voters = set(&state.voters);
            self.learners = set(&state.learners);
        }
        if state.leader != 0 && (state.term >= self.term) {
            self.leader = Some(NodeId(state.leader));
        } else if state.term > self.term {
            self.leader = None;
        }
        self.term = self.term.max(state.term);
        self.applied = self.applied.max(state.applied);
    }
}

#[cfg(test)]
mod tests;
