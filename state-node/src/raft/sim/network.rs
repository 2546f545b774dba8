//! The network between replicas, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt};
use openraft::OptionalSend;
use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::raft::group::Group;
use crate::raft::network::pipeline::pipeline;
use crate::raft::state_machine::Snapshot;
use crate::raft::{Member, TypeConfig, Vote};
use crate::store::Checkpoint;

/// How long a message is under way at most, if nothing is wrong with it.
const LONGEST: u64 = 12;
/// Milliseconds after which a message that was repeated arrives once more.
const LATE: std::ops::Range<u64> = 50..3_000;

struct State {
    begun: Instant,
    rng: ChaCha8Rng,
    groups: BTreeMap<u64, Arc<Group>>,
    cut: BTreeSet<(u64, u64)>,
    /// What the first sends to the second arrives when it is let go.
    held: BTreeSet<(u64, u64)>,
    lost_percent: u32,
    copies: JoinSet<()>,
}

#[derive(Clone)]
pub(super) struct SimNetwork(Arc<Mutex<State>>);

/// The message did not arrive, or its answer did not.
#[derive(Debug, thiserror::Error)]
#[error("lost on the way")]
struct Lost;

impl SimNetwork {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            begun: Instant::now(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            groups: BTreeMap::new(),
            cut: BTreeSet::new(),
            held: BTreeSet::new(),
            lost_percent: 0,
            copies: JoinSet::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Virtual time since the beginning.
    pub(super) fn now(&self) -> Duration {
        self.state().begun.elapsed()
    }

    /// The group on a node that runs.
    pub(super) fn group(&self, id: u64) -> Option<Arc<Group>> {
        self.state().groups.get(&id).cloned()
    }

    pub(super) fn groups(&self) -> Vec<Arc<Group>> {
        self.state().groups.values().cloned().collect()
    }

    /// What every group says of itself, for whoever looks at a failure.
    pub(super) fn describe(&self) -> String {
        let groups = self.groups();
        let metrics = groups.iter().map(|group| {
            let metrics = group.raft().metrics();
            let metrics = metrics.borrow_watched();
            format!("\n{}", *metrics)
        });
        metrics.collect()
    }

    pub(super) fn attach(&self, id: u64, group: Arc<Group>) {
        self.state().groups.insert(id, group);
    }

    pub(super) fn detach(&self, id: u64) -> Option<Arc<Group>> {
        self.state().groups.remove(&id)
    }

    pub(super) fn cut(&self, from: u64, to: u64) {
        self.state().cut.insert((from, to));
    }

    pub(super) fn isolate(&self, id: u64) {
        self.state().cut.extend(ways_of(id));
    }

    pub(super) fn hold(&self, from: u64, to: u64) {
        self.state().held.insert((from, to));
    }

    pub(super) fn let_go(&self, from: u64, to: u64) {
        self.state().held.remove(&(from, to));
    }

    /// As if the node was paused.
    pub(super) fn pause(&self, id: u64) {
        self.state().held.extend(ways_of(id));
    }

    pub(super) fn lose(&self, percent: u32) {
        self.state().lost_percent = percent;
    }

    pub(super) fn heal(&self) {
        let mut state = self.state();
        state.cut.clear();
        state.held.clear();
        state.lost_percent = 0;
    }

    /// Brings something from one node to another.
    async fn carry(&self, from: u64, to: u64) -> Result<(), Lost> {
        let (delay, lost) = {
            let mut state = self.state();
            let percent = state.lost_percent;
            let lost = state.cut.contains(&(from, to)) || state.rng.random_range(0..100) < percent;
            (state.rng.random_range(0..LONGEST), lost)
        };
        sleep(Duration::from_millis(delay)).await;
        while self.state().held.contains(&(from, to)) {
            sleep(Duration::from_millis(1)).await;
        }
        if lost {
            // Whoever waits for an answer waits in vain.
            sleep(Duration::from_millis(300)).await;
            return Err(Lost);
        }
        Ok(())
    }

    /// Of some messages a copy arrives much later.
    fn repeat_late(&self, to: u64, rpc: &AppendEntriesRequest<TypeConfig>) {
        let mut state = self.state();
        if !state.rng.random_ratio(1, 50) {
            return;
        }
        let late = Duration::from_millis(state.rng.random_range(LATE));
        let (network, rpc) = (self.clone(), rpc.clone());
        state.copies.spawn(async move {
            sleep(late).await;
            if let Some(group) = network.group(to) {
                let _unheard = group.raft().append_entries(rpc).await;
            }
        });
    }
}

/// From a node to every other one, and back.
fn ways_of(id: u64) -> impl Iterator<Item = (u64, u64)> {
    let others = (1..=super::REPLICAS).filter(move |other| *other != id);
    others.flat_map(move |other| [(id, other), (other, id)])
}

impl RaftNetworkFactory<TypeConfig> for SimNode {
    type Network = Way;

    async fn new_client(&mut self, target: u64, _node: &Member) -> Way {
        Way {
            network: self.network.clone(),
            from: self.id,
            to: target,
            turn: tokio::sync::Mutex::new(()),
        }
    }
}

/// The network as one node sees it.
pub(super) struct SimNode {
    pub(super) network: SimNetwork,
    pub(super) id: u64,
}

/// From one node to another.
pub(super) struct Way {
    network: SimNetwork,
    from: u64,
    to: u64,
    /// Whose message is next: they keep their order.
    turn: tokio::sync::Mutex<()>,
}

type RpcResult<T> = Result<T, RPCError<TypeConfig>>;

fn lost<E>(_: E) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::new(&Lost))
}

impl Way {
    /// There and back again.
    async fn ask<T, E>(
        &self,
        answer: impl AsyncFnOnce(Arc<Group>) -> Result<T, E>,
    ) -> RpcResult<T> {
        {
            let _turn = self.turn.lock().await;
            self.network.carry(self.from, self.to).await.map_err(lost)?;
        }
        let group = self.network.group(self.to).ok_or(Lost);
        let group = group.map_err(|lost| RPCError::Unreachable(Unreachable::new(&lost)))?;
        let answer = answer(group).await.map_err(lost)?;
        self.network.carry(self.to, self.from).await.map_err(lost)?;
        Ok(answer)
    }
}

impl RaftNetworkV2<TypeConfig> for Way {
    type SnapshotData = Arc<Checkpoint>;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> RpcResult<AppendEntriesResponse<TypeConfig>> {
        self.ask(async |group| group.raft().append_entries(rpc).await)
            .await
    }

    fn stream_append<S>(
        &mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<'_, RpcResult<BoxStream<'_, RpcResult<StreamAppendResult<TypeConfig>>>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        let way = &*self;
        let answers = pipeline(input, move |rpc| async move {
            way.network.repeat_late(way.to, &rpc);
            let answer = way.ask(async |group| {
                let rpc = futures::stream::iter([rpc]);
                let mut answers = Box::pin(group.raft().stream_append(rpc));
                answers.next().await.expect("one for each request")
            });
            answer.await
        });
        std::future::ready(Ok(answers.boxed())).boxed()
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> RpcResult<VoteResponse<TypeConfig>> {
        self.ask(async |group| group.vote(rpc).await).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> RpcResult<VoteResponse<TypeConfig>> {
        self.ask(async |group| group.pre_vote(rpc).await).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let sent = self.ask(async |group| group.raft().install_full_snapshot(vote, snapshot).await);
        sent.await
            .map_err(|_| StreamingError::Unreachable(Unreachable::new(&Lost)))
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<TypeConfig>,
        _option: RPCOption,
    ) -> RpcResult<TransferLeaderResponse<TypeConfig>> {
        self.ask(async |group| group.raft().handle_transfer_leader(rpc).await)
            .await
    }
}
