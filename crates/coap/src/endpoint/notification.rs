//! Observation in both roles (RFC 7641).

use std::time::Instant;

use super::{Endpoint, Event, Receipt};
use crate::blockwise::{BlockSize, Download, DownloadStep, cut};
use crate::dedup::Reply;
use crate::error::SendError;
use crate::exchange::{ExchangeId, NotificationId, Outgoing, Purpose};
use crate::message::{Code, Message, MessageId, Token, Type};
use crate::message_id::Exhausted;
use crate::observe::{Freshness, Observation, Observer};
use crate::option::{ETag, number};
use crate::peer::{MessageKey, PeerKey, PeerSlot, Queued, QueuedNotification};
use crate::request::{ParsedRequest, Reliability, Request};
use crate::response::{ParsedResponse, Response};
use crate::retransmit::Owner;

/// What became of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// All that is to be done for it is done, but for the acknowledgement.
    Handled,
    /// It is acknowledged by its receipt, or later.
    HandedUp,
    /// There is no room: its next copy is a new one.
    PutOff,
}

impl<P: PeerKey> Endpoint<P> {
    /// Makes an observation known that another endpoint has established, so that its
    /// notifications are delivered. `request` is the one that established it; it is needed to
    /// fetch notifications that do not fit into one message.
    ///
    /// Observations are the one thing that is kept of an idle peer, about 100 bytes each.
    pub fn observe_known(
        &mut self,
        now: Instant,
        peer: P,
        token: Token,
        request: &Request,
    ) -> Result<(), SendError> {
        let mut template = request.template().ok_or(SendError::TooLarge)?;
        if request.method == Code::FETCH {
            template.payload.clone_from(&request.payload);
        }
        let slot = self
            .peers
            .find_or_add(now, peer)
            .ok_or(SendError::Overloaded)?;
        self.schedule_housekeeping(now);
        if self.add_observation(slot, Observation::new(token, &template)) {
            Ok(())
        } else {
            Err(SendError::Overloaded)
        }
    }

    /// Forgets an observation: its next notification is rejected with a reset, which ends it at
    /// the peer (RFC 7641 §3.6). On a stream it is cancelled by a request.
    pub fn forget_observation(&mut self, peer: P, token: Token) {
        if let Some(slot) = self.peers.find(peer) {
            if self.on_stream(slot) {
                self.cancel_silently(peer, token);
            }
            self.drop_observation(slot, token);
        }
    }

    /// A peer is known by another key from now on, and goes on to notify there with the tokens that it
    /// has. Not for a stream, with which its observations end (RFC 8323 appendix A.4).
    pub fn move_observations(&mut self, now: Instant, from: P, to: P) -> Result<(), SendError> {
        let Some(old) = self.peers.find(from) else {
            return Ok(());
        };
        let slot = self
            .peers
            .find_or_add(now, to)
            .ok_or(SendError::Overloaded)?;
        self.schedule_housekeeping(now);
        for token in self.observations(from) {
            // What is being fetched does not come any more; the peer repeats what is not acknowledged.
            self.drop_fetch(old, token);
        }
        let moved = self
            .peers
            .get_mut(old)
            .map(|peer| std::mem::take(&mut peer.observations))
            .unwrap_or_default();
        for observation in moved {
            if !self.add_observation(slot, observation) {
                return Err(SendError::Overloaded);
            }
        }
        Ok(())
    }

    /// Cancels an observation by a request with `observe: Some(1)` and the same token; notifications that
    /// still arrive are acknowledged and dropped.
    pub fn cancel_observation(
        &mut self,
        now: Instant,
        peer: P,
        token: Token,
    ) -> Result<ExchangeId, SendError> {
        let slot = self.peers.find(peer).ok_or(SendError::UnknownObservation)?;
        let template = self
            .peers
            .get(slot)
            .and_then(|peer| peer.observations.iter().find(|known| known.token == token))
            .and_then(Observation::template)
            .ok_or(SendError::UnknownObservation)?;
        let largest = self.largest_block(slot);
        let parsed = ParsedRequest::new(template, &self.config.passed_options, largest)
            .map_err(|_| SendError::UnknownObservation)?;
        let request = Request {
            token: Some(token),
            observe: Some(1),
            confirmable: Reliability::Confirmable,
            ..parsed.request
        };
        self.send_request(now, peer, request)
    }

    /// The tokens of the observations this endpoint has at a peer.
    pub fn observations(&self, peer: P) -> Vec<Token> {
        let peer = self.peers.find(peer).and_then(|slot| self.peers.get(slot));
        peer.map(|peer| peer.observations.iter().map(|known| known.token).collect())
            .unwrap_or_default()
    }

    fn add_observation(&mut self, slot: PeerSlot, observation: Observation) -> bool {
        let max = self.config.max_observations_per_peer;
        let Some(peer) = self.peers.get_mut(slot) else {
            return false;
        };
        // RFC 7641 §3.1: registering again with the same token replaces.
        peer.observations
            .retain(|known| known.token != observation.token);
        let room = peer.observations.len() < max;
        if room {
            peer.observations.push(observation);
        }
        room
    }

    pub(super) fn drop_observation(&mut self, slot: PeerSlot, token: Token) {
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.observations.retain(|known| known.token != token);
        }
        self.drop_fetch(slot, token);
    }

    /// Ends the fetch of the later blocks of an older notification.
    fn drop_fetch(&mut self, slot: PeerSlot, token: Token) {
        let outbound = self.peers.get(slot).and_then(|peer| peer.outbound.as_ref());
        let fetch = outbound.and_then(|outbound| {
            outbound.exchanges.iter().copied().find(|exchange| {
                self.outgoing.get(exchange).is_some_and(|out| {
                    matches!(out.purpose, Purpose::Notification(_)) && out.origin == token
                })
            })
        });
        if let Some((_, out)) = fetch.and_then(|fetch| self.finish(fetch)) {
            self.counters.lost_notifications += 1;
            // If the peer repeats it, it is older than what came since.
            if let Purpose::Notification(Some(id)) = out.purpose {
                self.dedup.unsee(MessageKey::new(slot, id));
            }
        }
    }

    /// RFC 7641 §3.1: only a success with an Observe option establishes an observation.
    pub(super) fn note_observation(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        parsed: &ParsedResponse,
    ) {
        let Some(out) = self.outgoing.get(&exchange) else {
            return;
        };
        let code = parsed.response.code;
        // Later legs have a token of their own.
        if out.observe != Some(0) || out.token != out.origin || code == Code::CONTINUE_2_31 {
            return;
        }
        let (slot, token) = (out.slot, out.origin);
        match parsed.response.observe {
            Some(sequence) if code.is_success() => {
                let mut observation = Observation::new(token, &observed_template(out));
                observation.judge(now, sequence);
                if !self.add_observation(slot, observation) {
                    self.counters.overloaded += 1;
                }
            }
            _ => self.drop_observation(slot, token),
        }
    }

    pub(super) fn notification_arrived(
        &mut self,
        now: Instant,
        slot: PeerSlot,
        (kind, id, token): (Type, MessageId, Token),
        parsed: ParsedResponse,
    ) -> Taken {
        let Some(peer) = self.peers.get_mut(slot) else {
            return Taken::Handled;
        };
        let is_watched = kind == Type::Confirmable && peer.stream.is_none();
        let receipt = is_watched.then_some(Receipt {
            peer: peer.key,
            token,
            id,
        });
        let taken = receipt.map_or(Taken::Handled, |_| Taken::HandedUp);
        let key = peer.key;
        let Some(known) = peer
            .observations
            .iter_mut()
            .find(|known| known.token == token)
        else {
            return Taken::Handled;
        };
        let Some(sequence) = parsed
            .response
            .observe
            .filter(|_| parsed.response.code.is_success())
        else {
            // RFC 7641 §3.2: an error, or a success without Observe, ends the observation.
            self.drop_observation(slot, token);
            self.event(Event::Notification {
                peer: key,
                token,
                response: parsed.response,
                receipt,
            });
            return taken;
        };
        // RFC 8323 appendix A.1: on a stream the order is that of arrival, the number says nothing.
        if peer.stream.is_none() && known.judge(now, sequence) == Freshness::Stale {
            self.counters.stale_notifications += 1;
            return Taken::Handled;
        }
        let template = known.template();
        self.drop_fetch(slot, token);
        if !parsed.block2.is_some_and(|block| block.more) {
            self.event(Event::Notification {
                peer: key,
                token,
                response: parsed.response,
                receipt,
            });
            return taken;
        }
        let id = is_watched.then_some(id);
        self.fetch_rest(now, slot, (token, id), template, parsed)
    }

    /// Acknowledges a notification, which is kept now.
    pub fn acknowledge(&mut self, receipt: Receipt<P>) {
        let Some(slot) = self.peers.find(receipt.peer) else {
            return;
        };
        let key = MessageKey::new(slot, receipt.id);
        self.dedup.settle(key, Reply::Acknowledgement);
        self.transmit_empty(receipt.peer, Type::Acknowledgement, receipt.id);
    }

    /// A notification could not be kept: its next copy is taken for a new one.
    pub fn decline(&mut self, receipt: Receipt<P>) {
        let Some(slot) = self.peers.find(receipt.peer) else {
            return;
        };
        self.dedup.unsee(MessageKey::new(slot, receipt.id));
        self.forget_order(slot, receipt.token);
    }

    /// A notification will never be kept: it is rejected with a reset, which ends its observation at
    /// the peer (RFC 7641 §3.6).
    pub fn reject(&mut self, receipt: Receipt<P>) {
        let Some(slot) = self.peers.find(receipt.peer) else {
            return;
        };
        self.dedup
            .settle(MessageKey::new(slot, receipt.id), Reply::Reset);
        self.drop_observation(slot, receipt.token);
        self.transmit_empty(receipt.peer, Type::Reset, receipt.id);
    }

    /// Takes the next notification for a fresh one, whatever its number.
    fn forget_order(&mut self, slot: PeerSlot, token: Token) {
        let observations = self.peers.get_mut(slot).map(|peer| &mut peer.observations);
        let mut known = observations.into_iter().flatten();
        if let Some(known) = known.find(|known| known.token == token) {
            known.forget_order();
        }
    }

    fn fetch_rest(
        &mut self,
        now: Instant,
        slot: PeerSlot,
        (token, id): (Token, Option<MessageId>),
        template: Option<Message>,
        parsed: ParsedResponse,
    ) -> Taken {
        let room =
            self.check_room(now, slot).is_ok() && self.outgoing.len() < self.config.max_exchanges;
        let Some(mut template) = template.filter(|_| room) else {
            self.counters.overloaded += 1;
            self.counters.lost_notifications += 1;
            self.forget_order(slot, token);
            return Taken::PutOff;
        };
        let body = std::mem::take(&mut template.payload);
        let (download, step) =
            Download::start(parsed, body, self.config.max_body, &mut self.bodies);
        if step != DownloadStep::Continue {
            self.counters.lost_notifications += 1;
            return Taken::Handled;
        }
        self.fetch(now, slot, (token, id), template, download);
        id.map_or(Taken::Handled, |_| Taken::HandedUp)
    }

    /// Sends a notification to a peer that observes here with `token`. `response.observe` is the
    /// sequence number; without it, or when the code is no success, the observation ends.
    ///
    /// A confirmable one ends in [`Event::NotificationDelivered`],
    /// [`Event::NotificationFailed`] or [`Event::ObservationReset`].
    pub fn notify(
        &mut self,
        now: Instant,
        peer: P,
        token: Token,
        response: Response,
        reliability: Reliability,
    ) -> Result<NotificationId, SendError> {
        self.clock = Some(now);
        let slot = self
            .peers
            .find_or_add(now, peer)
            .ok_or(SendError::Overloaded)?;
        self.schedule_housekeeping(now);
        self.check_room(now, slot)?;
        let notification = NotificationId::from_number(self.next_number());
        let message = self.shape_notification(now, slot, token, response, reliability);
        if self.on_stream(slot) {
            self.transmit_once(slot, message);
            if reliability == Reliability::Confirmable {
                self.event(Event::NotificationDelivered {
                    peer,
                    token,
                    notification,
                });
            }
            return Ok(notification);
        }
        if reliability == Reliability::Confirmable {
            let queued = QueuedNotification {
                id: notification,
                message,
            };
            if let Some(peer) = self.peers.get_mut(slot) {
                peer.outbound()
                    .queue
                    .push_back(Queued::Notification(Box::new(queued)));
            }
            self.pump(now, slot);
            return Ok(notification);
        }
        let id = self
            .make_message_id(now, slot)
            .map_err(|Exhausted { retry_after }| SendError::OutOfMessageIds { retry_after })?;
        if let Some(record) = self.peers.get_mut(slot) {
            record.outbound().remember_unreliable(id, token);
        }
        self.transmit(peer, Message { id, ..message }.to_datagram());
        Ok(notification)
    }

    fn shape_notification(
        &mut self,
        now: Instant,
        slot: PeerSlot,
        token: Token,
        mut response: Response,
        reliability: Reliability,
    ) -> Message {
        let observer = self.observer(slot, token);
        if response.observe.is_none() || !response.code.is_success() {
            self.remove_observer(slot, token);
        }
        let asked = observer.and_then(|observer| observer.size);
        let portion = self.portion(slot, asked, || response.options().len_bound());
        let body = std::mem::take(&mut response.payload);
        let mut message = Message::new(reliability.kind(), response.code, MessageId(0));
        message.token = token;
        if body.len() <= portion.whole {
            message.options = response.options();
            message.payload = body;
            return message;
        }
        response.etag.get_or_insert_with(|| ETag::of_content(&body));
        message.options = response.options();
        if let Some((block, first)) = cut(&body, 0, portion) {
            block.push(number::BLOCK2, &mut message.options);
            message.payload = first.to_vec();
        }
        if let Some(observer) = observer {
            // The later blocks are fetched without Observe.
            response.observe = None;
            self.store_body(now, slot, observer.resource, &response, body.into());
        }
        message
    }

    pub(super) fn start_notification(
        &mut self,
        now: Instant,
        slot: PeerSlot,
        queued: QueuedNotification,
        id: MessageId,
    ) {
        let owner = Owner::Notification {
            id: queued.id,
            token: queued.message.token,
        };
        self.launch(
            now,
            slot,
            owner,
            &Message {
                id,
                ..queued.message
            },
        );
    }

    fn observer(&self, slot: PeerSlot, token: Token) -> Option<Observer> {
        self.peers
            .get(slot)?
            .observers
            .iter()
            .find(|observer| observer.token == token)
            .copied()
    }

    /// Takes note that a peer observes here, so that later blocks of its notifications are found.
    pub(super) fn add_observer(
        &mut self,
        slot: PeerSlot,
        token: Token,
        resource: u64,
        size: Option<BlockSize>,
    ) {
        let max = self.config.max_observations_per_peer;
        self.remove_observer(slot, token);
        if let Some(peer) = self
            .peers
            .get_mut(slot)
            .filter(|peer| peer.observers.len() < max)
        {
            peer.observers.push(Observer {
                token,
                resource,
                size,
            });
        }
    }

    pub(super) fn remove_observer(&mut self, slot: PeerSlot, token: Token) {
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.observers.retain(|observer| observer.token != token);
        }
    }
}

/// The request of an observation with the payload that selects what is observed.
fn observed_template(out: &Outgoing) -> Message {
    let mut template = out.template.clone();
    template.payload = out.fetch_body().to_vec();
    template
}
