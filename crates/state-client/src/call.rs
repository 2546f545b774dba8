//! One call of a shard's leader, tried until it is answered or its time is up.

use std::sync::Arc;
use std::time::Duration;

use device_state::ShardId;
use proto::rpc::v1::{CallError, call, call_error, call_result};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::backoff::Backoff;
use crate::client::Shared;
use crate::link::{Answer, Link, Request};

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallFailure {
    /// Sent at least once, never answered.
    Deadline,
    /// Never sent.
    Unavailable,
    Overloaded,
    Invalid(String),
}

/// How far a call came so far, and so what its end means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    NotSent,
    /// It may have been done.
    Unknown,
    /// The node that had it last said that nothing was done, because it has too much to do.
    Overloaded,
}

/// What an attempt led to.
enum Next {
    Done(Box<call_result::Kind>),
    Failed(CallFailure),
    /// Another node was named: ask it at once.
    Follow,
    Pause,
}

struct Attempts<'a> {
    shared: &'a Shared,
    shard: ShardId,
    deadline: Instant,
    progress: Progress,
    backoff: Backoff,
    /// Leaders followed without a pause. Two nodes that name each other must not make a busy loop.
    followed: u32,
}

/// Hints that are followed in a row without a pause.
const MAX_FOLLOWED: u32 = 3;

impl Shared {
    /// The same `kind`, and with it the same request id, is sent again until it is answered.
    pub(crate) async fn call(
        &self,
        shard: ShardId,
        kind: call::Kind,
        timeout: Duration,
    ) -> Result<call_result::Kind, CallFailure> {
        let mut attempts = Attempts {
            shared: self,
            shard,
            deadline: Instant::now() + timeout,
            progress: Progress::NotSent,
            backoff: Backoff::of_call(),
            followed: 0,
        };
        loop {
            match attempts.attempt(&kind).await {
                Next::Done(result) => return Ok(*result),
                Next::Failed(failure) => return Err(failure),
                Next::Follow if attempts.followed < MAX_FOLLOWED => attempts.followed += 1,
                Next::Follow | Next::Pause => {
                    attempts.followed = 0;
                    attempts.pause().await;
                }
            }
            if Instant::now() >= attempts.deadline {
                return Err(attempts.out_of_time());
            }
        }
    }
}

impl Attempts<'_> {
    async fn attempt(&mut self, kind: &call::Kind) -> Next {
        let Some(link) = self.shared.route(self.shard) else {
            self.shared.refresh.notify_one();
            return Next::Pause;
        };
        // A call keeps its share of what may be under way until the node answered, even when the caller gave up.
        let Ok(permit) = Arc::clone(&self.shared.in_flight).try_acquire_owned() else {
            return Next::Failed(CallFailure::Overloaded);
        };
        let (answer, answered) = oneshot::channel();
        let timeout = self.deadline.saturating_duration_since(Instant::now());
        let request = Request {
            shard: self.shard.0,
            timeout,
            kind: kind.clone(),
            answer,
            permit,
        };
        if link.queue.try_send(request).is_err() {
            return Next::Failed(CallFailure::Overloaded);
        }
        match timeout_at(self.deadline, answered).await {
            Ok(Ok(answer)) => self.judge(&link, answer),
            Ok(Err(_)) => self.judge(&link, Answer::Lost),
            Err(_) => {
                self.progress = Progress::Unknown;
                // A node that does not answer may no longer be the leader.
                self.shared.refresh.notify_one();
                Next::Failed(CallFailure::Deadline)
            }
        }
    }

    fn judge(&mut self, link: &Link, answer: Answer) -> Next {
        match answer {
            Answer::Result(result) => match &*result {
                call_result::Kind::Error(error) => self.judge_error(link, error),
                _ => Next::Done(result),
            },
            Answer::Lost => {
                self.progress = Progress::Unknown;
                self.distrust(link)
            }
            Answer::NotSent => self.distrust(link),
        }
    }

    fn judge_error(&mut self, link: &Link, error: &CallError) -> Next {
        use call_error::Kind;
        match error.kind() {
            Kind::NotLeader if error.leader.is_empty() || *error.leader == *link.address => {
                self.distrust(link)
            }
            Kind::NotLeader => {
                let Ok(leader) = self.shared.links.to(&error.leader) else {
                    return self.distrust(link);
                };
                self.shared
                    .routes
                    .send_if_modified(|routes| routes.hint(self.shard, leader));
                Next::Follow
            }
            Kind::Overloaded => {
                if self.progress == Progress::NotSent {
                    self.progress = Progress::Overloaded;
                }
                Next::Pause
            }
            Kind::Deadline => {
                self.progress = Progress::Unknown;
                Next::Failed(CallFailure::Deadline)
            }
            Kind::Invalid => Next::Failed(CallFailure::Invalid(error.message.clone())),
            // An unknown kind is of a later release: nothing is known of what was done.
            Kind::Unavailable | Kind::Unspecified => {
                self.progress = Progress::Unknown;
                self.shared.refresh.notify_one();
                Next::Pause
            }
        }
    }

    fn distrust(&self, link: &Link) -> Next {
        self.shared
            .routes
            .send_if_modified(|routes| routes.distrust(self.shard, &link.address));
        self.shared.refresh.notify_one();
        Next::Pause
    }

    async fn pause(&mut self) {
        let until = (Instant::now() + self.backoff.pause()).min(self.deadline);
        sleep_until(until).await;
    }

    fn out_of_time(&self) -> CallFailure {
        match self.progress {
            Progress::NotSent => CallFailure::Unavailable,
            Progress::Unknown => CallFailure::Deadline,
            Progress::Overloaded => CallFailure::Overloaded,
        }
    }
}
