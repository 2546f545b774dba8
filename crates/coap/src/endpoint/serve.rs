//! Requests in, responses out.

use std::time::Instant;

use bytes::Bytes;
use rand::Rng;

use super::{Endpoint, Event, Timer};
use crate::blockwise::{Block, cut};
use crate::dedup::Reply;
use crate::exchange::{Call, ExchangeId, Failure, Incoming, Progress, SizeAsked};
use crate::message::{Code, Message, Type};
use crate::option::{ETag, number};
use crate::peer::{MessageKey, PeerKey};
use crate::request::{ParsedRequest, Refused, Reliability};
use crate::response::Response;
use crate::retransmit::Owner;

/// Seconds after which a refused peer may try again; drawn at random, so that a refused fleet
/// does not come back at once.
const OVERLOAD_MAX_AGE: std::ops::RangeInclusive<u32> = 10..=40;

/// Who keeps a body for the requests of its later blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeper {
    Endpoint,
    Caller,
}

impl<P: PeerKey> Endpoint<P> {
    pub(super) fn request_arrived(&mut self, now: Instant, peer: P, message: Message) {
        let reliability = match message.kind {
            Type::Confirmable => Reliability::Confirmable,
            _ => Reliability::NonConfirmable,
        };
        let Some(slot) = self.peers.find_or_add(now, peer) else {
            self.refuse_stranger(peer, &message);
            return;
        };
        if self.is_duplicate(now, slot, &message) {
            return;
        }
        let call = Call {
            slot,
            id: message.id,
            token: message.token,
            reliability,
        };
        if message.code > Code::IPATCH {
            // RFC 7252 §5.8
            self.answer_at_once(
                now,
                call,
                &Response::new(Code::METHOD_NOT_ALLOWED_4_05),
                &[],
            );
            return;
        }
        let largest = self.largest_block(slot);
        match ParsedRequest::new(message, &self.config.passed_options, largest) {
            Ok(parsed) => self.join_blocks(now, call, parsed),
            Err(Refused::Proxy) => {
                let code = Code::PROXYING_NOT_SUPPORTED_5_05;
                self.answer_at_once(now, call, &Response::new(code), &[]);
            }
            Err(Refused::BadOption) => {
                self.counters.bad_option += 1;
                if reliability == Reliability::Confirmable || self.on_stream(slot) {
                    let code = Code::BAD_OPTION_4_02;
                    self.answer_at_once(now, call, &Response::new(code), &[]);
                } else {
                    // RFC 7252 §5.4.1: in a non-confirmable message it is rejected (§4.3).
                    self.transmit_empty(peer, Type::Reset, call.id);
                    self.remember(now, slot, call.id, Type::NonConfirmable, Reply::Reset);
                }
            }
        }
    }

    fn overload_response(&mut self) -> Response {
        self.counters.overloaded += 1;
        let max_age = Some(self.rng.random_range(OVERLOAD_MAX_AGE));
        Response {
            max_age,
            ..Response::new(Code::SERVICE_UNAVAILABLE_5_03)
        }
    }

    /// A request of a peer for which there is no record left, so nothing may be remembered.
    fn refuse_stranger(&mut self, peer: P, request: &Message) {
        let response = self.overload_response();
        if request.kind != Type::Confirmable {
            return;
        }
        let message = Message {
            token: request.token,
            options: response.options(),
            ..Message::new(Type::Acknowledgement, response.code, request.id)
        };
        self.transmit(peer, message.to_datagram());
    }

    pub(super) fn refuse_overload(&mut self, now: Instant, call: Call) {
        let response = self.overload_response();
        self.answer_at_once(now, call, &response, &[]);
    }

    /// Answers a request that is not handed up.
    pub(super) fn answer_at_once(
        &mut self,
        now: Instant,
        call: Call,
        response: &Response,
        blocks: &[(u16, Block)],
    ) {
        let mut message = Message::new(Type::Acknowledgement, response.code, call.id);
        message.token = call.token;
        message.options = response.options();
        message.payload.clone_from(&response.payload);
        for (number, block) in blocks {
            block.push(*number, &mut message.options);
        }
        self.answer_with(now, call, message);
    }

    /// As [`Self::answer_at_once`] with a message that has everything but type and id.
    pub(super) fn answer_with(&mut self, now: Instant, call: Call, mut message: Message) {
        let Some(peer) = self.peers.get(call.slot).map(|peer| peer.key) else {
            return;
        };
        let kind = call.reliability.kind();
        if call.reliability == Reliability::Confirmable {
            message.kind = Type::Acknowledgement;
            message.id = call.id;
            let datagram = message.to_datagram();
            let reply = Reply::Datagram(datagram.clone().into_boxed_slice());
            self.remember(now, call.slot, call.id, kind, reply);
            self.transmit(peer, datagram);
            return;
        }
        self.remember(now, call.slot, call.id, kind, Reply::Silence);
        // Without a free id the answer is lost, as a non-confirmable one may be.
        if let Ok(id) = self.make_message_id(now, call.slot) {
            message.kind = Type::NonConfirmable;
            message.id = id;
            self.transmit_once(call.slot, message);
        }
    }

    /// Hands a whole request up.
    pub(super) fn open(&mut self, now: Instant, call: Call, parsed: ParsedRequest) {
        let max = self.config.max_requests_per_peer;
        let full = self.incoming.len() >= self.config.max_requests;
        let record = self
            .peers
            .get_mut(call.slot)
            .filter(|peer| !full && peer.serving < max);
        let Some(record) = record else {
            self.refuse_overload(now, call);
            return;
        };
        record.serving += 1;
        let peer = record.key;
        let exchange = ExchangeId::from_number(self.next_number());
        let Some(reference) = self.peers.reference(call.slot) else {
            return;
        };
        let (progress, wait) = match call.reliability {
            Reliability::Confirmable => (Progress::Unacknowledged, self.config.processing_delay),
            Reliability::NonConfirmable => (Progress::NonConfirmable, self.config.request_timeout),
        };
        let incoming = Incoming {
            peer: reference,
            call,
            progress,
            resource: parsed.resource,
            block1: parsed.block1,
            block2: parsed.block2,
            size_asked: parsed.size2.map_or(SizeAsked::No, |_| SizeAsked::Yes),
            observe: parsed.request.observe,
            timer: now + wait,
        };
        self.timers
            .insert((incoming.timer, Timer::Incoming(exchange)));
        self.incoming.insert(exchange, incoming);
        let kind = call.reliability.kind();
        self.remember(now, call.slot, call.id, kind, Reply::Pending(exchange));
        if let Some(record) = self.peers.get_mut(call.slot)
            && let Some(stream) = &mut record.stream
        {
            stream.serving.push(exchange);
        }
        let (token, request) = (call.token, parsed.request);
        self.event(Event::Request {
            peer,
            exchange,
            token,
            request,
        });
    }

    /// Answers an [`Event::Request`]: in the acknowledgement if that is still owed, else by a
    /// message of its own. A large body goes out in blocks. An answer to an exchange that is
    /// gone is ignored.
    pub fn respond(&mut self, now: Instant, exchange: ExchangeId, mut response: Response) {
        let body = Bytes::from(std::mem::take(&mut response.payload));
        self.respond_with(now, exchange, response, (&body, Keeper::Endpoint));
    }

    /// As [`Self::respond`] with `body` in place of `response.payload`, for a large body that
    /// many peers fetch and the caller keeps. Nothing of it is kept here: requests of later blocks
    /// come up like the first one, and so does a GET that is sent again (RFC 7252 §4.5 allows that
    /// for what only reads).
    pub fn respond_shared(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        response: Response,
        body: &Bytes,
    ) {
        self.respond_with(now, exchange, response, (body, Keeper::Caller));
    }

    fn respond_with(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        response: Response,
        (body, keeper): (&Bytes, Keeper),
    ) {
        self.clock = Some(now);
        let Some(incoming) = self.incoming.remove(&exchange) else {
            self.counters.late_answers += 1;
            return;
        };
        self.timers
            .remove(&(incoming.timer, Timer::Incoming(exchange)));
        if !self.peers.is_current(incoming.peer) {
            self.counters.late_answers += 1;
            return;
        }
        let call = incoming.call;
        if let Some(peer) = self.peers.get_mut(call.slot) {
            peer.served(exchange);
        }
        self.note_observer(&incoming, &response);
        let message = self.shape_response(now, &incoming, response, (body, keeper));
        self.deliver(now, exchange, &incoming, message);
        if keeper == Keeper::Caller && incoming.progress == Progress::Unacknowledged {
            self.dedup.unsee(MessageKey::new(call.slot, call.id));
        }
    }

    fn deliver(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        incoming: &Incoming,
        message: Message,
    ) {
        let call = incoming.call;
        let Some(peer) = self.peers.get(call.slot).map(|peer| peer.key) else {
            return;
        };
        let key = MessageKey::new(call.slot, call.id);
        if incoming.progress == Progress::Unacknowledged {
            let message = Message {
                kind: Type::Acknowledgement,
                id: call.id,
                ..message
            };
            let datagram = message.to_datagram();
            self.dedup
                .settle(key, Reply::Datagram(datagram.clone().into_boxed_slice()));
            self.counters.forgotten_early += self.dedup.shed();
            self.transmit(peer, datagram);
            self.event(Event::ResponseDelivered { peer, exchange });
            return;
        }
        let (kind, reply) = match incoming.progress {
            Progress::NonConfirmable => (Type::NonConfirmable, Reply::Silence),
            _ => (Type::Confirmable, Reply::Acknowledgement),
        };
        self.dedup.settle(key, reply);
        let Ok(id) = self.make_message_id(now, call.slot) else {
            let reason = Failure::OutOfMessageIds;
            self.event(Event::ResponseFailed {
                peer,
                exchange,
                reason,
            });
            return;
        };
        let message = Message {
            kind,
            id,
            ..message
        };
        if kind == Type::Confirmable {
            self.launch(now, call.slot, Owner::Response(exchange), &message);
        } else {
            self.transmit_once(call.slot, message);
            self.event(Event::ResponseDelivered { peer, exchange });
        }
    }

    fn note_observer(&mut self, incoming: &Incoming, response: &Response) {
        let call = incoming.call;
        match incoming.observe {
            Some(0) if response.observe.is_some() && response.code.is_success() => {
                let size = incoming.block2.map(|block| block.size);
                self.add_observer(call.slot, call.token, incoming.resource, size);
            }
            Some(_) => self.remove_observer(call.slot, call.token),
            None => {}
        }
    }

    fn shape_response(
        &mut self,
        now: Instant,
        incoming: &Incoming,
        mut response: Response,
        (body, keeper): (&Bytes, Keeper),
    ) -> Message {
        let call = incoming.call;
        let mut message = Message::new(Type::Acknowledgement, response.code, call.id);
        message.token = call.token;
        let asked = incoming.block2.map(|block| block.size);
        let portion = self.portion(call.slot, asked, || response.options().len_bound());
        let number = incoming
            .block2
            .map_or(0, |block| block.number_in(portion.size));
        if body.len() <= portion.whole && (number == 0 || !response.code.is_success()) {
            message.options = response.options();
            message.payload = body.to_vec();
        } else if let Some((block, payload)) = cut(body, number, portion) {
            response.etag.get_or_insert_with(|| ETag::of_content(body));
            if number > 0 {
                // RFC 7959 §2.6: only the first block of a notification carries Observe.
                response.observe = None;
            }
            message.options = response.options();
            message.payload = payload.to_vec();
            block.push(number::BLOCK2, &mut message.options);
            if block.more && keeper == Keeper::Endpoint {
                response.observe = None;
                let resource = incoming.resource;
                self.store_body(now, call.slot, resource, &response, body.clone());
            }
        } else {
            // The block that was asked for lies behind the end of the body.
            message.code = Code::BAD_REQUEST_4_00;
        }
        if incoming.size_asked == SizeAsked::Yes {
            message.options.push_uint(number::SIZE2, body.len() as u32);
        }
        if let Some(block1) = incoming.block1 {
            block1.push(number::BLOCK1, &mut message.options);
        }
        message
    }
}
