//! Deduplication of received messages (RFC 7252 §4.5): which message ids were seen, and what was
//! replied.

use std::collections::VecDeque;
use std::time::Instant;

use hashbrown::HashMap;

use crate::exchange::ExchangeId;
use crate::peer::MessageKey;

/// What a duplicate is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The request is still being processed.
    Pending(ExchangeId),
    /// An empty acknowledgement.
    Acknowledgement,
    Reset,
    /// Nothing: the message was non-confirmable.
    Silence,
    Datagram(Box<[u8]>),
}

impl Reply {
    fn bytes(&self) -> usize {
        match self {
            Self::Datagram(datagram) => datagram.len(),
            _ => 0,
        }
    }
}

#[derive(Debug)]
struct Entry {
    key: MessageKey,
    /// The entry before this one of the same peer.
    previous: Sequence,
    expires: Instant,
    reply: Reply,
}

/// Position of an entry in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sequence(u64);

impl Sequence {
    /// Before every entry.
    pub(crate) const NONE: Self = Self(0);
}

/// The messages received lately, of all peers.
///
/// Entries lie in a ring in order of arrival and expire from its front, so expiry never searches.
/// Each one links to the one before of the same peer, so that a peer can be forgotten without a
/// per-peer collection.
#[derive(Debug)]
pub(crate) struct Dedup {
    index: HashMap<MessageKey, Sequence>,
    ring: VecDeque<Entry>,
    /// Sequence of the front of the ring.
    first: u64,
    bytes: usize,
    max_entries: usize,
    max_bytes: usize,
}

impl Dedup {
    pub(crate) fn new(max_entries: usize, max_bytes: usize) -> Self {
        Self {
            index: HashMap::new(),
            ring: VecDeque::new(),
            first: 1,
            bytes: 0,
            max_entries: max_entries.max(1),
            max_bytes,
        }
    }

    fn entry(&mut self, Sequence(sequence): Sequence) -> Option<&mut Entry> {
        let at = sequence.checked_sub(self.first)?;
        self.ring.get_mut(usize::try_from(at).ok()?)
    }

    /// The reply to a message that was seen before.
    pub(crate) fn find(&mut self, now: Instant, key: MessageKey) -> Option<&Reply> {
        let sequence = *self.index.get(&key)?;
        let entry = self.entry(sequence)?;
        (entry.expires > now).then_some(&entry.reply)
    }

    /// Remembers a message until `expires`; `previous` is what this returned for the message
    /// before of the same peer.
    pub(crate) fn insert(
        &mut self,
        key: MessageKey,
        previous: Sequence,
        expires: Instant,
        reply: Reply,
    ) -> Sequence {
        let sequence = Sequence(self.first + self.ring.len() as u64);
        self.bytes += reply.bytes();
        self.ring.push_back(Entry {
            key,
            previous,
            expires,
            reply,
        });
        self.index.insert(key, sequence);
        sequence
    }

    /// Sets what a duplicate is answered with from now on.
    pub(crate) fn settle(&mut self, key: MessageKey, reply: Reply) {
        let Some(sequence) = self.index.get(&key).copied() else {
            return;
        };
        let bytes = reply.bytes();
        if let Some(entry) = self.entry(sequence) {
            let before = std::mem::replace(&mut entry.reply, reply).bytes();
            self.bytes = self.bytes + bytes - before;
        }
    }

    /// Takes the next copy of a message for a new one.
    pub(crate) fn unsee(&mut self, key: MessageKey) {
        self.index.remove(&key);
    }

    /// Forgets all messages of a peer, the newest of which is `latest`, and returns the exchanges
    /// that were still being processed.
    pub(crate) fn forget(&mut self, latest: Sequence) -> Vec<ExchangeId> {
        let mut pending = Vec::new();
        let mut sequence = latest;
        while let Some(entry) = self.entry(sequence) {
            let (key, previous) = (entry.key, entry.previous);
            let reply = std::mem::replace(&mut entry.reply, Reply::Silence);
            self.bytes -= reply.bytes();
            if let Reply::Pending(exchange) = reply {
                pending.push(exchange);
            }
            if self.index.get(&key) == Some(&sequence) {
                self.index.remove(&key);
            }
            sequence = previous;
        }
        pending
    }

    /// Drops what has expired.
    pub(crate) fn expire(&mut self, now: Instant) {
        while self.ring.front().is_some_and(|entry| entry.expires <= now) {
            self.pop();
        }
    }

    /// Drops the oldest entries until the bounds hold, and says how many.
    pub(crate) fn shed(&mut self) -> u64 {
        let mut dropped = 0;
        while self.ring.len() > self.max_entries
            || (self.bytes > self.max_bytes && self.ring.len() > 1)
        {
            self.pop();
            dropped += 1;
        }
        dropped
    }

    fn pop(&mut self) {
        let Some(entry) = self.ring.pop_front() else {
            return;
        };
        self.bytes -= entry.reply.bytes();
        if self.index.get(&entry.key) == Some(&Sequence(self.first)) {
            self.index.remove(&entry.key);
        }
        self.first += 1;
        // A burst must not hold its memory for ever.
        if self.ring.capacity() > 4096 && self.ring.len() * 4 < self.ring.capacity() {
            self.ring.shrink_to(self.ring.len() * 2);
            self.index.shrink_to(self.index.len() * 2);
        }
    }

    /// When the oldest entry expires.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.ring.front().map(|entry| entry.expires)
    }

    pub(crate) fn len(&self) -> usize {
        self.ring.len()
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::disallowed_methods,
        reason = "virtual time has to start somewhere"
    )]

    use std::time::Duration;

    use super::*;
    use crate::message::MessageId;
    use crate::peer::PeerSlot;

    fn key(peer: u32, id: u16) -> MessageKey {
        MessageKey::new(PeerSlot::from_index(peer), MessageId(id))
    }

    fn datagram(len: usize) -> Reply {
        Reply::Datagram(vec![0; len].into_boxed_slice())
    }

    #[test]
    fn an_entry_is_found_until_it_expires() {
        let now = Instant::now();
        let mut dedup = Dedup::new(10, 1000);
        dedup.insert(
            key(1, 1),
            Sequence::NONE,
            now + Duration::from_secs(9),
            Reply::Reset,
        );
        assert_eq!(dedup.find(now, key(1, 1)), Some(&Reply::Reset));
        assert_eq!(dedup.find(now, key(2, 1)), None);
        assert_eq!(dedup.find(now + Duration::from_secs(9), key(1, 1)), None);
        dedup.expire(now + Duration::from_secs(9));
        assert_eq!(
            (dedup.len(), dedup.index.len(), dedup.next_expiry()),
            (0, 0, None)
        );
    }

    #[test]
    fn bounds_of_entries_and_bytes_drop_the_oldest() {
        let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(9));
        let mut dedup = Dedup::new(3, 100);
        for id in 0..5 {
            dedup.insert(key(1, id), Sequence::NONE, later, Reply::Silence);
        }
        assert_eq!(dedup.shed(), 2);
        assert_eq!(dedup.find(now, key(1, 1)), None);
        dedup.settle(key(1, 3), datagram(80));
        dedup.settle(key(1, 4), datagram(80));
        assert_eq!(dedup.shed(), 2);
        assert_eq!(dedup.find(now, key(1, 4)), Some(&datagram(80)));
        assert_eq!(dedup.bytes, 80);
    }

    #[test]
    fn forgetting_a_peer_leaves_the_others() {
        let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(9));
        let mut dedup = Dedup::new(10, 1000);
        let pending = Reply::Pending(ExchangeId::from_number(7));
        let first = dedup.insert(key(1, 1), Sequence::NONE, later, datagram(10));
        dedup.insert(key(2, 1), Sequence::NONE, later, datagram(10));
        let second = dedup.insert(key(1, 2), first, later, pending);
        assert_eq!(dedup.forget(second), [ExchangeId::from_number(7)]);
        assert_eq!(dedup.find(now, key(1, 1)), None);
        assert_eq!(dedup.find(now, key(1, 2)), None);
        assert!(dedup.find(now, key(2, 1)).is_some());
        assert_eq!(dedup.bytes, 10);
    }
}
