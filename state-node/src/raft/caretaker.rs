//! What leaders do about their groups: bring the membership to what is wanted, spread leaderships, raise the feature level
//! and free the log.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use device_state::{Command, FeatureLevel, Leadership, NodeId, StateNode, StateNodeRole, query};
use node_runtime::Drain;
use openraft::ChangeMembers;

use crate::dial::Dialer;
use crate::raft::Member;
use crate::raft::bootstrap::{Probe, probe};
use crate::raft::group::{Group, GroupStatus};
use crate::raft::log_store::LogStore;
use crate::raft::placement::{Step, Wanted, next_step};
use crate::router::Router;

const ROUND: Duration = Duration::from_secs(5);
/// After a step the next one is near.
const SOON: Duration = Duration::from_millis(500);
/// How long the commit of a change of membership is waited for. It may still come afterwards.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// More log segments than this (64 MiB each) make groups that pin the oldest ones take a snapshot.
const MAX_SEGMENTS: usize = 32;
/// Entries that stay in a group that is being written to: its queued applies must not be overtaken by the purge.
const KEEP_BEHIND_SNAPSHOT: u64 = 10_000;

/// Looks after the groups that this node leads.
#[derive(Debug)]
pub struct Caretaker {
    node: NodeId,
    groups: Arc<Vec<Arc<Group>>>,
    router: Arc<Router>,
    log: LogStore,
    dialer: Dialer,
}

/// Who lives at the addresses of state nodes; each is asked once in a round.
#[derive(Debug)]
struct Probes<'a> {
    dialer: &'a Dialer,
    found: HashMap<String, Option<Probe>>,
}

impl Probes<'_> {
    async fn at(&mut self, address: &str) -> Option<&Probe> {
        if !self.found.contains_key(address) {
            let found = probe(self.dialer, address).await;
            self.found.insert(address.to_owned(), found);
        }
        self.found.get(address)?.as_ref()
    }
}

impl Caretaker {
    /// Takes care of `groups` for `node`.
    pub fn new(
        node: NodeId,
        groups: Arc<Vec<Arc<Group>>>,
        router: Arc<Router>,
        log: LogStore,
        dialer: Dialer,
    ) -> Self {
        Self {
            node,
            groups,
            router,
            log,
            dialer,
        }
    }

    /// Works in rounds until the drain starts.
    pub async fn run(self, drain: Drain) {
        let mut pause = ROUND;
        loop {
            tokio::select! {
                () = drain.started() => return,
                () = tokio::time::sleep(pause) => {}
            }
            tokio::select! {
                () = drain.started() => return,
                next = self.round() => pause = next,
            }
        }
    }

    /// One look at every group that this node leads; returns when to look again.
    async fn round(&self) -> Duration {
        let records = self.records();
        let mut probes = Probes {
            dialer: &self.dialer,
            found: HashMap::new(),
        };
        let mut pause = ROUND;
        for group in self.groups.iter().filter(|group| group.leads()) {
            let status = group.status();
            let wanted = self.wanted(group, &status, &records, &mut probes).await;
            if let Some(step) = next_step(&group.view(), &wanted) {
                if take(group, step).await == Taken::Yes {
                    pause = SOON;
                }
            } else {
                self.raise_level(group, &status, &mut probes).await;
                hand_to_preferred(self.node, group, &status, &records).await;
            }
        }
        self.forget(&records, &mut probes).await;
        if self.log.segments() > MAX_SEGMENTS {
            self.free_segments().await;
        }
        pause
    }

    /// What is wanted of state nodes, as far as this node knows.
    fn records(&self) -> Vec<StateNode> {
        let common = self.groups.first();
        common.map_or_else(Vec::new, |group| {
            group.store().read(|rows| query::state_nodes(rows))
        })
    }

    /// What is wanted of the members of a group, and of those who are to be members and are there.
    async fn wanted(
        &self,
        group: &Group,
        status: &GroupStatus,
        records: &[StateNode],
        probes: &mut Probes<'_>,
    ) -> BTreeMap<NodeId, Wanted> {
        let cluster = status
            .member(self.node)
            .map(|own| own.member.cluster.clone());
        let cluster = cluster.unwrap_or_default();
        let level = group.feature_level();
        let mut wanted = BTreeMap::new();
        for record in records {
            let known = status.member(record.node).is_some();
            let there = known || is_there(probes.at(&record.internal).await, record.node, level);
            if there {
                let member = Member {
                    internal: record.internal.clone(),
                    api: record.api.clone(),
                    cluster: cluster.clone(),
                };
                let one = Wanted {
                    member,
                    role: record.role,
                    instead_of: None,
                };
                wanted.insert(record.node, one);
            }
        }
        for old in status.members.iter().filter(|old| old.id != self.node) {
            if let Some((new, member)) = successor(old, probes).await {
                let votes = status.voters.contains(&old.id.0);
                let replaced = Wanted {
                    member,
                    role: role_of(old.id, votes, records),
                    instead_of: votes.then_some(old.id),
                };
                if replaced.role != StateNodeRole::Leaving {
                    wanted.insert(new, replaced);
                }
                if !votes {
                    wanted.insert(old.id, Wanted::leaving(old.member.clone()));
                }
            }
        }
        wanted
    }

    /// Switches on what every member understands.
    async fn raise_level(&self, group: &Group, status: &GroupStatus, probes: &mut Probes<'_>) {
        let stored = group.feature_level();
        if stored >= FeatureLevel::SUPPORTED {
            return;
        }
        let mut common = FeatureLevel::SUPPORTED;
        for member in status
            .members
            .iter()
            .filter(|member| member.id != self.node)
        {
            match probes.at(&member.member.internal).await {
                Some(found) if found.node == member.id => common = common.min(found.level),
                // Nobody knows what it understands.
                Some(_) | None => return,
            }
        }
        if common > stored {
            let raise = Command::RaiseFeatureLevel { level: common };
            match group.proposer().propose(None, raise).await {
                Ok(_) => {
                    tracing::info!(shard = %group.shard(), level = common.0, "feature level raised");
                }
                Err(error) => {
                    tracing::debug!(shard = %group.shard(), %error, "feature level not raised");
                }
            }
        }
    }

    /// Drops the records of nodes that have left all shards, and of those whose address is another node's now.
    async fn forget(&self, records: &[StateNode], probes: &mut Probes<'_>) {
        if !self.groups.first().is_some_and(|common| common.leads()) {
            return;
        }
        let members = members_of(&self.groups);
        for record in records
            .iter()
            .filter(|record| !members.contains_key(&record.node))
        {
            let gone = match record.role {
                StateNodeRole::Leaving => true,
                StateNodeRole::Voter | StateNodeRole::Learner => {
                    let found = probes.at(&record.internal).await;
                    found.is_some_and(|found| found.node != record.node)
                }
            };
            if gone {
                let forget = Command::ForgetStateNode { node: record.node };
                let shard = crate::router::COMMON;
                if let Err(error) = self.router.propose(shard, None, forget, STEP_TIMEOUT).await {
                    tracing::warn!(node = %record.node, %error, "the record of a node that is gone stays for now");
                }
            }
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

/// Leaderships are spread by a rule that every node computes alike: shard modulo the voters that may lead.
async fn hand_to_preferred(
    node: NodeId,
    group: &Group,
    status: &GroupStatus,
    records: &[StateNode],
) {
    let may_lead = |id: &NodeId| {
        let record = records.iter().find(|record| record.node == *id);
        record.is_none_or(|record| {
            record.leadership == Leadership::Allowed && record.role == StateNodeRole::Voter
        })
    };
    let voters: BTreeSet<NodeId> = status.voters.iter().copied().map(NodeId).collect();
    let able: Vec<NodeId> = voters.into_iter().filter(may_lead).collect();
    let preferred = usize::from(group.shard().0).checked_rem(able.len());
    let preferred = preferred.and_then(|at| able.get(at)).copied();
    if preferred == Some(node) {
        return;
    }
    let view = group.view();
    let caught_up = |id: &NodeId| view.is_caught_up(*id);
    // Whoever is not to lead hands over to anybody who can.
    let fallback = || {
        able.iter()
            .copied()
            .filter(|_| !may_lead(&node))
            .find(caught_up)
    };
    if let Some(to) = preferred.filter(caught_up).or_else(fallback) {
        tracing::info!(shard = %group.shard(), %to, "handing the leadership over");
        group.hand_over(to).await;
    }
}

/// Whether a node that is to be a member waits at its address, and understands what the shard's rows need.
fn is_there(found: Option<&Probe>, node: NodeId, level: FeatureLevel) -> bool {
    found.is_some_and(|found| found.node == node && found.level >= level)
}

/// What the node in the place of another one is to be: what the other was.
fn role_of(old: NodeId, votes: bool, records: &[StateNode]) -> StateNodeRole {
    let record = records.iter().find(|record| record.node == old);
    match (record, votes) {
        (Some(record), _) => record.role,
        (None, true) => StateNodeRole::Voter,
        (None, false) => StateNodeRole::Learner,
    }
}

/// The node that lives at the address of a member now, if that is another one: the member lost its volume.
async fn successor(
    old: &crate::raft::group::MemberNode,
    probes: &mut Probes<'_>,
) -> Option<(NodeId, Member)> {
    let found = probes.at(&old.member.internal).await?;
    let fits = found.cluster.is_empty() || found.cluster == old.member.cluster;
    if found.node == old.id || !fits {
        return None;
    }
    let api = found.member.as_ref().map(|member| member.api.clone());
    let member = Member {
        api: api.unwrap_or_else(|| old.member.api.clone()),
        ..old.member.clone()
    };
    Some((found.node, member))
}

/// Whether a step was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Yes,
    No,
}

async fn take(group: &Group, step: Step) -> Taken {
    let shard = group.shard();
    tracing::info!(%shard, ?step, "changing the membership");
    let change = async {
        let raft = group.raft();
        let one = |node: &NodeId| BTreeSet::from([node.0]);
        let changed = match &step {
            Step::AddLearner { node, member } => {
                raft.add_learner(node.0, member.clone(), false).await
            }
            Step::Promote { node, instead_of } => {
                let mut voters: BTreeSet<u64> = group.status().voters.into_iter().collect();
                voters.extend(one(node));
                if let Some(old) = instead_of {
                    voters.remove(&old.0);
                }
                raft.change_membership(voters, false).await
            }
            Step::Demote { node } => {
                let change = ChangeMembers::RemoveVoters(one(node));
                raft.change_membership(change, true).await
            }
            Step::RemoveVoter { node } => {
                let change = ChangeMembers::RemoveVoters(one(node));
                raft.change_membership(change, false).await
            }
            Step::RemoveLearner { node } => {
                let change = ChangeMembers::RemoveNodes(one(node));
                raft.change_membership(change, false).await
            }
            Step::StepAside => {
                group.step_aside().await;
                return Ok(());
            }
        };
        changed.map(drop)
    };
    match tokio::time::timeout(STEP_TIMEOUT, change).await {
        Ok(Ok(())) => Taken::Yes,
        Ok(Err(error)) => {
            tracing::warn!(%shard, ?step, %error, "the membership did not change");
            Taken::No
        }
        Err(_) => {
            tracing::warn!(%shard, ?step, "the change of the membership is not committed yet");
            Taken::No
        }
    }
}

/// Addresses of all members of all groups, by node.
pub fn members_of(groups: &[Arc<Group>]) -> BTreeMap<NodeId, Member> {
    let members = groups.iter().flat_map(|group| group.status().members);
    members.map(|node| (node.id, node.member)).collect()
}
