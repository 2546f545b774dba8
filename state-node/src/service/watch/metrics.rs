//! How many watch, and how they fare.

use std::sync::Arc;
use std::time::Duration;

use device_state::Timestamp;
use node_runtime::clock;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tonic::Status;

use super::outbox::{Inbox, outbox};
use super::{Watch, WatchParts};
use crate::service::status;

type Reason = [(&'static str, &'static str); 1];

/// The watchers of a node.
#[derive(Clone, Debug)]
pub struct Watchers {
    seats: Arc<Semaphore>,
    patience: Duration,
    figures: Arc<Figures>,
}

#[derive(Debug)]
struct Figures {
    watchers: Gauge,
    sent: Counter,
    ended: Family<Reason, Counter>,
    lag: Histogram,
}

impl Watchers {
    /// At most `limit` at a time; each may take nothing for `patience`.
    pub fn new(limit: u32, patience: Duration) -> Self {
        Self {
            seats: Arc::new(Semaphore::new(limit as usize)),
            patience,
            figures: Arc::new(Figures {
                watchers: Gauge::default(),
                sent: Counter::default(),
                ended: Family::default(),
                lag: Histogram::new(exponential_buckets(0.001, 4.0, 10)),
            }),
        }
    }

    /// Adds the figures to what the node tells.
    pub fn register(&self, registry: &mut Registry) {
        let figures = &self.figures;
        registry.register(
            "watchers",
            "Watches of events that are served",
            figures.watchers.clone(),
        );
        registry.register(
            "watch_events_sent",
            "Events sent to watchers",
            figures.sent.clone(),
        );
        registry.register(
            "watches_ended",
            "Watches that the node ended, by reason",
            figures.ended.clone(),
        );
        registry.register(
            "watch_lag_seconds",
            "Age of events when watchers get to them",
            figures.lag.clone(),
        );
    }

    /// Makes a watch, unless there are too many, and the stream of what it sends.
    pub fn admit(&self, parts: WatchParts) -> Result<(Watch, Inbox), Status> {
        let permit = self.seats.clone().try_acquire_owned();
        let permit = permit.map_err(|_| status::too_many_watchers())?;
        self.figures.watchers.inc();
        let seat = Seat {
            _permit: permit,
            patience: self.patience,
            figures: self.figures.clone(),
        };
        let (outbox, inbox) = outbox();
        let watch = Watch {
            parts,
            outbox: Arc::new(outbox),
            seat,
            sent_at: Instant::now(),
        };
        Ok((watch, inbox))
    }
}

/// A watcher's share of the node.
#[derive(Debug)]
pub(super) struct Seat {
    _permit: OwnedSemaphorePermit,
    patience: Duration,
    figures: Arc<Figures>,
}

impl Seat {
    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }

    pub(super) fn sent(&self) {
        self.figures.sent.inc();
    }

    /// An event of this age is sent now.
    pub(super) fn lags(&self, at: Timestamp) {
        let age = clock::now_ms().saturating_sub(at.0);
        self.figures.lag.observe(age as f64 / 1_000.0);
    }

    pub(super) fn ended(&self, reason: &'static str) {
        let reason = [("reason", reason)];
        self.figures.ended.get_or_create(&reason).inc();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.figures.watchers.dec();
    }
}
