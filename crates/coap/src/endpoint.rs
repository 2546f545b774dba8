//! The engine: one CoAP endpoint towards any number of peers.
//!
//! 1. A datagram is decoded (`receive.rs`); what is no message is rejected (RFC 7252 §4.2, §4.3).
//! 2. A request is deduplicated, joined from its blocks and handed up (`serve.rs`, `blocks.rs`);
//!    the answer is piggybacked or, after `processing_delay`, sent by itself (§5.2).
//! 3. A response finds its exchange by peer and token (`receive.rs`, §5.3.2), continues a
//!    block-wise transfer or concludes it (`request.rs`).
//! 4. A response with the token of an observation is a notification (`notification.rs`).
//!
//! A peer on a stream takes the same way without the parts that RFC 8323 leaves to the transport
//! (`stream.rs`).

mod blocks;
mod notification;
mod receive;
mod request;
mod serve;
mod stream;
mod timers;

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::blockwise::Budget;
use crate::config::{Config, Counters};
use crate::dedup::{Dedup, Reply};
use crate::exchange::{ExchangeId, Failure, Incoming, NotificationId, Outgoing};
use crate::message::{Code, Message, MessageId, Token, Type};
use crate::message_id::{Exhausted, MessageIds};
use crate::peer::{MessageKey, PeerKey, PeerSlot, Peers, Queued};
use crate::request::Request;
use crate::response::Response;
use crate::retransmit::{Flight, Owner};

pub(crate) use stream::Stream;

/// What an endpoint wants of its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<P> {
    /// Send this datagram.
    Transmit { peer: P, datagram: Vec<u8> },
    /// Send this message on the stream of the peer.
    Send { peer: P, message: Message },
    /// Something happened.
    Event(Event<P>),
}

/// A confirmable notification, which waits for one of [`Endpoint::acknowledge`], [`Endpoint::decline`] and
/// [`Endpoint::reject`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt<P> {
    peer: P,
    token: Token,
    id: MessageId,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<P> {
    /// A whole request arrived; answer it by [`Endpoint::respond`].
    Request {
        peer: P,
        exchange: ExchangeId,
        token: Token,
        request: Request,
    },
    /// The whole response to [`Endpoint::send_request`] arrived. If it carries `observe` and the
    /// request registered, `token` is now an observation.
    Response {
        peer: P,
        exchange: ExchangeId,
        token: Token,
        response: Response,
    },
    /// The request of [`Endpoint::send_request`] ended without a response.
    Failed {
        peer: P,
        exchange: ExchangeId,
        reason: Failure,
    },
    /// A fresh notification arrived. Without `observe`, or when it is no success, it is the last
    /// one: the peer has ended the observation. It may come right after the [`Event::Response`] that says the same: a
    /// peer whose answer was lost may have notified since.
    Notification {
        peer: P,
        token: Token,
        response: Response,
        /// Of a confirmable one: the peer sends it again until [`Endpoint::acknowledge`].
        receipt: Option<Receipt<P>>,
    },
    /// The answer to a request has arrived; one that is not acknowledged counts as arrived when
    /// it is transmitted.
    ResponseDelivered { peer: P, exchange: ExchangeId },
    /// A separate answer to a request did not arrive.
    ResponseFailed {
        peer: P,
        exchange: ExchangeId,
        reason: Failure,
    },
    /// A confirmable notification was acknowledged.
    NotificationDelivered {
        peer: P,
        token: Token,
        notification: NotificationId,
    },
    /// A confirmable notification did not arrive. RFC 7641 §4.5: on a timeout, the observer is
    /// to be removed.
    NotificationFailed {
        peer: P,
        token: Token,
        notification: NotificationId,
        reason: Failure,
    },
    /// The peer rejected a notification: it does not observe any longer.
    ObservationReset { peer: P, token: Token },
    /// A confirmable message to the peer was sent again, as nothing came in its time.
    SentAgain { peer: P },
    /// The peer sent a message again: the answer to it was lost or late.
    HeardAgain { peer: P },
}

/// What a timer is set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// Retransmit or give up.
    Flight(MessageKey),
    /// A request we made has waited too long.
    Outgoing(ExchangeId),
    /// A request we received needs its acknowledgement, or was never answered.
    Incoming(ExchangeId),
    /// The queue of a peer may move on.
    Queue(PeerSlot),
    /// Bodies of a peer expire.
    Blocks(PeerSlot),
}

/// A CoAP endpoint. `P` is the caller's key of a peer or session.
///
/// Memory is bounded by [`Config`]; a peer that has been quiet for about five minutes and takes
/// part in no observation has no record here.
#[derive(Debug)]
pub struct Endpoint<P> {
    config: Config,
    rng: ChaCha8Rng,
    peers: Peers<P>,
    dedup: Dedup,
    flights: HashMap<MessageKey, Flight>,
    outgoing: HashMap<ExchangeId, Outgoing>,
    incoming: HashMap<ExchangeId, Incoming>,
    timers: BTreeSet<(Instant, Timer)>,
    /// When to drop expired deduplication entries and peer records. Both are checked for expiry
    /// when used, so this is about memory and needs no precision.
    housekeeping: Option<Instant>,
    bodies: Budget,
    outputs: VecDeque<Output<P>>,
    counters: Counters,
    next_number: u64,
    /// The time of the newest input, for inputs that come without one.
    clock: Option<Instant>,
}

/// How often to drop expired memory at most.
const HOUSEKEEPING_PERIOD: Duration = Duration::from_secs(1);

impl<P: PeerKey> Endpoint<P> {
    /// `seed` determines tokens, message ids and the spread of retransmissions. Endpoints that
    /// must not guess each other's tokens need seeds that cannot be guessed.
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            peers: Peers::new(config.max_peers, config.exchange_lifetime),
            dedup: Dedup::new(config.max_remembered, config.max_remembered_bytes),
            flights: HashMap::new(),
            outgoing: HashMap::new(),
            incoming: HashMap::new(),
            timers: BTreeSet::new(),
            housekeeping: None,
            bodies: Budget::new(config.max_body_bytes),
            outputs: VecDeque::new(),
            counters: Counters::default(),
            next_number: 0,
            clock: None,
            config,
        }
    }

    /// The next thing to do; drain this to `None` after every input.
    pub fn poll_output(&mut self) -> Option<Output<P>> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timer = self.timers.first().map(|(at, _)| *at);
        [timer, self.housekeeping].into_iter().flatten().min()
    }

    /// Does what is due at `now`; calling it early does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.clock = Some(now);
        while let Some(&(at, timer)) = self.timers.first().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, timer));
            match timer {
                Timer::Flight(key) => self.flight_timed_out(now, key),
                Timer::Outgoing(exchange) => self.outgoing_timed_out(now, exchange),
                Timer::Incoming(exchange) => self.incoming_timed_out(now, exchange),
                Timer::Queue(slot) => self.pump(now, slot),
                Timer::Blocks(slot) => self.blocks_timed_out(now, slot),
            }
        }
        if self.housekeeping.is_some_and(|at| at <= now) {
            self.dedup.expire(now);
            self.peers.sweep(now);
            self.housekeeping = None;
            self.schedule_housekeeping(now);
        }
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Peers that have a record.
    pub fn peer_count(&self) -> usize {
        self.peers.len()
    }

    /// Message ids remembered for deduplication.
    pub fn remembered_count(&self) -> usize {
        self.dedup.len()
    }

    /// Requests made and not concluded.
    pub fn exchange_count(&self) -> usize {
        self.outgoing.len()
    }

    /// Whether a request still waits for [`Self::respond`]: its peer may have gone, or it waited too
    /// long.
    pub fn is_waiting(&self, exchange: ExchangeId) -> bool {
        self.incoming.contains_key(&exchange)
    }

    /// Bytes of bodies in block-wise transfer.
    pub fn body_bytes(&self) -> usize {
        self.bodies.used()
    }

    /// The session with a peer has ended: frees everything of it. Its exchanges fail with
    /// [`Failure::PeerGone`], answers to its requests are ignored from now on.
    pub fn forget_peer(&mut self, peer: P) {
        let Some(slot) = self.peers.find(peer) else {
            return;
        };
        let Some(record) = self.peers.get_mut(slot) else {
            return;
        };
        let mut pending = self.dedup.forget(record.newest);
        if let Some(stream) = &mut record.stream {
            pending.append(&mut stream.serving);
        }
        for exchange in pending {
            if let Some(incoming) = self.incoming.remove(&exchange) {
                self.timers
                    .remove(&(incoming.timer, Timer::Incoming(exchange)));
            }
        }
        if let Some(mut blocks) = record.blocks.take() {
            if let Some(at) = blocks.armed {
                self.timers.remove(&(at, Timer::Blocks(slot)));
            }
            blocks.release_all(&mut self.bodies);
        }
        self.end_outbound(slot, peer);
        self.peers.remove(slot);
    }

    fn end_outbound(&mut self, slot: PeerSlot, peer: P) {
        let Some(outbound) = self
            .peers
            .get_mut(slot)
            .and_then(|record| record.outbound.take())
        else {
            return;
        };
        let reason = Failure::PeerGone;
        for id in outbound.flights {
            if let Some(flight) = self.land(MessageKey::new(slot, id)) {
                match flight.owner {
                    Owner::Request(_) => {}
                    Owner::Response(exchange) => {
                        self.event(Event::ResponseFailed {
                            peer,
                            exchange,
                            reason,
                        });
                    }
                    Owner::Notification {
                        id: notification,
                        token,
                    } => {
                        self.event(Event::NotificationFailed {
                            peer,
                            token,
                            notification,
                            reason,
                        });
                    }
                }
            }
        }
        for queued in outbound.queue {
            if let Queued::Notification(queued) = queued {
                let (token, notification) = (queued.message.token, queued.id);
                self.event(Event::NotificationFailed {
                    peer,
                    token,
                    notification,
                    reason,
                });
            }
        }
        for exchange in outbound.exchanges {
            self.fail(exchange, reason);
        }
    }

    fn event(&mut self, event: Event<P>) {
        self.outputs.push_back(Output::Event(event));
    }

    fn transmit(&mut self, peer: P, datagram: Vec<u8>) {
        self.counters.transmitted += 1;
        self.outputs.push_back(Output::Transmit { peer, datagram });
    }

    /// An acknowledgement or reset without content.
    fn transmit_empty(&mut self, peer: P, kind: Type, id: MessageId) {
        self.transmit(peer, Message::new(kind, Code::EMPTY, id).to_datagram());
    }

    fn next_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn make_token(&mut self) -> Token {
        let bytes: [u8; 8] = self.rng.random();
        let len = usize::from(self.config.token_length.clamp(1, 8));
        bytes.get(..len).and_then(Token::new).unwrap_or_default()
    }

    fn make_message_id(&mut self, now: Instant, slot: PeerSlot) -> Result<MessageId, Exhausted> {
        let lifetime = self.config.exchange_lifetime;
        let retry_after = lifetime;
        let peer = self.peers.get_mut(slot).ok_or(Exhausted { retry_after })?;
        if peer.stream.is_some() {
            return Ok(MessageId(0));
        }
        peer.keep_until(now + MessageIds::memory(lifetime));
        peer.ids.allocate(now, lifetime, &mut self.rng)
    }

    fn schedule_housekeeping(&mut self, now: Instant) {
        if self.housekeeping.is_some() {
            return;
        }
        let due = [self.dedup.next_expiry(), self.peers.next_check()]
            .into_iter()
            .flatten()
            .min();
        self.housekeeping = due.map(|due| due.max(now + HOUSEKEEPING_PERIOD));
    }

    /// Remembers a received message for deduplication; a stream has no duplicates.
    fn remember(&mut self, now: Instant, slot: PeerSlot, id: MessageId, kind: Type, reply: Reply) {
        let lifetime = match kind {
            Type::NonConfirmable => self.config.non_lifetime,
            _ => self.config.exchange_lifetime,
        };
        let Some(peer) = self
            .peers
            .get_mut(slot)
            .filter(|peer| peer.stream.is_none())
        else {
            return;
        };
        peer.keep_until(now + lifetime);
        peer.newest = self.dedup.insert(
            MessageKey::new(slot, id),
            peer.newest,
            now + lifetime,
            reply,
        );
        self.counters.forgotten_early += self.dedup.shed();
        self.schedule_housekeeping(now);
    }
}
