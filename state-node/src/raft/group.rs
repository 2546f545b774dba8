//! One Raft group of this node: a shard with its log, its rows and its way to propose.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use device_state::{FeatureLevel, NodeId, ShardId, query};
use node_runtime::{Stage, Tasks};
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{Fatal, LinearizableReadError, RaftError};
use openraft::network::{NetSnapshot, RaftNetworkFactory};
use openraft::raft::{VoteRequest, VoteResponse};
use openraft::{Instant as _, ReadPolicy};
use tokio::time::Instant;

use crate::comparison::{Hashes, Pace};
use crate::fail_stop::FailStop;
use crate::raft::log_store::GroupLogStore;
use crate::raft::placement::View;
use crate::raft::proposals::{Proposer, ProposerConfig};
use crate::raft::state_machine::StateMachine;
use crate::raft::{Member, Raft, TypeConfig};
use crate::shard_events::ShardEvents;
use crate::shared_feed::SharedFeed;
use crate::store::{Checkpoint, ReadTables, ShardStore, StoreError};

/// How long a read waits for the rows to catch up with what the leader knows to be committed.
const READ_PATIENCE: Duration = Duration::from_secs(2);

/// A voter that did not answer for this long gets no leadership: a few heartbeats.
const LIVE: Duration = Duration::from_secs(1);

/// A node as the membership of a group names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberNode {
    pub id: NodeId,
    pub member: Member,
}

/// This node does not lead the group, or cannot prove that it does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this node does not lead the shard")]
pub struct NotLeader {
    /// Who does, as far as this node knows.
    pub leader: Option<MemberNode>,
}

/// Why there is no checkpoint for a backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    #[error("the checkpoint cannot be made")]
    Store(#[from] StoreError),
    #[error("the checkpoint was not made")]
    Ended(#[from] io::Error),
}

/// What a group looks like from this node.
#[derive(Clone, Debug)]
pub struct GroupStatus {
    pub leader: Option<MemberNode>,
    pub term: u64,
    pub last_log: u64,
    pub applied: u64,
    pub voters: Vec<u64>,
    pub learners: Vec<u64>,
    pub last_log_term: u64,
    pub members: Vec<MemberNode>,
    /// Set when the group has stopped for good.
    pub fatal: Option<String>,
}

impl GroupStatus {
    /// The member with an id.
    pub fn member(&self, id: NodeId) -> Option<&MemberNode> {
        self.members.iter().find(|member| member.id == id)
    }
}

/// What a group is started from.
pub struct GroupParts<N> {
    pub node: NodeId,
    pub config: Arc<openraft::Config>,
    pub log: GroupLogStore,
    pub network: N,
    pub store: Arc<ShardStore>,
    pub proposer: ProposerConfig,
    /// Shared by the groups of a node.
    pub pace: Arc<Pace>,
    pub fail_stop: FailStop,
    /// Memory for the newest entries of the feed.
    pub feed_buffer_bytes: usize,
}

impl<N> std::fmt::Debug for GroupParts<N> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("GroupParts")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// Why a group does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the rows cannot be read")]
    Rows(#[source] io::Error),
    #[error("raft does not start")]
    Raft(#[source] Fatal<TypeConfig>),
}

/// Why a node does not vote.
#[derive(Debug, thiserror::Error)]
pub enum VoteError {
    #[error("this node has just started and does not vote yet")]
    Silent,
    #[error(transparent)]
    Raft(#[from] RaftError<TypeConfig>),
}

/// A running group.
pub struct Group {
    node: NodeId,
    raft: Raft,
    log: GroupLogStore,
    store: Arc<ShardStore>,
    events: Arc<ShardEvents>,
    hashes: Arc<Hashes>,
    feed: SharedFeed,
    proposer: Proposer,
    votes_from: Instant,
    heard: Heard,
    /// Up to this term the lease of this node proves nothing: see [`Group::hand_over`].
    handed_over: AtomicU64,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Group")
            .field("shard", &self.shard())
            .finish_non_exhaustive()
    }
}

/// How long a node does not vote, for itself or for others, after its start.
///
/// A leader answers reads without asking anybody for as long as a quorum has promised it to vote for nobody else. A node
/// that starts again has forgotten what it promised, so it keeps any promise that it may have made.
fn silence(config: &openraft::Config, log: &GroupLogStore) -> Duration {
    if log.has_voted() {
        // What openraft takes as the length of the lease.
        Duration::from_millis(config.election_timeout_max)
    } else {
        Duration::ZERO
    }
}

fn elect_after(silence: Duration, raft: &Raft, tasks: &Tasks) {
    if silence.is_zero() {
        return;
    }
    let raft = raft.clone();
    tasks.spawn_job("silence", Stage::Intake, move |drain| async move {
        tokio::select! {
            () = drain.started() => {}
            () = tokio::time::sleep(silence) => raft.runtime_config().elect(true),
        }
    });
}

/// When a leader was last heard.
struct Heard {
    start: Instant,
    /// Since the start.
    last_ms: AtomicU64,
}

impl Heard {
    fn now() -> Self {
        Self {
            start: Instant::now(),
            last_ms: AtomicU64::new(0),
        }
    }

    fn again(&self) {
        let since = self.start.elapsed().as_millis();
        self.last_ms.store(since as u64, Ordering::Relaxed);
    }

    fn elapsed(&self) -> Duration {
        let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(last)
    }
}

impl Group {
    /// Starts the group from what its log and its rows say.
    pub async fn start<N>(parts: GroupParts<N>, tasks: &Tasks) -> Result<Self, StartError>
    where
        N: RaftNetworkFactory<TypeConfig>,
        N::Network: NetSnapshot<TypeConfig, SnapshotData = Arc<Checkpoint>>,
    {
        let events = Arc::new(ShardEvents::default());
        let hashes = Arc::new(Hashes::new(parts.pace, tasks.drain(Stage::HandOver)));
        let machine = StateMachine::open(
            parts.store.clone(),
            events.clone(),
            hashes.clone(),
            parts.fail_stop,
        );
        let machine = machine.map_err(StartError::Rows)?;
        let silence = silence(&parts.config, &parts.log);
        let config = openraft::Config {
            enable_elect: silence.is_zero(),
            ..openraft::Config::clone(&parts.config)
        };
        let raft = Raft::new(
            parts.node.0,
            Arc::new(config),
            parts.network,
            parts.log.clone(),
            machine,
        )
        .await;
        let raft = raft.map_err(StartError::Raft)?;
        elect_after(silence, &raft, tasks);
        let proposer = Proposer::start(raft.clone(), events.clone(), parts.proposer, tasks);
        Ok(Self {
            node: parts.node,
            raft,
            log: parts.log,
            feed: SharedFeed::new(parts.store.clone(), parts.feed_buffer_bytes),
            store: parts.store,
            events,
            hashes,
            proposer,
            votes_from: Instant::now() + silence,
            heard: Heard::now(),
            handed_over: AtomicU64::new(0),
        })
    }

    /// Votes for a candidate or against it, if it may: see [`silence`].
    pub async fn vote(
        &self,
        request: VoteRequest<TypeConfig>,
    ) -> Result<VoteResponse<TypeConfig>, VoteError> {
        self.check_voting(&request)?;
        Ok(self.raft.vote(request).await?)
    }

    /// What it would answer, if it may.
    pub async fn pre_vote(
        &self,
        request: VoteRequest<TypeConfig>,
    ) -> Result<VoteResponse<TypeConfig>, VoteError> {
        self.check_voting(&request)?;
        Ok(self.raft.pre_vote(request).await?)
    }

    fn check_voting(&self, request: &VoteRequest<TypeConfig>) -> Result<(), VoteError> {
        // A leader that hands over has given up its lease.
        if Instant::now() >= self.votes_from || request.leadership_transfer {
            Ok(())
        } else {
            Err(VoteError::Silent)
        }
    }

    /// The shard that the group replicates.
    pub fn shard(&self) -> ShardId {
        self.store.shard()
    }

    /// The Raft handle.
    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    /// The rows.
    pub fn store(&self) -> &Arc<ShardStore> {
        &self.store
    }

    /// What applied commands tell.
    pub fn events(&self) -> &Arc<ShardEvents> {
        &self.events
    }

    /// The hashes of the rows, by which replicas are compared.
    pub fn hashes(&self) -> &Arc<Hashes> {
        &self.hashes
    }

    /// The feed, for those who follow it.
    pub fn feed(&self) -> &SharedFeed {
        &self.feed
    }

    /// A leader has sent something.
    pub fn leader_heard(&self) {
        self.heard.again();
    }

    /// How long ago this node last knew that it follows the group: as its leader by the answers of a quorum, else by what
    /// the leader sent. What its rows lack may be older than that by an election.
    pub fn silence(&self) -> Duration {
        let heard = self.heard.elapsed();
        if !self.leads() {
            return heard;
        }
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        if metrics.membership_config.voter_ids().count() == 1 {
            return Duration::ZERO;
        }
        let acked = metrics.last_quorum_acked.as_ref();
        acked.map_or(heard, |acked| acked.elapsed().min(heard))
    }

    /// The way to propose.
    pub fn proposer(&self) -> &Proposer {
        &self.proposer
    }

    /// Whether this node leads the group, as far as it knows.
    pub fn leads(&self) -> bool {
        self.raft.is_leader()
    }

    /// What the group looks like from here.
    pub fn status(&self) -> GroupStatus {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let membership = metrics.membership_config.membership();
        let members = membership.nodes().map(|(id, member)| MemberNode {
            id: NodeId(*id),
            member: member.clone(),
        });
        let members: Vec<_> = members.collect();
        let leader = metrics.current_leader;
        GroupStatus {
            leader: members
                .iter()
                .find(|node| Some(node.id.0) == leader)
                .cloned(),
            term: metrics.current_term,
            last_log: metrics.last_log_index.unwrap_or(0),
            applied: metrics.last_applied.map_or(0, |last| last.index),
            voters: membership.voter_ids().collect(),
            learners: membership.learner_ids().collect(),
            last_log_term: self.log.last().map_or(0, |last| last.leader_id.term),
            members,
            fatal: metrics.running_state.err().map(|fatal| fatal.to_string()),
        }
    }

    /// Whether everything is applied that this node knows to be committed.
    pub fn is_caught_up(&self) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.last_applied >= metrics.local_committed
    }

    /// Whether the rows here are those of the shard, as far as this node was told: not of a replica that is being made.
    pub fn has_its_rows(&self) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.current_leader.is_some()
            && metrics.last_applied.is_some()
            && metrics.last_applied >= metrics.local_committed
    }

    /// Where to go instead of this node.
    pub fn not_leader(&self) -> NotLeader {
        NotLeader {
            leader: self.status().leader.filter(|leader| leader.id != self.node),
        }
    }

    /// Proves by the leader's lease that this node's rows are current, then runs the query on them.
    pub async fn read_current<T>(
        &self,
        query: impl FnOnce(&ReadTables<'_>) -> T,
    ) -> Result<T, NotLeader> {
        if self.has_lease() {
            self.prove_leadership(ReadPolicy::LeaseRead).await?;
        }
        // It may have lost it meanwhile.
        if !self.has_lease() {
            self.prove_leadership(ReadPolicy::ReadIndex).await?;
        }
        Ok(self.store.read(query))
    }

    /// Like [`Self::read_current`], but asks a quorum: for reads that fence something off.
    pub async fn read_confirmed<T>(
        &self,
        query: impl FnOnce(&ReadTables<'_>) -> T,
    ) -> Result<T, NotLeader> {
        self.prove_leadership(ReadPolicy::ReadIndex).await?;
        Ok(self.store.read(query))
    }

    /// Makes a checkpoint of rows that hold everything that was acknowledged before.
    pub async fn make_backup(&self) -> Result<Checkpoint, BackupError> {
        self.prove_leadership(ReadPolicy::ReadIndex).await?;
        let store = self.store.clone();
        let made = tokio::task::spawn_blocking(move || store.make_backup()).await;
        Ok(made.map_err(io::Error::other)??)
    }

    async fn prove_leadership(&self, policy: ReadPolicy) -> Result<(), NotLeader> {
        if !self.leads() {
            return Err(self.not_leader());
        }
        let proved =
            tokio::time::timeout(READ_PATIENCE, self.raft.ensure_linearizable(policy)).await;
        match proved {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)))) => {
                let leader = forward.leader_id.zip(forward.leader_node);
                let leader = leader.map(|(id, member)| MemberNode {
                    id: NodeId(id),
                    member,
                });
                Err(NotLeader {
                    leader: leader.filter(|leader| leader.id != self.node),
                })
            }
            Ok(Err(_)) | Err(_) => Err(NotLeader { leader: None }),
        }
    }

    /// What the rows say that all replicas understand.
    pub fn feature_level(&self) -> FeatureLevel {
        self.store.read(|rows| query::counters(rows).feature_level)
    }

    /// The group as its leader sees it.
    pub fn view(&self) -> View {
        let status = self.status();
        let set = |ids: &[u64]| ids.iter().copied().map(NodeId).collect();
        let matched = self.live_members().into_iter();
        View {
            node: self.node,
            voters: set(&status.voters),
            learners: set(&status.learners),
            matched: matched.map(|(id, matched)| (NodeId(id), matched)).collect(),
            last_log: status.last_log,
        }
    }

    /// The other voters that answered this leader lately, each with how much of the log it has.
    pub fn live_voters(&self) -> Vec<(u64, u64)> {
        let voters = self.status().voters;
        let mut live = self.live_members();
        live.retain(|(id, _)| voters.contains(id));
        live
    }

    /// As [`Self::live_voters`], and learners as well.
    fn live_members(&self) -> Vec<(u64, u64)> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let (Some(heard), Some(matched)) = (&metrics.heartbeat, &metrics.replication) else {
            return Vec::new();
        };
        let live = |id: &u64| {
            let heard = heard.get(id).copied().flatten();
            heard.is_some_and(|heard| heard.elapsed() < LIVE)
        };
        let others = metrics.membership_config.membership().nodes();
        let others = others.map(|(id, _)| *id).filter(|id| *id != self.node.0);
        let others = others.filter(live);
        others
            .filter_map(|id| Some((id, matched.get(&id)?.as_ref()?.index)))
            .collect()
    }

    /// Hands the leadership to the live voter that has the most of the log.
    pub async fn step_aside(&self) {
        let best = self
            .live_voters()
            .into_iter()
            .max_by_key(|(_, matched)| *matched);
        if let Some((to, _)) = best {
            self.hand_over(NodeId(to)).await;
        }
    }

    /// Whether nobody else is elected while voters keep to the lease that they gave to this leader. They do not once it has
    /// handed its leadership over; and if one voter is left, and it is another one, that elects itself at once.
    fn has_lease(&self) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let members = metrics.membership_config.membership();
        let mut voters = members.get_joint_config().iter();
        metrics.current_term > self.handed_over.load(Ordering::SeqCst)
            && voters.any(|voters| voters.contains(&self.node.0))
    }

    /// Hands the leadership to a voter, unless this node does not lead or the members are changing.
    // From then on others vote, although the lease that they gave has not ended, and openraft goes on to answer by it.
    // A leader that hands over proposes nothing until another one is elected. If the other is taken out meanwhile and
    // nobody else is left to be elected, that is for ever.
    pub async fn hand_over(&self, to: NodeId) {
        let metrics = self.raft.metrics();
        let can = {
            let metrics = metrics.borrow_watched();
            let members = &metrics.membership_config;
            *members == metrics.committed_membership_config
                && members.voter_ids().any(|voter| voter == to.0)
        };
        if !can || !self.leads() {
            return;
        }
        // What is known of the term may be one behind.
        let term = self.status().term.saturating_add(1);
        self.handed_over.fetch_max(term, Ordering::SeqCst);
        if let Err(error) = self.raft.trigger().transfer_leader(to.0).await {
            tracing::warn!(shard = %self.shard(), %error, "the leadership was not handed over");
        }
    }
}
