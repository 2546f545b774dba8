//! State nodes that answer as a test tells them to.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use device_state::Outcome;
use proto::rpc::v1::read_artefact_response::Kind;
use proto::rpc::v1::state_server::{State, StateServer};
use proto::rpc::v1::{self as rpc, call, call_error, call_result};
use proto::storage::v1 as storage;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

/// What a node does with a call.
pub(crate) enum Reply {
    Kind(Box<call_result::Kind>),
    Silence,
    /// The stream breaks.
    Break,
}

pub(crate) type Calls = dyn Fn(&rpc::Call) -> Reply + Send + Sync;
pub(crate) type Operates =
    dyn Fn(&rpc::OperateRequest) -> Result<rpc::OperateResponse, Status> + Send + Sync;

pub(crate) fn outcome(outcome: Outcome) -> Reply {
    Reply::Kind(Box::new(call_result::Kind::Outcome(outcome.into())))
}

pub(crate) fn error(kind: call_error::Kind, leader: &str) -> Reply {
    let error = rpc::CallError {
        kind: kind.into(),
        leader: leader.to_owned(),
        message: "no".to_owned(),
    };
    Reply::Kind(Box::new(call_result::Kind::Error(error)))
}

/// The request id of a proposal.
pub(crate) fn request_id(call: &rpc::Call) -> (u64, u64) {
    match &call.kind {
        Some(call::Kind::Propose(propose)) => {
            let id = propose.request_id.unwrap();
            (id.client, id.sequence)
        }
        other => panic!("not a proposal: {other:?}"),
    }
}

/// What the nodes of a cluster say of it.
#[derive(Clone, Default)]
pub(crate) struct Cluster {
    described: Arc<Mutex<rpc::DescribeClusterResponse>>,
}

impl Cluster {
    pub(crate) fn new(shards: u32) -> Self {
        let cluster = Self::default();
        *cluster.described.lock().unwrap() = rpc::DescribeClusterResponse {
            cluster_id: "test".to_owned(),
            shards,
            ..Default::default()
        };
        cluster
    }

    pub(crate) fn add(&self, node: &Node) {
        let address = node.address.to_string();
        let described = rpc::describe_cluster_response::Node {
            id: node.id,
            api: address.clone(),
            internal: address,
        };
        self.described.lock().unwrap().nodes.push(described);
    }

    pub(crate) fn remove(&self, node: &Node) {
        self.described
            .lock()
            .unwrap()
            .nodes
            .retain(|known| known.id != node.id);
    }

    /// `node` leads every shard in `term`.
    pub(crate) fn lead(&self, node: &Node, term: u64) {
        let mut described = self.described.lock().unwrap();
        let shard = |shard| rpc::describe_cluster_response::Shard {
            shard,
            leader: node.id,
            term,
            ..Default::default()
        };
        described.shard_states = (0..described.shards).map(shard).collect();
    }
}

#[derive(Clone)]
struct Service {
    cluster: Cluster,
    calls: Arc<Calls>,
    operates: Arc<Operates>,
    seen: Arc<Seen>,
}

/// What a node has received.
pub(crate) struct Seen {
    pub(crate) calls: Mutex<Vec<rpc::Call>>,
    pub(crate) batches: Mutex<Vec<usize>>,
    pub(crate) operates: Mutex<Vec<rpc::OperateRequest>>,
    pub(crate) up: watch::Sender<Vec<rpc::AttachUp>>,
    attached: Mutex<Option<mpsc::Sender<Result<rpc::AttachDown, Status>>>>,
}

/// A node. Ends when it is dropped, with all its connections.
pub(crate) struct Node {
    pub(crate) id: u64,
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

impl Node {
    pub(crate) async fn start(
        id: u64,
        cluster: &Cluster,
        calls: impl Fn(&rpc::Call) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start_full(id, cluster, calls, |_| {
            Err(Status::unimplemented("not in this test"))
        })
        .await
    }

    pub(crate) async fn start_full(
        id: u64,
        cluster: &Cluster,
        calls: impl Fn(&rpc::Call) -> Reply + Send + Sync + 'static,
        operates: impl Fn(&rpc::OperateRequest) -> Result<rpc::OperateResponse, Status>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen {
            calls: Mutex::default(),
            batches: Mutex::default(),
            operates: Mutex::default(),
            up: watch::Sender::new(Vec::new()),
            attached: Mutex::default(),
        });
        let service = Service {
            cluster: cluster.clone(),
            calls: Arc::new(calls),
            operates: Arc::new(operates),
            seen: seen.clone(),
        };
        let server = tonic::transport::Server::builder()
            .add_service(StateServer::new(service))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { server.await.unwrap() });
        let node = Self {
            id,
            address,
            seen,
            _tasks: tasks,
        };
        cluster.add(&node);
        node
    }

    /// Waits until what came up the attach streams satisfies `condition`.
    pub(crate) async fn up(
        &self,
        condition: impl Fn(&[rpc::AttachUp]) -> bool,
    ) -> Vec<rpc::AttachUp> {
        self.seen
            .up
            .subscribe()
            .wait_for(|up| condition(up))
            .await
            .unwrap()
            .clone()
    }

    /// Sends down the newest attach stream.
    pub(crate) async fn down(&self, kind: rpc::attach_down::Kind) {
        let attached = self.seen.attached.lock().unwrap().clone().unwrap();
        attached
            .send(Ok(rpc::AttachDown { kind: Some(kind) }))
            .await
            .unwrap();
    }

    /// Ends the newest attach stream.
    pub(crate) fn detach(&self) {
        self.seen.attached.lock().unwrap().take().unwrap();
    }
}

type Down<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl State for Service {
    type CallStream = Down<rpc::CallResults>;
    type AttachStream = Down<rpc::AttachDown>;
    type ReadArtefactStream = Down<rpc::ReadArtefactResponse>;

    async fn join(
        &self,
        _request: Request<rpc::JoinRequest>,
    ) -> Result<Response<rpc::JoinResponse>, Status> {
        Err(Status::unimplemented("no client asks for it"))
    }

    async fn call(
        &self,
        request: Request<Streaming<rpc::CallBatch>>,
    ) -> Result<Response<Self::CallStream>, Status> {
        let service = self.clone();
        let answers = request
            .into_inner()
            .map(move |batch| service.answer(batch?));
        // A silent batch gives no message.
        Ok(Response::new(Box::pin(
            answers.filter_map(Result::transpose),
        )))
    }

    async fn attach(
        &self,
        request: Request<Streaming<rpc::AttachUp>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let (down, stream) = mpsc::channel(16);
        *self.seen.attached.lock().unwrap() = Some(down);
        let seen = self.seen.clone();
        let mut up = request.into_inner();
        #[expect(clippy::disallowed_methods, reason = "ends with the connection")]
        tokio::spawn(async move {
            while let Ok(Some(message)) = up.message().await {
                seen.up.send_modify(|all| all.push(message));
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn operate(
        &self,
        request: Request<rpc::OperateRequest>,
    ) -> Result<Response<rpc::OperateResponse>, Status> {
        let request = request.into_inner();
        let answer = (self.operates)(&request);
        self.seen.operates.lock().unwrap().push(request);
        answer.map(Response::new)
    }

    async fn describe_device(
        &self,
        _request: Request<rpc::DescribeDeviceRequest>,
    ) -> Result<Response<rpc::DescribeDeviceResponse>, Status> {
        Ok(Response::new(rpc::DescribeDeviceResponse {
            revision: 7,
            desired_generation: 3,
            ..Default::default()
        }))
    }

    async fn describe_campaign(
        &self,
        _request: Request<rpc::DescribeCampaignRequest>,
    ) -> Result<Response<rpc::DescribeCampaignResponse>, Status> {
        Err(Status::not_found("no campaign is known here"))
    }

    async fn prepare_bootstrap(
        &self,
        request: Request<rpc::PrepareBootstrapRequest>,
    ) -> Result<Response<rpc::PrepareBootstrapResponse>, Status> {
        match request.into_inner().endpoint.as_str() {
            "nobody" => Err(Status::not_found("no profile")),
            _ => Ok(Response::new(rpc::PrepareBootstrapResponse {
                profile: "all".to_owned(),
                accounts: Vec::new(),
                access: Vec::new(),
            })),
        }
    }

    async fn finish_bootstrap(
        &self,
        _request: Request<rpc::FinishBootstrapRequest>,
    ) -> Result<Response<rpc::FinishBootstrapResponse>, Status> {
        Ok(Response::new(rpc::FinishBootstrapResponse {}))
    }

    async fn read_artefact(
        &self,
        request: Request<rpc::ReadArtefactRequest>,
    ) -> Result<Response<Self::ReadArtefactStream>, Status> {
        let name = request.into_inner().artefact.unwrap_or_default();
        // The first byte of the digest says how many bytes there are, the second one how many are told.
        let [size, told, ..] = name.digest[..] else {
            return Err(Status::invalid_argument("digest"));
        };
        if size == 0 {
            return Err(Status::not_found("no such package"));
        }
        let part = |kind| rpc::ReadArtefactResponse { kind: Some(kind) };
        let size = part(Kind::Head(storage::Artefact {
            size: size.into(),
            ..Default::default()
        }));
        let bytes = (0..told).map(move |byte| part(Kind::Data(vec![byte].into())));
        let parts = std::iter::once(size).chain(bytes).map(Ok);
        Ok(Response::new(Box::pin(tokio_stream::iter(parts))))
    }

    async fn list_definitions(
        &self,
        request: Request<rpc::ListDefinitionsRequest>,
    ) -> Result<Response<rpc::ListDefinitionsResponse>, Status> {
        let model = lwm2m::ObjectModel::new(26_241, lwm2m::ObjectVersion::V1_0, "Pump");
        let news = request.into_inner().known != Some(1);
        Ok(Response::new(rpc::ListDefinitionsResponse {
            changes: 1,
            models: news.then(|| model.into()).into_iter().collect(),
        }))
    }

    async fn describe_cluster(
        &self,
        _request: Request<rpc::DescribeClusterRequest>,
    ) -> Result<Response<rpc::DescribeClusterResponse>, Status> {
        Ok(Response::new(
            self.cluster.described.lock().unwrap().clone(),
        ))
    }
}

impl Service {
    fn answer(&self, batch: rpc::CallBatch) -> Result<Option<rpc::CallResults>, Status> {
        self.seen.batches.lock().unwrap().push(batch.calls.len());
        let mut results = Vec::new();
        for call in batch.calls {
            let reply = (self.calls)(&call);
            let tag = call.tag;
            self.seen.calls.lock().unwrap().push(call);
            match reply {
                Reply::Kind(kind) => results.push(rpc::CallResult {
                    tag,
                    kind: Some(*kind),
                }),
                Reply::Silence => {}
                Reply::Break => return Err(Status::unavailable("broken by the test")),
            }
        }
        // Answers may come in any order.
        results.reverse();
        Ok((!results.is_empty()).then_some(rpc::CallResults { results }))
    }
}
