//! The receiving side of the transport.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use device_state::Revision;
use futures::StreamExt;
use futures::stream::BoxStream;
use node_runtime::{Drain, Stage, Tasks};
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use proto::rpc::v1::raft_request::Kind;
use proto::rpc::v1::raft_server::Raft as RaftService;
use proto::rpc::v1::{
    CheckRowsRequest, CheckRowsResponse, RaftRequest, RaftResponse, RowsHashRequest,
    RowsHashResponse, SnapshotChunk, SnapshotInstalled, SnapshotManifest, SnapshotWanted,
    raft_response,
};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::comparison::{self, Comparer};
use crate::identity::parse_id;
use crate::raft::group::Group;
use crate::raft::network::peers::NODE_HEADER;
use crate::raft::network::snapshot;
use crate::raft::network::snapshot::incoming::Slot;
use crate::raft::{Raft, TypeConfig};

/// Append requests of one group that are handed to Raft before the first is answered.
const PIPELINE: usize = 64;
/// Answers that may wait to be written to one node.
const ANSWERS: usize = 1_024;

/// The `Raft` service of a node.
#[derive(Clone, Debug)]
pub struct Service {
    node: u64,
    groups: Arc<Vec<Arc<Group>>>,
    comparer: Comparer,
    /// Where snapshots arrive, by group.
    slots: Arc<Vec<Slot>>,
    tasks: Tasks,
}

impl Service {
    /// Serves the groups of the comparer's node; streams run as jobs of `tasks`.
    pub fn new(groups: Arc<Vec<Arc<Group>>>, comparer: Comparer, tasks: Tasks) -> Self {
        Self {
            node: comparer.node.0,
            slots: Arc::new(groups.iter().map(|_| Slot::default()).collect()),
            groups,
            comparer,
            tasks,
        }
    }

    /// Refuses what is meant for another node.
    fn check_target<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let target = request
            .metadata()
            .get(NODE_HEADER)
            .and_then(|value| value.to_str().ok());
        let target = target.and_then(parse_id);
        match target {
            Some(target) if target == self.node => Ok(()),
            _ => Err(Status::failed_precondition("this is another node")),
        }
    }

    fn group(&self, group: u32) -> Option<Arc<Group>> {
        self.groups.get(group as usize).cloned()
    }

    fn target(&self, group: u32) -> Option<(Arc<Group>, Slot)> {
        let slot = self.slots.get(group as usize)?;
        Some((self.group(group)?, slot.clone()))
    }

    fn known_group(&self, group: u32) -> Result<Arc<Group>, Status> {
        self.group(group)
            .ok_or_else(|| Status::invalid_argument(format!("there is no group {group}")))
    }
}

#[tonic::async_trait]
impl RaftService for Service {
    type ExchangeStream = BoxStream<'static, Result<RaftResponse, Status>>;

    async fn exchange(
        &self,
        request: Request<Streaming<RaftRequest>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        self.check_target(&request)?;
        let (answers, responses) = mpsc::channel(ANSWERS);
        let exchange = Exchange {
            service: self.clone(),
            answers,
            appenders: HashMap::new(),
        };
        let stream = request.into_inner();
        self.tasks
            .spawn_job("raft-exchange", Stage::Flush, |drain| {
                exchange.run(stream, drain)
            });
        Ok(Response::new(
            ReceiverStream::new(responses).map(Ok).boxed(),
        ))
    }

    async fn offer_snapshot(
        &self,
        request: Request<SnapshotManifest>,
    ) -> Result<Response<SnapshotWanted>, Status> {
        self.check_target(&request)?;
        let manifest = request.into_inner();
        let target = self.target(manifest.group);
        let (group, slot) = target.ok_or_else(|| Status::invalid_argument("no such group"))?;
        let offered = slot.offer(manifest, || group.store().incoming_dir()).await;
        offered.map(Response::new).map_err(|error| {
            tracing::warn!(%error, "a snapshot was not wanted");
            error.into_status()
        })
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<SnapshotChunk>>,
    ) -> Result<Response<SnapshotInstalled>, Status> {
        self.check_target(&request)?;
        let installed = snapshot::receive(request.into_inner(), |group| self.target(group)).await;
        installed.map(Response::new).map_err(|error| {
            tracing::warn!(%error, "a snapshot was not installed");
            error.into_status()
        })
    }

    async fn rows_hash(
        &self,
        request: Request<RowsHashRequest>,
    ) -> Result<Response<RowsHashResponse>, Status> {
        self.check_target(&request)?;
        let RowsHashRequest { group, revision } = request.into_inner();
        let group = self.known_group(group)?;
        let kind = comparison::answer(&group, Revision(revision));
        Ok(Response::new(RowsHashResponse { kind: Some(kind) }))
    }

    async fn check_rows(
        &self,
        request: Request<CheckRowsRequest>,
    ) -> Result<Response<CheckRowsResponse>, Status> {
        self.check_target(&request)?;
        let CheckRowsRequest { group, revision } = request.into_inner();
        let group = self.known_group(group)?;
        let comparer = self.comparer.clone();
        self.tasks
            .spawn_job("rows-check", Stage::HandOver, move |drain| async move {
                tokio::select! {
                    () = drain.started() => {}
                    () = comparer.check_own(&group, Revision(revision)) => {}
                }
            });
        Ok(Response::new(CheckRowsResponse {}))
    }
}

/// One stream of one other node.
struct Exchange {
    service: Service,
    answers: mpsc::Sender<RaftResponse>,
    /// The append pipeline of each group that was appended to.
    appenders: HashMap<u32, mpsc::Sender<(u64, Bytes)>>,
}

impl Exchange {
    async fn run(mut self, mut stream: Streaming<RaftRequest>, drain: Drain) {
        loop {
            let next = tokio::select! {
                () = drain.started() => return,
                next = stream.message() => next,
            };
            let Ok(Some(request)) = next else { return };
            if self.take(request).await.is_err() {
                return;
            }
        }
    }

    async fn take(
        &mut self,
        request: RaftRequest,
    ) -> Result<(), mpsc::error::SendError<RaftResponse>> {
        let RaftRequest {
            tag,
            group: number,
            kind,
        } = request;
        let Some(group) = self.service.group(number) else {
            return self
                .answers
                .send(failure(tag, format!("there is no group {number}")))
                .await;
        };
        match kind {
            Some(Kind::Append(bytes)) => self.append(tag, number, &group, bytes).await,
            Some(kind) => {
                // Votes and the like are rare: each gets its own job, so that none waits behind appends.
                let answers = self.answers.clone();
                self.service
                    .tasks
                    .spawn_job("raft-vote", Stage::Flush, move |_| async move {
                        let response = into_response(tag, call(&group, kind).await);
                        drop(answers.send(response).await);
                    });
                Ok(())
            }
            None => {
                self.answers
                    .send(failure(tag, "a request without a kind".to_owned()))
                    .await
            }
        }
    }

    async fn append(
        &mut self,
        tag: u64,
        number: u32,
        group: &Arc<Group>,
        bytes: Bytes,
    ) -> Result<(), mpsc::error::SendError<RaftResponse>> {
        let service = &self.service;
        let answers = &self.answers;
        group.leader_heard();
        let appender = self.appenders.entry(number).or_insert_with(|| {
            let (sender, requests) = mpsc::channel(PIPELINE);
            let pipeline = Appender {
                raft: group.raft().clone(),
                answers: answers.clone(),
                requests,
            };
            service
                .tasks
                .spawn_job("raft-append", Stage::Flush, |_| pipeline.run());
            sender
        });
        match appender.send((tag, bytes)).await {
            Ok(()) => Ok(()),
            Err(_) => {
                self.answers
                    .send(failure(tag, "the group has stopped".to_owned()))
                    .await
            }
        }
    }
}

async fn call(group: &Group, kind: Kind) -> Result<Bytes, CallError> {
    let raft = group.raft();
    match kind {
        Kind::Vote(bytes) => {
            let vote = group.vote(postcard::from_bytes(&bytes)?).await;
            encode(&vote.map_err(CallError::raft)?)
        }
        Kind::PreVote(bytes) => {
            let vote = group.pre_vote(postcard::from_bytes(&bytes)?).await;
            encode(&vote.map_err(CallError::raft)?)
        }
        Kind::TransferLeader(bytes) => {
            let request = postcard::from_bytes(&bytes)?;
            encode(
                &raft
                    .handle_transfer_leader(request)
                    .await
                    .map_err(CallError::raft)?,
            )
        }
        Kind::Append(_) => Err(CallError::Pipelined),
    }
}

/// Why a request of another node failed here.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("malformed message")]
    Encoding(#[from] postcard::Error),
    #[error("{0}")]
    Raft(String),
    #[error("appends go through their pipeline")]
    Pipelined,
}

impl CallError {
    fn raft(error: impl std::fmt::Display) -> Self {
        Self::Raft(error.to_string())
    }
}

fn encode(message: &impl Serialize) -> Result<Bytes, CallError> {
    Ok(postcard::to_stdvec(message).map(Bytes::from)?)
}

fn into_response(tag: u64, result: Result<Bytes, CallError>) -> RaftResponse {
    match result {
        Ok(bytes) => RaftResponse {
            tag,
            kind: Some(raft_response::Kind::Ok(bytes)),
        },
        Err(error) => failure(tag, error.to_string()),
    }
}

fn failure(tag: u64, message: String) -> RaftResponse {
    RaftResponse {
        tag,
        kind: Some(raft_response::Kind::Error(message)),
    }
}

/// Hands the append requests of one group to Raft in order, without waiting for one before the next.
struct Appender {
    raft: Raft,
    answers: mpsc::Sender<RaftResponse>,
    requests: mpsc::Receiver<(u64, Bytes)>,
}

impl Appender {
    async fn run(mut self) {
        while self.run_pipeline().await.is_ok() {}
    }

    /// Runs until Raft ends the pipeline, as it does after a conflict; `Err` when there is no more to do at all.
    async fn run_pipeline(&mut self) -> Result<(), Ended> {
        let (sink, requests) = mpsc::channel::<AppendEntriesRequest<TypeConfig>>(PIPELINE);
        let mut results = Box::pin(self.raft.stream_append(ReceiverStream::new(requests)));
        let mut tags = VecDeque::with_capacity(PIPELINE);
        let ended = loop {
            tokio::select! {
                next = self.requests.recv(), if tags.len() < PIPELINE => {
                    let Some((tag, bytes)) = next else { break Err(Ended) };
                    match postcard::from_bytes(&bytes) {
                        Ok(request) => {
                            tags.push_back(tag);
                            // Never full: it holds as many as there are tags.
                            if sink.send(request).await.is_err() {
                                break Ok(());
                            }
                        }
                        Err(error) => self.answer(failure(tag, error.to_string())).await?,
                    }
                }
                result = results.next() => {
                    let Some(tag) = tags.pop_front() else { break Ok(()) };
                    match result {
                        Some(Ok(result)) => {
                            let over = result.is_err();
                            self.answer_append(tag, &result).await?;
                            if over {
                                break Ok(());
                            }
                        }
                        Some(Err(fatal)) => {
                            self.answer(failure(tag, fatal.to_string())).await?;
                            break Err(Ended);
                        }
                        None => {
                            tags.push_front(tag);
                            break Ok(());
                        }
                    }
                }
            }
        };
        for tag in tags {
            self.answer(failure(tag, "the pipeline was restarted".to_owned()))
                .await?;
        }
        ended
    }

    async fn answer_append(
        &self,
        tag: u64,
        result: &StreamAppendResult<TypeConfig>,
    ) -> Result<(), Ended> {
        self.answer(into_response(tag, encode(result))).await
    }

    async fn answer(&self, response: RaftResponse) -> Result<(), Ended> {
        self.answers.send(response).await.map_err(|_| Ended)
    }
}

/// The stream or the group is gone.
struct Ended;
