//! Blocks of requests in, blocks of responses out (RFC 7959).

use std::time::Instant;

use bytes::Bytes;

use super::{Endpoint, Timer};
use crate::blockwise::{Accepted, Block, BlockSize, Part, Reassembly, StoredBody, cut};
use crate::exchange::Call;
use crate::message::{Code, Message, Type};
use crate::option::number;
use crate::peer::{PeerKey, PeerSlot};
use crate::request::ParsedRequest;
use crate::response::Response;

impl<P: PeerKey> Endpoint<P> {
    /// Collects the body of a request and hands it up when it is whole.
    pub(super) fn join_blocks(&mut self, now: Instant, call: Call, mut parsed: ParsedRequest) {
        let Some(block) = parsed.block1 else {
            self.continue_response(now, call, parsed);
            return;
        };
        let too_large = parsed
            .size1
            .is_some_and(|size| size as usize > self.config.max_body);
        let payload = std::mem::take(&mut parsed.request.payload);
        let accepted = if too_large {
            self.drop_upload(call.slot, parsed.upload);
            Accepted::TooLarge
        } else {
            let part = Part {
                block,
                token: call.token,
                payload: &payload,
            };
            self.accept_part(now, call.slot, parsed.upload, part)
        };
        let largest = if self.on_stream(call.slot) {
            BlockSize::BERT
        } else {
            self.config.block_size
        };
        let echo = Block {
            size: block.size.min(largest),
            ..block
        };
        let code = match accepted {
            Accepted::Complete(body) => {
                parsed.request.payload = body;
                parsed.block1 = Some(echo);
                self.open(now, call, parsed);
                return;
            }
            Accepted::OverBudget => {
                self.refuse_overload(now, call);
                return;
            }
            Accepted::Continue => Code::CONTINUE_2_31,
            Accepted::WrongLength => Code::BAD_REQUEST_4_00,
            Accepted::OutOfOrder => Code::REQUEST_ENTITY_INCOMPLETE_4_08,
            Accepted::TooLarge => Code::REQUEST_ENTITY_TOO_LARGE_4_13,
        };
        self.counters.unexpected_blocks += u64::from(code != Code::CONTINUE_2_31);
        let mut message = Message::new(Type::Acknowledgement, code, call.id);
        message.token = call.token;
        if code == Code::REQUEST_ENTITY_TOO_LARGE_4_13 {
            // RFC 7959 §4: tells how much would be taken. Without a Block1, which would only
            // ask for smaller blocks.
            message
                .options
                .push_uint(number::SIZE1, self.config.max_body as u32);
        } else {
            echo.push(number::BLOCK1, &mut message.options);
        }
        self.answer_with(now, call, message);
    }

    fn accept_part(&mut self, now: Instant, slot: PeerSlot, key: u64, part: Part<'_>) -> Accepted {
        let expires = now + self.config.exchange_lifetime;
        let max_transfers = self.config.max_transfers_per_peer;
        let Some(peer) = self.peers.get_mut(slot) else {
            return Accepted::OverBudget;
        };
        let uploads = &mut peer.blocks().uploads;
        let at = uploads
            .iter()
            .position(|upload| upload.key == key && upload.expires > now);
        let mut upload = match (part.block.number, at) {
            (0, _) => {
                let previous = at.map(|at| uploads.swap_remove(at));
                self.bodies
                    .release(previous.as_ref().map_or(0, Reassembly::len));
                if uploads.len() >= max_transfers {
                    self.settle_blocks(slot);
                    return Accepted::OverBudget;
                }
                Reassembly::new(key, part.token, previous, expires)
            }
            (_, Some(at)) => uploads.swap_remove(at),
            (_, None) => {
                self.settle_blocks(slot);
                return Accepted::OutOfOrder;
            }
        };
        let displaced = upload.was_displaced(part.token);
        let accepted = upload.accept(part, self.config.max_body, &mut self.bodies);
        // A block of a transfer that this one replaced says nothing about this one.
        if accepted == Accepted::Continue || displaced {
            // Progress extends the life of a transfer, there is no limit to its whole length.
            upload.expires = expires;
            uploads.push(upload);
        } else {
            self.bodies.release(upload.len());
        }
        self.settle_blocks(slot);
        accepted
    }

    fn drop_upload(&mut self, slot: PeerSlot, key: u64) {
        let Some(blocks) = self
            .peers
            .get_mut(slot)
            .and_then(|peer| peer.blocks.as_mut())
        else {
            return;
        };
        if let Some(at) = blocks.uploads.iter().position(|upload| upload.key == key) {
            let upload = blocks.uploads.swap_remove(at);
            self.bodies.release(upload.len());
        }
        self.settle_blocks(slot);
    }

    /// Answers the request of a later block from the body that was kept, or hands the request up.
    fn continue_response(&mut self, now: Instant, call: Call, parsed: ParsedRequest) {
        let Some(wanted) = parsed.block2.filter(|block| block.number > 0) else {
            self.open(now, call, parsed);
            return;
        };
        let stored = self.peers.get_mut(call.slot).and_then(|peer| {
            let found = |body: &&StoredBody| body.key == parsed.resource && body.expires > now;
            let bodies = &peer.blocks.as_ref()?.bodies;
            let at = bodies.iter().position(|body| found(&body))?;
            let options = || bodies.get(at).map_or(0, |body| body.options.len_bound());
            let portion = peer.portion(self.config.block_size, Some(wanted.size), options);
            Some((peer.blocks.as_mut()?.bodies.get_mut(at)?, portion))
        });
        let Some((stored, portion)) = stored else {
            // The body is gone. Asking again is safe for a method that only reads; the entity
            // tag tells the requester if the representation has changed in between.
            if matches!(parsed.request.method, Code::GET | Code::FETCH) {
                self.open(now, call, parsed);
            } else {
                let code = Code::REQUEST_ENTITY_INCOMPLETE_4_08;
                self.counters.unexpected_blocks += 1;
                self.answer_at_once(now, call, &Response::new(code), &[]);
            }
            return;
        };
        let mut message = Message::new(Type::Acknowledgement, stored.code, call.id);
        message.token = call.token;
        let at = wanted.number_in(portion.size);
        let Some((block, payload)) = cut(&stored.body, at, portion) else {
            self.answer_at_once(now, call, &Response::new(Code::BAD_REQUEST_4_00), &[]);
            return;
        };
        message.options = stored.options.clone();
        message.payload = payload.to_vec();
        block.push(number::BLOCK2, &mut message.options);
        if parsed.size2.is_some() {
            message
                .options
                .push_uint(number::SIZE2, stored.body.len() as u32);
        }
        stored.expires = now + self.config.exchange_lifetime;
        if !block.more {
            // A lost answer is repeated by deduplication.
            self.drop_body(call.slot, parsed.resource);
        }
        self.answer_with(now, call, message);
    }

    /// Keeps a body for the requests of its later blocks. Without room it is not kept; then
    /// those requests are handed up.
    pub(super) fn store_body(
        &mut self,
        now: Instant,
        slot: PeerSlot,
        key: u64,
        response: &Response,
        body: Bytes,
    ) {
        self.drop_body(slot, key);
        let max = self.config.max_transfers_per_peer.max(1);
        let Some(peer) = self.peers.get_mut(slot) else {
            return;
        };
        let blocks = peer.blocks();
        if blocks.bodies.len() >= max {
            let oldest = blocks.bodies.remove(0);
            self.bodies.release(oldest.body.len());
        }
        if self.bodies.charge(body.len()).is_ok() {
            blocks.bodies.push(StoredBody {
                key,
                expires: now + self.config.exchange_lifetime,
                code: response.code,
                options: response.options(),
                body,
            });
        }
        self.settle_blocks(slot);
    }

    fn drop_body(&mut self, slot: PeerSlot, key: u64) {
        let Some(blocks) = self
            .peers
            .get_mut(slot)
            .and_then(|peer| peer.blocks.as_mut())
        else {
            return;
        };
        if let Some(at) = blocks.bodies.iter().position(|body| body.key == key) {
            let body = blocks.bodies.remove(at);
            self.bodies.release(body.body.len());
        }
        self.settle_blocks(slot);
    }

    pub(super) fn blocks_timed_out(&mut self, now: Instant, slot: PeerSlot) {
        if let Some(blocks) = self
            .peers
            .get_mut(slot)
            .and_then(|peer| peer.blocks.as_mut())
        {
            blocks.armed = None;
            blocks.expire(now, &mut self.bodies);
        }
        self.settle_blocks(slot);
    }

    /// Keeps one timer per peer that has bodies, and no record of one that has none.
    fn settle_blocks(&mut self, slot: PeerSlot) {
        let Some(peer) = self.peers.get_mut(slot) else {
            return;
        };
        let Some(blocks) = peer.blocks.as_mut() else {
            return;
        };
        match (blocks.next_expiry(), blocks.armed) {
            (None, armed) => {
                if let Some(at) = armed {
                    self.timers.remove(&(at, Timer::Blocks(slot)));
                }
                peer.blocks = None;
            }
            // A timer that is too early finds nothing and is set again.
            (Some(at), None) => {
                blocks.armed = Some(at);
                self.timers.insert((at, Timer::Blocks(slot)));
            }
            (Some(_), Some(_)) => {}
        }
    }
}
