//! The engine: the one place that knows CoAP, bootstraps and plans.

use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

use coap::reliable::Capabilities;
use coap::{Event, ExchangeId, PeerKey};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use super::config::BootstrapConfig;
use super::output::{BootstrapOutcome, BootstrapOutput};
use super::table::Bootstraps;
use crate::admission::Admission;
use crate::output::{Now, Origin};
use crate::response::overloaded;

/// What happened that led to no bootstrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BootstrapCounters {
    /// Requests refused with 4.xx.
    pub refused: u64,
    /// Requests answered 5.03.
    pub overloaded: u64,
}

/// Bootstrap server for the devices of one worker; `P` names a peer (a DTLS session or an address).
pub struct BootstrapEngine<P: PeerKey> {
    pub(super) config: BootstrapConfig,
    pub(super) coap: coap::Endpoint<P>,
    pub(super) bootstraps: Bootstraps<P>,
    pub(super) outputs: VecDeque<BootstrapOutput<P>>,
    pub(super) admission: Admission,
    pub(super) counters: BootstrapCounters,
    pub(super) next_id: u64,
    rng: ChaCha12Rng,
}

impl<P: PeerKey> fmt::Debug for BootstrapEngine<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BootstrapEngine")
            .field("bootstraps", &self.bootstraps.len())
            .finish_non_exhaustive()
    }
}

impl<P: PeerKey> BootstrapEngine<P> {
    /// An engine without bootstraps. `seed` must differ between engines and starts.
    pub fn new(config: BootstrapConfig, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        Self {
            coap: coap::Endpoint::new(config.coap.clone(), rng.random()),
            bootstraps: Bootstraps::new(),
            outputs: VecDeque::new(),
            admission: Admission::new(config.retry_after, config.retry_within),
            counters: BootstrapCounters::default(),
            next_id: 0,
            rng,
            config,
        }
    }

    /// The peer has a stream, or what it takes on that has changed. False if there is no room for the peer.
    #[must_use]
    pub fn open_stream(&mut self, now: Now, peer: P, capabilities: Capabilities) -> bool {
        let opened = self.coap.open_stream(now.instant, peer, capabilities);
        opened.is_ok()
    }

    /// A message arrived on a stream. [`BootstrapEngine::forget_peer`] when that ends.
    pub fn handle_message(&mut self, now: Now, peer: P, origin: &Origin, message: coap::Message) {
        self.coap.handle_message(now.instant, peer, message);
        self.drain_coap(now, Some(origin));
    }

    /// A CoAP message arrived as a datagram.
    pub fn handle_datagram(&mut self, now: Now, peer: P, origin: &Origin, datagram: &[u8]) {
        self.coap.handle_datagram(now.instant, peer, datagram);
        self.drain_coap(now, Some(origin));
    }

    /// Whether a device that is being bootstrapped talks from `peer`.
    pub fn holds_peer(&self, peer: P) -> bool {
        self.bootstraps.at_peer(peer).is_some()
    }

    /// The peer's session ended, and so does its bootstrap.
    pub fn forget_peer(&mut self, now: Now, peer: P) {
        if let Some(id) = self.bootstraps.at_peer(peer) {
            self.end(now, id, BootstrapOutcome::Gone);
        }
        self.coap.forget_peer(peer);
        self.drain_coap(now, None);
    }

    /// What to do next, until `None`.
    pub fn poll_output(&mut self) -> Option<BootstrapOutput<P>> {
        self.outputs.pop_front()
    }

    /// When [`BootstrapEngine::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timeouts = [self.coap.poll_timeout(), self.bootstraps.next_deadline()];
        timeouts.into_iter().flatten().min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        self.coap.handle_timeout(now.instant);
        self.drain_coap(now, None);
        while let Some(id) = self.bootstraps.due(now.instant) {
            self.expire(now, id);
        }
        self.drain_coap(now, None);
    }

    /// Bootstraps that have not ended.
    pub fn bootstrap_count(&self) -> usize {
        self.bootstraps.len()
    }

    /// Counts since the start.
    pub fn counters(&self) -> BootstrapCounters {
        self.counters
    }

    /// Counts of the CoAP layer.
    pub fn coap_counters(&self) -> coap::Counters {
        self.coap.counters()
    }

    pub(super) fn drain_coap(&mut self, now: Now, origin: Option<&Origin>) {
        while let Some(output) = self.coap.poll_output() {
            match output {
                coap::Output::Transmit { peer, datagram } => {
                    self.outputs
                        .push_back(BootstrapOutput::Transmit { peer, datagram });
                }
                coap::Output::Send { peer, message } => {
                    self.outputs
                        .push_back(BootstrapOutput::Send { peer, message });
                }
                coap::Output::Event(event) => self.handle_event(now, origin, event),
            }
        }
    }

    fn handle_event(&mut self, now: Now, origin: Option<&Origin>, event: Event<P>) {
        match event {
            Event::Request {
                peer,
                exchange,
                request,
                ..
            } => {
                // A request only comes up while its message is handled, so the origin is known.
                if let Some(origin) = origin {
                    self.handle_request(now, origin, peer, exchange, &request);
                }
            }
            Event::Response {
                exchange, response, ..
            } => self.handle_answer(now, exchange, Ok(&response)),
            Event::Failed {
                exchange, reason, ..
            } => self.handle_answer(now, exchange, Err(reason)),
            Event::ResponseDelivered { exchange, .. } => {
                self.handle_delivery(now, exchange, Ok(()));
            }
            Event::ResponseFailed {
                exchange, reason, ..
            } => self.handle_delivery(now, exchange, Err(reason)),
            // Nothing is observed on either side.
            Event::Notification { .. }
            | Event::ObservationReset { .. }
            | Event::NotificationDelivered { .. }
            | Event::NotificationFailed { .. }
            // Nothing is counted of one peer.
            | Event::SentAgain { .. }
            | Event::HeardAgain { .. } => {}
        }
    }

    pub(super) fn refuse_for_overload(&mut self, now: Now, exchange: ExchangeId) {
        self.counters.overloaded += 1;
        let max_age = self.admission.appointment(now.instant, &mut self.rng);
        self.coap
            .respond(now.instant, exchange, overloaded(max_age));
    }
}
