//! Peers on a stream (RFC 8323): messages in and out without type, id and repetition.
//!
//! The transport delivers in order and once, so a message is handled like a non-confirmable one
//! that needs no id and of which nothing is remembered.

use std::time::Instant;

use super::{Endpoint, Output};
use crate::blockwise::{BlockSize, Portion};
use crate::error::SendError;
use crate::exchange::{ExchangeId, Purpose};
use crate::message::{Message, Token};
use crate::peer::{Peer, PeerKey, PeerSlot};
use crate::reliable::Capabilities;
use crate::request::Reliability;

/// Bytes of a message around the options of its template: header, token, payload marker, and the
/// options of block-wise transfer and observation.
const FRAME_OVERHEAD: usize = 48;

/// What is known of a peer because it is on a stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) capabilities: Capabilities,
    /// Requests received and not answered.
    pub(crate) serving: Vec<ExchangeId>,
}

impl<P: PeerKey> Endpoint<P> {
    /// The peer has a stream, or its capabilities have changed
    /// ([`reliable::Output::Ready`](crate::reliable::Output::Ready)). Until
    /// [`Self::forget_peer`], everything for it comes out as [`Output::Send`].
    pub fn open_stream(
        &mut self,
        now: Instant,
        peer: P,
        capabilities: Capabilities,
    ) -> Result<(), SendError> {
        let slot = self
            .peers
            .find_or_add(now, peer)
            .ok_or(SendError::Overloaded)?;
        self.schedule_housekeeping(now);
        if let Some(record) = self.peers.get_mut(slot) {
            let stream = record.stream.get_or_insert_with(|| {
                Box::new(Stream {
                    capabilities,
                    serving: Vec::new(),
                })
            });
            stream.capabilities = capabilities;
        }
        Ok(())
    }

    /// Takes a message of a peer on a stream. Nothing in it is an error of this endpoint.
    pub fn handle_message(&mut self, now: Instant, peer: P, message: Message) {
        self.clock = Some(now);
        self.counters.received += 1;
        let slot = self.peers.find(peer);
        if !slot.is_some_and(|slot| self.on_stream(slot)) {
            self.counters.unmatched += 1;
        } else if message.code.is_request() {
            self.request_arrived(now, peer, message);
        } else if message.code.is_response() {
            self.response_arrived(now, peer, message);
        } else {
            self.counters.malformed += 1;
        }
    }

    pub(super) fn on_stream(&self, slot: PeerSlot) -> bool {
        self.peers
            .get(slot)
            .is_some_and(|peer| peer.stream.is_some())
    }

    /// The largest block which the transport of a peer knows.
    pub(super) fn largest_block(&self, slot: PeerSlot) -> BlockSize {
        if self.on_stream(slot) {
            BlockSize::BERT
        } else {
            BlockSize::B1024
        }
    }

    /// How a body for this peer is cut. `asked` is the size that the peer wants, `options` the
    /// length of the options that go with every block.
    pub(super) fn portion(
        &self,
        slot: PeerSlot,
        asked: Option<BlockSize>,
        options: impl FnOnce() -> usize,
    ) -> Portion {
        match self.peers.get(slot) {
            Some(peer) => peer.portion(self.config.block_size, asked, options),
            None => Portion::of(self.config.block_size),
        }
    }

    /// On a stream nothing is repeated, and nothing acknowledged.
    pub(super) fn reliability(&self, slot: PeerSlot, wanted: Reliability) -> Reliability {
        if self.on_stream(slot) {
            Reliability::NonConfirmable
        } else {
            wanted
        }
    }

    /// Hands a message out that is not repeated.
    pub(super) fn transmit_once(&mut self, slot: PeerSlot, message: Message) {
        let Some(peer) = self.peers.get(slot) else {
            return;
        };
        let key = peer.key;
        if peer.stream.is_none() {
            self.transmit(key, message.to_datagram());
            return;
        }
        self.counters.transmitted += 1;
        self.outputs.push_back(Output::Send { peer: key, message });
    }

    /// RFC 8323 appendix A.4: there is no reset on a stream, so whoever is not interested in an
    /// observation any longer has to cancel it.
    pub(super) fn cancel_silently(&mut self, peer: P, token: Token) {
        let Some(now) = self.clock else {
            return;
        };
        if let Ok(exchange) = self.cancel_observation(now, peer, token)
            && let Some(out) = self.outgoing.get_mut(&exchange)
        {
            out.purpose = Purpose::Nobody;
        }
    }
}

impl<P> Peer<P> {
    /// As [`Endpoint::portion`].
    pub(super) fn portion(
        &self,
        datagram: BlockSize,
        asked: Option<BlockSize>,
        options: impl FnOnce() -> usize,
    ) -> Portion {
        match &self.stream {
            Some(stream) => {
                let overhead = FRAME_OVERHEAD + options();
                Portion::of_stream(stream.capabilities, asked, overhead)
            }
            None => Portion::of(asked.map_or(datagram, |asked| asked.min(datagram))),
        }
    }
}
