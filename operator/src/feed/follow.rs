//! Keeping the streams that are wanted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use device_state::Namespace;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::time::{sleep, timeout};

use super::link::{End, Link, State};
use super::{Feed, Listener, Sight, depth};
use crate::metrics::{Metrics, StateLabel, TriggerLabel};
use crate::state_tier::{CallError, StateTier, Watched};

/// Streams at a time: a state node serves 256 watchers, who are not all this operator. The objects of further namespaces are
/// looked at as if their streams were down.
const MAX_STREAMS: usize = 64;

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Until a stream that broke is opened again.
    pub(super) first_pause: Duration,
    pub(super) longest_pause: Duration,
    /// Until one that the operator may not watch is tried again.
    pub(super) denied: Duration,
    /// A stream on which nothing comes for so long is broken: without events, tokens come every ten seconds.
    pub(super) silence: Duration,
    /// For how long a stream is kept that nobody wants any more.
    pub(super) linger: Duration,
}

impl Terms {
    pub(crate) const fn new() -> Self {
        Self {
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            denied: Duration::from_secs(60),
            silence: Duration::from_secs(60),
            linger: Duration::from_secs(300),
        }
    }
}

/// Follows the events that are wanted of a feed.
pub(crate) struct Follower {
    pub(crate) feed: Feed,
    pub(crate) state_tier: StateTier,
    pub(crate) listeners: Vec<Arc<dyn Listener>>,
    pub(crate) metrics: Metrics,
    pub(crate) terms: Terms,
}

/// How a turn of a stream ended that did not fail.
enum Turn {
    /// The node has nothing more to say.
    Over,
    /// More is wanted than the stream tells.
    TooShallow,
}

impl Follower {
    /// Never ends.
    pub(crate) async fn run(self) {
        let mut wanted = self.feed.wanted.subscribe();
        let mut followed = BTreeSet::new();
        let mut streams = FuturesUnordered::new();
        let mut leaves_out = false;
        loop {
            let mut missing: Vec<Namespace> = wanted.borrow_and_update().keys().cloned().collect();
            missing.retain(|namespace| !followed.contains(namespace));
            // That of the devices is the last.
            missing.reverse();
            let room = MAX_STREAMS.saturating_sub(followed.len());
            if missing.len() > room && !leaves_out {
                tracing::warn!(
                    MAX_STREAMS,
                    "too many namespaces have objects: of some no events are followed"
                );
            }
            leaves_out = missing.len() > room;
            for namespace in missing.into_iter().take(room) {
                followed.insert(namespace.clone());
                streams.push(self.follow(namespace).boxed());
            }
            tokio::select! {
                // The sender lives as long as this.
                _ = wanted.changed() => {}
                Some(ended) = streams.next(), if !streams.is_empty() => {
                    followed.remove(&ended);
                }
            }
        }
    }

    /// Follows the events of a namespace until nobody wants them, and returns it.
    async fn follow(&self, namespace: Namespace) -> Namespace {
        let mut link = Link::new(self.terms);
        self.show(&namespace, Some(link.state));
        tokio::select! {
            () = self.keep(&namespace, &mut link) => {}
            () = self.until_unwanted(&namespace) => {}
        }
        self.show(&namespace, None);
        namespace
    }

    /// Until nobody has wanted the events of a namespace for a while.
    async fn until_unwanted(&self, namespace: &Namespace) {
        let mut wanted = self.feed.wanted.subscribe();
        loop {
            drop(
                wanted
                    .wait_for(|wanted| !wanted.contains_key(namespace))
                    .await,
            );
            let again = wanted.wait_for(|wanted| wanted.contains_key(namespace));
            if timeout(self.terms.linger, again).await.is_err() {
                return;
            }
        }
    }

    /// Opens the stream of a namespace again and again. Never ends.
    async fn keep(&self, namespace: &Namespace, link: &mut Link) {
        loop {
            let error = match self.turn(namespace, link).await {
                Ok(Turn::TooShallow) => continue,
                Ok(Turn::Over) => None,
                Err(error) => Some(error),
            };
            self.metrics.event_streams_broken.inc();
            let end = error.as_ref().map_or(End::Broken, End::from);
            let before = link.state;
            let pause = link.end(end);
            self.tell(namespace, before, link.state, error.as_ref());
            sleep(pause).await;
        }
    }

    /// Follows the events of a namespace at one node.
    async fn turn(&self, namespace: &Namespace, link: &mut Link) -> Result<Turn, CallError> {
        let mut wanted = self.feed.wanted.subscribe();
        // One that nobody wants at present tells what it told.
        let at_least = depth(&wanted.borrow_and_update(), namespace);
        link.deepen(at_least.unwrap_or(link.depth));
        let watched = Watched {
            namespace: namespace.clone(),
            kinds: link.depth.kinds(),
            resume_token: link.resume_token.clone(),
        };
        let mut began_anew = link.resume_token.is_empty();
        let mut events = self.state_tier.events(&watched, link.ended).await?;
        self.metrics.event_streams_opened.inc();
        loop {
            let message = tokio::select! {
                message = timeout(self.terms.silence, events.message()) => message,
                // The sender lives as long as this.
                _ = wanted.changed() => {
                    if depth(&wanted.borrow_and_update(), namespace) > Some(link.depth) {
                        return Ok(Turn::TooShallow);
                    }
                    continue;
                }
            };
            let Some(message) = message.map_err(|_| CallError::Timeout)?? else {
                return Ok(Turn::Over);
            };
            let before = link.state;
            link.open();
            self.tell(namespace, before, link.state, None);
            // The first message says that the stream has begun: whatever happened before, whoever looks now sees.
            if std::mem::take(&mut began_anew) {
                self.listeners.iter().for_each(|one| one.miss(namespace));
            }
            if let Some(event) = &message.event {
                self.hear(namespace, event);
            }
            // Only now: what was not handled comes again.
            link.resume_token = message.resume_token;
        }
    }

    fn hear(&self, namespace: &Namespace, event: &proto::drover::v1::Event) {
        self.metrics.events.inc();
        for listener in &self.listeners {
            let triggered = listener.hear(namespace, event);
            if triggered > 0 {
                let kind = listener.audience().kind();
                let triggers = self
                    .metrics
                    .event_triggers
                    .get_or_create(&TriggerLabel { kind });
                triggers.inc_by(u64::try_from(triggered).unwrap_or(u64::MAX));
            }
        }
    }

    /// Shows how a stream stands, and says so once if that changed what is told.
    fn tell(&self, namespace: &Namespace, before: State, now: State, error: Option<&CallError>) {
        if before == now {
            return;
        }
        self.show(namespace, Some(now));
        let error = error.map(tracing::field::display);
        match now {
            State::Opening | State::Broken => {
                tracing::debug!(%namespace, error, "the stream of events broke and is opened again");
            }
            State::Live if before == State::Broken => {}
            State::Live => tracing::info!(%namespace, "events of the state tier are followed"),
            State::Down => {
                tracing::warn!(%namespace, error, "the stream of events is down: objects are looked at now and then until it is back");
            }
            State::Denied => {
                tracing::warn!(
                    %namespace, error,
                    "the operator lacks the permission to watch devices (verb watch, resource devices) in the namespace, without which \
                     objects are looked at now and then only"
                );
            }
        }
        if before.sight() == Sight::Told && now.sight() == Sight::Untold {
            self.listeners
                .iter()
                .for_each(|one| one.lose_sight(namespace));
        }
    }

    /// `None`: there is no stream.
    fn show(&self, namespace: &Namespace, state: Option<State>) {
        let before = self.feed.with_states(|states| match state {
            Some(state) => states.insert(namespace.clone(), state),
            None => states.remove(namespace),
        });
        let gauge = |state: State| {
            let label = StateLabel {
                state: state.word(),
            };
            self.metrics.event_streams.get_or_create_owned(&label)
        };
        if let Some(before) = before {
            gauge(before).dec();
        }
        if let Some(state) = state {
            gauge(state).inc();
        }
    }
}
