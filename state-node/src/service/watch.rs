//! A watcher of events: what its places in the feeds of the shards have for it, as one stream.
//!
//! 1. A watcher that goes on with a token waits until this replica has what the token has seen.
//! 2. If it asks for the devices as they are, each shard is listed page by page. Before a page it is sent what happened
//!    meanwhile to the devices of the pages before, as of the same moment as the page: so each device's events are in
//!    order, no snapshot is held for a slow watcher, and a token names the place with one name for each shard.
//! 3. Then it follows the feeds. It is not read for while it takes nothing; the feed itself is the buffer.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use device_state::query::FeedPosition;
use device_state::{EventFilter, Timestamp};
use futures::future::{join_all, select_all};
use node_runtime::{Drain, clock};
use prost::bytes::Bytes;
use proto::convert::public::present;
use proto::drover::v1::{Event, WatchEventsResponse};
use tokio::time::Instant;
use tonic::Status;

use crate::service::status;
use crate::shared_feed::{self, SharedEntry};
pub use metrics::Watchers;
pub use outbox::Inbox;
use outbox::{Outbox, Refused};
pub use place::{Listed, Place, Spot};

mod metrics;
mod outbox;
mod place;

/// How long a watcher waits for a replica that is behind its token.
const BEHIND: Duration = Duration::from_secs(10);
/// How long a replica that hears of no leader is believed to know what there is: several elections.
const OUT_OF_TOUCH: Duration = Duration::from_secs(10);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What a watch is made of.
pub struct WatchParts {
    /// Of the shards that are watched.
    pub places: Vec<Place>,
    pub filter: EventFilter,
    /// The longest time without a message.
    pub checkpoint: Duration,
    pub tokens: Box<dyn TokenWriter>,
}

impl fmt::Debug for WatchParts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("WatchParts")
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}

/// Writes the token by which a watch goes on at these spots.
pub trait TokenWriter: Send + Sync {
    fn token(&self, spots: &mut dyn Iterator<Item = &Spot>) -> String;
}

/// One watcher.
#[derive(Debug)]
pub struct Watch {
    parts: WatchParts,
    outbox: Arc<Outbox>,
    seat: metrics::Seat,
    /// When the watcher was sent something.
    sent_at: Instant,
}

/// Why a watch ends.
#[derive(Debug)]
enum End {
    Gone,
    Slow,
    Because(&'static str, Box<Status>),
}

impl End {
    fn because(reason: &'static str, status: Status) -> Self {
        Self::Because(reason, Box::new(status))
    }
}

impl From<Refused> for End {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Gone => Self::Gone,
            Refused::Slow => Self::Slow,
        }
    }
}

/// Whether a look at the feeds found something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    None,
    Some,
}

impl Watch {
    /// Serves the watcher until it goes, is told why its watch ends, or the drain starts.
    pub async fn run(mut self, drain: Drain) {
        let outbox = self.outbox.clone();
        let end = tokio::select! {
            () = drain.started() => End::because("stopping", status::stopping()),
            () = outbox.gone() => return,
            end = self.follow() => match end { Err(end) => end },
        };
        match end {
            End::Gone => {}
            End::Slow => {
                self.seat.ended("slow");
                self.outbox.cut(status::slow_consumer);
            }
            End::Because(reason, status) => {
                self.seat.ended(reason);
                self.outbox.end(*status);
            }
        }
    }

    async fn follow(&mut self) -> Result<Infallible, End> {
        self.in_touch()?;
        self.caught_up().await?;
        self.checkpoint().await?;
        let mut look = tokio::time::interval(LOOK);
        loop {
            // Marked as seen before reading: what comes meanwhile wakes the wait below.
            for place in &mut self.parts.places {
                place.seen();
            }
            while self.round().await? == Found::Some {
                if self.sent_at.elapsed() >= self.parts.checkpoint {
                    self.checkpoint().await?;
                }
                // A filter may leave nothing to send, which would be the chance for others.
                tokio::task::yield_now().await;
            }
            let quiet = self.sent_at + self.parts.checkpoint;
            tokio::select! {
                () = any_moved(&mut self.parts.places) => {}
                () = tokio::time::sleep_until(quiet) => self.checkpoint().await?,
                _ = look.tick() => self.in_touch()?,
            }
        }
    }

    fn in_touch(&self) -> Result<(), End> {
        let silent = |place: &Place| place.group().silence() > OUT_OF_TOUCH;
        if self.parts.places.iter().any(silent) {
            return Err(End::because("out_of_touch", status::out_of_touch()));
        }
        Ok(())
    }

    /// Waits until this replica has applied what the watcher has seen at another one.
    async fn caught_up(&self) -> Result<(), End> {
        let reached = self.parts.places.iter().map(|place| {
            let events = place.group().events();
            events.reached(place.spot.position.revision)
        });
        let reached = tokio::time::timeout(BEHIND, join_all(reached)).await;
        reached
            .map(drop)
            .map_err(|_| End::because("behind", status::node_behind()))
    }

    /// Sends what each shard has next.
    async fn round(&mut self) -> Result<Found, End> {
        let mut found = Found::None;
        let listing = self.listing();
        for shard in 0..self.parts.places.len() {
            let place = &mut self.parts.places[shard];
            let page = match place.spot.listed {
                Listed::All => place.read(),
                _ if listing == Some(shard) => place.list(&self.parts.filter),
                // Its turn comes. Nothing of it was sent, so nothing of it can be missed.
                _ => continue,
            };
            let page = page.map_err(|place::Compacted| {
                End::because("compacted", status::resume_token_expired())
            })?;
            if !page.is_empty() {
                found = Found::Some;
            }
            self.send_page(shard, page).await?;
        }
        if listing.is_some() {
            found = Found::Some;
            if self.listing().is_none() {
                self.initial_complete().await?;
            }
        }
        Ok(found)
    }

    /// The shard whose devices come now.
    fn listing(&self) -> Option<usize> {
        let mut places = self.parts.places.iter();
        places.position(|place| place.spot.listed != Listed::All)
    }

    async fn send_page(&mut self, shard: usize, page: place::Page) -> Result<(), End> {
        if let Some(last) = page.entries.last() {
            self.seat.lags(last.entry().at);
        }
        for shared in page.entries {
            let entry = shared.entry();
            let spot = &mut self.parts.places[shard].spot;
            spot.position = FeedPosition::of(entry);
            let wanted = spot.has_come(&entry.endpoint);
            if let Some(event) = self.wanted(&shared).filter(|_| wanted) {
                self.send_event(event).await?;
            }
        }
        let Some(devices) = page.devices else {
            return Ok(());
        };
        for view in devices.views {
            self.parts.places[shard].spot.listed = Listed::UpTo(view.endpoint.clone());
            let now = Timestamp(clock::now_ms());
            let event = present(view, &self.parts.filter, now);
            self.send_present(event).await?;
        }
        if devices.rest == place::Rest::Nothing {
            self.parts.places[shard].spot.listed = Listed::All;
        }
        Ok(())
    }

    /// What the watcher gets of an entry, encoded: once for all watchers, unless it is a part of it.
    fn wanted(&self, shared: &SharedEntry) -> Option<Bytes> {
        match self.parts.filter.select(shared.entry())? {
            Cow::Borrowed(_) => Some(shared.encoded()),
            Cow::Owned(part) => Some(shared_feed::encode(part)),
        }
    }

    async fn send_event(&mut self, encoded_event: Bytes) -> Result<(), End> {
        self.seat.sent();
        self.send(WatchEventsResponse {
            encoded_event,
            ..Default::default()
        })
        .await
    }

    async fn send_present(&mut self, event: Event) -> Result<(), End> {
        self.seat.sent();
        self.send(WatchEventsResponse {
            event: Some(event),
            ..Default::default()
        })
        .await
    }

    async fn checkpoint(&mut self) -> Result<(), End> {
        self.send(WatchEventsResponse::default()).await
    }

    async fn initial_complete(&mut self) -> Result<(), End> {
        self.send(WatchEventsResponse {
            initial_complete: true,
            ..Default::default()
        })
        .await
    }

    /// Sends a message with the token of where the watch is.
    async fn send(&mut self, mut message: WatchEventsResponse) -> Result<(), End> {
        let mut spots = self.parts.places.iter().map(|place| &place.spot);
        message.resume_token = self.parts.tokens.token(&mut spots);
        self.outbox.send(message, self.seat.patience()).await?;
        self.sent_at = Instant::now();
        Ok(())
    }
}

async fn any_moved(places: &mut [Place]) {
    let moved = places.iter_mut().map(|place| Box::pin(place.moved()));
    let _: (_, _, _) = select_all(moved).await;
}
