//! Confirmable messages in flight, and what happens when a wait is over.

use std::time::Instant;

use super::{Endpoint, Event, Timer};
use crate::dedup::Reply;
use crate::exchange::{ExchangeId, Failure, Progress, Wait};
use crate::message::{Message, Type};
use crate::peer::{MessageKey, PeerKey, PeerSlot};
use crate::retransmit::{Flight, Owner, Retry};

impl<P: PeerKey> Endpoint<P> {
    /// Sends a confirmable message and watches over it.
    pub(super) fn launch(&mut self, now: Instant, slot: PeerSlot, owner: Owner, message: &Message) {
        let Some(peer) = self.peers.get_mut(slot) else {
            return;
        };
        let key = peer.key;
        let outbound = peer.outbound();
        outbound.flights.push(message.id);
        outbound.in_flight += u16::from(owner.counts_for_nstart());
        let datagram = message.to_datagram();
        let flight = Flight::new(now, owner, datagram.clone(), &self.config, &mut self.rng);
        let flight_key = MessageKey::new(slot, message.id);
        self.timers
            .insert((flight.deadline, Timer::Flight(flight_key)));
        self.flights.insert(flight_key, flight);
        self.transmit(key, datagram);
    }

    /// Ends the watch over a confirmable message.
    pub(super) fn land(&mut self, key: MessageKey) -> Option<Flight> {
        let flight = self.flights.remove(&key)?;
        self.timers.remove(&(flight.deadline, Timer::Flight(key)));
        let peer = self.peers.get_mut(key.slot());
        if let Some(outbound) = peer.and_then(|peer| peer.outbound.as_mut()) {
            outbound.flights.retain(|id| *id != key.id());
            if flight.owner.counts_for_nstart() {
                outbound.in_flight = outbound.in_flight.saturating_sub(1);
            }
        }
        Some(flight)
    }

    pub(super) fn flight_timed_out(&mut self, now: Instant, key: MessageKey) {
        let Some(peer) = self.peers.get(key.slot()).map(|peer| peer.key) else {
            return;
        };
        let Some(flight) = self.flights.get_mut(&key) else {
            return;
        };
        if let Retry::Again(deadline) = flight.retry(now) {
            let datagram = flight.datagram.clone();
            self.timers.insert((deadline, Timer::Flight(key)));
            self.counters.retransmissions += 1;
            self.transmit(peer, datagram);
            self.event(Event::SentAgain { peer });
            return;
        }
        let Some(flight) = self.land(key) else {
            return;
        };
        let reason = Failure::Timeout;
        match flight.owner {
            Owner::Request(exchange) => self.fail(exchange, reason),
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
                self.remove_observer(key.slot(), token);
                self.event(Event::NotificationFailed {
                    peer,
                    token,
                    notification,
                    reason,
                });
            }
        }
        self.pump(now, key.slot());
    }

    pub(super) fn incoming_timed_out(&mut self, now: Instant, exchange: ExchangeId) {
        let Some(incoming) = self.incoming.get_mut(&exchange) else {
            return;
        };
        let call = incoming.call;
        if incoming.progress == Progress::Unacknowledged {
            self.acknowledge_early(now, exchange);
            return;
        }
        self.incoming.remove(&exchange);
        self.counters.abandoned += 1;
        if let Some(peer) = self.peers.get_mut(call.slot) {
            peer.served(exchange);
        }
        let reply = match call.reliability.kind() {
            Type::Confirmable => Reply::Acknowledgement,
            _ => Reply::Silence,
        };
        self.dedup
            .settle(MessageKey::new(call.slot, call.id), reply);
    }

    /// RFC 7252 §5.2.2: the answer takes longer, an empty acknowledgement stops the
    /// retransmission of the request.
    pub(super) fn acknowledge_early(&mut self, now: Instant, exchange: ExchangeId) {
        let Some(incoming) = self.incoming.get_mut(&exchange) else {
            return;
        };
        self.timers
            .remove(&(incoming.timer, Timer::Incoming(exchange)));
        incoming.progress = Progress::Acknowledged;
        incoming.timer = now + self.config.request_timeout;
        self.timers
            .insert((incoming.timer, Timer::Incoming(exchange)));
        let call = incoming.call;
        if let Some(peer) = self.peers.get(call.slot).map(|peer| peer.key) {
            self.transmit_empty(peer, Type::Acknowledgement, call.id);
        }
    }

    pub(super) fn outgoing_timed_out(&mut self, now: Instant, exchange: ExchangeId) {
        let Some(outgoing) = self.outgoing.get_mut(&exchange) else {
            return;
        };
        outgoing.timer = None;
        debug_assert!(!matches!(outgoing.wait, Wait::Acknowledgement(_)));
        let slot = outgoing.slot;
        let reason = match outgoing.wait {
            Wait::Response(_) => Failure::Unanswered,
            Wait::Queued | Wait::Acknowledgement(_) => Failure::Timeout,
        };
        self.fail(exchange, reason);
        self.pump(now, slot);
    }
}
