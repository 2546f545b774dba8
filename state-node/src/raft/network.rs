//! The transport between state nodes: one bidirectional stream per pair of nodes and direction carries the messages of
//! all groups; snapshots travel on streams of their own.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt};
use openraft::OptionalSend;
use openraft::errors::{
    NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::network::{RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use proto::rpc::v1::raft_request::Kind;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::raft::state_machine::Snapshot;
use crate::raft::{Member, TypeConfig, Vote};
use crate::store::Checkpoint;
use peers::{LinkError, Peer, Peers};
use pipeline::pipeline;

pub mod peers;
pub mod pipeline;
pub mod server;
pub mod snapshot;
#[cfg(test)]
mod tests;

/// An answer may take this long even where openraft allows less: its allowance is one heartbeat, which an `fdatasync` on
/// a busy disk exceeds without anything being wrong.
const MIN_ANSWER_TIME: Duration = Duration::from_millis(1_000);
/// A message with all entries that [`crate::raft::log_store`] returns for one read, and the largest entry.
pub const MAX_MESSAGE: usize = 64 << 20;

/// Makes the connections of one group.
#[derive(Clone, Debug)]
pub struct Network {
    group: u16,
    node: u64,
    peers: Arc<Peers>,
}

impl Network {
    /// The connections of `group` on node `node`.
    pub fn new(group: u16, node: u64, peers: Arc<Peers>) -> Self {
        Self { group, node, peers }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: u64, node: &Member) -> Connection {
        let peer = self.peers.peer(target, &node.internal);
        Connection {
            group: self.group,
            node: self.node,
            target,
            peer,
        }
    }
}

/// One group's way to one node.
#[derive(Debug)]
pub struct Connection {
    group: u16,
    node: u64,
    target: u64,
    peer: Arc<Peer>,
}

type RpcResult<T> = Result<T, RPCError<TypeConfig>>;

impl Connection {
    /// Queues a request at once, so that requests keep the order in which this is called.
    fn start<T: DeserializeOwned>(
        &self,
        kind: Result<Kind, postcard::Error>,
        action: RPCTypes,
        allowance: Duration,
    ) -> impl Future<Output = RpcResult<T>> + Send + use<T> {
        let answer = match kind {
            Ok(kind) => self.peer.send(self.group, kind),
            Err(error) => Err(LinkError::Encoding(error)),
        };
        let (node, target) = (self.node, self.target);
        let deadline = tokio::time::Instant::now() + allowance;
        async move {
            let answer = answer.map_err(|error| into_rpc_error(&error))?;
            match tokio::time::timeout_at(deadline, answer).await {
                Ok(Ok(Ok(bytes))) => postcard::from_bytes(&bytes)
                    .map_err(|error| RPCError::Network(NetworkError::new(&error))),
                Ok(Ok(Err(error))) => Err(into_rpc_error(&error)),
                Ok(Err(_)) => Err(into_rpc_error(&LinkError::Broken)),
                Err(_) => Err(RPCError::Timeout(Timeout {
                    action,
                    id: node,
                    target,
                    timeout: allowance,
                })),
            }
        }
    }
}

fn into_rpc_error(error: &LinkError) -> RPCError<TypeConfig> {
    match error {
        LinkError::Unreachable(_) | LinkError::WrongNode => {
            RPCError::Unreachable(Unreachable::new(error))
        }
        LinkError::Broken | LinkError::Full | LinkError::Remote(_) | LinkError::Encoding(_) => {
            RPCError::Network(NetworkError::new(error))
        }
    }
}

fn encode(message: &impl Serialize) -> Result<Bytes, postcard::Error> {
    postcard::to_stdvec(message).map(Bytes::from)
}

impl RaftNetworkV2<TypeConfig> for Connection {
    type SnapshotData = Arc<Checkpoint>;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> RpcResult<AppendEntriesResponse<TypeConfig>> {
        let allowance = option.soft_ttl().max(MIN_ANSWER_TIME);
        let result: StreamAppendResult<TypeConfig> = self
            .start(
                encode(&rpc).map(Kind::Append),
                RPCTypes::AppendEntries,
                allowance,
            )
            .await?;
        Ok(result.into())
    }

    fn stream_append<S>(
        &mut self,
        input: S,
        option: RPCOption,
    ) -> futures::future::BoxFuture<
        '_,
        RpcResult<BoxStream<'_, RpcResult<StreamAppendResult<TypeConfig>>>>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        let allowance = option.soft_ttl().max(MIN_ANSWER_TIME);
        let answers = pipeline(input, move |rpc| {
            self.start(
                encode(&rpc).map(Kind::Append),
                RPCTypes::AppendEntries,
                allowance,
            )
        });
        std::future::ready(Ok(answers.boxed())).boxed()
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> RpcResult<VoteResponse<TypeConfig>> {
        self.start(
            encode(&rpc).map(Kind::Vote),
            RPCTypes::Vote,
            option.soft_ttl(),
        )
        .await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> RpcResult<VoteResponse<TypeConfig>> {
        self.start(
            encode(&rpc).map(Kind::PreVote),
            RPCTypes::Vote,
            option.soft_ttl(),
        )
        .await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let send = snapshot::send(&self.peer, self.group, vote, snapshot);
        let allowance = option.soft_ttl();
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = tokio::time::timeout(allowance, send) => match sent {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(error)) => Err(StreamingError::Unreachable(Unreachable::new(&error))),
                Err(_) => Err(StreamingError::Timeout(Timeout {
                    action: RPCTypes::InstallSnapshot,
                    id: self.node,
                    target: self.target,
                    timeout: allowance,
                })),
            },
        }
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> RpcResult<TransferLeaderResponse<TypeConfig>> {
        self.start(
            encode(&rpc).map(Kind::TransferLeader),
            RPCTypes::TransferLeader,
            option.soft_ttl(),
        )
        .await
    }
}
