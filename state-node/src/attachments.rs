//! The ingress nodes that are attached to this node: operations go down their streams, results come up.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use device_state::{CredentialName, DeviceName, NodeId, OperationOutcome};
use lwm2m::{Operation, RegistrationId};
use proto::convert::ReportedContact;
use proto::rpc::v1::attach_up::Hello;
use proto::rpc::v1::operation_result::failure::Reason;
use proto::rpc::v1::operation_result::{Failure, Kind};
use proto::rpc::v1::{
    AttachDown, ContactInquiry, ContactReport, DeviceOperation, OperationResult, attach_down,
};
use tokio::sync::{mpsc, oneshot};

use crate::config::Config;

/// Operations that may wait to be written to one ingress node.
const DOWN_QUEUE: usize = 1_024;
/// Operations that one ingress node may have unanswered.
const MAX_WAITING: usize = 65_536;
/// An answer may take this much longer than the ingress node was told to wait for the device.
const ANSWER_MARGIN: Duration = Duration::from_secs(2);
/// How long an ingress node may take to say what it knows of a device without asking it.
const REPORT_PATIENCE: Duration = Duration::from_secs(1);

/// What a device answered.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceAnswer {
    pub outcome: OperationOutcome,
    /// The links of a Discover, as the device sent them.
    pub links: String,
}

/// Why a device did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    #[error("the device is not registered")]
    NotRegistered,
    #[error("the ingress node that holds the device cannot be reached")]
    NoIngress,
    #[error("the device sleeps")]
    Asleep,
    #[error("the device is in quarantine: its enrollment policy says so")]
    Quarantined,
    #[error("the device did not answer in time")]
    Timeout,
    #[error("the device has too much to do")]
    Busy { retry_after: Duration },
    #[error("the device's answer makes no sense: {0}")]
    BadAnswer(String),
    #[error("the operation cannot be sent: {0}")]
    Invalid(String),
}

/// One operation on its way.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub endpoint: DeviceName,
    pub registration: RegistrationId,
    pub operation: Operation,
    pub timeout: Duration,
}

/// All attached ingress nodes.
#[derive(Debug)]
pub struct Attachments {
    nodes: Mutex<HashMap<NodeId, Arc<Attachment>>>,
    next_tag: AtomicU64,
    /// For how long they take a device in queue mode to be awake.
    awake_window: Duration,
}

impl Default for Attachments {
    fn default() -> Self {
        Self::new(Config::default().awake_window)
    }
}

/// One attached ingress node.
#[derive(Debug)]
pub struct Attachment {
    node: NodeId,
    down: mpsc::Sender<AttachDown>,
    waiting: Mutex<HashMap<u64, oneshot::Sender<OperationResult>>>,
    /// Whether it can be asked for contacts.
    reports_contact: bool,
    inquiring: Mutex<HashMap<u64, oneshot::Sender<ContactReport>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Attachments {
    /// Without any node attached. They take a device in queue mode to be awake for `awake_window` after its last
    /// message, unless it said otherwise.
    pub fn new(awake_window: Duration) -> Self {
        Self {
            nodes: Mutex::default(),
            next_tag: AtomicU64::new(0),
            awake_window,
        }
    }

    /// For how long ingress nodes take a device in queue mode to be awake that says nothing of its sleep.
    pub const fn awake_window(&self) -> Duration {
        self.awake_window
    }

    /// Attaches an ingress node in place of an older stream of the same one. Messages for it come out of the receiver.
    pub fn attach(&self, hello: &Hello) -> (Arc<Attachment>, mpsc::Receiver<AttachDown>) {
        let (down, messages) = mpsc::channel(DOWN_QUEUE);
        let node = NodeId(hello.node);
        let attachment = Arc::new(Attachment {
            node,
            down,
            waiting: Mutex::default(),
            reports_contact: hello.reports_contact,
            inquiring: Mutex::default(),
        });
        let before = lock(&self.nodes).insert(node, attachment.clone());
        if let Some(before) = before {
            before.close();
        }
        (attachment, messages)
    }

    /// Ends an attachment; what it had not answered fails.
    pub fn detach(&self, attachment: &Arc<Attachment>) {
        let mut nodes = lock(&self.nodes);
        if nodes
            .get(&attachment.node)
            .is_some_and(|current| Arc::ptr_eq(current, attachment))
        {
            nodes.remove(&attachment.node);
        }
        drop(nodes);
        attachment.close();
    }

    /// How many ingress nodes are attached.
    pub fn len(&self) -> usize {
        lock(&self.nodes).len()
    }

    /// Whether no ingress node is attached.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells every ingress node to end the sessions of a credential; one whose queue is full is not told.
    pub fn tell_revoked(&self, credential: &CredentialName) {
        for attachment in lock(&self.nodes).values() {
            let kind = attach_down::Kind::Revoked(credential.clone().into());
            if attachment
                .down
                .try_send(AttachDown { kind: Some(kind) })
                .is_err()
            {
                tracing::debug!(node = %attachment.node, "an ingress node is not told of a revocation");
            }
        }
    }

    /// What each attached ingress node says of its contact with a device. One that does not answer is left out.
    pub async fn contacts(&self, endpoint: &DeviceName) -> Vec<(NodeId, ReportedContact)> {
        let asked: Vec<_> = lock(&self.nodes)
            .values()
            .filter(|attachment| attachment.reports_contact)
            .map(|attachment| {
                (
                    self.next_tag.fetch_add(1, Ordering::Relaxed),
                    attachment.clone(),
                )
            })
            .collect();
        let reports = asked.iter().map(async |(tag, attachment)| {
            let report = attachment.inquire(*tag, endpoint).await?;
            let report = ReportedContact::try_from(report);
            let report =
                report.inspect_err(|error| tracing::debug!(%error, "a contact makes no sense"));
            Some((attachment.node, report.ok()?))
        });
        let reports = futures::future::join_all(reports).await;
        reports.into_iter().flatten().collect()
    }

    /// Sends an operation to the ingress node `owner` and waits for the device's answer. Dropping the future takes the
    /// operation back if it was not sent to the device yet.
    pub async fn deliver(
        &self,
        owner: NodeId,
        delivery: Delivery,
    ) -> Result<DeviceAnswer, DeliveryError> {
        let attachment = lock(&self.nodes)
            .get(&owner)
            .cloned()
            .ok_or(DeliveryError::NoIngress)?;
        let tag = self.next_tag.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        {
            let mut waiting = lock(&attachment.waiting);
            if waiting.len() >= MAX_WAITING {
                return Err(DeliveryError::Busy {
                    retry_after: Duration::from_secs(1),
                });
            }
            waiting.insert(tag, sender);
        }
        let patience = delivery.timeout + ANSWER_MARGIN;
        let mut waiter = Waiter {
            attachment: &attachment,
            tag,
            answered: false,
        };
        let operation = DeviceOperation {
            tag,
            endpoint: delivery.endpoint.stored().to_owned(),
            registration: delivery.registration.as_str().to_owned(),
            operation: Some(delivery.operation.into()),
            timeout_ms: u32::try_from(delivery.timeout.as_millis()).unwrap_or(u32::MAX),
        };
        let down = AttachDown {
            kind: Some(attach_down::Kind::Operation(operation)),
        };
        attachment
            .down
            .try_send(down)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => DeliveryError::Busy {
                    retry_after: Duration::from_secs(1),
                },
                mpsc::error::TrySendError::Closed(_) => DeliveryError::NoIngress,
            })?;
        let result = tokio::time::timeout(patience, answer)
            .await
            .map_err(|_| DeliveryError::Timeout)?;
        waiter.answered = true;
        into_answer(result.map_err(|_| DeliveryError::NoIngress)?)
    }
}

impl Attachment {
    /// Takes a result that came up the stream.
    pub fn result(&self, result: OperationResult) {
        if let Some(waiter) = lock(&self.waiting).remove(&result.tag) {
            // A caller that gave up needs no answer.
            drop(waiter.send(result));
        }
    }

    /// Takes a report that came up the stream.
    pub fn report(&self, report: ContactReport) {
        if let Some(waiter) = lock(&self.inquiring).remove(&report.tag) {
            // Who gave up needs none.
            drop(waiter.send(report));
        }
    }

    fn await_report(&self, tag: u64) -> oneshot::Receiver<ContactReport> {
        let (sender, report) = oneshot::channel();
        let mut inquiring = lock(&self.inquiring);
        // Whoever asked may be gone, and the node may never answer.
        inquiring.retain(|_, waiter| !waiter.is_closed());
        inquiring.insert(tag, sender);
        report
    }

    /// Asks the node what it knows of a device.
    async fn inquire(&self, tag: u64, endpoint: &DeviceName) -> Option<ContactReport> {
        let report = self.await_report(tag);
        let inquiry = ContactInquiry {
            tag,
            endpoint: endpoint.stored().to_owned(),
        };
        let down = AttachDown {
            kind: Some(attach_down::Kind::Contact(inquiry)),
        };
        let sent = self.down.try_send(down).is_ok();
        let report = if sent {
            tokio::time::timeout(REPORT_PATIENCE, report).await.ok()
        } else {
            None
        };
        lock(&self.inquiring).remove(&tag);
        report?.ok()
    }

    fn close(&self) {
        lock(&self.waiting).clear();
        lock(&self.inquiring).clear();
    }
}

/// Cancels when the caller goes before the answer comes.
struct Waiter<'a> {
    attachment: &'a Attachment,
    tag: u64,
    answered: bool,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if !self.answered && lock(&self.attachment.waiting).remove(&self.tag).is_some() {
            let cancel = AttachDown {
                kind: Some(attach_down::Kind::Cancel(self.tag)),
            };
            // With a full queue the operation is sent to the device after all; its answer is then dropped.
            drop(self.attachment.down.try_send(cancel));
        }
    }
}

fn into_answer(result: OperationResult) -> Result<DeviceAnswer, DeliveryError> {
    match result.kind {
        Some(Kind::Outcome(outcome)) => {
            let outcome = OperationOutcome::try_from(outcome);
            let outcome = outcome.map_err(|error| DeliveryError::BadAnswer(error.to_string()))?;
            Ok(DeviceAnswer {
                outcome,
                links: result.links,
            })
        }
        Some(Kind::Failure(failure)) => Err(into_error(failure)),
        None => Err(DeliveryError::BadAnswer(
            "the ingress node sent an empty result".to_owned(),
        )),
    }
}

fn into_error(failure: Failure) -> DeliveryError {
    match failure.reason() {
        Reason::NotHere | Reason::Unspecified => DeliveryError::NoIngress,
        Reason::Asleep => DeliveryError::Asleep,
        Reason::Timeout => DeliveryError::Timeout,
        Reason::Busy => DeliveryError::Busy {
            retry_after: Duration::from_millis(u64::from(failure.retry_after_ms).max(100)),
        },
        Reason::BadAnswer => DeliveryError::BadAnswer(failure.message),
        Reason::Invalid => DeliveryError::Invalid(failure.message),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use futures::FutureExt as _;

    use super::*;

    fn delivery() -> Delivery {
        Delivery {
            endpoint: DeviceName::parse("meter").unwrap(),
            registration: RegistrationId::new("0000abc").unwrap(),
            operation: Operation::Read {
                path: lwm2m::Path::Object(3),
                accept: None,
            },
            timeout: Duration::from_secs(5),
        }
    }

    fn hello() -> Hello {
        Hello {
            node: 1,
            name: "ingress".to_owned(),
            reports_contact: true,
        }
    }

    fn operation(down: Option<AttachDown>) -> DeviceOperation {
        match down.unwrap().kind.unwrap() {
            attach_down::Kind::Operation(operation) => operation,
            other => panic!("expected an operation, got {other:?}"),
        }
    }

    #[tokio::test]
    async fn an_answer_reaches_the_caller_that_waits_for_it() {
        let attachments = Attachments::default();
        let (attachment, mut down) = attachments.attach(&hello());
        let answer = attachments.deliver(NodeId(1), delivery());
        let device = async {
            let tag = operation(down.recv().await).tag;
            let outcome = OperationOutcome::Delivered {
                code: 69,
                values: Vec::new(),
            };
            attachment.result(OperationResult {
                tag,
                links: String::new(),
                kind: Some(Kind::Outcome(outcome.into())),
            });
        };
        let (answer, ()) = tokio::join!(answer, device);
        assert_eq!(
            answer.unwrap().outcome,
            OperationOutcome::Delivered {
                code: 69,
                values: Vec::new()
            }
        );
    }

    #[tokio::test]
    async fn a_lost_ingress_node_fails_what_it_had_not_answered() {
        let attachments = Attachments::default();
        let (attachment, mut down) = attachments.attach(&hello());
        let answer = attachments.deliver(NodeId(1), delivery());
        let loss = async {
            down.recv().await.unwrap();
            attachments.detach(&attachment);
        };
        let (answer, ()) = tokio::join!(answer, loss);
        assert_eq!(answer, Err(DeliveryError::NoIngress));
        assert_eq!(
            attachments.deliver(NodeId(1), delivery()).await,
            Err(DeliveryError::NoIngress)
        );
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_cancels() {
        let attachments = Attachments::default();
        let (_attachment, mut down) = attachments.attach(&hello());
        let call = tokio::time::timeout(
            Duration::from_millis(1),
            attachments.deliver(NodeId(1), delivery()),
        );
        assert!(call.await.is_err());
        let tag = operation(down.recv().await).tag;
        assert_eq!(
            down.recv().await.unwrap().kind,
            Some(attach_down::Kind::Cancel(tag))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn contacts_are_asked_of_all_nodes_that_can_tell() {
        let attachments = Attachments::default();
        let (attachment, mut down) = attachments.attach(&hello());
        let older = Hello {
            node: 2,
            reports_contact: false,
            ..hello()
        };
        let (_older, mut untold) = attachments.attach(&older);
        let third = Hello { node: 3, ..hello() };
        let (silent, _unanswered) = attachments.attach(&third);
        let endpoint = DeviceName::parse("meter").unwrap();
        let contacts = attachments.contacts(&endpoint);
        let node = async {
            let inquiry = match down.recv().await.unwrap().kind.unwrap() {
                attach_down::Kind::Contact(inquiry) => inquiry,
                other => panic!("{other:?}"),
            };
            assert_eq!(inquiry.endpoint, "meter");
            attachment.report(ReportedContact::default().into_report(inquiry.tag));
        };
        let (contacts, ()) = tokio::join!(contacts, node);
        assert_eq!(contacts, [(NodeId(1), ReportedContact::default())]);
        assert!(untold.try_recv().is_err());
        assert!(lock(&silent.inquiring).is_empty());
        // Who asks may go before the node answers.
        let given_up = silent.inquire(1, &endpoint).now_or_never();
        assert_eq!(given_up, None);
        assert_eq!(lock(&silent.inquiring).len(), 1);
        assert_eq!(silent.inquire(2, &endpoint).now_or_never(), None);
        assert_eq!(lock(&silent.inquiring).len(), 1);
    }
}
