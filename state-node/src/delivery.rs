//! Getting an operation to a device, on the leader of the device's shard.
//!
//! What does not change the device is sent at once and commits nothing. What changes it is committed first: it is
//! enqueued, and the [`Dispatcher`](dispatcher::Dispatcher) delivers it when the device can take it.

use std::sync::Arc;
use std::time::Duration;

use device_state::guard::Effectiveness;
use device_state::{
    Command, DeviceName, EnrollmentStanding, NodeId, OperationId, OperationOutcome, OperationState,
    Outcome, Queueing, Rejection, RequestId, query,
};
use lwm2m::{Operation, QueueMode};
use node_runtime::clock;
use proto::convert::public::enqueue_once;

use crate::attachments::{Attachments, Delivery, DeliveryError, DeviceAnswer};
use crate::raft::group::{Group, NotLeader};
use crate::raft::proposals::ProposeError;

pub mod dispatcher;
mod serve;

/// Between two looks at an operation's record while its end is waited for: the signal can be lost with the leadership.
const RECHECK: Duration = Duration::from_secs(1);

/// Why an operation has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperateError {
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    #[error(transparent)]
    Propose(#[from] ProposeError),
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The operation goes on; only the wait for its end is over.
    #[error("the operation has not ended yet")]
    StillRunning { operation: OperationId },
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Operated {
    pub answer: DeviceAnswer,
    /// Set for what was committed.
    pub operation: Option<OperationId>,
}

/// One operation that a caller asks for.
#[derive(Clone, Debug)]
pub struct OperateCall {
    pub endpoint: DeviceName,
    pub operation: Operation,
    pub timeout: Duration,
    pub request_id: Option<RequestId>,
    pub queueing: Queueing,
    /// Now or not at all.
    pub immediate: bool,
}

/// Carries out an operation and waits for its end. This node has to lead the device's shard.
pub async fn operate(
    group: &Group,
    attachments: &Attachments,
    call: OperateCall,
) -> Result<Operated, OperateError> {
    if call.operation.is_safe() {
        let answer = execute(group, attachments, call).await?;
        return Ok(Operated {
            answer,
            operation: None,
        });
    }
    if call.immediate {
        let window = attachments.awake_window();
        check_reachable(group, &call.endpoint, call.request_id, window).await?;
    }
    let deadline = tokio::time::Instant::now() + call.timeout;
    let command = Command::Enqueue {
        endpoint: call.endpoint.clone(),
        operation: call.operation,
        deadline: device_state::Timestamp(clock::now_ms()).saturating_add(call.timeout),
        queueing: call.queueing,
    };
    let command = enqueue_once(command, Effectiveness::Real);
    let operation = match group.proposer().propose(call.request_id, command).await? {
        Outcome::Enqueued { operation } => operation,
        Outcome::Rejected(rejection) => return Err(rejection.into()),
        // The request id belongs to another command.
        _ => return Err(Rejection::UnknownOperation.into()),
    };
    // Its deadline ends an operation; the little more is for the leader to notice.
    let ended = tokio::time::timeout_at(
        deadline + RECHECK * 3,
        ended(group, &call.endpoint, operation),
    )
    .await;
    let outcome = ended.map_err(|_| OperateError::StillRunning { operation })??;
    Ok(Operated {
        answer: DeviceAnswer {
            outcome,
            links: String::new(),
        },
        operation: Some(operation),
    })
}

/// Whether the device can be expected to take an operation at once.
async fn check_reachable(
    group: &Group,
    endpoint: &DeviceName,
    request_id: Option<RequestId>,
    awake_window: Duration,
) -> Result<(), OperateError> {
    let (known, registration, waits, power_saving) = group
        .read_current(|tables| {
            let queue = query::operations(tables, endpoint);
            let waits = queue.iter().any(|record| !record.is_finished());
            // A request that is repeated gets what it got first.
            let known = request_id.is_some_and(|id| query::is_remembered(tables, id));
            let registration = query::registration(tables, endpoint);
            let registration = registration.map(|live| (query::heard_at(tables, &live), live));
            let power_saving = query::power_saving(tables, endpoint);
            (known, registration, waits, power_saving)
        })
        .await?;
    if known {
        return Ok(());
    }
    let (heard_at, registration) = registration.ok_or(DeliveryError::NotRegistered)?;
    let enrollment = registration.enrollment.as_ref();
    if enrollment.is_some_and(|known| known.standing == EnrollmentStanding::Quarantined) {
        return Err(DeliveryError::Quarantined.into());
    }
    let silent = clock::now_ms().saturating_sub(heard_at.0);
    let window = power_saving.awake_window(awake_window);
    if registration.binding.queue_mode() == QueueMode::On
        && u128::from(silent) >= window.as_millis()
    {
        return Err(DeliveryError::Asleep.into());
    }
    if waits {
        let retry_after = RECHECK;
        return Err(DeliveryError::Busy { retry_after }.into());
    }
    Ok(())
}

async fn execute(
    group: &Group,
    attachments: &Attachments,
    call: OperateCall,
) -> Result<DeviceAnswer, OperateError> {
    let registration = group
        .read_current(|tables| query::registration(tables, &call.endpoint))
        .await?;
    let registration = registration.ok_or(DeliveryError::NotRegistered)?;
    let delivery = Delivery {
        endpoint: call.endpoint,
        registration: registration.id,
        operation: call.operation,
        timeout: call.timeout,
    };
    Ok(attachments.deliver(registration.owner, delivery).await?)
}

async fn ended(
    group: &Group,
    endpoint: &DeviceName,
    operation: OperationId,
) -> Result<OperationOutcome, OperateError> {
    loop {
        let signal = group.events().operation_finished(operation);
        let record = group
            .store()
            .read(|tables| query::operation(tables, endpoint, operation));
        match record.map(|record| record.state) {
            Some(OperationState::Finished { outcome, .. }) => return Ok(outcome),
            Some(OperationState::Pending | OperationState::InFlight { .. }) => {}
            None => return Err(Rejection::UnknownOperation.into()),
        }
        // Whether the signal came or the time passed, the record tells.
        drop(tokio::time::timeout(RECHECK, signal).await);
    }
}

/// What a dispatcher works with.
#[derive(Clone, Debug)]
pub struct DeliveryParts {
    pub node: NodeId,
    pub group: Arc<Group>,
    pub attachments: Arc<Attachments>,
    pub router: Arc<crate::router::Router>,
}
