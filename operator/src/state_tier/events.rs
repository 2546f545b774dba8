//! The stream of what happens to devices.

use std::sync::atomic::Ordering;

use device_state::Namespace;
use proto::drover::v1 as api;
use proto::drover::v1::devices_client::DevicesClient;
use tonic::{Code, Streaming};

use super::{CALL_TIMEOUT, CallError, StateTier, about};

/// What is wanted of the events of a namespace.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) namespace: Namespace,
    pub(crate) kinds: Vec<api::EventKind>,
    /// Of the last event that was handled, by which a watch of the same kinds goes on; empty: from now on.
    pub(crate) resume_token: String,
}

impl StateTier {
    /// Opens a stream at the first node that serves one. With `skip` others than the one that answers calls come first: whoever
    /// was sent away by a node does not ask that one again at once.
    ///
    /// # Errors
    ///
    /// What the last node that was asked says, if none serves a stream; what any of them says of the request itself.
    pub(crate) async fn events(
        &self,
        watched: &Watched,
        skip: usize,
    ) -> Result<Streaming<api::WatchEventsResponse>, CallError> {
        let first = self.preferred.load(Ordering::Relaxed).wrapping_add(skip);
        let mut last = CallError::Timeout;
        for offset in 0..self.channels.len() {
            let index = first.wrapping_add(offset) % self.channels.len();
            let mut devices = DevicesClient::new(self.channels[index].clone());
            let request = about(&watched.namespace, request(watched));
            let opened = devices.watch_events(request);
            match tokio::time::timeout(CALL_TIMEOUT, opened).await {
                Ok(Ok(stream)) => return Ok(stream.into_inner()),
                // It is away, or has as many watchers as it takes.
                Ok(Err(status))
                    if matches!(status.code(), Code::Unavailable | Code::ResourceExhausted) =>
                {
                    last = status.into();
                }
                Ok(Err(status)) => return Err(status.into()),
                Err(_) => last = CallError::Timeout,
            }
        }
        Err(last)
    }
}

fn request(watched: &Watched) -> api::WatchEventsRequest {
    let kinds = watched.kinds.iter().map(|kind| i32::from(*kind));
    api::WatchEventsRequest {
        resume_token: watched.resume_token.clone(),
        filter: Some(api::EventFilter {
            kinds: kinds.collect(),
            ..Default::default()
        }),
        ..Default::default()
    }
}
