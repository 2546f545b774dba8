//! Calls about one device: operations, and everything that is known of it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use device_state::query::DeviceView;
use device_state::{
    AccessRule, BootstrapRecord, DeviceName, OperationId, OperationOutcome, RequestId, Revision,
    ShardId,
};
use lwm2m::{EndpointName, Operation};
use proto::convert::{ConvertError, PreparedAccount, device_view};
use proto::rpc::v1::state_client::StateClient;
use proto::rpc::v1::{
    DescribeDeviceRequest, FinishBootstrapRequest, OperateRequest, OperateResponse,
    PrepareBootstrapRequest,
};
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;

use super::Client;
use crate::backoff::Backoff;
use crate::error::{AnswerError, BootstrapError, DescribeError, OperateError};
use crate::link::Link;

/// What an operation led to.
#[derive(Clone, Debug, PartialEq)]
pub struct OperateAnswer {
    pub outcome: OperationOutcome,
    /// Discover: the links as the device sent them; otherwise empty.
    pub links: String,
    /// The operation's id, if it was committed.
    pub operation: Option<OperationId>,
}

/// Whether a device proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    Given,
    /// It gets no keys.
    Missing,
}

/// The accounts that a bootstrap is to give a device.
#[derive(Clone, Debug)]
pub struct PreparedBootstrap {
    /// The name of the profile that they follow.
    pub profile: String,
    pub accounts: Vec<PreparedAccount>,
    /// Who may do what with the device.
    pub access: Vec<AccessRule>,
}

/// Why an attempt at a call of the leader gave nothing.
pub(super) enum Unary {
    Deadline,
    Unavailable,
    Refused(Status),
}

impl Client {
    /// Carries out an operation on a device and waits for its answer. What changes the device is committed first, with
    /// one request id however often it is tried.
    pub async fn operate(
        &self,
        endpoint: &EndpointName,
        operation: Operation,
        timeout: Duration,
    ) -> Result<OperateAnswer, OperateError> {
        let request_id = self.shared.request_id();
        self.operate_as(request_id, endpoint, operation, timeout)
            .await
    }

    /// As [`Client::operate`], with the request id of a caller who repeats its own request.
    pub async fn operate_as(
        &self,
        request_id: RequestId,
        endpoint: &EndpointName,
        operation: Operation,
        timeout: Duration,
    ) -> Result<OperateAnswer, OperateError> {
        let deadline = Instant::now() + timeout;
        let endpoint = &self.device(endpoint);
        let operation = proto::storage::v1::Operation::from(operation);
        let call = |mut client: StateClient<Channel>, left: Duration| {
            let request = OperateRequest {
                endpoint: endpoint.stored().to_owned(),
                operation: Some(operation.clone()),
                timeout_ms: millis(left),
                request_id: Some(request_id.into()),
                ..OperateRequest::default()
            };
            async move { client.operate(with_timeout(request, left)).await }
        };
        let response = self.at_leader(endpoint, deadline, call).await?;
        operate_answer(response)
    }

    /// Everything that is stored of a device, and the revision of its shard at which that was so.
    pub async fn describe_device(
        &self,
        endpoint: &EndpointName,
        timeout: Duration,
    ) -> Result<(DeviceView, Revision), DescribeError> {
        let deadline = Instant::now() + timeout;
        let endpoint = &self.device(endpoint);
        let call = |mut client: StateClient<Channel>, left: Duration| {
            let request = DescribeDeviceRequest {
                endpoint: endpoint.stored().to_owned(),
                operation: None,
            };
            async move { client.describe_device(with_timeout(request, left)).await }
        };
        let response = self.at_leader(endpoint, deadline, call).await?;
        Ok(device_view(endpoint, response).map_err(AnswerError::from)?)
    }

    /// Makes the accounts that a bootstrap is to give a device; their credentials are good from now on.
    pub async fn prepare_bootstrap(
        &self,
        endpoint: &EndpointName,
        proof: Proof,
        timeout: Duration,
    ) -> Result<PreparedBootstrap, BootstrapError> {
        let deadline = Instant::now() + timeout;
        let endpoint = &self.device(endpoint);
        let call = |mut client: StateClient<Channel>, left: Duration| {
            let request = PrepareBootstrapRequest {
                endpoint: endpoint.stored().to_owned(),
                proved: proof == Proof::Given,
            };
            async move { client.prepare_bootstrap(with_timeout(request, left)).await }
        };
        let response = self.at_leader(endpoint, deadline, call).await?;
        let unreadable = |error: ConvertError| BootstrapError::Unavailable(error.to_string());
        let accounts = response.accounts.into_iter().map(PreparedAccount::try_from);
        let access = response.access.into_iter().map(AccessRule::try_from);
        Ok(PreparedBootstrap {
            profile: response.profile,
            accounts: accounts.collect::<Result<_, _>>().map_err(unreadable)?,
            access: access.collect::<Result<_, _>>().map_err(unreadable)?,
        })
    }

    /// Keeps what came of a bootstrap for which credentials with these ids were made.
    pub async fn finish_bootstrap(
        &self,
        record: BootstrapRecord,
        made: Vec<Vec<u8>>,
        timeout: Duration,
    ) -> Result<(), BootstrapError> {
        let deadline = Instant::now() + timeout;
        let endpoint = record.endpoint.clone();
        let record = proto::storage::v1::BootstrapRecord::from(record);
        let call = |mut client: StateClient<Channel>, left: Duration| {
            let request = FinishBootstrapRequest {
                record: Some(record.clone()),
                made: made.clone(),
            };
            async move { client.finish_bootstrap(with_timeout(request, left)).await }
        };
        self.at_leader(&endpoint, deadline, call).await?;
        Ok(())
    }

    /// Calls the leader of the endpoint's shard, again while it is unavailable and there is time.
    async fn at_leader<T, F, Fut>(
        &self,
        endpoint: &DeviceName,
        deadline: Instant,
        call: F,
    ) -> Result<T, Unary>
    where
        F: Fn(StateClient<Channel>, Duration) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let topology = timeout_at(deadline, self.ready())
            .await
            .map_err(|_| Unary::Unavailable)?;
        self.at_leader_of(topology.shard_of(endpoint), deadline, call)
            .await
    }

    /// As [`Client::at_leader`], of a shard.
    pub(super) async fn at_leader_of<T, F, Fut>(
        &self,
        shard: ShardId,
        deadline: Instant,
        call: F,
    ) -> Result<T, Unary>
    where
        F: Fn(StateClient<Channel>, Duration) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let mut backoff = Backoff::of_call();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let failure = match self.leader(shard) {
                None => Unary::Unavailable,
                Some(link) => {
                    let client = StateClient::new(link.channel.clone())
                        .max_decoding_message_size(MAX_MESSAGE_BYTES);
                    match timeout_at(deadline, call(client, left)).await {
                        Ok(Ok(response)) => return Ok(response.into_inner()),
                        Ok(Err(status)) if is_unreachable(&status) => Unary::Unavailable,
                        Ok(Err(status)) => return Err(Unary::Refused(status)),
                        Err(_) => return Err(Unary::Deadline),
                    }
                }
            };
            self.shared.refresh.notify_one();
            sleep_until((Instant::now() + backoff.pause()).min(deadline)).await;
            if Instant::now() >= deadline {
                return Err(failure);
            }
        }
    }

    fn leader(&self, shard: ShardId) -> Option<Arc<Link>> {
        self.shared.route(shard)
    }
}

/// Operations of a device with large values exceed tonic's default of 4 MiB.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// Reasons by which a state node says that another node, or a later moment, will answer.
const PASSING: [&str; 2] = ["NO_LEADER", "NODE_STOPS"];

/// Whether the node could not be reached, or cannot answer for the shard at this moment. What a leader says of a device
/// that cannot be reached has the same code, but another reason.
fn is_unreachable(status: &Status) -> bool {
    let passing = || {
        status
            .get_details_error_info()
            .is_some_and(|info| PASSING.contains(&info.reason.as_str()))
    };
    let unavailable =
        status.code() == Code::Unavailable && (status.details().is_empty() || passing());
    unavailable || proto::broken_connection(status).is_some()
}

/// The server gives up with the caller.
pub(super) fn with_timeout<T>(message: T, left: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(left);
    request
}

/// How long the state node waits for the device: a little less than the caller, so that its answer "not yet" arrives.
fn millis(left: Duration) -> u32 {
    let way_back = (left / 10).min(Duration::from_millis(200));
    u32::try_from((left.saturating_sub(way_back)).as_millis())
        .unwrap_or(u32::MAX)
        .max(1)
}

fn operate_answer(response: OperateResponse) -> Result<OperateAnswer, OperateError> {
    let operation = response
        .operation
        .map(OperationId::try_from)
        .transpose()
        .map_err(AnswerError::from)?;
    match (response.outcome, operation) {
        (Some(outcome), operation) => Ok(OperateAnswer {
            outcome: outcome.try_into().map_err(AnswerError::from)?,
            links: response.links,
            operation,
        }),
        (None, Some(operation)) => Err(OperateError::StillRunning { operation }),
        (None, None) => Err(AnswerError::Mismatch.into()),
    }
}

impl From<Unary> for OperateError {
    fn from(failure: Unary) -> Self {
        match failure {
            Unary::Deadline => Self::Deadline,
            Unary::Unavailable => Self::Unavailable,
            Unary::Refused(status) => Self::Refused(Box::new(status)),
        }
    }
}

impl From<Unary> for BootstrapError {
    fn from(failure: Unary) -> Self {
        match failure {
            Unary::Refused(status) if status.code() == Code::NotFound => Self::NoProfile,
            Unary::Refused(status) if status.code() == Code::PermissionDenied => Self::NotAllowed,
            Unary::Refused(status) => Self::Unavailable(status.message().to_owned()),
            Unary::Deadline => Self::Unavailable("no answer in time".to_owned()),
            Unary::Unavailable => {
                Self::Unavailable("no state node could be reached in time".to_owned())
            }
        }
    }
}

impl From<Unary> for DescribeError {
    fn from(failure: Unary) -> Self {
        match failure {
            Unary::Deadline => Self::Deadline,
            Unary::Unavailable => Self::Unavailable,
            Unary::Refused(status) => Self::Refused(Box::new(status)),
        }
    }
}
