//! Whether the replicas of a shard hold the same rows. They cannot differ by what they applied, so a difference is a
//! fault of one node's disk or memory that nothing else has noticed.
//!
//! ```text
//!  leader ─ CompareRows ─▶ log ─▶ every replica: view of the rows at that entry ─▶ hash, in the background
//!     └── RowsHash ──▶ voters ── all alike: good
//!                             ├─ some differ from a majority: CheckRows to those; each compares for itself and
//!                             │  marks its data as corrupt (see `rebuild`)
//!                             └─ no majority: an error for people, nobody gives anything up
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use device_state::{Command, NodeId, Revision};
use node_runtime::{Drain, clock};
use proto::rpc::v1::rows_hash_response::Kind;
use proto::rpc::v1::{CheckRowsRequest, RowsHashRequest};
use tokio::time::Instant;

use crate::raft::Member;
use crate::raft::group::Group;
use crate::raft::network::peers::{Peer, Peers};
use crate::store::RowsHash;
use hashes::HashState;
pub use hashes::{Hashes, Pace};

pub mod hashes;

/// How long a hash may take, here or elsewhere: some hundred GiB.
const PATIENCE: Duration = Duration::from_secs(3_600);
const ANSWER: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(500);

/// What the hashes of the replicas say.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// Less than two are known.
    Unknown,
    Alike,
    /// A majority of the voters agrees, and these differ.
    Minority(Vec<u64>),
    /// They differ, and nobody can tell who is right.
    NoMajority,
}

/// Compares what this node leads, or what others say of it.
#[derive(Clone, Debug)]
pub struct Comparer {
    pub node: NodeId,
    pub peers: Arc<Peers>,
}

impl Comparer {
    /// Compares the replicas of the group while this node leads it, again and again.
    pub async fn run(self, group: Arc<Group>, every: Duration, shards: u16, drain: Drain) {
        // One shard after the other rather than all at once.
        let offset = every * (u32::from(group.shard().0) + 1) / u32::from(shards.max(1));
        let mut due = Instant::now() + offset;
        loop {
            tokio::select! {
                () = drain.started() => return,
                () = tokio::time::sleep_until(due) => {}
            }
            due = Instant::now() + every;
            if !group.leads() {
                continue;
            }
            tokio::select! {
                () = drain.started() => return,
                () = self.lead(&group) => {}
            }
        }
    }

    /// One comparison by the leader.
    pub async fn lead(&self, group: &Group) {
        let shard = group.shard();
        if let Err(error) = group.proposer().propose(None, Command::CompareRows).await {
            return tracing::debug!(%shard, %error, "the replicas are not compared this time");
        }
        // The answer comes after the entry was applied here.
        let Some(revision) = group.hashes().newest() else {
            return;
        };
        match self.judge(group, revision).await {
            Verdict::Unknown => {
                tracing::info!(%shard, revision = revision.0, "too few replicas have a hash to compare");
            }
            Verdict::Alike => group.hashes().compared(revision, clock::now_ms() / 1_000),
            Verdict::NoMajority => {
                group.hashes().mismatched();
                tracing::error!(
                    %shard, revision = revision.0,
                    "the replicas of a shard hold different rows and no majority of them agrees: nothing is rebuilt by \
                     itself; see docs/storage.md"
                );
            }
            Verdict::Minority(nodes) => {
                group.hashes().mismatched();
                group.hashes().compared(revision, clock::now_ms() / 1_000);
                tracing::error!(
                    %shard, revision = revision.0, nodes = ?texts(&nodes),
                    "replicas hold other rows than the majority; they compare for themselves and are rebuilt"
                );
                self.tell(group, revision, &nodes).await;
            }
        }
    }

    /// Looks whether this node's own rows differ from those of a majority.
    pub async fn check_own(&self, group: &Group, revision: Revision) {
        let Some(_checking) = group.hashes().begin_check() else {
            return;
        };
        match self.judge(group, revision).await {
            Verdict::Minority(nodes) if nodes.contains(&self.node.0) => {
                give_up(group, revision);
            }
            verdict => {
                tracing::warn!(shard = %group.shard(), revision = revision.0, ?verdict, "said to differ, but a comparison does not show it");
            }
        }
    }

    async fn tell(&self, group: &Group, revision: Revision, nodes: &[u64]) {
        if nodes.contains(&self.node.0) {
            return give_up(group, revision);
        }
        for (id, member) in others(group, self.node.0) {
            if !nodes.contains(&id) {
                continue;
            }
            let peer = self.peers.peer(id, &member.internal);
            let request = peer.addressed(CheckRowsRequest {
                group: u32::from(group.shard().0),
                revision: revision.0,
            });
            let mut client = peer.client();
            match tokio::time::timeout(ANSWER, client.check_rows(request)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(node = %NodeId(id), %error, "a node was not told that it differs");
                }
                Err(_) => tracing::warn!(node = %NodeId(id), "a node was not told that it differs"),
            }
        }
    }

    /// Asks every voter for its hash.
    async fn judge(&self, group: &Group, revision: Revision) -> Verdict {
        let deadline = Instant::now() + PATIENCE;
        let own = group.hashes().wait(revision);
        let Ok(Some(own)) = tokio::time::timeout_at(deadline, own).await else {
            return Verdict::Unknown;
        };
        let mut hashes = BTreeMap::from([(self.node.0, own)]);
        let asked = others(group, self.node.0).into_iter().map(|(id, member)| {
            let peer = self.peers.peer(id, &member.internal);
            async move {
                let shard = group.shard().0;
                let hash = tokio::time::timeout_at(deadline, ask(&peer, shard, revision)).await;
                Some((id, hash.ok()??))
            }
        });
        let answers = futures::future::join_all(asked).await;
        hashes.extend(answers.into_iter().flatten());
        judge(group.status().voters.len(), &hashes)
    }
}

fn give_up(group: &Group, revision: Revision) {
    let reason = format!(
        "its rows differ from those of the majority at revision {}",
        revision.0
    );
    group
        .store()
        .corrupt("the rows of a shard are not what they should be", reason);
}

/// The other voters.
fn others(group: &Group, own: u64) -> Vec<(u64, Member)> {
    let status = group.status();
    let voters = status.voters;
    let members = status.members.into_iter();
    members
        .filter(|node| node.id.0 != own && voters.contains(&node.id.0))
        .map(|node| (node.id.0, node.member))
        .collect()
}

/// The hash of another node, once it has one. `None` if it has not and will not.
async fn ask(peer: &Peer, shard: u16, revision: Revision) -> Option<RowsHash> {
    loop {
        let request = peer.addressed(RowsHashRequest {
            group: u32::from(shard),
            revision: revision.0,
        });
        let mut client = peer.client();
        let answer = tokio::time::timeout(ANSWER, client.rows_hash(request)).await;
        match answer.ok()?.ok()?.into_inner().kind {
            Some(Kind::Hash(hash)) => return Some(RowsHash(hash.try_into().ok()?)),
            Some(Kind::Pending(_)) => tokio::time::sleep(RETRY).await,
            Some(Kind::Unknown(_)) | None => return None,
        }
    }
}

/// What another node is answered.
pub fn answer(group: &Group, revision: Revision) -> Kind {
    // Asked before the hash is: else the entry could come in between.
    let behind = group.events().revision() < revision;
    match group.hashes().state(revision) {
        HashState::Known(hash) => Kind::Hash(hash.0.to_vec()),
        HashState::Pending => Kind::Pending(true),
        HashState::Unknown if behind => Kind::Pending(true),
        HashState::Unknown => Kind::Unknown(true),
    }
}

fn judge(voters: usize, hashes: &BTreeMap<u64, RowsHash>) -> Verdict {
    let mut nodes: BTreeMap<RowsHash, Vec<u64>> = BTreeMap::new();
    for (node, hash) in hashes {
        nodes.entry(*hash).or_default().push(*node);
    }
    if hashes.len() < 2 {
        return Verdict::Unknown;
    }
    if nodes.len() == 1 {
        return Verdict::Alike;
    }
    let majority = nodes
        .iter()
        .find(|(_, nodes)| nodes.len() > voters / 2)
        .map(|(hash, _)| *hash);
    let Some(majority) = majority else {
        return Verdict::NoMajority;
    };
    let differ = nodes.into_iter().filter(|(hash, _)| *hash != majority);
    Verdict::Minority(differ.flat_map(|(_, nodes)| nodes).collect())
}

fn texts(nodes: &[u64]) -> Vec<String> {
    nodes.iter().map(|node| NodeId(*node).to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(voters: usize, hashes: &[(u64, u8)]) -> Verdict {
        let hashes = hashes
            .iter()
            .map(|(node, byte)| (*node, RowsHash([*byte; 16])));
        judge(voters, &hashes.collect())
    }

    #[test]
    fn only_a_majority_of_the_voters_says_who_is_wrong() {
        assert_eq!(verdict(3, &[(1, 0)]), Verdict::Unknown);
        assert_eq!(verdict(3, &[(1, 0), (2, 0)]), Verdict::Alike);
        assert_eq!(
            verdict(3, &[(1, 0), (2, 1), (3, 0)]),
            Verdict::Minority(vec![2])
        );
        assert_eq!(verdict(3, &[(1, 0), (2, 1)]), Verdict::NoMajority);
        assert_eq!(verdict(3, &[(1, 0), (2, 1), (3, 2)]), Verdict::NoMajority);
        // Two of four are no majority, and two of five that answer neither.
        assert_eq!(
            verdict(4, &[(1, 0), (2, 0), (3, 1), (4, 1)]),
            Verdict::NoMajority
        );
        assert_eq!(verdict(5, &[(1, 0), (2, 0), (3, 1)]), Verdict::NoMajority);
        assert_eq!(
            verdict(5, &[(1, 0), (2, 1), (3, 2), (4, 0), (5, 0)]),
            Verdict::Minority(vec![2, 3])
        );
    }
}
