//! What is remembered per peer, and for how long.
//!
//! A peer has a record only while it has a stream, exchanges, message ids that must not be
//! reused, or observations. Records are reached by a small slot number, so that the caller's key, which may
//! be a whole socket address, is hashed once per datagram and stored once.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::hash::Hash;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use crate::blockwise::{Budget, Reassembly, StoredBody};
use crate::dedup::Sequence;
use crate::endpoint::Stream;
use crate::exchange::{ExchangeId, NotificationId};
use crate::message::{Message, MessageId, Token};
use crate::message_id::MessageIds;
use crate::observe::{Observation, Observer};

/// A key by which the caller knows a peer: a session, an address. A new session wants a new key.
pub trait PeerKey: Copy + Eq + Hash + Debug {}

impl<T: Copy + Eq + Hash + Debug> PeerKey for T {}

/// Position of a peer's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PeerSlot(u32);

impl PeerSlot {
    #[cfg(test)]
    pub(crate) fn from_index(index: u32) -> Self {
        Self(index)
    }
}

/// A slot together with who was in it: a slot is used again after its peer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerRef {
    pub(crate) slot: PeerSlot,
    generation: u64,
}

/// One message of one peer, or to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct MessageKey(u64);

impl MessageKey {
    pub(crate) fn new(slot: PeerSlot, id: MessageId) -> Self {
        Self(u64::from(slot.0) << 16 | u64::from(id.0))
    }

    pub(crate) fn slot(self) -> PeerSlot {
        PeerSlot((self.0 >> 16) as u32)
    }

    pub(crate) fn id(self) -> MessageId {
        MessageId(self.0 as u16)
    }
}

/// The record of one peer.
#[derive(Debug)]
pub(crate) struct Peer<P> {
    pub(crate) key: P,
    generation: u64,
    /// Until when message ids of either side must be remembered.
    keep_until: Instant,
    /// The newest message received.
    pub(crate) newest: Sequence,
    pub(crate) ids: MessageIds,
    /// Requests received and not answered.
    pub(crate) serving: u16,
    pub(crate) observations: Vec<Observation>,
    pub(crate) observers: Vec<Observer>,
    pub(crate) outbound: Option<Box<Outbound>>,
    pub(crate) blocks: Option<Box<Blocks>>,
    /// `None` on datagrams.
    pub(crate) stream: Option<Box<Stream>>,
}

/// What we are sending to a peer.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    /// Requests that are not concluded, also those in the queue.
    pub(crate) exchanges: Vec<ExchangeId>,
    /// Confirmable messages without acknowledgement.
    pub(crate) flights: Vec<MessageId>,
    /// How many of them count for NSTART.
    pub(crate) in_flight: u16,
    pub(crate) queue: VecDeque<Queued>,
    /// Whether a later leg went out last.
    transferred: bool,
    /// The newest non-confirmable notifications, for a reset that may come.
    pub(crate) unreliable: VecDeque<(MessageId, Token)>,
}

/// What waits for its turn.
#[derive(Debug)]
pub(crate) enum Queued {
    /// The first leg of a request.
    First(ExchangeId),
    /// A later leg of a block-wise transfer.
    Later(ExchangeId),
    Notification(Box<QueuedNotification>),
}

#[derive(Debug)]
pub(crate) struct QueuedNotification {
    pub(crate) id: NotificationId,
    pub(crate) message: Message,
}

impl Queued {
    /// The request, unless it is a notification.
    pub(crate) fn exchange(&self) -> Option<ExchangeId> {
        match self {
            Self::First(exchange) | Self::Later(exchange) => Some(*exchange),
            Self::Notification(_) => None,
        }
    }
}

impl Outbound {
    /// A later leg takes turns with other transfers, and goes before what has not begun. Of a single transfer it lets one
    /// request begin after each leg, so that nothing waits for the end of a long one; not, if `begins_transfer` says that
    /// this would begin another one: the peer has room for few bodies.
    pub(crate) fn enqueue(&mut self, queued: Queued, begins_transfer: impl Fn(&Queued) -> bool) {
        let is_later = |queued: &&Queued| matches!(queued, Queued::Later(_));
        let at = match queued {
            Queued::Later(_) => match self.queue.front() {
                Some(next) if self.transferred && !is_later(&next) && !begins_transfer(next) => 1,
                _ => self.queue.iter().take_while(is_later).count(),
            },
            _ => self.queue.len(),
        };
        self.queue.insert(at, queued);
    }

    /// Takes what is next; of what is queued at `at`.
    pub(crate) fn take_queued(&mut self, at: usize) -> Option<Queued> {
        let queued = self.queue.remove(at)?;
        self.transferred = matches!(queued, Queued::Later(_));
        Some(queued)
    }

    /// Enough to place a reset to one of a burst of notifications.
    const UNRELIABLE: usize = 16;

    pub(crate) fn remember_unreliable(&mut self, id: MessageId, token: Token) {
        if self.unreliable.len() == Self::UNRELIABLE {
            self.unreliable.pop_front();
        }
        self.unreliable.push_back((id, token));
    }

    fn is_idle(&self) -> bool {
        self.exchanges.is_empty() && self.flights.is_empty() && self.queue.is_empty()
    }
}

/// Bodies which a peer sends or fetches in blocks.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    pub(crate) uploads: Vec<Reassembly>,
    pub(crate) bodies: Vec<StoredBody>,
    /// When the timer that is set for these bodies runs out.
    pub(crate) armed: Option<Instant>,
}

impl Blocks {
    /// When the first of them expires.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let uploads = self.uploads.iter().map(|upload| upload.expires);
        uploads
            .chain(self.bodies.iter().map(|body| body.expires))
            .min()
    }

    pub(crate) fn expire(&mut self, now: Instant, budget: &mut Budget) {
        self.release_if(budget, |expires| expires <= now);
    }

    pub(crate) fn release_all(&mut self, budget: &mut Budget) {
        self.release_if(budget, |_| true);
    }

    fn release_if(&mut self, budget: &mut Budget, gone: impl Fn(Instant) -> bool) {
        for upload in self.uploads.extract_if(.., |upload| gone(upload.expires)) {
            budget.release(upload.len());
        }
        for body in self.bodies.extract_if(.., |body| gone(body.expires)) {
            budget.release(body.body.len());
        }
    }
}

impl<P> Peer<P> {
    /// A request of this peer is answered or given up.
    pub(crate) fn served(&mut self, exchange: ExchangeId) {
        self.serving = self.serving.saturating_sub(1);
        if let Some(stream) = &mut self.stream {
            stream.serving.retain(|other| *other != exchange);
        }
    }

    pub(crate) fn keep_until(&mut self, until: Instant) {
        self.keep_until = self.keep_until.max(until);
    }

    pub(crate) fn outbound(&mut self) -> &mut Outbound {
        self.outbound.get_or_insert_default()
    }

    pub(crate) fn blocks(&mut self) -> &mut Blocks {
        self.blocks.get_or_insert_default()
    }

    fn is_idle(&self, now: Instant) -> bool {
        self.keep_until <= now
            && self.serving == 0
            && self.observations.is_empty()
            && self.observers.is_empty()
            && self
                .outbound
                .as_ref()
                .is_none_or(|outbound| outbound.is_idle())
            && self.blocks.is_none()
            && self.stream.is_none()
    }
}

/// The records of all peers.
#[derive(Debug)]
pub(crate) struct Peers<P> {
    by_key: HashMap<P, PeerSlot>,
    records: Vec<Option<Peer<P>>>,
    free: Vec<PeerSlot>,
    /// Every record has one entry here: when to look whether it is still needed.
    checks: VecDeque<(Instant, PeerRef)>,
    check_period: Duration,
    next_generation: u64,
    max: usize,
}

impl<P: PeerKey> Peers<P> {
    /// `lifetime` is the exchange lifetime; a record without use goes at most a quarter of it late.
    pub(crate) fn new(max: usize, lifetime: Duration) -> Self {
        Self {
            by_key: HashMap::new(),
            records: Vec::new(),
            free: Vec::new(),
            checks: VecDeque::new(),
            check_period: lifetime / 4,
            next_generation: 0,
            max: max.min(u32::MAX as usize),
        }
    }

    pub(crate) fn find(&self, key: P) -> Option<PeerSlot> {
        self.by_key.get(&key).copied()
    }

    pub(crate) fn get(&self, slot: PeerSlot) -> Option<&Peer<P>> {
        self.records.get(slot.0 as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: PeerSlot) -> Option<&mut Peer<P>> {
        self.records.get_mut(slot.0 as usize)?.as_mut()
    }

    /// Whether the peer is still the one it was.
    pub(crate) fn is_current(&self, peer: PeerRef) -> bool {
        self.get(peer.slot)
            .is_some_and(|record| record.generation == peer.generation)
    }

    pub(crate) fn reference(&self, slot: PeerSlot) -> Option<PeerRef> {
        self.get(slot).map(|record| PeerRef {
            slot,
            generation: record.generation,
        })
    }

    /// The record of a peer, a new one if need be; `None` at the bound.
    pub(crate) fn find_or_add(&mut self, now: Instant, key: P) -> Option<PeerSlot> {
        if let Some(slot) = self.find(key) {
            return Some(slot);
        }
        if self.by_key.len() >= self.max {
            return None;
        }
        let generation = self.next_generation;
        self.next_generation += 1;
        let record = Peer {
            key,
            generation,
            keep_until: now,
            newest: Sequence::NONE,
            ids: MessageIds::new(),
            serving: 0,
            observations: Vec::new(),
            observers: Vec::new(),
            outbound: None,
            blocks: None,
            stream: None,
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.records.push(None);
            PeerSlot(self.records.len() as u32 - 1)
        });
        *self.records.get_mut(slot.0 as usize)? = Some(record);
        self.by_key.insert(key, slot);
        self.checks
            .push_back((now + self.check_period, PeerRef { slot, generation }));
        Some(slot)
    }

    pub(crate) fn remove(&mut self, slot: PeerSlot) -> Option<Peer<P>> {
        let peer = self.records.get_mut(slot.0 as usize)?.take()?;
        self.by_key.remove(&peer.key);
        self.free.push(slot);
        Some(peer)
    }

    /// Drops the records that are no longer needed.
    pub(crate) fn sweep(&mut self, now: Instant) {
        while let Some(&(_, peer)) = self.checks.front().filter(|(at, _)| *at <= now) {
            self.checks.pop_front();
            if !self.is_current(peer) {
                continue;
            }
            if self
                .get(peer.slot)
                .is_some_and(|record| record.is_idle(now))
            {
                self.remove(peer.slot);
            } else {
                self.checks.push_back((now + self.check_period, peer));
            }
        }
        if self.by_key.is_empty() {
            // A fleet that has left must not hold its memory for ever.
            self.by_key.shrink_to_fit();
            self.records = Vec::new();
            self.free = Vec::new();
        }
    }

    pub(crate) fn next_check(&self) -> Option<Instant> {
        self.checks.front().map(|(at, _)| *at)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }
}
