//! What waits to be written to a watcher: bounded, and given up when nobody takes it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::Stream;
use prost::Message;
use proto::drover::v1::WatchEventsResponse;
use tokio::sync::Notify;
use tonic::Status;

/// Messages that may wait.
const MAX_MESSAGES: usize = 256;
/// Bytes that may wait, unless it is one message.
const MAX_BYTES: usize = 1 << 20;

/// Why a message was not put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The watcher is gone.
    Gone,
    /// It took nothing for too long.
    Slow,
}

/// An outbox and the stream of what is put into it.
pub(super) fn outbox() -> (Outbox, Inbox) {
    let shared = Arc::new(Shared::default());
    (Outbox(shared.clone()), Inbox(shared))
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Something was taken, or the watcher went.
    moved: Notify,
    gone: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<WatchEventsResponse>,
    bytes: usize,
    reader: Option<Waker>,
    presence: Presence,
    end: End,
    /// The token of the last message that was taken.
    taken: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Presence {
    #[default]
    There,
    Gone,
}

#[derive(Debug, Default)]
enum End {
    #[default]
    None,
    /// To be told when nothing waits any more.
    Because(Box<Status>),
    Told,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_room(&self, bytes: usize) -> bool {
        self.waiting.is_empty()
            || (self.waiting.len() < MAX_MESSAGES && self.bytes + bytes <= MAX_BYTES)
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// Where messages are put in.
#[derive(Debug)]
pub(super) struct Outbox(Arc<Shared>);

impl Outbox {
    /// Waits for room, but no longer than `patience` without a message being taken.
    pub(super) async fn send(
        &self,
        message: WatchEventsResponse,
        patience: Duration,
    ) -> Result<(), Refused> {
        let bytes = message.encoded_len();
        loop {
            {
                let mut state = self.0.lock();
                if state.presence == Presence::Gone {
                    return Err(Refused::Gone);
                }
                if state.has_room(bytes) {
                    state.bytes += bytes;
                    state.waiting.push_back(message);
                    state.wake();
                    return Ok(());
                }
            }
            // What is taken between the look and the wait is remembered by the signal.
            let moved = tokio::time::timeout(patience, self.0.moved.notified());
            moved.await.map_err(|_| Refused::Slow)?;
        }
    }

    /// Tells why the watch ends, after what waits.
    pub(super) fn end(&self, why: Status) {
        let mut state = self.0.lock();
        state.end = End::Because(Box::new(why));
        state.wake();
    }

    /// Drops what waits and tells why the watch ends; `why` gets the token of what was taken last, so that the watcher can
    /// go on with what was dropped.
    pub(super) fn cut(&self, why: impl FnOnce(&str) -> Status) {
        let mut state = self.0.lock();
        state.waiting = VecDeque::new();
        state.bytes = 0;
        state.end = End::Because(Box::new(why(&state.taken)));
        state.wake();
    }

    /// Waits until the watcher is gone.
    pub(super) async fn gone(&self) {
        self.0.gone.notified().await;
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if matches!(state.end, End::None) {
            state.end = End::Told;
        }
        state.wake();
    }
}

/// What is put in, as the stream that the watcher reads.
#[derive(Debug)]
pub struct Inbox(Arc<Shared>);

impl Stream for Inbox {
    type Item = Result<WatchEventsResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.0.lock();
        if let Some(message) = state.waiting.pop_front() {
            state.bytes -= message.encoded_len();
            state.taken.clone_from(&message.resume_token);
            self.0.moved.notify_one();
            return Poll::Ready(Some(Ok(message)));
        }
        match std::mem::replace(&mut state.end, End::Told) {
            End::None => {
                state.end = End::None;
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
            End::Because(why) => Poll::Ready(Some(Err(*why))),
            End::Told => Poll::Ready(None),
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.0.lock().presence = Presence::Gone;
        self.0.moved.notify_one();
        self.0.gone.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};
    use tonic::Code;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn message(token: &str, bytes: usize) -> WatchEventsResponse {
        WatchEventsResponse {
            resume_token: token.to_owned(),
            encoded_event: vec![0; bytes].into(),
            ..Default::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_watcher_that_takes_nothing_is_cut_and_told_where_to_go_on() {
        let (outbox, mut inbox) = outbox();
        for number in 0..MAX_MESSAGES {
            let sent = outbox.send(message(&number.to_string(), 8), PATIENCE);
            assert_eq!(sent.await, Ok(()));
        }
        let first = inbox.next().await.and_then(Result::ok);
        assert_eq!(first.map(|first| first.resume_token).as_deref(), Some("0"));
        assert_eq!(outbox.send(message("last", 8), PATIENCE).await, Ok(()));
        let refused = outbox.send(message("none", 8), PATIENCE);
        assert_eq!(refused.await, Err(Refused::Slow));
        outbox.cut(|taken| Status::resource_exhausted(taken));
        let told = inbox.next().await.and_then(Result::err);
        let told = told.map(|status| (status.code(), status.message().to_owned()));
        assert_eq!(told, Some((Code::ResourceExhausted, "0".to_owned())));
        assert!(inbox.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn few_large_messages_fill_it_and_one_of_any_size_fits() {
        let (outbox, mut inbox) = outbox();
        let large = message("large", 2 * MAX_BYTES);
        assert_eq!(outbox.send(large, PATIENCE).await, Ok(()));
        let next = outbox.send(message("next", 8), PATIENCE);
        assert_eq!(next.await, Err(Refused::Slow));
        assert!(inbox.next().await.is_some());
        let next = outbox.send(message("next", 8), PATIENCE);
        assert_eq!(next.await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watcher_that_went_is_noticed() {
        let (outbox, inbox) = outbox();
        assert_eq!(outbox.gone().now_or_never(), None);
        drop(inbox);
        outbox.gone().await;
        let sent = outbox.send(message("none", 8), PATIENCE);
        assert_eq!(sent.await, Err(Refused::Gone));
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_comes_before_the_end() {
        let (outbox, inbox) = outbox();
        assert_eq!(outbox.send(message("a", 8), PATIENCE).await, Ok(()));
        outbox.end(Status::unavailable("gone"));
        drop(outbox);
        let told: Vec<_> = inbox.map(|told| told.is_ok()).collect().await;
        assert_eq!(told, [true, false]);
    }
}
