//! The stream to one state node.

use std::sync::Arc;
use std::time::Duration;

use device_state::{CredentialName, Namespace};
use proto::convert::ReportedContact;
use proto::rpc::v1::state_client::StateClient;
use proto::rpc::v1::{AttachDown, attach_down, attach_up};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tonic::Streaming;

use super::{
    Downlink, FailureReason, MAX_AWAKE, OperationAnswer, OperationKey, Streams, Up,
    device_operation, inquiry, wire_result,
};
use crate::backoff::Backoff;
use crate::link::Link;

/// How often it is looked whether something is to be made up for.
const MAKING_UP: Duration = Duration::from_secs(1);

/// What all streams of an attachment share.
#[derive(Clone, Debug)]
pub(super) struct Attachment {
    pub(super) namespace: Namespace,
    pub(super) hello: attach_up::Hello,
    pub(super) streams: Arc<Streams>,
    pub(super) down: mpsc::Sender<Downlink>,
}

/// Why a stream ended.
enum Ended {
    Broken,
    /// Nobody takes operations any more.
    Unused,
}

/// Closes the stream's way up however the task ends.
struct Open<'a> {
    streams: &'a Streams,
    stream: u64,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.streams.close(self.stream);
    }
}

/// Keeps a stream to one node, opened anew whenever it breaks.
pub(super) async fn keep(attachment: Attachment, link: Arc<Link>, open_timeout: Duration) {
    let mut backoff = Backoff::of_stream();
    loop {
        let (up, outgoing) = Up::new(MAX_AWAKE);
        // The greeting stands in the queue before the node can see the stream, and before any result.
        let _open = up.answer(attach_up::Kind::Hello(attachment.hello.clone()));
        let mut client = StateClient::new(link.channel.clone());
        match timeout(open_timeout, client.attach(outgoing)).await {
            Ok(Ok(response)) => {
                backoff = Backoff::of_stream();
                if matches!(
                    serve(&attachment, up, response.into_inner()).await,
                    Ended::Unused
                ) {
                    return;
                }
                tracing::info!(address = %link.address, "attachment to a state node broke");
            }
            refused => {
                tracing::debug!(address = %link.address, ?refused, "state node cannot be attached to");
            }
        }
        sleep(backoff.pause()).await;
    }
}

async fn serve(attachment: &Attachment, up: Up, mut incoming: Streaming<AttachDown>) -> Ended {
    let stream = attachment.streams.open(up.clone());
    let _open = Open {
        streams: &attachment.streams,
        stream,
    };
    let mut making_up = tokio::time::interval(MAKING_UP);
    loop {
        let message = tokio::select! {
            message = incoming.message() => message,
            () = attachment.down.closed() => return Ended::Unused,
            _ = making_up.tick() => {
                attachment.streams.make_up(stream);
                continue;
            }
        };
        let Ok(Some(AttachDown { kind })) = message else {
            return Ended::Broken;
        };
        // Of a later release: it is not meant for this one.
        let Some(kind) = kind else {
            continue;
        };
        let downlink = match kind {
            attach_down::Kind::Welcome(_) => continue,
            attach_down::Kind::Cancel(tag) => Downlink::Cancelled(OperationKey { stream, tag }),
            attach_down::Kind::Revoked(id) => match CredentialName::try_from(id) {
                Ok(name) if name.namespace == attachment.namespace => Downlink::Revoked(name.id),
                // Of another namespace, or of a later release: no session here is of such a credential.
                Ok(_) | Err(_) => continue,
            },
            attach_down::Kind::Contact(message) => {
                match inquiry(&attachment.namespace, stream, &message) {
                    Ok(Some(inquiry)) => Downlink::Inquiry(inquiry),
                    Ok(None) => {
                        let report = ReportedContact::default().into_report(message.tag);
                        let _open = up.answer(attach_up::Kind::Contact(report));
                        continue;
                    }
                    Err(error) => {
                        tracing::debug!(%error, "a contact is asked for of no endpoint");
                        continue;
                    }
                }
            }
            attach_down::Kind::Operation(operation) => {
                let tag = operation.tag;
                match device_operation(&attachment.namespace, stream, operation) {
                    Ok(operation) => Downlink::Operation(Box::new(operation)),
                    Err(error) => {
                        let reason = FailureReason::Invalid;
                        let answer = OperationAnswer::Failed {
                            reason,
                            message: error.to_string(),
                        };
                        let _open = up.answer(attach_up::Kind::Result(wire_result(tag, answer)));
                        continue;
                    }
                }
            }
        };
        if attachment.down.send(downlink).await.is_err() {
            return Ended::Unused;
        }
    }
}
