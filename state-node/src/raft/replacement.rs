//! What leaders do about the members of their groups: replace nodes that lost their volume, and spread leaderships.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use device_state::NodeId;
use node_runtime::Drain;

use crate::dial::Dialer;
use crate::raft::Member;
use crate::raft::bootstrap::{Probe, probe};
use crate::raft::group::{Group, GroupStatus};
use crate::raft::log_store::LogStore;

const ROUND: Duration = Duration::from_secs(5);
/// A new member gets this long to fetch a snapshot and the log behind it.
const CATCH_UP: Duration = Duration::from_secs(600);
/// A voter this many entries behind does not get a leadership.
const MAX_LAG: u64 = 1_000;
/// More log segments than this (64 MiB each) make groups that pin the oldest ones take a snapshot.
const MAX_SEGMENTS: usize = 32;
/// Entries that stay in a group that is being written to: its queued applies must not be overtaken by the purge.
const KEEP_BEHIND_SNAPSHOT: u64 = 10_000;

/// Looks after the groups that this node leads.
#[derive(Debug)]
pub struct Caretaker {
    node: NodeId,
    groups: Arc<Vec<Arc<Group>>>,
    log: LogStore,
    dialer: Dialer,
}

impl Caretaker {
    /// Takes care of `groups` for `node`.
    pub fn new(node: NodeId, groups: Arc<Vec<Arc<Group>>>, log: LogStore, dialer: Dialer) -> Self {
        Self {
            node,
            groups,
            log,
            dialer,
        }
    }

    /// Works in rounds until the drain starts.
    pub async fn run(self, drain: Drain) {
        loop {
            tokio::select! {
                () = drain.started() => return,
                () = tokio::time::sleep(ROUND) => {}
            }
            tokio::select! {
                () = drain.started() => return,
                () = self.round() => {}
            }
        }
    }

    async fn round(&self) {
        let mut probes = HashMap::new();
        for group in self.groups.iter().filter(|group| group.leads()) {
            let status = group.status();
            if self
                .replace_lost(group, &status, &mut probes)
                .await
                .is_none()
            {
                self.hand_to_preferred(group, &status).await;
            }
        }
        if self.log.segments() > MAX_SEGMENTS {
            self.free_segments().await;
        }
    }

    /// Replaces one member at whose address another node lives now. `None` if all are who they should be.
    async fn replace_lost(
        &self,
        group: &Group,
        status: &GroupStatus,
        probes: &mut HashMap<String, Option<Probe>>,
    ) -> Option<()> {
        for old in status
            .members
            .iter()
            .filter(|member| member.id != self.node)
        {
            let address = &old.member.internal;
            if !probes.contains_key(address) {
                probes.insert(address.clone(), probe(&self.dialer, address).await);
            }
            let Some(Some(found)) = probes.get(address) else {
                continue;
            };
            let fits = found.cluster.is_empty() || found.cluster == old.member.cluster;
            if found.node == old.id || !fits {
                continue;
            }
            let api = found
                .member
                .as_ref()
                .map_or_else(|| old.member.api.clone(), |member| member.api.clone());
            let member = Member {
                api,
                ..old.member.clone()
            };
            replace(group, status, old.id, found.node, member).await;
            return Some(());
        }
        None
    }

    /// Leaderships are spread by a rule that every node computes alike: shard modulo voters.
    async fn hand_to_preferred(&self, group: &Group, status: &GroupStatus) {
        let voters: BTreeSet<u64> = status.voters.iter().copied().collect();
        let preferred = voters
            .iter()
            .nth(usize::from(group.shard().0) % voters.len().max(1))
            .copied();
        let Some(preferred) = preferred.filter(|preferred| *preferred != self.node.0) else {
            return;
        };
        let able = group
            .live_voters()
            .into_iter()
            .find(|(id, _)| *id == preferred);
        if able.is_none_or(|(_, matched)| matched + MAX_LAG < status.last_log) {
            return;
        }
        tracing::info!(shard = %group.shard(), to = preferred, "handing the leadership to the preferred node");
        if let Err(error) = group.raft().trigger().transfer_leader(preferred).await {
            tracing::warn!(shard = %group.shard(), %error, "the leadership was not handed over");
        }
    }

    /// A quiet group never takes a snapshot of its own accord, and its few entries keep everybody's old segments.
    async fn free_segments(&self) {
        for number in self.log.groups_in_oldest_segment() {
            let Some(group) = self.groups.get(usize::from(number)) else {
                continue;
            };
            let status = group.status();
            if let Err(error) = group.raft().trigger().snapshot().await {
                tracing::warn!(shard = number, %error, "no snapshot to free the log");
                continue;
            }
            let wait = group.raft().wait(Some(ROUND));
            let made = wait.metrics(
                |metrics| {
                    metrics
                        .snapshot
                        .is_some_and(|id| id.index >= status.applied)
                },
                "snapshot",
            );
            let Ok(metrics) = made.await else { continue };
            let Some(snapshot) = metrics.snapshot else {
                continue;
            };
            let quiet = metrics.last_log_index == Some(snapshot.index);
            let keep = if quiet { 0 } else { KEEP_BEHIND_SNAPSHOT };
            if let Err(error) = group
                .raft()
                .trigger()
                .purge_log(snapshot.index.saturating_sub(keep))
                .await
            {
                tracing::warn!(shard = number, %error, "the log was not purged");
            }
        }
    }
}

async fn replace(group: &Group, status: &GroupStatus, old: NodeId, new: NodeId, member: Member) {
    let shard = group.shard();
    tracing::warn!(%shard, %old, %new, address = member.internal, "replacing a node that lost its volume");
    let add = group.raft().add_learner(new.0, member, true);
    match tokio::time::timeout(CATCH_UP, add).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            return tracing::warn!(%shard, %new, %error, "the new node was not taken in");
        }
        Err(_) => return tracing::warn!(%shard, %new, "the new node does not catch up"),
    }
    let mut voters: BTreeSet<u64> = status.voters.iter().copied().collect();
    voters.remove(&old.0);
    voters.insert(new.0);
    match group.raft().change_membership(voters, false).await {
        Ok(_) => tracing::info!(%shard, %old, %new, "replaced"),
        Err(error) => tracing::warn!(%shard, %old, %new, %error, "the membership did not change"),
    }
}

/// Addresses of all members of all groups, by node.
pub fn members_of(groups: &[Arc<Group>]) -> BTreeMap<NodeId, Member> {
    let members = groups.iter().flat_map(|group| group.status().members);
    members.map(|node| (node.id, node.member)).collect()
}
