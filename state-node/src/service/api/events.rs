//! `WatchEvents`: the feeds of all shards as one stream, from this node's own replica.
//!
//! A watcher that is slow is not read for: the feed itself is the buffer, and its bound is when "gone" is answered.

use std::sync::Arc;
use std::time::Duration;

use device_state::query::{self, FeedPage, FeedPosition};
use device_state::{FeedEntry, Revision};
use futures::StreamExt;
use futures::future::select_all;
use futures::stream::BoxStream;
use lwm2m::EndpointName;
use node_runtime::{Drain, Stage};
use proto::drover::v1::{WatchEventsRequest, WatchEventsResponse};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::raft::group::Group;
use crate::service::api::token::{self, ResumeToken};
use crate::service::api::{Api, endpoint_name};
use crate::service::status;

/// Entries read from one shard before the next has its turn.
const PAGE: usize = 256;
/// Events that may wait to be written to a watcher.
const QUEUE: usize = 256;
/// How often a watcher gets a token without an event.
const CHECKPOINT: Duration = Duration::from_secs(10);

/// One watcher.
struct Watch {
    cluster: String,
    groups: Vec<Arc<Group>>,
    /// By shard.
    positions: Vec<FeedPosition>,
    endpoint: Option<EndpointName>,
    sink: mpsc::Sender<Result<WatchEventsResponse, Status>>,
}

/// The watcher is gone or was told why it ends.
struct Over;

impl Api {
    pub(super) fn watch(
        &self,
        request: &WatchEventsRequest,
    ) -> Result<BoxStream<'static, Result<WatchEventsResponse, Status>>, Status> {
        let endpoint = match request.endpoint.as_str() {
            "" => None,
            name => Some(endpoint_name(name)?),
        };
        let cluster = self.cluster_id();
        if cluster.is_empty() {
            return Err(status::no_leader());
        }
        let groups = self.router().groups().to_vec();
        let positions = match request.resume_token.as_str() {
            "" => groups
                .iter()
                .map(|group| FeedPosition::after(group.events().revision()))
                .collect(),
            text => resume(text, &cluster, groups.len())?,
        };
        let (sink, events) = mpsc::channel(QUEUE);
        let watch = Watch {
            cluster,
            groups,
            positions,
            endpoint,
            sink,
        };
        self.tasks
            .spawn_job("watch", Stage::Intake, |drain| watch.run(drain));
        Ok(ReceiverStream::new(events).boxed())
    }
}

fn resume(text: &str, cluster: &str, shards: usize) -> Result<Vec<FeedPosition>, Status> {
    let token: ResumeToken = token::decode(text)
        .ok_or_else(|| status::field("resume_token", &"is not a resume token"))?;
    // A cluster restored from a backup has another id: its history is not the one that the watcher has seen.
    if token.cluster != cluster || token.positions.len() != shards {
        return Err(status::resume_token_expired());
    }
    Ok(token.positions())
}

impl Watch {
    async fn run(mut self, drain: Drain) {
        tokio::select! {
            () = drain.started() => {
                // The watcher goes on at another node with the token it has.
                drop(self.sink.try_send(Err(status::stopping())));
            }
            _ = self.follow() => {}
        }
    }

    async fn follow(&mut self) -> Result<(), Over> {
        let mut feeds: Vec<_> = self
            .groups
            .iter()
            .map(|group| group.events().feed())
            .collect();
        self.checkpoint().await?;
        let mut checkpoint =
            tokio::time::interval_at(tokio::time::Instant::now() + CHECKPOINT, CHECKPOINT);
        loop {
            // Marked as seen before reading: what comes meanwhile wakes the wait below.
            for feed in &mut feeds {
                feed.mark_unchanged();
            }
            while self.send_new().await? == Found::Some {}
            tokio::select! {
                () = any_changed(&mut feeds) => {}
                () = self.sink.closed() => return Err(Over),
                _ = checkpoint.tick() => self.checkpoint().await?,
            }
        }
    }

    async fn send_new(&mut self) -> Result<Found, Over> {
        let mut found = Found::None;
        for shard in 0..self.groups.len() {
            let (Some(group), Some(position)) = (self.groups.get(shard), self.positions.get(shard))
            else {
                continue;
            };
            match group
                .store()
                .read(|tables| query::feed(tables, *position, PAGE))
            {
                FeedPage::Compacted { .. } => {
                    drop(self.sink.send(Err(status::resume_token_expired())).await);
                    return Err(Over);
                }
                FeedPage::Entries(entries) => {
                    for entry in entries {
                        found = Found::Some;
                        self.send(shard, entry).await?;
                    }
                }
            }
        }
        Ok(found)
    }

    async fn send(&mut self, shard: usize, entry: FeedEntry) -> Result<(), Over> {
        if let Some(position) = self.positions.get_mut(shard) {
            *position = FeedPosition::of(&entry);
        }
        if self
            .endpoint
            .as_ref()
            .is_some_and(|endpoint| *endpoint != entry.endpoint)
        {
            return Ok(());
        }
        let response = WatchEventsResponse {
            resume_token: self.token(),
            event: Some(entry.into()),
        };
        self.sink.send(Ok(response)).await.map_err(|_| Over)
    }

    async fn checkpoint(&self) -> Result<(), Over> {
        let response = WatchEventsResponse {
            resume_token: self.token(),
            event: None,
        };
        self.sink.send(Ok(response)).await.map_err(|_| Over)
    }

    fn token(&self) -> String {
        token::encode(&ResumeToken::new(self.cluster.clone(), &self.positions))
    }
}

/// Whether a look at the feeds found something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    None,
    Some,
}

async fn any_changed(feeds: &mut [watch::Receiver<Revision>]) {
    // The senders live as long as the groups do.
    let _: (_, _, _) = select_all(feeds.iter_mut().map(|feed| Box::pin(feed.changed()))).await;
}
