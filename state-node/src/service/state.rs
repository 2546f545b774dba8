//! The internal `State` service.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use device_state::{
    BootstrapRecord, Campaign, DeviceName, FeatureLevel, Namespace, NodeId, OperationId, Queueing,
    RequestId, query,
};
use futures::StreamExt;
use futures::stream::BoxStream;
use lwm2m::Operation;
use node_runtime::{Drain, Stage, Tasks};
use proto::rpc::v1::describe_cluster_response::{Node, Shard};
use proto::rpc::v1::state_server::State;
use proto::rpc::v1::{
    AttachDown, AttachUp, CallBatch, CallResults, DescribeCampaignRequest,
    DescribeCampaignResponse, DescribeClusterRequest, DescribeClusterResponse,
    DescribeDeviceRequest, DescribeDeviceResponse, FinishBootstrapRequest, FinishBootstrapResponse,
    JoinRequest, JoinResponse, ListDefinitionsRequest, ListDefinitionsResponse, OperateRequest,
    OperateResponse, PrepareBootstrapRequest, PrepareBootstrapResponse, ReadArtefactRequest,
    ReadArtefactResponse, attach_down, attach_up,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Request, Response, Status, Streaming};

use crate::attachments::{Attachment, Attachments};
use crate::delivery::{self, OperateCall, OperateError};
use crate::raft::Member;
use crate::raft::caretaker::members_of;
use crate::raft::group::Group;
use crate::raft::network::peers::NODE_HEADER;
use crate::router::{FORWARDED_HEADER, Route, Router};
use crate::service::artefact;
use crate::service::bootstrap;
use crate::service::calls::{self, Calls};
use crate::service::keeper::Keeper;
use crate::service::membership;
use crate::service::models;
use crate::service::status;

/// Longer waits are cut: no exchange with a device takes as long.
const MAX_OPERATE: Duration = Duration::from_secs(24 * 3_600);
/// How long a call that is passed on may take beyond what the caller allows.
const FORWARD_MARGIN: Duration = Duration::from_secs(5);
/// How long a question for a device may take.
pub(super) const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// The service of one node.
#[derive(Clone, Debug)]
pub struct StateService {
    pub node: NodeId,
    /// This node as others reach it.
    pub own: Member,
    /// The volume.
    pub data_dir: Arc<Path>,
    pub router: Arc<Router>,
    pub attachments: Arc<Attachments>,
    pub calls: Calls,
    pub keeper: Keeper,
    pub tasks: Tasks,
}

/// Whether a call came from another state node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Caller,
    Forwarded,
}

/// What of a device is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    Everything,
    /// Of everything only this.
    Operation(OperationId),
}

impl Known {
    const fn operation(self) -> Option<OperationId> {
        match self {
            Self::Everything => None,
            Self::Operation(id) => Some(id),
        }
    }
}

impl Origin {
    pub(crate) fn of<T>(request: &Request<T>) -> Self {
        match request.metadata().get(FORWARDED_HEADER) {
            Some(_) => Self::Forwarded,
            None => Self::Caller,
        }
    }
}

impl StateService {
    /// Carries out an operation on the leader of the device's shard.
    pub async fn operate_on(
        &self,
        request: OperateRequest,
        origin: Origin,
    ) -> Result<OperateResponse, Status> {
        let endpoint = DeviceName::parse(&request.endpoint)
            .map_err(|error| status::field("endpoint", &error))?;
        let operation = request
            .operation
            .clone()
            .ok_or_else(|| status::missing("operation"))?;
        let operation = Operation::try_from(operation).map_err(|error| status::convert(&error))?;
        operation
            .validate()
            .map_err(|error| status::field("operation", &error))?;
        let timeout = Duration::from_millis(u64::from(request.timeout_ms)).min(MAX_OPERATE);
        if timeout.is_zero() {
            return Err(status::missing("timeout_ms"));
        }
        let priority = u8::try_from(request.priority)
            .map_err(|_| status::field("priority", &"is more than 255"))?;
        // One id for all attempts: an operation that changes the device must not be enqueued twice.
        let request_id = request
            .request_id
            .map_or_else(|| self.router.request_id(), RequestId::from);
        let request = OperateRequest {
            request_id: Some(request_id.into()),
            ..request
        };
        let group = self.router.group_of(&endpoint);
        at_leader(origin, timeout, || async {
            match self.router.route(group) {
                Route::Here(group) => {
                    let call = OperateCall {
                        endpoint: endpoint.clone(),
                        operation: operation.clone(),
                        timeout,
                        request_id: Some(request_id),
                        queueing: Queueing {
                            priority,
                            supersedes: request.supersedes,
                        },
                        immediate: request.immediate,
                    };
                    self.operate_here(group, call).await
                }
                Route::There(mut client) if origin == Origin::Caller => {
                    let forwarded = self
                        .router
                        .forwarded(request.clone(), timeout + FORWARD_MARGIN);
                    client.operate(forwarded).await.map(Response::into_inner)
                }
                Route::There(_) | Route::Nowhere => Err(status::no_leader()),
            }
        })
        .await
    }

    async fn operate_here(
        &self,
        group: &Group,
        call: OperateCall,
    ) -> Result<OperateResponse, Status> {
        match delivery::operate(group, &self.attachments, call).await {
            Ok(done) => Ok(OperateResponse {
                outcome: Some(done.answer.outcome.into()),
                links: done.answer.links,
                operation: done.operation.map(Into::into),
            }),
            Err(OperateError::StillRunning { operation }) => Ok(OperateResponse {
                outcome: None,
                links: String::new(),
                operation: Some(operation.into()),
            }),
            Err(error) => Err(status::operate(&error)),
        }
    }

    /// What is known of a device, from the leader of its shard.
    pub async fn describe(
        &self,
        endpoint: &DeviceName,
        what: Known,
        origin: Origin,
    ) -> Result<DescribeDeviceResponse, Status> {
        let group = self.router.group_of(endpoint);
        at_leader(origin, DESCRIBE_TIMEOUT, || {
            self.describe_once(group, endpoint, what, origin)
        })
        .await
    }

    async fn describe_once(
        &self,
        group: &Arc<Group>,
        endpoint: &DeviceName,
        what: Known,
        origin: Origin,
    ) -> Result<DescribeDeviceResponse, Status> {
        match self.router.route(group) {
            Route::Here(group) => {
                let view = group
                    .read_current(|tables| match what {
                        Known::Everything => query::device(tables, endpoint),
                        Known::Operation(id) => query::device_with_operation(tables, endpoint, id),
                    })
                    .await;
                let revision = group.events().revision();
                view.map(|view| proto::convert::wire_device_view(view, revision))
                    .map_err(|_| status::no_leader())
            }
            Route::There(mut client) if origin == Origin::Caller => {
                let request = DescribeDeviceRequest {
                    endpoint: endpoint.stored().to_owned(),
                    operation: what.operation().map(Into::into),
                };
                let forwarded = self.router.forwarded(request, DESCRIBE_TIMEOUT);
                client
                    .describe_device(forwarded)
                    .await
                    .map(Response::into_inner)
            }
            Route::There(_) | Route::Nowhere => Err(status::no_leader()),
        }
    }

    /// A campaign, from the leader of the common shard.
    pub async fn describe_campaign(
        &self,
        namespace: &Namespace,
        name: &str,
        origin: Origin,
    ) -> Result<Campaign, Status> {
        at_leader(origin, DESCRIBE_TIMEOUT, || {
            self.campaign_once(namespace, name, origin)
        })
        .await
    }

    async fn campaign_once(
        &self,
        namespace: &Namespace,
        name: &str,
        origin: Origin,
    ) -> Result<Campaign, Status> {
        let found = match self.router.route(self.router.common_group()) {
            Route::Here(group) => group
                .read_current(|tables| query::campaign(tables, namespace, name))
                .await
                .map_err(|_| status::no_leader())?,
            Route::There(mut client) if origin == Origin::Caller => {
                let request = DescribeCampaignRequest {
                    namespace: namespace.stored().to_owned(),
                    name: name.to_owned(),
                };
                let forwarded = self.router.forwarded(request, DESCRIBE_TIMEOUT);
                let answer = client.describe_campaign(forwarded).await?.into_inner();
                let campaign = answer.campaign.map(Campaign::try_from).transpose();
                campaign.map_err(|error| status::convert(&error))?
            }
            Route::There(_) | Route::Nowhere => return Err(status::no_leader()),
        };
        found.ok_or_else(|| status::not_found("the campaign"))
    }

    /// The cluster that this node belongs to; empty while it belongs to none.
    pub fn cluster_id(&self) -> String {
        let members = members_of(self.router.groups());
        members
            .get(&self.node)
            .map(|member| member.cluster.clone())
            .unwrap_or_default()
    }

    pub(super) fn describe_topology(&self) -> DescribeClusterResponse {
        let mut members = members_of(self.router.groups());
        let cluster_id = members
            .get(&self.node)
            .map(|member| member.cluster.clone())
            .unwrap_or_default();
        members.entry(self.node).or_insert_with(|| self.own.clone());
        let nodes = members.into_iter().map(|(id, member)| Node {
            id: id.0,
            api: member.api,
            internal: member.internal,
        });
        let shard = |group: &Arc<Group>| {
            let status = group.status();
            Shard {
                shard: u32::from(group.shard().0),
                leader: status.leader.map_or(0, |leader| leader.id.0),
                term: status.term,
                applied: status.applied,
                voters: status.voters,
                learners: status.learners,
                last_log_index: status.last_log,
                last_log_term: status.last_log_term,
                feature_level: group.feature_level().0,
            }
        };
        let shard_states = if cluster_id.is_empty() {
            Vec::new()
        } else {
            self.router.groups().iter().map(shard).collect()
        };
        DescribeClusterResponse {
            cluster_id,
            shards: u32::from(self.router.shards()),
            nodes: nodes.collect(),
            shard_states,
            feature_level: FeatureLevel::SUPPORTED.0,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    async fn attached(
        self,
        attachment: Arc<Attachment>,
        mut up: Streaming<AttachUp>,
        mut operations: mpsc::Receiver<AttachDown>,
        down: mpsc::Sender<Result<AttachDown, Status>>,
        drain: Drain,
    ) {
        loop {
            tokio::select! {
                () = drain.started() => break,
                message = up.message() => match message {
                    Ok(Some(message)) => self.take_up(&attachment, message),
                    Ok(None) | Err(_) => break,
                },
                operation = operations.recv() => {
                    let Some(operation) = operation else { break };
                    if down.send(Ok(operation)).await.is_err() {
                        break;
                    }
                }
            }
        }
        self.attachments.detach(&attachment);
    }

    /// Has the dispatchers of this node look at all devices for which something waits.
    fn look_at_everything(&self) {
        let groups = self.router.groups().iter();
        groups
            .filter(|group| group.leads())
            .for_each(|group| group.events().look_at_everything());
    }

    fn take_up(&self, attachment: &Attachment, message: AttachUp) {
        match message.kind {
            Some(attach_up::Kind::Result(result)) => attachment.result(result),
            Some(attach_up::Kind::Contact(report)) => attachment.report(report),
            Some(attach_up::Kind::Awake(awake)) if awake.endpoint.is_empty() => {
                self.look_at_everything();
            }
            Some(attach_up::Kind::Awake(awake)) => {
                if let Ok(endpoint) = DeviceName::parse(&awake.endpoint) {
                    self.router.group_of(&endpoint).events().awake(endpoint);
                }
            }
            // A second hello says nothing new.
            Some(attach_up::Kind::Hello(_)) | None => {}
        }
    }
}

/// Tries again while a caller waits, at most for `patience`, and there is no leader or it goes away. What is tried changes
/// nothing, or is known by its request id.
pub(super) async fn at_leader<T, F>(
    origin: Origin,
    patience: Duration,
    attempt: impl Fn() -> F,
) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        match attempt().await {
            Err(error) if status::is_no_leader(&error) => {
                if origin == Origin::Forwarded || tokio::time::Instant::now() >= deadline {
                    // What the connection met means nothing to the caller.
                    return Err(status::no_leader());
                }
                tokio::time::sleep(PAUSE).await;
            }
            result => return result,
        }
    }
}

#[tonic::async_trait]
impl State for StateService {
    type CallStream = BoxStream<'static, Result<CallResults, Status>>;
    type AttachStream = BoxStream<'static, Result<AttachDown, Status>>;

    async fn call(
        &self,
        request: Request<Streaming<CallBatch>>,
    ) -> Result<Response<Self::CallStream>, Status> {
        let (answers, results) = mpsc::channel(64);
        let calls = self.calls.clone();
        let batches = request.into_inner();
        self.tasks.spawn_job("calls", Stage::HandOver, |drain| {
            calls::serve(calls, batches, answers, drain)
        });
        Ok(Response::new(ReceiverStream::new(results).boxed()))
    }

    async fn prepare_bootstrap(
        &self,
        request: Request<PrepareBootstrapRequest>,
    ) -> Result<Response<PrepareBootstrapResponse>, Status> {
        let request = request.into_inner();
        let endpoint = DeviceName::parse(&request.endpoint)
            .map_err(|error| status::field("endpoint", &error))?;
        let prepared = bootstrap::prepare(&self.keeper, &endpoint, request.proved).await?;
        Ok(Response::new(prepared))
    }

    async fn finish_bootstrap(
        &self,
        request: Request<FinishBootstrapRequest>,
    ) -> Result<Response<FinishBootstrapResponse>, Status> {
        let request = request.into_inner();
        let record = request.record.ok_or_else(|| status::missing("record"))?;
        let record = BootstrapRecord::try_from(record).map_err(|error| status::convert(&error))?;
        bootstrap::finish(&self.keeper, record, &request.made).await?;
        Ok(Response::new(FinishBootstrapResponse {}))
    }

    type ReadArtefactStream = BoxStream<'static, Result<ReadArtefactResponse, Status>>;

    async fn read_artefact(
        &self,
        request: Request<ReadArtefactRequest>,
    ) -> Result<Response<Self::ReadArtefactStream>, Status> {
        let parts = artefact::read(&self.router, request.into_inner()).await?;
        Ok(Response::new(parts))
    }

    async fn list_definitions(
        &self,
        request: Request<ListDefinitionsRequest>,
    ) -> Result<Response<ListDefinitionsResponse>, Status> {
        let group = self.router.common_group();
        let known = request.into_inner().known;
        let definitions = group.store().read(|tables| models::list(tables, known));
        Ok(Response::new(definitions))
    }

    async fn attach(
        &self,
        request: Request<Streaming<AttachUp>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let mut up = request.into_inner();
        let Some(AttachUp {
            kind: Some(attach_up::Kind::Hello(hello)),
        }) = up.message().await?
        else {
            return Err(Status::invalid_argument(
                "the first message has to be a hello",
            ));
        };
        tracing::info!(ingress = %NodeId(hello.node), name = hello.name, "ingress node attached");
        let (down, messages) = mpsc::channel(64);
        let (attachment, operations) = self.attachments.attach(&hello);
        let welcome = AttachDown {
            kind: Some(attach_down::Kind::Welcome(true)),
        };
        down.send(Ok(welcome))
            .await
            .map_err(|_| Status::cancelled("the stream is gone"))?;
        let service = self.clone();
        self.tasks
            .spawn_job("attachment", Stage::HandOver, |drain| {
                service.attached(attachment, up, operations, down, drain)
            });
        // Devices of a node that just attached may wait for what was enqueued while it was away.
        self.look_at_everything();
        Ok(Response::new(ReceiverStream::new(messages).boxed()))
    }

    async fn operate(
        &self,
        request: Request<OperateRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let origin = Origin::of(&request);
        self.operate_on(request.into_inner(), origin)
            .await
            .map(Response::new)
    }

    async fn describe_device(
        &self,
        request: Request<DescribeDeviceRequest>,
    ) -> Result<Response<DescribeDeviceResponse>, Status> {
        let origin = Origin::of(&request);
        let request = request.into_inner();
        let endpoint = DeviceName::parse(&request.endpoint);
        let endpoint = endpoint.map_err(|error| status::field("endpoint", &error))?;
        let operation = request.operation.map(OperationId::try_from).transpose();
        let operation = operation.map_err(|error| status::convert(&error))?;
        let what = operation.map_or(Known::Everything, Known::Operation);
        self.describe(&endpoint, what, origin)
            .await
            .map(Response::new)
    }

    async fn describe_campaign(
        &self,
        request: Request<DescribeCampaignRequest>,
    ) -> Result<Response<DescribeCampaignResponse>, Status> {
        let origin = Origin::of(&request);
        let request = request.into_inner();
        let namespace = Namespace::of_stored(&request.namespace);
        let namespace = namespace.map_err(|error| status::field("namespace", &error))?;
        let name = &request.name;
        let campaign = Self::describe_campaign(self, &namespace, name, origin);
        Ok(Response::new(DescribeCampaignResponse {
            campaign: Some(campaign.await?.into()),
        }))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        membership::join(self, &request.into_inner().address).await?;
        Ok(Response::new(JoinResponse {}))
    }

    async fn describe_cluster(
        &self,
        _request: Request<DescribeClusterRequest>,
    ) -> Result<Response<DescribeClusterResponse>, Status> {
        let mut response = Response::new(self.describe_topology());
        let node = AsciiMetadataValue::try_from(format!("{:016x}", self.node.0))
            .expect("hex digits are ASCII");
        response.metadata_mut().insert(NODE_HEADER, node);
        Ok(response)
    }
}
