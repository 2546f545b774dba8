//! The handshakes under way, their deadlines and their number for each source.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use hashbrown::HashMap;

use crate::alert::Alert;
use crate::key_schedule::HelloRandom;
use crate::random::{KeyedState, Random};
use crate::record::{ContentType, PlainSequence, put_plain};
use crate::server::output::HandshakeId;
use crate::server::pending::Pending;
use crate::server::resume::Asked;
use crate::slab::Slab;
use crate::source::source_of;

/// A handshake under way.
pub(super) enum Handshake {
    /// The driver is to say which session the hello means; nothing has been answered.
    Asked(Box<Asked>),
    /// Our hello is out.
    Pending(Box<Pending>),
}

impl From<Asked> for Handshake {
    fn from(asked: Asked) -> Self {
        Self::Asked(Box::new(asked))
    }
}

impl From<Pending> for Handshake {
    fn from(pending: Pending) -> Self {
        Self::Pending(Box::new(pending))
    }
}

impl Handshake {
    pub(super) const fn peer(&self) -> SocketAddr {
        match self {
            Self::Asked(asked) => asked.peer,
            Self::Pending(pending) => pending.peer,
        }
    }

    /// A datagram that tells the client that the handshake is over.
    pub(super) fn alert(&mut self, alert: Alert) -> Option<Vec<u8>> {
        match self {
            Self::Asked(asked) => Some(plain_alert(&mut asked.plain, alert)),
            Self::Pending(pending) => pending.alert(alert),
        }
    }

    /// Where it is in the table of deadlines.
    const fn deadline(&self) -> Instant {
        match self {
            Self::Asked(asked) => asked.expires,
            Self::Pending(pending) => pending.deadline,
        }
    }
}

/// A datagram with an unprotected alert.
pub(super) fn plain_alert(plain: &mut PlainSequence, alert: Alert) -> Vec<u8> {
    let mut datagram = Vec::new();
    put_plain(&mut datagram, ContentType::Alert, plain, &alert.encode());
    datagram
}

pub(super) struct Handshakes {
    slab: Slab<Handshake>,
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

    /// The handshake, if our hello is out.
    pub(super) fn get_mut(&mut self, id: HandshakeId) -> Option<&mut Pending> {
        match self.slab.get_mut(id.0)? {
            Handshake::Asked(_) => None,
            Handshake::Pending(pending) => Some(pending),
        }
    }

    pub(super) fn contains(&self, id: HandshakeId) -> bool {
        self.slab.get(id.0).is_some()
    }

    /// The random of the hello that began it.
    pub(super) fn client_random(&self, id: HandshakeId) -> Option<&HelloRandom> {
        Some(match self.slab.get(id.0)? {
            Handshake::Asked(asked) => &asked.client_random,
            Handshake::Pending(pending) => &pending.randoms.client,
        })
    }

    /// Adds a handshake of a peer that has none.
    pub(super) fn insert(&mut self, handshake: impl Into<Handshake>) -> HandshakeId {
        let handshake = handshake.into();
        let (peer, deadline) = (handshake.peer(), handshake.deadline());
        let id = HandshakeId(self.slab.insert(handshake));
        self.by_peer.insert(peer, id);
        *self.per_source.entry(source_of(peer)).or_insert(0) += 1;
        self.deadlines.insert((deadline, id));
        id
    }

    /// Takes a hello out that nothing was answered to. [`Handshakes::go_on`] puts the answer in its
    /// place.
    pub(super) fn take_asked(&mut self, id: HandshakeId) -> Option<Asked> {
        match self.slab.get_mut(id.0)? {
            Handshake::Asked(asked) => Some(asked.take()),
            Handshake::Pending(_) => None,
        }
    }

    /// Replaces a hello by the handshake that it leads to.
    pub(super) fn go_on(&mut self, id: HandshakeId, pending: Pending) {
        let Some(handshake) = self.slab.get_mut(id.0) else {
            return;
        };
        self.deadlines.remove(&(handshake.deadline(), id));
        *handshake = pending.into();
        self.deadlines.insert((handshake.deadline(), id));
    }

    pub(super) fn remove(&mut self, id: HandshakeId) -> Option<Handshake> {
        let handshake = self.slab.remove(id.0)?;
        self.by_peer.remove(&handshake.peer());
        self.deadlines.remove(&(handshake.deadline(), id));
        let source = source_of(handshake.peer());
        if let Some(count) = self.per_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.per_source.remove(&source);
            }
        }
        Some(handshake)
    }

    /// Moves the deadline to what the handshake's timer and expiry now say.
    pub(super) fn reschedule(&mut self, id: HandshakeId) {
        let Some(Handshake::Pending(pending)) = self.slab.get_mut(id.0) else {
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
