//! What is known of the cluster: its nodes and who leads each shard.

use std::sync::Arc;

use device_state::{DeviceName, NodeId, ShardId};
use proto::convert::{ConvertError, Reason};
use proto::rpc::v1 as rpc;

use crate::link::Link;

/// The most shards and nodes that are believed.
const MAX_SHARDS: u32 = 4_096;
const MAX_NODES: usize = 256;

/// The cluster as a state node described it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    pub cluster_id: String,
    /// At least 1; never changes in the life of a cluster.
    pub shards: u16,
    pub nodes: Vec<StateNode>,
    /// By shard; `None` while nobody is known to lead it.
    pub leaders: Vec<Option<NodeId>>,
    /// By shard: the Raft term in which that was so.
    terms: Vec<u64>,
}

/// A state node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateNode {
    pub id: NodeId,
    /// `host:port` of the public API.
    pub api: String,
    /// `host:port` of the internal API.
    pub internal: String,
}

impl Topology {
    /// The shard that owns all state of `endpoint`.
    pub fn shard_of(&self, endpoint: &DeviceName) -> ShardId {
        ShardId::of_endpoint(endpoint, self.shards)
    }

    /// The node that leads `shard`, as far as is known.
    pub fn leader(&self, shard: ShardId) -> Option<&StateNode> {
        let id = (*self.leaders.get(usize::from(shard.0))?)?;
        self.nodes.iter().find(|node| node.id == id)
    }

    /// Believes of `older` what this description does not know better: a node that lags behind names old leaders.
    pub(crate) fn merge(mut self, older: &Self) -> Self {
        if self.cluster_id != older.cluster_id || self.shards != older.shards {
            return self;
        }
        for shard in 0..usize::from(self.shards) {
            if self.leaders[shard].is_none() || self.terms[shard] < older.terms[shard] {
                self.leaders[shard] = older.leaders[shard];
                self.terms[shard] = older.terms[shard];
            }
        }
        self
    }
}

impl TryFrom<rpc::DescribeClusterResponse> for Topology {
    type Error = ConvertError;

    fn try_from(described: rpc::DescribeClusterResponse) -> Result<Self, ConvertError> {
        let invalid = |field: &str, reason| ConvertError {
            field: field.to_owned(),
            reason,
        };
        if described.shards == 0 || described.shards > MAX_SHARDS {
            return Err(invalid(
                "shards",
                Reason::OutOfRange(described.shards.into()),
            ));
        }
        if described.nodes.len() > MAX_NODES {
            let reason = Reason::TooMany {
                found: described.nodes.len(),
                limit: MAX_NODES,
            };
            return Err(invalid("nodes", reason));
        }
        let mut leaders = vec![None; described.shards as usize];
        let mut terms = vec![0; described.shards as usize];
        for state in described.shard_states {
            let shard = state.shard as usize;
            if let (Some(leader), Some(term)) = (leaders.get_mut(shard), terms.get_mut(shard)) {
                *leader = (state.leader != 0).then_some(NodeId(state.leader));
                *term = state.term;
            }
        }
        let node = |node: rpc::describe_cluster_response::Node| StateNode {
            id: NodeId(node.id),
            api: node.api,
            internal: node.internal,
        };
        Ok(Self {
            cluster_id: described.cluster_id,
            shards: described.shards as u16,
            nodes: described.nodes.into_iter().map(node).collect(),
            leaders,
            terms,
        })
    }
}

/// Where the calls of each shard go now: the topology, corrected by what nodes said since.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes {
    /// `None` until a node described the cluster.
    pub(crate) topology: Option<Arc<Topology>>,
    /// Links to all nodes of the topology.
    nodes: Vec<Arc<Link>>,
    /// By shard.
    shards: Vec<Route>,
}

#[derive(Clone, Debug, Default)]
struct Route {
    /// The leader by the topology.
    described: Option<Arc<Link>>,
    /// The leader that another node named, newer than the topology.
    hint: Option<Arc<Link>>,
}

impl Routes {
    /// The node to ask about `shard`: its leader, or while that is not known the `turn`th node, which may know.
    pub(crate) fn of(&self, shard: ShardId, turn: usize) -> Option<Arc<Link>> {
        let route = self.shards.get(usize::from(shard.0));
        let leader = route.and_then(|route| route.hint.as_ref().or(route.described.as_ref()));
        leader
            .or_else(|| self.nodes.get(turn.checked_rem(self.nodes.len())?))
            .cloned()
    }

    /// Takes a description over. A hint goes when a later term is described.
    pub(crate) fn describe(&mut self, fresh: Topology, link: impl Fn(&str) -> Option<Arc<Link>>) {
        let older = self.topology.take();
        let known = match &older {
            Some(older) => fresh.merge(older),
            None => fresh,
        };
        self.nodes = known
            .nodes
            .iter()
            .filter_map(|node| link(&node.internal))
            .collect();
        self.shards
            .resize_with(usize::from(known.shards), Route::default);
        for (at, route) in self.shards.iter_mut().enumerate() {
            route.described = known
                .leader(ShardId(at as u16))
                .and_then(|node| link(&node.internal));
            let term_before = older.as_ref().and_then(|older| older.terms.get(at));
            if route.described.is_some() && term_before < known.terms.get(at) {
                route.hint = None;
            }
        }
        self.topology = Some(Arc::new(known));
    }

    /// A node named another as the leader of `shard`. Whether that is news.
    pub(crate) fn hint(&mut self, shard: ShardId, leader: Arc<Link>) -> bool {
        let Some(route) = self.shards.get_mut(usize::from(shard.0)) else {
            return false;
        };
        if route
            .hint
            .as_ref()
            .is_some_and(|hint| hint.address == leader.address)
        {
            return false;
        }
        route.hint = Some(leader);
        true
    }

    /// The node at `address` does not lead `shard` and names nobody who does, or it cannot be reached: a hint that
    /// names it is forgotten. Whether there was one.
    pub(crate) fn distrust(&mut self, shard: ShardId, address: &str) -> bool {
        let Some(route) = self.shards.get_mut(usize::from(shard.0)) else {
            return false;
        };
        route
            .hint
            .take_if(|hint| *hint.address == *address)
            .is_some()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;
    use crate::config::Config;
    use crate::link::Links;

    fn described(leader: u64, term: u64) -> Topology {
        let node = |id: u64| rpc::describe_cluster_response::Node {
            id,
            api: format!("api{id}:1"),
            internal: format!("internal{id}:1"),
        };
        let shard = rpc::describe_cluster_response::Shard {
            leader,
            term,
            ..Default::default()
        };
        let response = rpc::DescribeClusterResponse {
            cluster_id: "c".to_owned(),
            shards: 1,
            nodes: vec![node(1), node(2)],
            shard_states: vec![shard],
            ..Default::default()
        };
        response.try_into().unwrap()
    }

    struct Fixture {
        links: Links,
        routes: Routes,
    }

    impl Fixture {
        fn new() -> Self {
            Self {
                links: Links::new(Config::new([])),
                routes: Routes::default(),
            }
        }

        fn describe(&mut self, topology: Topology) {
            self.routes
                .describe(topology, |address| self.links.to(address).ok());
        }

        fn hint(&mut self, address: &str) {
            self.routes
                .hint(ShardId(0), self.links.to(address).unwrap());
        }

        fn leader(&self) -> String {
            self.routes.of(ShardId(0), 0).unwrap().address.to_string()
        }
    }

    #[tokio::test]
    async fn a_node_that_lags_behind_does_not_bring_an_old_leader_back() {
        let mut fixture = Fixture::new();
        fixture.describe(described(2, 7));
        fixture.describe(described(1, 6));
        assert_eq!(fixture.leader(), "internal2:1");
        fixture.describe(described(0, 8));
        assert_eq!(fixture.leader(), "internal2:1");
        fixture.describe(described(1, 8));
        assert_eq!(fixture.leader(), "internal1:1");
    }

    #[tokio::test]
    async fn a_hint_stands_until_a_later_term_is_described_or_it_proves_wrong() {
        let mut fixture = Fixture::new();
        fixture.describe(described(1, 5));
        fixture.hint("internal2:1");
        fixture.describe(described(1, 5));
        assert_eq!(fixture.leader(), "internal2:1");
        fixture.routes.distrust(ShardId(0), "internal2:1");
        assert_eq!(fixture.leader(), "internal1:1");
        fixture.hint("internal2:1");
        fixture.describe(described(1, 6));
        assert_eq!(fixture.leader(), "internal1:1");
    }

    #[tokio::test]
    async fn without_a_leader_the_nodes_are_asked_in_turn() {
        let mut fixture = Fixture::new();
        assert!(fixture.routes.of(ShardId(0), 0).is_none());
        fixture.describe(described(0, 0));
        let asked = |turn| {
            fixture
                .routes
                .of(ShardId(0), turn)
                .unwrap()
                .address
                .to_string()
        };
        assert_eq!(
            [asked(0), asked(1), asked(2)],
            ["internal1:1", "internal2:1", "internal1:1"]
        );
    }

    #[test]
    fn a_description_without_shards_is_refused() {
        assert!(Topology::try_from(rpc::DescribeClusterResponse::default()).is_err());
    }
}
