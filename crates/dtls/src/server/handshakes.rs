//! The handshakes under way, their deadlines and their number for each source.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use hashbrown::HashMap;

use crate::random::{KeyedState, Random};
use crate::server::output::HandshakeId;
use crate::server::pending::Pending;
use crate::slab::Slab;
use crate::source::source_of;

pub(super) struct Handshakes {
    slab: Slab<Pending>,
    by_peer: HashMap<SocketAddr, HandshakeId, KeyedState>,
    per_source: HashMap<IpAddr, u32, KeyedState>,
    deadlines: BTreeSet<(Instant, HandshakeId)>,
}

impl Handshakes {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            slab: Slab::new(),
            by_peer: HashMap::with_hasher(random.hash_key()),
            per_source: HashMap::with_hasher(random.hash_key()),
            deadlines: BTreeSet::new(),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) fn count_of_source(&self, peer: SocketAddr) -> u32 {
        self.per_source.get(&source_of(peer)).copied().unwrap_or(0)
    }

    pub(super) fn by_peer(&self, peer: SocketAddr) -> Option<HandshakeId> {
        self.by_peer.get(&peer).copied()
    }

    pub(super) fn get_mut(&mut self, id: HandshakeId) -> Option<&mut Pending> {
        self.slab.get_mut(id.0)
    }

    /// Adds a handshake of a peer that has none.
    pub(super) fn insert(&mut self, pending: Pending) -> HandshakeId {
        let (peer, deadline) = (pending.peer, pending.deadline);
        let id = HandshakeId(self.slab.insert(pending));
        self.by_peer.insert(peer, id);
        *self.per_source.entry(source_of(peer)).or_insert(0) += 1;
        self.deadlines.insert((deadline, id));
        id
    }

    pub(super) fn remove(&mut self, id: HandshakeId) -> Option<Pending> {
        let pending = self.slab.remove(id.0)?;
        self.by_peer.remove(&pending.peer);
        self.deadlines.remove(&(pending.deadline, id));
        let source = source_of(pending.peer);
        if let Some(count) = self.per_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.per_source.remove(&source);
            }
        }
        Some(pending)
    }

    /// Moves the deadline to what the handshake's timer and expiry now say.
    pub(super) fn reschedule(&mut self, id: HandshakeId) {
        let Some(pending) = self.slab.get_mut(id.0) else {
            return;
        };
        let due = match &pending.timer {
            Some(timer) => timer.at().min(pending.expires),
            None => pending.expires,
        };
        if due != pending.deadline {
            self.deadlines.remove(&(pending.deadline, id));
            pending.deadline = due;
            self.deadlines.insert((due, id));
        }
    }

    pub(super) fn first_deadline(&self) -> Option<(Instant, HandshakeId)> {
        self.deadlines.first().copied()
    }
}
