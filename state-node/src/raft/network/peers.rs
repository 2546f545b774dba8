//! Links to the other state nodes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use node_runtime::{Drain, Stage, Tasks};
use proto::rpc::v1::raft_client::RaftClient;
use proto::rpc::v1::raft_request::Kind;
use proto::rpc::v1::{RaftRequest, RaftResponse, raft_response};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

use crate::dial::{CONNECT_TIMEOUT, Dialer};
use crate::raft::network::MAX_MESSAGE;

/// Names the node that a stream is meant for. An address can change hands: a node that lost its volume comes back as
/// another one and must not take what was meant for the one before.
pub const NODE_HEADER: &str = "drover-node";

/// Requests that may wait to be written to one node.
const QUEUE: usize = 1_024;
/// Requests that may be unanswered by one node.
const MAX_UNANSWERED: usize = 8_192;
/// After a failed attempt requests fail at once for this long, so that nobody queues up behind a dead node.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("the node cannot be reached")]
    Unreachable(#[source] Status),
    #[error("another node lives at the address")]
    WrongNode,
    #[error("the connection broke before the answer")]
    Broken,
    #[error("too many requests wait for the node")]
    Full,
    #[error("the node answered: {0}")]
    Remote(String),
    #[error("the message cannot be encoded")]
    Encoding(#[source] postcard::Error),
}

/// The answer to a request, when it comes.
pub type Answer = oneshot::Receiver<Result<Bytes, LinkError>>;

struct Outgoing {
    group: u16,
    kind: Kind,
    answer: oneshot::Sender<Result<Bytes, LinkError>>,
}

/// The links of a node.
#[derive(Debug)]
pub struct Peers {
    tasks: Tasks,
    dialer: Dialer,
    peers: Mutex<HashMap<u64, Arc<Peer>>>,
}

/// The link to one node.
#[derive(Debug)]
pub struct Peer {
    node: u64,
    channel: Channel,
    requests: mpsc::Sender<Outgoing>,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Outgoing")
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

impl Peers {
    /// No links yet; they run as jobs of `tasks`.
    pub fn new(tasks: Tasks, dialer: Dialer) -> Self {
        Self {
            tasks,
            dialer,
            peers: Mutex::default(),
        }
    }

    /// The link to `node`, made when it is first asked for.
    pub fn peer(&self, node: u64, address: &str) -> Arc<Peer> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = peers.entry(node).or_insert_with(|| {
            let (requests, queue) = mpsc::channel(QUEUE);
            let peer = Arc::new(Peer {
                node,
                channel: self.dialer.channel(address),
                requests,
            });
            let link = Link {
                node,
                channel: peer.channel.clone(),
                queue,
                next_tag: 0,
            };
            self.tasks
                .spawn_job("raft-link", Stage::Flush, move |drain| link.run(drain));
            peer
        });
        peer.clone()
    }
}

impl Peer {
    /// Queues a request; fails at once when too many wait.
    pub fn send(&self, group: u16, kind: Kind) -> Result<Answer, LinkError> {
        let (answer, receiver) = oneshot::channel();
        match self.requests.try_send(Outgoing {
            group,
            kind,
            answer,
        }) {
            Ok(()) => Ok(receiver),
            Err(mpsc::error::TrySendError::Full(_)) => Err(LinkError::Full),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(LinkError::Broken),
        }
    }

    /// A client for streams besides the shared one.
    pub fn client(&self) -> RaftClient<Channel> {
        RaftClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// Marks a request as meant for this node only.
    pub fn addressed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let node = AsciiMetadataValue::try_from(format!("{:016x}", self.node))
            .expect("hex digits are ASCII");
        request.metadata_mut().insert(NODE_HEADER, node);
        request
    }
}

/// The task behind a link: one stream at a time, opened when something is to be sent.
struct Link {
    node: u64,
    channel: Channel,
    queue: mpsc::Receiver<Outgoing>,
    next_tag: u64,
}

type Unanswered = HashMap<u64, oneshot::Sender<Result<Bytes, LinkError>>>;

impl Link {
    async fn run(mut self, drain: Drain) {
        loop {
            let first = tokio::select! {
                () = drain.started() => return,
                first = self.queue.recv() => first,
            };
            let Some(first) = first else { return };
            match self.open().await {
                Ok((sink, stream)) => self.exchange(first, sink, stream).await,
                Err(error) => self.refuse(first, error).await,
            }
        }
    }

    async fn open(
        &self,
    ) -> Result<(mpsc::Sender<RaftRequest>, Streaming<RaftResponse>), LinkError> {
        let (sink, requests) = mpsc::channel(64);
        let mut client = RaftClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        let mut request = Request::new(ReceiverStream::new(requests));
        let node = AsciiMetadataValue::try_from(format!("{:016x}", self.node))
            .expect("hex digits are ASCII");
        request.metadata_mut().insert(NODE_HEADER, node);
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, client.exchange(request)).await;
        let opened = opened
            .map_err(|_| LinkError::Unreachable(Status::deadline_exceeded("no answer in time")))?;
        match opened {
            Ok(stream) => Ok((sink, stream.into_inner())),
            Err(status) if status.code() == Code::FailedPrecondition => Err(LinkError::WrongNode),
            Err(status) => Err(LinkError::Unreachable(status)),
        }
    }

    /// Fails what waits, and what comes within the pause.
    async fn refuse(&mut self, first: Outgoing, error: LinkError) {
        tracing::debug!(node = self.node, %error, "state node cannot be reached");
        let again = || match &error {
            LinkError::Unreachable(status) => LinkError::Unreachable(status.clone()),
            _ => LinkError::WrongNode,
        };
        // A caller that gave up needs no answer.
        drop(first.answer.send(Err(again())));
        let pause = tokio::time::sleep(RECONNECT_PAUSE);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return,
                next = self.queue.recv() => match next {
                    Some(next) => drop(next.answer.send(Err(again()))),
                    None => return,
                },
            }
        }
    }

    /// Sends and receives until the stream breaks. What is unanswered then fails as broken, by dropping its sender.
    async fn exchange(
        &mut self,
        first: Outgoing,
        sink: mpsc::Sender<RaftRequest>,
        mut stream: Streaming<RaftResponse>,
    ) {
        let mut unanswered = Unanswered::new();
        let request = self.register(first, &mut unanswered);
        if sink.send(request).await.is_err() {
            return;
        }
        loop {
            // Room in the sink comes before the next request is taken, so that answers are read meanwhile: a node whose
            // answers nobody reads stops reading requests.
            let queue = &mut self.queue;
            let next = async { (sink.reserve().await, queue.recv().await) };
            tokio::select! {
                next = next, if unanswered.len() < MAX_UNANSWERED => {
                    let (Ok(room), Some(next)) = next else { return };
                    room.send(self.register(next, &mut unanswered));
                }
                response = stream.message() => match response {
                    Ok(Some(response)) => answer(response, &mut unanswered),
                    Ok(None) | Err(_) => return,
                },
            }
        }
    }

    fn register(&mut self, outgoing: Outgoing, unanswered: &mut Unanswered) -> RaftRequest {
        if unanswered.len() + 1 >= MAX_UNANSWERED {
            unanswered.retain(|_, answer| !answer.is_closed());
        }
        self.next_tag += 1;
        unanswered.insert(self.next_tag, outgoing.answer);
        RaftRequest {
            tag: self.next_tag,
            group: u32::from(outgoing.group),
            kind: Some(outgoing.kind),
        }
    }
}

fn answer(response: RaftResponse, unanswered: &mut Unanswered) {
    let Some(waiting) = unanswered.remove(&response.tag) else {
        return;
    };
    let result = match response.kind {
        Some(raft_response::Kind::Ok(bytes)) => Ok(bytes),
        Some(raft_response::Kind::Error(message)) => Err(LinkError::Remote(message)),
        None => Err(LinkError::Broken),
    };
    // A caller that timed out needs no answer.
    drop(waiting.send(result));
}
