//! Datagrams in: what is rejected, and where the rest belongs.

use std::time::Instant;

use super::notification::Taken;
use super::{Endpoint, Event, Receipt};
use crate::blockwise::BlockSize;
use crate::codec;
use crate::dedup::Reply;
use crate::exchange::{ExchangeId, Failure, Outgoing, Wait};
use crate::message::{Message, MessageId, Token, Type};
use crate::option::number;
use crate::peer::{MessageKey, PeerKey, PeerSlot};
use crate::response::ParsedResponse;
use crate::retransmit::Owner;

/// To whom a response belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Addressee {
    Exchange(ExchangeId),
    Observation,
    /// An observation that is just being refreshed (RFC 7641 §3.3.1): a notification of it says what
    /// the response would say.
    Refreshed(ExchangeId),
    /// A notification of an observation that is just being cancelled.
    Leftover,
    Nobody,
}

impl<P: PeerKey> Endpoint<P> {
    /// Takes a datagram of a peer. Nothing in it is an error of this endpoint.
    pub fn handle_datagram(&mut self, now: Instant, peer: P, datagram: &[u8]) {
        self.clock = Some(now);
        self.counters.received += 1;
        let Ok(message) = codec::decode(datagram) else {
            self.counters.malformed += 1;
            if let Some((Type::Confirmable, id)) = codec::decode_header(datagram) {
                self.transmit_empty(peer, Type::Reset, id);
            }
            return;
        };
        let (code, id) = (message.code, message.id);
        match message.kind {
            Type::Confirmable | Type::NonConfirmable if code.is_request() => {
                self.request_arrived(now, peer, message);
            }
            Type::Confirmable | Type::NonConfirmable if code.is_response() => {
                self.response_arrived(now, peer, message);
            }
            Type::Acknowledgement if code.is_response() => self.piggybacked(now, peer, message),
            Type::Acknowledgement if code.is_empty() => self.acknowledged(now, peer, id),
            Type::Reset if code.is_empty() => self.reset_arrived(now, peer, id),
            Type::Confirmable => {
                // RFC 7252 §4.3: an empty confirmable message is a ping. §4.2: a reserved code
                // class is rejected in the same way.
                if code.is_empty() {
                    self.counters.pings += 1;
                } else {
                    self.counters.malformed += 1;
                }
                self.transmit_empty(peer, Type::Reset, id);
            }
            _ => self.counters.malformed += 1,
        }
    }

    /// Answers a duplicate as the first time. Returns whether the message was one.
    pub(super) fn is_duplicate(&mut self, now: Instant, slot: PeerSlot, message: &Message) -> bool {
        if self.on_stream(slot) {
            return false;
        }
        let key = MessageKey::new(slot, message.id);
        let Some(reply) = self.dedup.find(now, key).cloned() else {
            return false;
        };
        self.counters.duplicates += 1;
        let Some(peer) = self.peers.get(slot).map(|peer| peer.key) else {
            return true;
        };
        self.event(Event::HeardAgain { peer });
        let id = message.id;
        match reply {
            Reply::Datagram(datagram) => self.transmit(peer, datagram.into_vec()),
            Reply::Reset => self.transmit_empty(peer, Type::Reset, id),
            Reply::Acknowledgement => self.transmit_empty(peer, Type::Acknowledgement, id),
            // The peer did not wait for the answer, so it needs the acknowledgement now.
            Reply::Pending(exchange) if message.kind == Type::Confirmable => {
                self.acknowledge_early(now, exchange);
            }
            Reply::Pending(_) | Reply::Silence => {}
        }
        true
    }

    fn acknowledged(&mut self, now: Instant, peer: P, id: MessageId) {
        let slot = self.peers.find(peer);
        let Some((slot, flight)) =
            slot.and_then(|slot| Some((slot, self.land(MessageKey::new(slot, id))?)))
        else {
            self.counters.unmatched += 1;
            return;
        };
        match flight.owner {
            Owner::Request(exchange) => self.await_response(now, exchange, id),
            Owner::Response(exchange) => self.event(Event::ResponseDelivered { peer, exchange }),
            Owner::Notification {
                id: notification,
                token,
            } => {
                self.event(Event::NotificationDelivered {
                    peer,
                    token,
                    notification,
                });
            }
        }
        self.pump(now, slot);
    }

    fn reset_arrived(&mut self, now: Instant, peer: P, id: MessageId) {
        let Some(slot) = self.peers.find(peer) else {
            self.counters.unmatched += 1;
            return;
        };
        let reason = Failure::Reset;
        match self
            .land(MessageKey::new(slot, id))
            .map(|flight| flight.owner)
        {
            Some(Owner::Request(exchange)) => self.fail(exchange, reason),
            Some(Owner::Response(exchange)) => {
                self.event(Event::ResponseFailed {
                    peer,
                    exchange,
                    reason,
                });
            }
            Some(Owner::Notification { token, .. }) => self.observation_reset(slot, peer, token),
            None => self.reset_of_unreliable(slot, peer, id),
        }
        self.pump(now, slot);
    }

    /// A reset to a message that is not watched: a non-confirmable request or notification.
    fn reset_of_unreliable(&mut self, slot: PeerSlot, peer: P, id: MessageId) {
        let outbound = self
            .peers
            .get_mut(slot)
            .and_then(|peer| peer.outbound.as_mut());
        let Some(outbound) = outbound else {
            self.counters.unmatched += 1;
            return;
        };
        if let Some(at) = outbound.unreliable.iter().position(|(sent, _)| *sent == id) {
            if let Some((_, token)) = outbound.unreliable.remove(at) {
                self.observation_reset(slot, peer, token);
            }
            return;
        }
        let exchange = outbound.exchanges.iter().copied().find(|exchange| {
            self.outgoing
                .get(exchange)
                .is_some_and(|out| out.wait == Wait::Response(id))
        });
        match exchange {
            Some(exchange) => self.fail(exchange, Failure::Reset),
            None => self.counters.unmatched += 1,
        }
    }

    fn observation_reset(&mut self, slot: PeerSlot, peer: P, token: Token) {
        self.remove_observer(slot, token);
        self.event(Event::ObservationReset { peer, token });
    }

    /// A response inside the acknowledgement of its request.
    fn piggybacked(&mut self, now: Instant, peer: P, message: Message) {
        let flight = self.peers.find(peer).and_then(|slot| {
            let key = MessageKey::new(slot, message.id);
            Some((slot, key, self.flights.get(&key)?.owner))
        });
        let Some((slot, key, owner)) = flight else {
            self.counters.unmatched += 1;
            return;
        };
        let Owner::Request(exchange) = owner else {
            self.acknowledged(now, peer, message.id);
            return;
        };
        // RFC 7252 §5.3.2: "the message IDs … and the tokens of the response and original
        // request MUST match"; anything else is ignored, the request is repeated.
        if self
            .outgoing
            .get(&exchange)
            .is_none_or(|out| out.token != message.token)
        {
            self.counters.unknown_token += 1;
            return;
        }
        self.land(key);
        let largest = BlockSize::B1024;
        if let Ok(parsed) = ParsedResponse::new(message, &self.config.passed_options, largest) {
            self.response_to(now, exchange, parsed);
        } else {
            self.counters.bad_option += 1;
            self.fail(exchange, Failure::BadOption);
        }
        self.pump(now, slot);
    }

    /// A response in a message of its own, or a notification.
    pub(super) fn response_arrived(&mut self, now: Instant, peer: P, message: Message) {
        let (kind, id, token) = (message.kind, message.id, message.token);
        let known = self
            .peers
            .find(peer)
            .map(|slot| (slot, self.addressee(slot, &message)));
        let Some((slot, addressee)) = known else {
            self.reject_response(peer, &message);
            return;
        };
        if self.is_duplicate(now, slot, &message) {
            return;
        }
        if addressee == Addressee::Nobody {
            if self.on_stream(slot) {
                self.counters.unknown_token += 1;
            } else {
                self.reject_response(peer, &message);
            }
            return;
        }
        let largest = self.largest_block(slot);
        let Ok(parsed) = ParsedResponse::new(message, &self.config.passed_options, largest) else {
            // RFC 7252 §5.4.1: rejected, with a reset if it is confirmable.
            self.counters.bad_option += 1;
            self.accept(now, slot, kind, id, Reply::Reset);
            if let Addressee::Exchange(exchange) | Addressee::Refreshed(exchange) = addressee {
                self.fail(exchange, Failure::BadOption);
                self.pump(now, slot);
            }
            return;
        };
        match addressee {
            Addressee::Observation => self.take_notification(now, slot, (kind, id, token), parsed),
            // The rest of a larger one is fetched by the exchange.
            Addressee::Refreshed(exchange) if parsed.block2.is_none() => {
                self.take_notification(now, slot, (kind, id, token), parsed.clone());
                self.take_response(now, slot, exchange, parsed);
            }
            Addressee::Exchange(exchange) | Addressee::Refreshed(exchange)
                if kind == Type::Confirmable && self.establishes(exchange, slot, &parsed) =>
            {
                self.take_first_notification(now, slot, (exchange, id, token), parsed);
            }
            Addressee::Exchange(exchange) | Addressee::Refreshed(exchange) => {
                self.accept(now, slot, kind, id, Reply::Acknowledgement);
                self.take_response(now, slot, exchange, parsed);
            }
            Addressee::Leftover => {
                self.accept(now, slot, kind, id, Reply::Acknowledgement);
                self.counters.stale_notifications += 1;
            }
            Addressee::Nobody => {}
        }
    }

    fn take_notification(
        &mut self,
        now: Instant,
        slot: PeerSlot,
        (kind, id, token): (Type, MessageId, Token),
        parsed: ParsedResponse,
    ) {
        let reply = match self.notification_arrived(now, slot, (kind, id, token), parsed) {
            Taken::Handled => Reply::Acknowledgement,
            // Its receipt acknowledges it.
            Taken::HandedUp => return self.remember(now, slot, id, kind, Reply::Silence),
            Taken::PutOff => return,
        };
        self.accept(now, slot, kind, id, reply);
    }

    /// Whether this message alone answers an Observe, and the observation stands from then on.
    fn establishes(&self, exchange: ExchangeId, slot: PeerSlot, parsed: &ParsedResponse) -> bool {
        let observes = |out: &Outgoing| out.observe == Some(0) && out.token == out.origin;
        let response = &parsed.response;
        self.outgoing.get(&exchange).is_some_and(observes)
            && response.observe.is_some()
            && response.code.is_success()
            && !parsed.block2.is_some_and(|block| block.more)
            && !self.on_stream(slot)
    }

    /// A confirmable message that answers an Observe. The peer's first answer may have been lost on its way, and
    /// this be a notification already: it is the answer, and it is acknowledged when it is kept.
    fn take_first_notification(
        &mut self,
        now: Instant,
        slot: PeerSlot,
        (exchange, id, token): (ExchangeId, MessageId, Token),
        parsed: ParsedResponse,
    ) {
        let Some(peer) = self.peers.get(slot).map(|peer| peer.key) else {
            return;
        };
        self.remember(now, slot, id, Type::Confirmable, Reply::Silence);
        let response = parsed.response.clone();
        self.take_response(now, slot, exchange, parsed);
        self.event(Event::Notification {
            peer,
            token,
            response,
            receipt: Some(Receipt { peer, token, id }),
        });
    }

    fn take_response(
        &mut self,
        now: Instant,
        slot: PeerSlot,
        exchange: ExchangeId,
        parsed: ParsedResponse,
    ) {
        self.land_request(now, slot, exchange);
        self.response_to(now, exchange, parsed);
        self.pump(now, slot);
    }

    /// Remembers a message and replies `reply` if it is confirmable.
    fn accept(&mut self, now: Instant, slot: PeerSlot, kind: Type, id: MessageId, reply: Reply) {
        let Some(peer) = self.peers.get(slot).map(|peer| peer.key) else {
            return;
        };
        if kind == Type::Confirmable {
            let answer = match reply {
                Reply::Reset => Type::Reset,
                _ => Type::Acknowledgement,
            };
            self.transmit_empty(peer, answer, id);
            self.remember(now, slot, id, kind, reply);
        } else {
            self.remember(now, slot, id, kind, Reply::Silence);
        }
    }

    /// RFC 7252 §5.3.2: a response may overtake the empty acknowledgement, or that may be lost;
    /// the response then also acknowledges.
    fn land_request(&mut self, now: Instant, slot: PeerSlot, exchange: ExchangeId) {
        let wait = self.outgoing.get(&exchange).map(|out| out.wait);
        if let Some(Wait::Acknowledgement(id)) = wait {
            self.land(MessageKey::new(slot, id));
            self.await_response(now, exchange, id);
        }
    }

    /// RFC 7252 §5.3.2 and RFC 7641 §4.2: a response with a token that nothing waits for is
    /// rejected. Nothing is remembered of it, so it costs no memory.
    fn reject_response(&mut self, peer: P, message: &Message) {
        self.counters.unknown_token += 1;
        // A late copy of a non-confirmable response is common and harmless, a non-confirmable
        // notification goes on for ever unless it is rejected.
        let notification = message.options.first(number::OBSERVE).is_some();
        if message.kind == Type::Confirmable || notification {
            self.transmit_empty(peer, Type::Reset, message.id);
        }
    }

    fn addressee(&self, slot: PeerSlot, message: &Message) -> Addressee {
        let Some(peer) = self.peers.get(slot) else {
            return Addressee::Nobody;
        };
        let notification = message.options.first(number::OBSERVE).is_some();
        let observed = peer
            .observations
            .iter()
            .any(|known| known.token == message.token);
        let mut fallback = Addressee::Nobody;
        for exchange in peer
            .outbound
            .iter()
            .flat_map(|outbound| &outbound.exchanges)
        {
            let Some(out) = self.outgoing.get(exchange) else {
                continue;
            };
            if out.token != message.token || out.wait == Wait::Queued {
                continue;
            }
            // A cancellation has the token of its observation (RFC 7641 §3.6), so notifications
            // may arrive between it and its response.
            if notification && out.observe != Some(0) {
                fallback = Addressee::Leftover;
            } else if notification && observed {
                return Addressee::Refreshed(*exchange);
            } else {
                return Addressee::Exchange(*exchange);
            }
        }
        if observed {
            Addressee::Observation
        } else {
            fallback
        }
    }
}
