//! From commands to log entries: what many callers ask for at the same time becomes one entry of the shard's log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use device_state::{Command, Outcome, RequestId, Timestamp};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use node_runtime::{Drain, Stage, Tasks, clock};
use openraft::errors::ClientWriteError;
use openraft::impls::ProgressResponder;
use openraft::raft::ClientWriteResult;
use prost::Message;
use proto::storage::v1 as wire;
use tokio::sync::{mpsc, oneshot};

use crate::raft::group::{MemberNode, NotLeader};
use crate::raft::{LogData, Raft, TypeConfig};
use crate::shard_events::ShardEvents;

/// Commands that may wait for an entry.
const QUEUE: usize = 16_384;
/// Commands of one entry.
const MAX_COMMANDS: usize = 512;
/// Bytes of commands that one entry takes, beyond its first command.
const MAX_ENTRY_BYTES: usize = 1 << 20;
/// Commands longer than this are refused.
pub const MAX_COMMAND_BYTES: usize = 1 << 20;
/// Entries under way. Few, so that under load commands gather into larger entries instead of many small ones.
const IN_FLIGHT: usize = 2;

/// Why a command has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Nothing was done.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// Nothing was done; try again later.
    #[error("too many commands wait")]
    Overloaded,
    /// Nothing was done, and nothing will be until there is room.
    #[error("the disk is nearly full")]
    DiskNearlyFull,
    /// Nothing was done: the command is larger than [`MAX_COMMAND_BYTES`].
    #[error("the command is too large")]
    TooLarge,
    /// It may have been done: retry with the same request id.
    #[error("the shard lost its leader, or this node stops")]
    Unavailable,
}

/// Says whether proposals are refused for want of disk space.
#[derive(Clone, Debug, Default)]
pub struct DiskGuard(Arc<AtomicBool>);

impl DiskGuard {
    /// Refuses proposals from now on.
    pub fn close(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Takes proposals again.
    pub fn open(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Whether proposals are refused.
    pub fn is_closed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a proposer needs besides its group.
#[derive(Clone, Debug)]
pub struct ProposerConfig {
    pub disk: DiskGuard,
}

struct Proposal {
    request_id: Option<wire::RequestId>,
    command: wire::Command,
    answer: oneshot::Sender<Result<Outcome, ProposeError>>,
}

/// Proposes commands to one group. Cheap to clone.
#[derive(Clone)]
pub struct Proposer {
    queue: mpsc::Sender<Proposal>,
    disk: DiskGuard,
}

impl std::fmt::Debug for Proposer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Proposer")
    }
}

/// The outcome of a command, when it comes.
pub type Pending = oneshot::Receiver<Result<Outcome, ProposeError>>;

impl Proposer {
    /// Starts the task that makes the entries.
    pub fn start(
        raft: Raft,
        events: Arc<ShardEvents>,
        config: ProposerConfig,
        tasks: &Tasks,
    ) -> Self {
        let (queue, proposals) = mpsc::channel(QUEUE);
        let batcher = Batcher {
            raft,
            events,
            proposals,
            stamped: Timestamp(0),
            in_flight: FuturesUnordered::new(),
        };
        tasks.spawn_service("proposer", Stage::Flush, |drain| batcher.run(drain));
        Self {
            queue,
            disk: config.disk,
        }
    }

    /// Queues a command that the caller checked to be a valid [`Command`]; it is not converted again.
    pub fn submit(
        &self,
        request_id: Option<RequestId>,
        command: wire::Command,
    ) -> Result<Pending, ProposeError> {
        if self.disk.is_closed() {
            return Err(ProposeError::DiskNearlyFull);
        }
        if command.encoded_len() > MAX_COMMAND_BYTES {
            return Err(ProposeError::TooLarge);
        }
        let (answer, pending) = oneshot::channel();
        let proposal = Proposal {
            request_id: request_id.map(wire::RequestId::from),
            command,
            answer,
        };
        match self.queue.try_send(proposal) {
            Ok(()) => Ok(pending),
            Err(mpsc::error::TrySendError::Full(_)) => Err(ProposeError::Overloaded),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(ProposeError::Unavailable),
        }
    }

    /// Proposes a command and waits for its outcome. Dropping the future does not take the command back.
    pub async fn propose(
        &self,
        request_id: Option<RequestId>,
        command: Command,
    ) -> Result<Outcome, ProposeError> {
        let pending = self.submit(request_id, wire::Command::from(command))?;
        pending.await.unwrap_or(Err(ProposeError::Unavailable))
    }
}

type Answers = Vec<oneshot::Sender<Result<Outcome, ProposeError>>>;

struct Batcher {
    raft: Raft,
    events: Arc<ShardEvents>,
    proposals: mpsc::Receiver<Proposal>,
    /// The newest time that an entry was stamped with.
    stamped: Timestamp,
    in_flight: FuturesUnordered<futures::future::BoxFuture<'static, ()>>,
}

impl Batcher {
    async fn run(mut self, drain: Drain) {
        let mut waiting = Vec::with_capacity(MAX_COMMANDS);
        loop {
            tokio::select! {
                () = drain.started() => break,
                Some(()) = self.in_flight.next() => {}
                taken = self.proposals.recv_many(&mut waiting, MAX_COMMANDS), if self.in_flight.len() < IN_FLIGHT => {
                    if taken == 0 {
                        break;
                    }
                    self.propose(std::mem::take(&mut waiting)).await;
                }
            }
        }
        while self.in_flight.next().await.is_some() {}
    }

    async fn propose(&mut self, proposals: Vec<Proposal>) {
        let now = self.stamp();
        let mut envelopes = Vec::with_capacity(proposals.len());
        let mut answers = Answers::with_capacity(proposals.len());
        let mut bytes = 0;
        for proposal in proposals {
            if proposal.answer.is_closed() {
                continue;
            }
            let size = proposal.command.encoded_len();
            if bytes + size > MAX_ENTRY_BYTES && !envelopes.is_empty() {
                self.write(std::mem::take(&mut envelopes), std::mem::take(&mut answers))
                    .await;
                bytes = 0;
            }
            bytes += size;
            let command = Some(proposal.command);
            envelopes.push(wire::Envelope {
                request_id: proposal.request_id,
                leader_time_ms: now.0,
                command,
            });
            answers.push(proposal.answer);
        }
        if !envelopes.is_empty() {
            self.write(envelopes, answers).await;
        }
    }

    /// The wall clock, but never less than what this leader or one before it has stamped.
    fn stamp(&mut self) -> Timestamp {
        self.stamped = self
            .stamped
            .max(self.events.leader_time())
            .max(Timestamp(clock::now_ms()));
        self.stamped
    }

    async fn write(&mut self, envelopes: Vec<wire::Envelope>, answers: Answers) {
        let entry = wire::Entry {
            format: proto::convert::ENTRY_FORMAT,
            envelopes,
        };
        let data = LogData(Bytes::from(entry.encode_to_vec()));
        let (responder, written) =
            ProgressResponder::<TypeConfig, ClientWriteResult<TypeConfig>>::complete_only();
        if self
            .raft
            .client_write_ff(data, Some(responder))
            .await
            .is_err()
        {
            return refuse(answers, &ProposeError::Unavailable);
        }
        self.in_flight.push(Box::pin(async move {
            match written.await {
                Ok(Ok(response)) => {
                    let mut outcomes = response.data.list.into_iter();
                    for answer in answers {
                        // An entry answers every command in it. A caller that gave up needs no answer.
                        drop(answer.send(outcomes.next().ok_or(ProposeError::Unavailable)));
                    }
                }
                Ok(Err(error)) => refuse(answers, &write_error(error)),
                Err(_) => refuse(answers, &ProposeError::Unavailable),
            }
        }));
    }
}

fn refuse(answers: Answers, error: &ProposeError) {
    for answer in answers {
        drop(answer.send(Err(error.clone())));
    }
}

fn write_error(error: ClientWriteError<TypeConfig>) -> ProposeError {
    match error {
        ClientWriteError::ForwardToLeader(forward) => {
            let leader = forward.leader_id.zip(forward.leader_node);
            let leader = leader.map(|(id, member)| MemberNode {
                id: device_state::NodeId(id),
                member,
            });
            ProposeError::NotLeader(NotLeader { leader })
        }
        ClientWriteError::LogEntryDiscarded(_)
        | ClientWriteError::ChangeMembershipError(_)
        | ClientWriteError::PreconditionFailed(_) => ProposeError::Unavailable,
    }
}
