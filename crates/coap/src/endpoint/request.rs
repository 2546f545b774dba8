//! Requests out, responses in.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Endpoint, Event, Receipt, Timer};
use crate::blockwise::{Block, Download, DownloadStep, Upload, UploadStep};
use crate::error::SendError;
use crate::exchange::{ExchangeId, Failure, Outgoing, Purpose, Transfer, Wait};
use crate::message::{Message, MessageId, Token};
use crate::message_id::Exhausted;
use crate::peer::{MessageKey, PeerKey, PeerSlot, Queued};
use crate::request::{Reliability, Request};
use crate::response::{ParsedResponse, Response};
use crate::retransmit::Owner;

/// What the response means for the exchange.
enum Verdict {
    NextLeg,
    Wait,
    Deliver(Response),
    Fail(Failure),
}

impl<P: PeerKey> Endpoint<P> {
    /// Sends a request, or queues it behind the one that is unacknowledged. It ends in exactly
    /// one [`Event::Response`] or [`Event::Failed`].
    ///
    /// With `observe: Some(0)`, a successful response that carries Observe makes the token an
    /// observation; with `Some(1)` the observation with that token is forgotten at once.
    pub fn send_request(
        &mut self,
        now: Instant,
        peer: P,
        mut request: Request,
    ) -> Result<ExchangeId, SendError> {
        let body = std::mem::take(&mut request.payload).into();
        self.send_request_shared(now, peer, request, body)
    }

    /// As [`Endpoint::send_request`], with `body` in place of the payload of the request. Blocks are cut from it as it is,
    /// so that a large one which goes to many peers is there once.
    pub fn send_request_shared(
        &mut self,
        now: Instant,
        peer: P,
        request: Request,
        body: Bytes,
    ) -> Result<ExchangeId, SendError> {
        self.clock = Some(now);
        let template = request.template().ok_or(SendError::TooLarge)?;
        if self.outgoing.len() >= self.config.max_exchanges {
            return Err(SendError::Overloaded);
        }
        let slot = self
            .peers
            .find_or_add(now, peer)
            .ok_or(SendError::Overloaded)?;
        self.schedule_housekeeping(now);
        let portion = self.portion(slot, None, || template.content_len());
        let upload = Upload::new(body, portion).ok_or(SendError::TooLarge)?;
        self.check_room(now, slot)?;
        let token = self.claim_token(slot, request.token)?;
        if request.observe == Some(1) {
            self.drop_observation(slot, token);
        }
        let id = ExchangeId::from_number(self.next_number());
        let outgoing = Outgoing {
            slot,
            purpose: Purpose::Caller,
            origin: token,
            token,
            reliability: self.reliability(slot, request.confirmable),
            template,
            observe: request.observe,
            wanted: request.block_size.map(|size| Block {
                number: 0,
                more: false,
                size,
            }),
            transfer: Transfer::Upload(upload),
            response_timeout: request
                .response_timeout
                .unwrap_or(self.config.response_timeout),
            wait: Wait::Queued,
            timer: None,
        };
        self.enqueue(now, Queued::First(id), outgoing);
        self.pump(now, slot);
        Ok(id)
    }

    /// Gives up a request: it ends in [`Event::Failed`] with [`Failure::Cancelled`]. A response
    /// that still comes is rejected. Does nothing if the request has already ended.
    pub fn cancel(&mut self, exchange: ExchangeId) {
        let Some(slot) = self.outgoing.get(&exchange).map(|out| out.slot) else {
            return;
        };
        self.fail(exchange, Failure::Cancelled);
        // Without a time nothing can be sent, so the queue moves on at the next timeout.
        if let Some(clock) = self.clock {
            self.timers.insert((clock, Timer::Queue(slot)));
        }
    }

    pub(super) fn check_room(&mut self, now: Instant, slot: PeerSlot) -> Result<(), SendError> {
        let (max, lifetime) = (
            self.config.max_exchanges_per_peer,
            self.config.exchange_lifetime,
        );
        let Some(peer) = self.peers.get_mut(slot) else {
            return Err(SendError::Overloaded);
        };
        let (mut open, mut waiting) = (0, 0);
        if let Some(outbound) = &peer.outbound {
            open = outbound.exchanges.len().max(outbound.queue.len());
            waiting = outbound.queue.len();
        }
        if open >= max {
            return Err(SendError::PeerBusy {
                retry_after: self.config.ack_timeout,
            });
        }
        peer.ids
            .admit(now, lifetime, waiting as u32)
            .map_err(|Exhausted { retry_after }| SendError::OutOfMessageIds { retry_after })
    }

    fn uses_token(&self, slot: PeerSlot, token: Token) -> bool {
        let outbound = self.peers.get(slot).and_then(|peer| peer.outbound.as_ref());
        outbound.is_some_and(|outbound| {
            let mut open = outbound
                .exchanges
                .iter()
                .filter_map(|id| self.outgoing.get(id));
            open.any(|out| out.token == token || out.origin == token)
        })
    }

    fn claim_token(&mut self, slot: PeerSlot, wanted: Option<Token>) -> Result<Token, SendError> {
        if let Some(token) = wanted {
            let free = !self.uses_token(slot, token);
            return free.then_some(token).ok_or(SendError::TokenInUse);
        }
        Ok(self.fresh_token(slot))
    }

    pub(super) fn fresh_token(&mut self, slot: PeerSlot) -> Token {
        loop {
            let token = self.make_token();
            let observed = self
                .peers
                .get(slot)
                .is_some_and(|peer| peer.observations.iter().any(|known| known.token == token));
            if !observed && !self.uses_token(slot, token) {
                return token;
            }
        }
    }

    /// Puts a leg into the queue of its peer.
    pub(super) fn enqueue(&mut self, now: Instant, queued: Queued, mut out: Outgoing) {
        let Some(peer) = self.peers.get_mut(out.slot) else {
            return;
        };
        let Some(id) = queued.exchange() else {
            return;
        };
        let outbound = peer.outbound();
        outbound.enqueue(queued, |next| {
            let next = next.exchange().and_then(|id| self.outgoing.get(&id));
            next.is_some_and(|next| next.transfer.is_upload_in_blocks())
        });
        if !outbound.exchanges.contains(&id) {
            outbound.exchanges.push(id);
        }
        out.wait = Wait::Queued;
        let at = now + self.config.queue_timeout;
        if let Some(before) = out.timer.replace(at) {
            self.timers.remove(&(before, Timer::Outgoing(id)));
        }
        self.timers.insert((at, Timer::Outgoing(id)));
        self.outgoing.insert(id, out);
    }

    /// Sends what may be sent to the peer now.
    pub(super) fn pump(&mut self, now: Instant, slot: PeerSlot) {
        while let Some(queued) = self.next_queued(slot) {
            match self.make_message_id(now, slot) {
                Ok(id) => match queued {
                    Queued::First(exchange) | Queued::Later(exchange) => {
                        self.start_leg(now, exchange, id);
                    }
                    Queued::Notification(queued) => self.start_notification(now, slot, *queued, id),
                },
                Err(Exhausted { retry_after }) => {
                    if let Some(peer) = self.peers.get_mut(slot) {
                        peer.outbound().queue.push_front(queued);
                    }
                    let wait = retry_after.max(Duration::from_millis(1));
                    self.timers.insert((now + wait, Timer::Queue(slot)));
                    return;
                }
            }
        }
    }

    /// RFC 7252 §4.7: at most NSTART interactions are outstanding. Non-confirmable legs are not
    /// acknowledged and do not wait for each other.
    fn next_queued(&mut self, slot: PeerSlot) -> Option<Queued> {
        let outbound = self.peers.get_mut(slot)?.outbound.as_mut()?;
        if outbound.in_flight < self.config.nstart.max(1) {
            return outbound.take_queued(0);
        }
        let at = outbound.queue.iter().position(|queued| {
            let out = queued.exchange().and_then(|id| self.outgoing.get(&id));
            out.is_some_and(|out| out.reliability == Reliability::NonConfirmable)
        })?;
        outbound.take_queued(at)
    }

    fn start_leg(&mut self, now: Instant, exchange: ExchangeId, id: MessageId) {
        let Some(out) = self.outgoing.get_mut(&exchange) else {
            return;
        };
        let slot = out.slot;
        let message = out.leg(id);
        if out.reliability == Reliability::Confirmable {
            out.wait = Wait::Acknowledgement(id);
            if let Some(at) = out.timer.take() {
                self.timers.remove(&(at, Timer::Outgoing(exchange)));
            }
            self.launch(now, slot, Owner::Request(exchange), &message);
            return;
        }
        self.await_response(now, exchange, id);
        self.transmit_once(slot, message);
    }

    pub(super) fn await_response(&mut self, now: Instant, exchange: ExchangeId, id: MessageId) {
        let Some(out) = self.outgoing.get_mut(&exchange) else {
            return;
        };
        out.wait = Wait::Response(id);
        let at = now + out.response_timeout;
        if let Some(before) = out.timer.replace(at) {
            self.timers.remove(&(before, Timer::Outgoing(exchange)));
        }
        self.timers.insert((at, Timer::Outgoing(exchange)));
    }

    /// A response to the present leg, which is acknowledged.
    pub(super) fn response_to(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        parsed: ParsedResponse,
    ) {
        self.note_observation(now, exchange, &parsed);
        let Some(out) = self.outgoing.get_mut(&exchange) else {
            return;
        };
        let slot = out.slot;
        let verdict = match &mut out.transfer {
            Transfer::Upload(upload) => match upload.step(&parsed) {
                UploadStep::Continue => Verdict::NextLeg,
                UploadStep::Broken => Verdict::Fail(Failure::BlockwiseFailed),
                UploadStep::Answered => self.begin_download(exchange, parsed),
            },
            Transfer::Download(download) => {
                let step = download.step(parsed, self.config.max_body, &mut self.bodies);
                verdict(step)
            }
        };
        match verdict {
            Verdict::Wait => self.counters.unexpected_blocks += 1,
            Verdict::Fail(reason) => self.fail(exchange, reason),
            Verdict::Deliver(response) => self.conclude(exchange, response),
            Verdict::NextLeg => {
                if let Some(out) = self.outgoing.remove(&exchange) {
                    self.enqueue(now, Queued::Later(exchange), out);
                    self.pump(now, slot);
                }
            }
        }
    }

    fn begin_download(&mut self, exchange: ExchangeId, parsed: ParsedResponse) -> Verdict {
        if !parsed
            .block2
            .is_some_and(|block| block.more || block.number > 0)
        {
            return Verdict::Deliver(parsed.response);
        }
        let Some(out) = self.outgoing.get_mut(&exchange) else {
            return Verdict::Wait;
        };
        let fresh = out.observe.is_some().then_some(out.slot);
        let body = out.fetch_body().to_vec();
        let (download, step) =
            Download::start(parsed, body, self.config.max_body, &mut self.bodies);
        if step != DownloadStep::Continue {
            return verdict(step);
        }
        out.transfer = Transfer::Download(download);
        // RFC 7959 §3.4: the token of an observation stays that of its notifications.
        if let Some(slot) = fresh {
            let token = self.fresh_token(slot);
            if let Some(out) = self.outgoing.get_mut(&exchange) {
                out.token = token;
            }
        }
        Verdict::NextLeg
    }

    fn conclude(&mut self, exchange: ExchangeId, response: Response) {
        let Some((peer, out)) = self.finish(exchange) else {
            return;
        };
        let token = out.origin;
        match out.purpose {
            Purpose::Caller => self.event(Event::Response {
                peer,
                exchange,
                token,
                response,
            }),
            Purpose::Notification(id) if response.code.is_success() => {
                self.event(Event::Notification {
                    peer,
                    token,
                    response,
                    receipt: id.map(|id| Receipt { peer, token, id }),
                });
            }
            Purpose::Notification(id) => {
                // What the peer does not give out any more it would not give out another time.
                self.notification_lost(peer, token, id, Failure::BlockwiseFailed);
            }
            Purpose::Nobody => {}
        }
    }

    pub(super) fn fail(&mut self, exchange: ExchangeId, reason: Failure) {
        let Some((peer, out)) = self.finish(exchange) else {
            return;
        };
        match out.purpose {
            Purpose::Caller => self.event(Event::Failed {
                peer,
                exchange,
                reason,
            }),
            Purpose::Notification(id) => self.notification_lost(peer, out.origin, id, reason),
            Purpose::Nobody => {}
        }
    }

    /// A notification whose later blocks do not come is acknowledged only if its repetition would
    /// be of no use.
    fn notification_lost(&mut self, peer: P, token: Token, id: Option<MessageId>, reason: Failure) {
        self.counters.lost_notifications += 1;
        let Some(id) = id else {
            return;
        };
        let receipt = Receipt { peer, token, id };
        if reason.is_passing() {
            self.decline(receipt);
        } else {
            self.acknowledge(receipt);
        }
    }

    /// Takes an exchange out of everything that refers to it.
    pub(super) fn finish(&mut self, exchange: ExchangeId) -> Option<(P, Outgoing)> {
        let mut out = self.outgoing.remove(&exchange)?;
        if let Some(at) = out.timer {
            self.timers.remove(&(at, Timer::Outgoing(exchange)));
        }
        if let Wait::Acknowledgement(id) = out.wait {
            self.land(MessageKey::new(out.slot, id));
        }
        if let Transfer::Download(download) = &mut out.transfer {
            download.release(&mut self.bodies);
        }
        let peer = self.peers.get_mut(out.slot)?;
        if let Some(outbound) = peer.outbound.as_mut() {
            outbound.exchanges.retain(|other| *other != exchange);
            if out.wait == Wait::Queued {
                outbound
                    .queue
                    .retain(|queued| queued.exchange() != Some(exchange));
            }
        }
        Some((peer.key, out))
    }

    /// An exchange that fetches the later blocks of a notification, whose message id is `id` if it
    /// waits for an acknowledgement.
    pub(super) fn fetch(
        &mut self,
        now: Instant,
        slot: PeerSlot,
        (origin, id): (Token, Option<MessageId>),
        template: Message,
        download: Download,
    ) {
        let token = self.fresh_token(slot);
        let exchange = ExchangeId::from_number(self.next_number());
        let outgoing = Outgoing {
            slot,
            purpose: Purpose::Notification(id),
            origin,
            token,
            reliability: self.reliability(slot, Reliability::Confirmable),
            template,
            observe: None,
            wanted: None,
            transfer: Transfer::Download(download),
            response_timeout: self.config.response_timeout,
            wait: Wait::Queued,
            timer: None,
        };
        self.enqueue(now, Queued::Later(exchange), outgoing);
        self.pump(now, slot);
    }
}

fn verdict(step: DownloadStep) -> Verdict {
    match step {
        DownloadStep::Continue => Verdict::NextLeg,
        DownloadStep::Repeated => Verdict::Wait,
        DownloadStep::Done(response) => Verdict::Deliver(response),
        DownloadStep::Broken => Verdict::Fail(Failure::BlockwiseFailed),
        DownloadStep::TooLarge => Verdict::Fail(Failure::BodyTooLarge),
    }
}
