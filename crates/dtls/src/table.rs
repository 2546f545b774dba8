//! The server's sessions, found by id, by Connection ID or by peer address.

use std::hash::BuildHasher as _;
use std::net::SocketAddr;

use hashbrown::HashTable;

use crate::cid::ConnectionId;
use crate::random::{KeyedState, Random};
use crate::session::{Session, SessionId};
use crate::slab::Slab;

/// Where a session is indexed besides its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Address {
    Cid(ConnectionId),
    Peer(SocketAddr),
}

fn address_of(session: &Session) -> Address {
    match &session.cids {
        Some(cids) => Address::Cid(cids.server),
        // RFC 9146 §6 allows a new peer address only with a Connection ID.
        None => Address::Peer(session.peer),
    }
}

pub(crate) struct SessionTable {
    slab: Slab<Session>,
    /// Slot indices, hashed by the Connection ID or peer address in the slot.
    by_cid: HashTable<u32>,
    by_peer: HashTable<u32>,
    hash: KeyedState,
}

impl SessionTable {
    pub(crate) fn new(random: &mut Random) -> Self {
        Self {
            slab: Slab::new(),
            by_cid: HashTable::new(),
            by_peer: HashTable::new(),
            hash: random.hash_key(),
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.slab.len()
    }

    pub(crate) fn get(&self, id: SessionId) -> Option<&Session> {
        self.slab.get(id.0)
    }

    pub(crate) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.slab.get_mut(id.0)
    }

    pub(crate) fn by_cid(&self, cid: ConnectionId) -> Option<SessionId> {
        self.find(Address::Cid(cid))
    }

    pub(crate) fn by_peer(&self, peer: SocketAddr) -> Option<SessionId> {
        self.find(Address::Peer(peer))
    }

    /// The session that has the same Connection ID, or the same peer address without one.
    pub(crate) fn conflict(&self, session: &Session) -> Option<SessionId> {
        self.find(address_of(session))
    }

    fn hash_of(hash: &KeyedState, address: Address) -> u64 {
        match address {
            Address::Cid(cid) => hash.hash_one(cid),
            Address::Peer(peer) => hash.hash_one(peer),
        }
    }

    fn find(&self, address: Address) -> Option<SessionId> {
        let index = match address {
            Address::Cid(_) => &self.by_cid,
            Address::Peer(_) => &self.by_peer,
        };
        let slot = index.find(Self::hash_of(&self.hash, address), |&slot| {
            let found = self.slab.at(slot);
            found.is_some_and(|(_, session)| address_of(session) == address)
        })?;
        self.slab.at(*slot).map(|(key, _)| SessionId(key))
    }

    /// Adds a session that has no [`SessionTable::conflict`].
    pub(crate) fn insert(&mut self, session: Session) -> SessionId {
        let address = address_of(&session);
        let key = self.slab.insert(session);
        let (slab, hash) = (&self.slab, &self.hash);
        let index = match address {
            Address::Cid(_) => &mut self.by_cid,
            Address::Peer(_) => &mut self.by_peer,
        };
        index.insert_unique(Self::hash_of(hash, address), key as u32, |&slot| {
            slab.at(slot)
                .map_or(0, |(_, session)| Self::hash_of(hash, address_of(session)))
        });
        SessionId(key)
    }

    pub(crate) fn remove(&mut self, id: SessionId) -> Option<Session> {
        let address = address_of(self.get(id)?);
        let index = match address {
            Address::Cid(_) => &mut self.by_cid,
            Address::Peer(_) => &mut self.by_peer,
        };
        let hash = Self::hash_of(&self.hash, address);
        if let Ok(entry) = index.find_entry(hash, |&slot| slot == id.0 as u32) {
            entry.remove();
        }
        self.slab.remove(id.0)
    }

    /// Slots ever used, for [`SessionTable::at`].
    pub(crate) fn slots(&self) -> usize {
        self.slab.slots()
    }

    pub(crate) fn at(&self, index: u32) -> Option<(SessionId, &Session)> {
        self.slab
            .at(index)
            .map(|(key, session)| (SessionId(key), session))
    }
}
