//! The attachment of an ingress node to the state tier: operations come down, their results go up.

mod stream;
mod supervisor;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use device_state::{
    CredentialId, DeviceName, DeviceNameError, Namespace, NodeId, OperationOutcome,
};
use futures::Stream;
use futures::stream::{PollNext, select_with_strategy};
use lwm2m::{EndpointName, Operation, RegistrationId};
use proto::convert::{ConvertError, ReportedContact};
use proto::rpc::v1::operation_result::{self, failure::Reason};
use proto::rpc::v1::{self as rpc, attach_up};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;

use crate::client::{Client, Shared};

/// Operations that wait to be taken. When there are more, the streams wait, and with them the state nodes.
const MAX_WAITING: usize = 4_096;

/// Answers that wait for one stream: more than a state node has operations that wait for them (65,536), and questions.
const MAX_ANSWERS: usize = 131_072;

/// Devices that are awake of which one stream has to tell yet. Of more it is told that any device may be.
const MAX_AWAKE: usize = 4_096;

/// Names an operation: the stream that it came on and its number there. Unique in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OperationKey {
    stream: u64,
    tag: u64,
}

/// An operation to carry out on a device.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceOperation {
    pub key: OperationKey,
    pub endpoint: EndpointName,
    /// The registration that the state tier knows; another one of the endpoint is not meant.
    pub registration: RegistrationId,
    pub operation: Operation,
    /// How long the state tier waits for the result.
    pub timeout: Duration,
}

/// A question for the contact with a device; every node is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactInquiry {
    pub key: OperationKey,
    pub endpoint: EndpointName,
}

/// What comes down.
#[derive(Clone, Debug, PartialEq)]
pub enum Downlink {
    Operation(Box<DeviceOperation>),
    /// Nobody waits for the operation any more: it is to be dropped if it was not sent.
    Cancelled(OperationKey),
    /// To be answered with [`AttachHandle::report`].
    Inquiry(ContactInquiry),
    /// Sessions of this credential are to end.
    Revoked(CredentialId),
}

/// How an operation ended on this node.
#[derive(Clone, Debug, PartialEq)]
pub enum OperationAnswer {
    /// The device answered.
    Answered {
        outcome: OperationOutcome,
        /// Discover: the links as the device sent them; otherwise empty.
        links: String,
    },
    /// It did not.
    Failed {
        reason: FailureReason,
        message: String,
    },
}

/// Why a device did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureReason {
    /// This node does not hold the device's session.
    NotHere,
    /// Sleeps in queue mode; nothing was sent.
    Asleep,
    /// Sent, and no answer came in time.
    Timeout,
    /// Too many operations are under way on the device or the node.
    Busy { retry_after: Option<Duration> },
    /// The device answered with something that cannot be decoded.
    BadAnswer,
    /// The operation cannot be expressed.
    Invalid,
}

/// The way up. Clones are cheap; the attachment ends with the last one.
#[derive(Clone, Debug)]
pub struct AttachHandle {
    namespace: Namespace,
    streams: Arc<Streams>,
    _supervisor: Arc<JoinSet<()>>,
}

/// The way down.
#[derive(Debug)]
pub struct DeviceOperations {
    operations: mpsc::Receiver<Downlink>,
}

impl DeviceOperations {
    /// The next operation; waits for it. `None` once the attachment ended. Safe to drop and call again.
    pub async fn next(&mut self) -> Option<Downlink> {
        self.operations.recv().await
    }
}

impl AttachHandle {
    /// Sends the result of an operation back to where it came from. When that stream has broken the result is dropped: the state
    /// tier has given the operation up.
    pub fn finish(&self, key: OperationKey, answer: OperationAnswer) {
        let result = attach_up::Kind::Result(wire_result(key.tag, answer));
        self.streams.send(key.stream, result);
    }

    /// Answers a question for the contact with a device; as [`Self::finish`].
    pub fn report(&self, key: OperationKey, contact: ReportedContact) {
        let report = attach_up::Kind::Contact(contact.into_report(key.tag));
        self.streams.send(key.stream, report);
    }

    /// The device can take operations now: it registered, updated or spoke. Goes to all state nodes, of which the one
    /// that leads its shard has use for it.
    pub fn awake(&self, endpoint: &EndpointName) {
        let device = DeviceName::new(&self.namespace, endpoint);
        let awake = attach_up::Awake {
            endpoint: device.stored().to_owned(),
        };
        self.streams.awake(&awake);
    }

    /// To how many state nodes this node is attached now.
    pub fn attached(&self) -> usize {
        self.streams.read().len()
    }
}

/// The streams that are open.
#[derive(Debug, Default)]
struct Streams {
    next: AtomicU64,
    open: RwLock<HashMap<u64, WayUp>>,
}

/// The way up one stream.
#[derive(Clone, Debug)]
struct Up {
    /// There is room for all that a state node waits for. None may be lost for want of it while ten thousand devices wake up at
    /// once: the state node would wait for the answer of a device that has given it.
    answers: mpsc::Sender<rpc::AttachUp>,
    awake: mpsc::Sender<rpc::AttachUp>,
}

/// An open stream.
#[derive(Debug)]
struct WayUp {
    up: Up,
    /// There was no room to say of a device that it is awake.
    missed: AtomicBool,
}

impl Up {
    /// With what comes out of it: answers first.
    fn new(awake: usize) -> (Self, impl Stream<Item = rpc::AttachUp> + Send + 'static) {
        let (answers, answered) = mpsc::channel(MAX_ANSWERS);
        let (awake, awoken) = mpsc::channel(awake);
        let outgoing = select_with_strategy(
            ReceiverStream::new(answered),
            ReceiverStream::new(awoken),
            |(): &mut ()| PollNext::Left,
        );
        (Self { answers, awake }, outgoing)
    }

    /// False if the stream has ended, or the state node is not as it should be.
    fn answer(&self, kind: attach_up::Kind) -> bool {
        self.answers
            .try_send(rpc::AttachUp { kind: Some(kind) })
            .is_ok()
    }

    /// False if there is no room.
    fn tell_awake(&self, awake: attach_up::Awake) -> bool {
        let kind = Some(attach_up::Kind::Awake(awake));
        self.awake.try_send(rpc::AttachUp { kind }).is_ok()
    }
}

impl Streams {
    fn read(&self) -> RwLockReadGuard<'_, HashMap<u64, WayUp>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, stream: u64, kind: attach_up::Kind) {
        let dropped = match self.read().get(&stream) {
            Some(way) => !way.up.answer(kind),
            None => true,
        };
        if dropped {
            tracing::debug!(stream, "a result could not be handed back");
        }
    }

    fn awake(&self, awake: &attach_up::Awake) {
        for way in self.read().values() {
            if !way.up.tell_awake(awake.clone()) {
                way.missed.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Makes up for what there was no room to say: any device may be awake.
    fn make_up(&self, stream: u64) {
        let open = self.read();
        if let Some(way) = open.get(&stream)
            // While there is hardly any room, those that are known to be awake need it more.
            && way.up.awake.capacity() > way.up.awake.max_capacity() / 2
            && way.missed.swap(false, Ordering::Relaxed)
            // An Awake of no endpoint in particular.
            && !way.up.tell_awake(attach_up::Awake::default())
        {
            way.missed.store(true, Ordering::Relaxed);
        }
    }

    fn open(&self, up: Up) -> u64 {
        let stream = self.next.fetch_add(1, Ordering::Relaxed);
        self.open
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(
                stream,
                WayUp {
                    up,
                    // What happened while it was being opened went nowhere.
                    missed: AtomicBool::new(true),
                },
            );
        stream
    }

    fn close(&self, stream: u64) {
        self.open
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&stream);
    }
}

/// Starts the attachment. The client is kept alive by it, so that the topology stays fresh.
pub(crate) fn start(
    shared: Arc<Shared>,
    client: Client,
    node: NodeId,
    name: &str,
) -> (AttachHandle, DeviceOperations) {
    let (down, operations) = mpsc::channel(MAX_WAITING);
    let streams = Arc::new(Streams::default());
    let hello = attach_up::Hello {
        node: node.0,
        name: name.to_owned(),
        reports_contact: true,
    };
    let namespace = shared.config.namespace.clone();
    let attachment = stream::Attachment {
        namespace: namespace.clone(),
        hello,
        streams: streams.clone(),
        down,
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(supervisor::run(shared, client, attachment));
    (
        AttachHandle {
            namespace,
            streams,
            _supervisor: Arc::new(tasks),
        },
        DeviceOperations { operations },
    )
}

fn wire_result(tag: u64, answer: OperationAnswer) -> rpc::OperationResult {
    use operation_result::{Failure, Kind};
    match answer {
        OperationAnswer::Answered { outcome, links } => rpc::OperationResult {
            tag,
            kind: Some(Kind::Outcome(outcome.into())),
            links,
        },
        OperationAnswer::Failed { reason, message } => {
            let (reason, retry_after) = wire_reason(reason);
            let retry_after_ms = u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX);
            let failure = Failure {
                reason: reason.into(),
                message,
                retry_after_ms,
            };
            rpc::OperationResult {
                tag,
                kind: Some(Kind::Failure(failure)),
                links: String::new(),
            }
        }
    }
}

fn wire_reason(reason: FailureReason) -> (Reason, Duration) {
    match reason {
        FailureReason::NotHere => (Reason::NotHere, Duration::ZERO),
        FailureReason::Asleep => (Reason::Asleep, Duration::ZERO),
        FailureReason::Timeout => (Reason::Timeout, Duration::ZERO),
        FailureReason::Busy { retry_after } => (Reason::Busy, retry_after.unwrap_or_default()),
        FailureReason::BadAnswer => (Reason::BadAnswer, Duration::ZERO),
        FailureReason::Invalid => (Reason::Invalid, Duration::ZERO),
    }
}

/// The endpoint of a device of the namespace; `None` if it is in another one.
fn ours(namespace: &Namespace, text: &str) -> Result<Option<EndpointName>, DeviceNameError> {
    let device = DeviceName::parse(text)?;
    Ok(device.is_in(namespace).then(|| device.endpoint()))
}

fn device_operation(
    namespace: &Namespace,
    stream: u64,
    message: rpc::DeviceOperation,
) -> Result<DeviceOperation, ConvertError> {
    let invalid = |field: &str, reason| ConvertError {
        field: field.to_owned(),
        reason,
    };
    let operation = message
        .operation
        .ok_or_else(|| invalid("operation", proto::convert::Reason::Missing))?;
    Ok(DeviceOperation {
        key: OperationKey {
            stream,
            tag: message.tag,
        },
        endpoint: ours(namespace, &message.endpoint)
            .map_err(|error| invalid("endpoint", error.into()))?
            .ok_or_else(|| invalid("endpoint", DeviceNameError::Form.into()))?,
        registration: RegistrationId::new(&message.registration)
            .map_err(|error| invalid("registration", error.into()))?,
        operation: operation.try_into()?,
        timeout: Duration::from_millis(message.timeout_ms.into()),
    })
}

/// `None` if it is about a device of another namespace, of which nothing can be known here.
fn inquiry(
    namespace: &Namespace,
    stream: u64,
    message: &rpc::ContactInquiry,
) -> Result<Option<ContactInquiry>, DeviceNameError> {
    let key = OperationKey {
        stream,
        tag: message.tag,
    };
    let endpoint = ours(namespace, &message.endpoint)?;
    Ok(endpoint.map(|endpoint| ContactInquiry { key, endpoint }))
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _};

    use super::*;

    #[test]
    fn answers_find_room_however_many_devices_wake_up() {
        let streams = Streams::default();
        let (up, sent) = Up::new(2);
        let stream = streams.open(up);
        for number in 0..9 {
            let endpoint = format!("device-{number}");
            streams.awake(&attach_up::Awake { endpoint });
        }
        for tag in 0..9 {
            let failed = OperationAnswer::Failed {
                reason: FailureReason::NotHere,
                message: String::new(),
            };
            streams.send(stream, attach_up::Kind::Result(wire_result(tag, failed)));
        }
        let results = sent.take(9).filter_map(|message| async move {
            match message.kind {
                Some(attach_up::Kind::Result(result)) => Some(result.tag),
                _ => None,
            }
        });
        let results: Option<Vec<u64>> = results.collect::<Vec<_>>().now_or_never();
        assert_eq!(results, Some((0..9).collect()));
    }

    #[test]
    fn who_is_awake_is_made_up_for_once_there_is_room() {
        let streams = Streams::default();
        let (up, sent) = Up::new(2);
        let mut sent = Box::pin(sent);
        let stream = streams.open(up);
        let awake = |endpoint: &str| attach_up::Awake {
            endpoint: endpoint.to_owned(),
        };
        let mut next = || {
            let message = sent.next().now_or_never()??;
            match message.kind {
                Some(attach_up::Kind::Awake(awake)) => Some(awake.endpoint),
                other => panic!("{other:?}"),
            }
        };
        // What happened while the stream was being opened.
        streams.make_up(stream);
        assert_eq!(next().as_deref(), Some(""));
        streams.make_up(stream);
        assert_eq!(next(), None);
        for endpoint in ["first", "second", "third"] {
            streams.awake(&awake(endpoint));
        }
        streams.make_up(stream);
        assert_eq!(next().as_deref(), Some("first"));
        streams.make_up(stream);
        assert_eq!(next().as_deref(), Some("second"));
        assert_eq!(next(), None);
        streams.make_up(stream);
        assert_eq!(next().as_deref(), Some(""));
        streams.make_up(stream);
        assert_eq!(next(), None);
    }
}
