//! The call stream to one node.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proto::rpc::v1::state_client::StateClient;
use proto::rpc::v1::{Call, CallBatch, CallResult, CallResults};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use super::{Answer, Request};

/// Calls in one message.
const MAX_BATCH: usize = 256;

/// Messages that wait for the transport; more calls stay in the queue and make the next message larger.
const MAX_MESSAGES: usize = 4;

/// Answers of a batch of large rows exceed tonic's default of 4 MiB.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// How often calls whose callers gave up are forgotten.
const SWEEP: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Pending {
    answer: oneshot::Sender<Answer>,
    _permit: OwnedSemaphorePermit,
}

/// Why a stream ended.
enum Ended {
    Broken,
    /// Nobody can send further calls and all are answered.
    Unused,
}

/// Serves the queue of one node until nobody can send to it any more. Opens a stream when there is something to send.
pub(super) async fn run(
    address: Arc<str>,
    channel: Channel,
    mut requests: mpsc::Receiver<Request>,
    open_timeout: Duration,
) {
    let mut waiting = Vec::with_capacity(MAX_BATCH);
    while requests.recv_many(&mut waiting, MAX_BATCH).await > 0 {
        let (messages, outgoing) = mpsc::channel(MAX_MESSAGES);
        let mut client =
            StateClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        match timeout(open_timeout, client.call(ReceiverStream::new(outgoing))).await {
            Ok(Ok(response)) => {
                let session = Session {
                    incoming: response.into_inner(),
                    next_tag: 0,
                    pending: HashMap::new(),
                    batch: Vec::new(),
                };
                let ended = session.serve(messages, &mut requests, &mut waiting).await;
                tracing::debug!(%address, "call stream ended");
                if matches!(ended, Ended::Unused) {
                    return;
                }
            }
            refused => {
                tracing::debug!(%address, ?refused, "call stream cannot be opened");
                answer_not_sent(&mut requests, &mut waiting);
            }
        }
    }
}

/// Everybody who waits for the stream learns that it is not there; each decides where to go next.
fn answer_not_sent(requests: &mut mpsc::Receiver<Request>, waiting: &mut Vec<Request>) {
    while let Ok(request) = requests.try_recv() {
        waiting.push(request);
    }
    for request in waiting.drain(..) {
        let _gone = request.answer.send(Answer::NotSent);
    }
}

struct Session {
    incoming: Streaming<CallResults>,
    next_tag: u64,
    pending: HashMap<u64, Pending>,
    batch: Vec<Call>,
}

impl Session {
    /// One loop for both directions: the calls under way need no lock.
    async fn serve(
        mut self,
        messages: mpsc::Sender<CallBatch>,
        requests: &mut mpsc::Receiver<Request>,
        waiting: &mut Vec<Request>,
    ) -> Ended {
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut senders_left = true;
        let ended = loop {
            for request in waiting.drain(..) {
                self.register(request);
            }
            if !senders_left && self.batch.is_empty() && self.pending.is_empty() {
                break Ended::Unused;
            }
            let room = MAX_BATCH.saturating_sub(self.batch.len());
            // Answers first: they free room. Then what is queued, then the message, so that it takes all there is.
            tokio::select! {
                biased;
                results = self.incoming.message() => match results {
                    Ok(Some(results)) => self.answer(results),
                    Ok(None) | Err(_) => break Ended::Broken,
                },
                taken = requests.recv_many(waiting, room), if room > 0 && senders_left => senders_left = taken > 0,
                permit = messages.reserve(), if !self.batch.is_empty() => match permit {
                    Ok(permit) => permit.send(CallBatch { calls: std::mem::take(&mut self.batch) }),
                    Err(_) => break Ended::Broken,
                },
                _ = sweep.tick() => self.pending.retain(|_, call| !call.answer.is_closed()),
            }
        };
        for (_, call) in self.pending.drain() {
            let _gone = call.answer.send(Answer::Lost);
        }
        ended
    }

    fn register(&mut self, request: Request) {
        if request.answer.is_closed() {
            return;
        }
        let tag = self.next_tag;
        self.next_tag += 1;
        self.batch.push(Call {
            tag,
            shard: u32::from(request.shard),
            timeout_ms: u32::try_from(request.timeout.as_millis())
                .unwrap_or(u32::MAX)
                .max(1),
            kind: Some(request.kind),
        });
        self.pending.insert(
            tag,
            Pending {
                answer: request.answer,
                _permit: request.permit,
            },
        );
    }

    fn answer(&mut self, results: CallResults) {
        for CallResult { tag, kind } in results.results {
            let Some(call) = self.pending.remove(&tag) else {
                continue;
            };
            let answer = kind.map_or(Answer::Lost, |kind| Answer::Result(Box::new(kind)));
            let _gone = call.answer.send(answer);
        }
    }
}
