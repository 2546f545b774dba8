//! Commands for devices that never come: each is accepted once, however often it is asked for, and ends once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proto::drover::v1::delivery::Wait;
use proto::drover::v1::operation::State;
use proto::drover::v1::operations_client::OperationsClient;
use proto::drover::v1::{CancelOperationRequest, Delivery, WriteRequest};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tonic::{Code, Status};

use crate::calls::{Calls, Deadline, is_mistake, request, rest};
use crate::tally::End;

pub(crate) const CALLERS: usize = 3;
/// Seconds that a command waits for its device.
const SHORTEST: i64 = 3;
const LONGEST: i64 = 20;

/// A command that was accepted.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) id: String,
    /// Its state, if its cancellation was acknowledged.
    pub(crate) cancelled: Option<State>,
}

pub(crate) async fn work(caller: usize, calls: Calls, stop: Arc<AtomicBool>) -> Vec<Asked> {
    let mut caller = Caller {
        endpoint: format!("commanded-{caller}"),
        rng: calls.rng(),
        calls,
        stop,
    };
    let mut asked = Vec::new();
    let mut number = 0;
    while !caller.stopped() {
        number += 1;
        asked.extend(caller.ask(number).await);
        rest(&mut caller.rng, 100..500).await;
    }
    // Deadlines are by clocks that jumped: nothing is to wait for long.
    for command in &mut asked {
        if command.cancelled.is_none() {
            command.cancelled = caller.cancel(&command.id).await;
        }
    }
    asked
}

struct Caller {
    endpoint: String,
    calls: Calls,
    rng: ChaCha8Rng,
    stop: Arc<AtomicBool>,
}

impl Caller {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Queues a command, and does with it what callers do.
    async fn ask(&mut self, number: u32) -> Option<Asked> {
        let request_id = format!("{:x}-{}-{number}", self.calls.seed(), self.endpoint);
        let write = WriteRequest {
            endpoint: self.endpoint.clone(),
            path: "/3/0/15".to_owned(),
            text: number.to_string(),
            delivery: Some(Delivery {
                deadline: Some(prost_types::Duration {
                    seconds: self.rng.random_range(SHORTEST..=LONGEST),
                    nanos: 0,
                }),
                request_id,
                wait: Wait::UntilAccepted.into(),
                ..Delivery::default()
            }),
            ..WriteRequest::default()
        };
        let id = self.queue(&write).await?;
        if self.rng.random_ratio(1, 4) {
            // As a caller that never got the answer.
            let again = self.queue(&write).await;
            assert_eq!(again.as_ref(), Some(&id), "one request, two operations");
        }
        let mut cancelled = None;
        if self.rng.random_ratio(1, 4) {
            cancelled = self.cancel(&id).await;
        }
        Some(Asked { id, cancelled })
    }

    /// Asks until there is a definite answer; `None` if that is a refusal.
    async fn queue(&mut self, write: &WriteRequest) -> Option<String> {
        let mut deadline = Deadline::new();
        loop {
            let mut client = OperationsClient::new(self.calls.any(&mut self.rng));
            let status = match client.write(request(write.clone())).await {
                Ok(answer) => {
                    self.calls.tally().count(End::Acknowledged);
                    return Some(answer.into_inner().operation.unwrap().id);
                }
                Err(status) => status,
            };
            assert!(!is_mistake(&status), "{status:?}");
            if status.code() == Code::ResourceExhausted && is_queue_full(&status) {
                self.calls.tally().count(End::Refused);
                return None;
            }
            self.again(&mut deadline, "a command", &status).await;
        }
    }

    /// Asks until there is a definite answer; the state that the operation then has, or `None` if it had ended before.
    async fn cancel(&mut self, id: &str) -> Option<State> {
        let mut deadline = Deadline::new();
        loop {
            let mut client = OperationsClient::new(self.calls.any(&mut self.rng));
            let cancel = CancelOperationRequest {
                endpoint: self.endpoint.clone(),
                id: id.to_owned(),
            };
            let status = match client.cancel_operation(request(cancel)).await {
                Ok(answer) => {
                    self.calls.tally().count(End::Acknowledged);
                    return Some(answer.into_inner().state());
                }
                Err(status) => status,
            };
            assert!(!is_mistake(&status), "{status:?}");
            // Ended, or so long ago that it is forgotten.
            if matches!(status.code(), Code::FailedPrecondition | Code::NotFound) {
                self.calls.tally().count(End::Refused);
                return None;
            }
            self.again(&mut deadline, "a cancellation", &status).await;
        }
    }

    async fn again(&mut self, deadline: &mut Deadline, what: &str, status: &Status) {
        self.calls.tally().count(End::Indefinite);
        if !self.stopped() {
            deadline.renew();
        }
        deadline.check(what, status);
        rest(&mut self.rng, 50..300).await;
    }
}

fn is_queue_full(status: &Status) -> bool {
    String::from_utf8_lossy(status.details()).contains("QUEUE_FULL")
}
