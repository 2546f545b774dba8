//! `drover.v1.Operations`.

use std::time::Duration;

use device_state::guard::Effectiveness;
use device_state::{
    Command, DeviceName, OperationId, OperationOutcome, Outcome, RequestId, Timestamp, query,
};
use futures::stream::BoxStream;
use lwm2m::gateway::GATEWAY;
use lwm2m::{ObjectLinks, Operation, Path};
use node_runtime::clock;
use proto::convert::ConvertError;
use proto::convert::public::{
    Defined, DeviceRequest, DurableRequest, InNamespace, OperationTarget, RawCall, Wait,
    WaitTarget, children, enqueue_once, path_values, raw_answer,
};
use proto::drover::v1 as public;
use proto::drover::v1::operations_server::Operations;
use proto::rpc::v1::{OperateRequest, OperateResponse};
use tonic::{Request, Response, Status};

use crate::attachments::DeliveryError;
use crate::service::api::{Api, named, outcome, patience, tenant};
use crate::service::keeper::COMMIT_TIMEOUT;
use crate::service::state::{Known, Origin};
use crate::service::status;

type OperationResult = Result<Response<public::OperationResponse>, Status>;

impl Api {
    /// Sends what changes nothing and waits for the device's answer.
    pub(super) async fn ask(
        &self,
        request: DeviceRequest,
        timeout: Duration,
    ) -> Result<(OperationOutcome, String), Status> {
        let request = OperateRequest {
            endpoint: request.endpoint.stored().to_owned(),
            operation: Some(request.operation.into()),
            timeout_ms: millis(timeout),
            ..OperateRequest::default()
        };
        let response = self.state.operate_on(request, Origin::Caller).await?;
        let answer = outcome(response.outcome.unwrap_or_default())?;
        match status::device_outcome(&answer) {
            Some(refused) => Err(refused),
            None => Ok((answer, response.links)),
        }
    }

    pub(super) async fn change<R>(&self, request: Request<R>) -> OperationResult
    where
        DurableRequest: for<'r> TryFrom<Defined<'r, R>, Error = ConvertError>,
    {
        self.change_in(tenant(request)?).await
    }

    pub(super) async fn change_in<R>(&self, asked: InNamespace<R>) -> OperationResult
    where
        DurableRequest: for<'r> TryFrom<Defined<'r, R>, Error = ConvertError>,
    {
        let request = DurableRequest::try_from(Defined {
            request: asked.request,
            namespace: &asked.namespace,
            definitions: &self.definitions(),
        });
        let request = request.map_err(|error| status::convert(&error))?;
        let operation = self.carry_out(request).await?;
        Ok(Response::new(public::OperationResponse { operation }))
    }

    /// Commits the operation, and waits for its end if the caller does. Of one that is only tried there is nothing to
    /// show.
    pub(super) async fn carry_out(
        &self,
        request: DurableRequest,
    ) -> Result<Option<public::Operation>, Status> {
        let endpoint = request.endpoint.clone();
        let request_id = request.delivery.request_id;
        self.router()
            .tenants()
            .enqueue(self.router(), &endpoint, request_id)
            .map_err(|exceeded| status::quota(exceeded, &endpoint.namespace()))?;
        if request.delivery.effect == Effectiveness::Rehearsed {
            self.accept(request).await?;
            return Ok(None);
        }
        let id = match request.delivery.wait {
            Wait::UntilAccepted => self.accept(request).await?,
            Wait::UntilFinished => self.finish(request).await?,
        };
        self.operation(&endpoint, id).await.map(Some)
    }

    async fn values_of(
        &self,
        request: DeviceRequest,
        timeout: Duration,
    ) -> Result<Response<public::ReadResponse>, Status> {
        let values = match self.ask(request, timeout).await?.0 {
            OperationOutcome::Delivered { values, .. } => path_values(values),
            _ => Vec::new(),
        };
        Ok(Response::new(public::ReadResponse { values }))
    }

    async fn accept(&self, request: DurableRequest) -> Result<OperationId, Status> {
        let shard = self.shard_of(&request.endpoint);
        let command = Command::Enqueue {
            endpoint: request.endpoint,
            operation: request.operation,
            deadline: Timestamp(clock::now_ms()).saturating_add(request.delivery.deadline),
            queueing: request.delivery.queueing,
        };
        let command = enqueue_once(command, request.delivery.effect);
        let accepted = self
            .router()
            .propose(shard, request.delivery.request_id, command, COMMIT_TIMEOUT)
            .await;
        match accepted.map_err(|error| status::propose(&error))? {
            Outcome::Enqueued { operation } => Ok(operation),
            Outcome::Rejected(rejection) => Err(status::rejection(rejection)),
            _ => Err(status::field(
                "delivery.request_id",
                &"was used for something else",
            )),
        }
    }

    /// Accepts the operation and waits for its end: a refusal by the device is an end like any other.
    async fn finish(&self, request: DurableRequest) -> Result<OperationId, Status> {
        let request_id = request
            .delivery
            .request_id
            .unwrap_or_else(|| self.router().request_id());
        let timeout = request.delivery.deadline;
        let response = self.operate(&request, timeout, request_id).await?;
        let id = response
            .operation
            .ok_or_else(|| status::not_found("the operation"))?;
        OperationId::try_from(id).map_err(|error| status::convert(&error))
    }

    async fn operate(
        &self,
        request: &DurableRequest,
        timeout: Duration,
        request_id: RequestId,
    ) -> Result<OperateResponse, Status> {
        let request = OperateRequest {
            endpoint: request.endpoint.stored().to_owned(),
            operation: Some(request.operation.clone().into()),
            timeout_ms: millis(timeout),
            request_id: Some(request_id.into()),
            priority: u32::from(request.delivery.queueing.priority),
            supersedes: request.delivery.queueing.supersedes,
            immediate: request.delivery.immediate,
        };
        self.state.operate_on(request, Origin::Caller).await
    }

    /// The links of a Discover. Only a registration names the alternate path that its device's links begin with.
    fn discovered(&self, endpoint: &DeviceName, links: &str) -> Result<ObjectLinks, Status> {
        let group = self.router().group_of(endpoint);
        let registration = group
            .store()
            .read(|tables| query::registration(tables, endpoint));
        let registered =
            registration.and_then(|registration| ObjectLinks::parse(&registration.links).ok());
        let root = registered.unwrap_or_default();
        ObjectLinks::parse_below(root.alternate_path(), links)
            .map_err(|error| status::delivery(&DeliveryError::BadAnswer(error.to_string())))
    }

    pub(super) fn device_request<R>(&self, asked: InNamespace<R>) -> Result<DeviceRequest, Status>
    where
        DeviceRequest: for<'r> TryFrom<Defined<'r, R>, Error = ConvertError>,
    {
        let request = DeviceRequest::try_from(Defined {
            request: asked.request,
            namespace: &asked.namespace,
            definitions: &self.definitions(),
        });
        request.map_err(|error| status::convert(&error))
    }

    pub(super) async fn operation(
        &self,
        endpoint: &DeviceName,
        id: OperationId,
    ) -> Result<public::Operation, Status> {
        let operations = self.known(endpoint, Known::Operation(id)).await?.operations;
        let found = operations.into_iter().find(|record| record.id == id);
        found
            .map(Into::into)
            .ok_or_else(|| status::not_found("the operation"))
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[tonic::async_trait]
impl Operations for Api {
    type ObserveStream = BoxStream<'static, Result<public::ObserveResponse, Status>>;
    type ObserveCompositeStream = Self::ObserveStream;

    async fn read(
        &self,
        request: Request<public::ReadRequest>,
    ) -> Result<Response<public::ReadResponse>, Status> {
        let timeout = patience(&request);
        self.values_of(self.device_request(tenant(request)?)?, timeout)
            .await
    }

    async fn read_composite(
        &self,
        request: Request<public::ReadCompositeRequest>,
    ) -> Result<Response<public::ReadResponse>, Status> {
        let timeout = patience(&request);
        self.values_of(self.device_request(tenant(request)?)?, timeout)
            .await
    }

    async fn write_composite(
        &self,
        request: Request<public::WriteCompositeRequest>,
    ) -> OperationResult {
        self.change(request).await
    }

    async fn send_raw(
        &self,
        request: Request<public::SendRawRequest>,
    ) -> Result<Response<public::SendRawResponse>, Status> {
        let timeout = patience(&request);
        let call = RawCall::try_from(tenant(request)?).map_err(|error| status::convert(&error))?;
        let response = match call {
            RawCall::AtOnce(request) => match self.ask(request, timeout).await?.0 {
                OperationOutcome::Answered {
                    code,
                    content_format,
                    payload,
                } => public::SendRawResponse {
                    answer: Some(raw_answer(code, content_format, payload)),
                    operation: None,
                },
                _ => return Err(Status::internal("a raw request ended otherwise")),
            },
            RawCall::Durable(request) => {
                let operation = self.carry_out(request).await?;
                public::SendRawResponse {
                    answer: operation
                        .as_ref()
                        .and_then(|operation| operation.answer.clone()),
                    operation,
                }
            }
        };
        Ok(Response::new(response))
    }

    async fn write(&self, request: Request<public::WriteRequest>) -> OperationResult {
        self.change(request).await
    }

    async fn execute(&self, request: Request<public::ExecuteRequest>) -> OperationResult {
        self.change(request).await
    }

    async fn discover(
        &self,
        request: Request<public::DiscoverRequest>,
    ) -> Result<Response<public::DiscoverResponse>, Status> {
        use public::discover_response::{Attribute, Link};
        let timeout = patience(&request);
        let request = self.device_request(tenant(request)?)?;
        let endpoint = request.endpoint.clone();
        let (_, links) = self.ask(request, timeout).await?;
        let links = self.discovered(&endpoint, &links)?;
        let attribute = |(name, value): &(String, Option<String>)| Attribute {
            name: name.clone(),
            value: value.clone(),
        };
        let link = |link: &lwm2m::Link| Link {
            path: link.path.to_string(),
            attributes: link.attributes.iter().map(attribute).collect(),
        };
        Ok(Response::new(public::DiscoverResponse {
            links: links
                .iter()
                .filter(|link| link.path != Path::Root)
                .map(link)
                .collect(),
        }))
    }

    async fn list_children(
        &self,
        request: Request<public::ListChildrenRequest>,
    ) -> Result<Response<public::ListChildrenResponse>, Status> {
        let timeout = patience(&request);
        let asked = tenant(request)?;
        let request = DeviceRequest {
            endpoint: named(&asked.namespace, &asked.request.endpoint)?,
            operation: Operation::Read {
                path: Path::Object(GATEWAY),
                accept: None,
            },
        };
        let children = match self.ask(request, timeout).await?.0 {
            OperationOutcome::Delivered { values, .. } => children(values),
            _ => Vec::new(),
        };
        Ok(Response::new(public::ListChildrenResponse { children }))
    }

    async fn observe(
        &self,
        request: Request<public::ObserveRequest>,
    ) -> Result<Response<Self::ObserveStream>, Status> {
        let request = self.device_request(tenant(request)?)?;
        self.start_observing(request).await.map(Response::new)
    }

    async fn observe_composite(
        &self,
        request: Request<public::ObserveCompositeRequest>,
    ) -> Result<Response<Self::ObserveStream>, Status> {
        let request = self.device_request(tenant(request)?)?;
        self.start_observing(request).await.map(Response::new)
    }

    async fn create_instance(
        &self,
        request: Request<public::CreateInstanceRequest>,
    ) -> OperationResult {
        self.change(request).await
    }

    async fn delete_instance(
        &self,
        request: Request<public::DeleteInstanceRequest>,
    ) -> OperationResult {
        self.change(request).await
    }

    async fn write_attributes(
        &self,
        request: Request<public::WriteAttributesRequest>,
    ) -> OperationResult {
        self.change(request).await
    }

    async fn get_operation(
        &self,
        request: Request<public::GetOperationRequest>,
    ) -> Result<Response<public::Operation>, Status> {
        let target =
            OperationTarget::try_from(tenant(request)?).map_err(|error| status::convert(&error))?;
        self.operation(&target.endpoint, target.operation)
            .await
            .map(Response::new)
    }

    async fn list_operations(
        &self,
        request: Request<public::ListOperationsRequest>,
    ) -> Result<Response<public::ListOperationsResponse>, Status> {
        self.list_records(tenant(request)?).await.map(Response::new)
    }

    async fn wait_operation(
        &self,
        request: Request<public::WaitOperationRequest>,
    ) -> Result<Response<public::Operation>, Status> {
        let patience = patience(&request);
        let wait =
            WaitTarget::try_from(tenant(request)?).map_err(|error| status::convert(&error))?;
        let timeout = wait
            .timeout
            .map_or(patience, |timeout| timeout.min(patience));
        self.wait_for(&wait.target, timeout)
            .await
            .map(Response::new)
    }

    async fn cancel_operation(
        &self,
        request: Request<public::CancelOperationRequest>,
    ) -> Result<Response<public::Operation>, Status> {
        let target =
            OperationTarget::try_from(tenant(request)?).map_err(|error| status::convert(&error))?;
        let shard = self.shard_of(&target.endpoint);
        // Found first: an operation that is unknown is told from one that can no longer be cancelled.
        self.operation(&target.endpoint, target.operation).await?;
        let command = Command::Cancel {
            endpoint: target.endpoint.clone(),
            operation: target.operation,
        };
        self.commit(shard, command).await?;
        self.operation(&target.endpoint, target.operation)
            .await
            .map(Response::new)
    }
}
