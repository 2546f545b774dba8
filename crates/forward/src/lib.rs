//! Datagrams that ingress nodes pass on to each other, and which of them a peer belongs to.
//!
//! Owns: the header and authentication of a forwarded datagram, protection against its repetition, and the choice of an
//! owner by hash. Never: opens a socket, reads a clock, or knows what is in a datagram.
//!
//! A device's datagram may reach any worker of any node. [`Seal`] packs it for the worker that owns the peer, [`Opener`]
//! unpacks it there, and the answer travels back the same way to leave by the socket that the device knows.
//! [`Rendezvous`] says who owns a peer that nothing is known of.
//!
//! ```
//! use forward::{Channel, Direction, Forwarded, Key, Opener, Seal, WorkerId};
//!
//! let key = Key::derive(&[7; 32]);
//! let (here, there) = (WorkerId { node: 1, worker: 0 }, WorkerId { node: 2, worker: 1 });
//! let (mut seal, mut opener) = (Seal::new(&key, here), Opener::new(&key, there));
//! let client = "[2001:db8::7]:40000".parse()?;
//! let sent = Forwarded { direction: Direction::In, channel: Channel::Secured, hops: 1, entry: here, client, datagram: b"record" };
//! let packed = seal.pack(there, &sent);
//! assert_eq!(opener.open(&packed)?, (here, sent));
//! assert!(opener.open(&packed).is_err(), "no copy is taken");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod header;
mod rendezvous;
mod window;

use std::net::SocketAddr;

use aws_lc_rs::hmac;
use hashbrown::HashMap;

pub use rendezvous::Rendezvous;

use crate::header::Header;
use crate::window::Window;

/// Bytes of the message authentication code: HMAC-SHA256, cut (RFC 2104 §5).
const TAG: usize = 16;

/// The longest header and tag around a datagram, in bytes.
pub const OVERHEAD: usize = header::MAX_LENGTH + TAG;

/// A thread of an ingress node that owns devices. Node ids are new with each process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WorkerId {
    pub node: u64,
    pub worker: u8,
}

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From a client to the worker that owns it.
    In,
    /// To a client, by the node that it sent to.
    Out,
}

/// The port of the client's side that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// CoAP over DTLS.
    Secured,
    /// CoAP without security.
    Plain,
}

/// A datagram on its way between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded<'a> {
    pub direction: Direction,
    pub channel: Channel,
    /// How often it was passed on, this time included.
    pub hops: u8,
    /// The worker whose socket the client sends to.
    pub entry: WorkerId,
    pub client: SocketAddr,
    pub datagram: &'a [u8],
}

/// Authenticates what the nodes of one cluster pass on.
#[derive(Clone)]
pub struct Key {
    mac: hmac::Key,
    /// Of the choice of owners: without it, a client that can choose its address could choose its node.
    hash: [u8; 16],
}

impl Key {
    /// Derives the keys of forwarding from the cluster's.
    pub fn derive(cluster: &[u8; 32]) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, cluster);
        let mac = hmac::sign(&root, b"drover forward mac 1");
        let hash = hmac::sign(&root, b"drover forward hash 1");
        let mut short = [0; 16];
        short
            .iter_mut()
            .zip(hash.as_ref())
            .for_each(|(to, from)| *to = *from);
        Self {
            mac: hmac::Key::new(hmac::HMAC_SHA256, mac.as_ref()),
            hash: short,
        }
    }

    fn tag(&self, parts: &[&[u8]]) -> [u8; TAG] {
        let mut context = hmac::Context::with_key(&self.mac);
        for part in parts {
            context.update(part);
        }
        let full = context.sign();
        let mut tag = [0; TAG];
        tag.iter_mut()
            .zip(full.as_ref())
            .for_each(|(to, from)| *to = *from);
        tag
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Key")
    }
}

/// Why a forwarded datagram is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("not a forwarded datagram of a version that is known")]
    Malformed,
    #[error("not from a node of this cluster")]
    Unauthentic,
    #[error("for another worker")]
    Misdirected,
    #[error("a repetition, or far too late")]
    Replayed,
    #[error("from more senders than a cluster has")]
    TooManySenders,
}

/// Packs what one worker passes on.
#[derive(Debug)]
pub struct Seal {
    key: Key,
    own: WorkerId,
    /// Of the next datagram, whoever it goes to.
    counter: u64,
}

impl Seal {
    /// `own` must not have packed anything before: its node id is new.
    pub fn new(key: &Key, own: WorkerId) -> Self {
        Self {
            key: key.clone(),
            own,
            counter: 0,
        }
    }

    /// The bytes that go to the worker `to`.
    pub fn pack(&mut self, to: WorkerId, forwarded: &Forwarded<'_>) -> Vec<u8> {
        let header = Header {
            direction: forwarded.direction,
            channel: forwarded.channel,
            hops: forwarded.hops,
            from: self.own,
            to,
            counter: self.counter,
            entry: forwarded.entry,
            client: forwarded.client,
        };
        self.counter += 1;
        let mut bytes = Vec::with_capacity(OVERHEAD + forwarded.datagram.len());
        header.write(&mut bytes);
        bytes.extend_from_slice(forwarded.datagram);
        let tag = self.key.tag(&[&bytes]);
        bytes.extend_from_slice(&tag);
        bytes
    }
}

/// Unpacks what one worker is passed.
#[derive(Debug)]
pub struct Opener {
    key: Key,
    own: WorkerId,
    windows: HashMap<WorkerId, Window>,
}

impl Opener {
    /// More workers than all members of a cluster have.
    const MAX_SENDERS: usize = 256 * 64;

    pub fn new(key: &Key, own: WorkerId) -> Self {
        Self {
            key: key.clone(),
            own,
            windows: HashMap::new(),
        }
    }

    /// The sender and what it passed on. Whatever does not come from a holder of the key, was meant for another worker,
    /// or came before, changes nothing.
    pub fn open<'a>(&mut self, bytes: &'a [u8]) -> Result<(WorkerId, Forwarded<'a>), Refusal> {
        let (sealed, tag) = bytes.split_last_chunk::<TAG>().ok_or(Refusal::Malformed)?;
        let (header, datagram) = Header::read(sealed).ok_or(Refusal::Malformed)?;
        if aws_lc_rs::constant_time::verify_slices_are_equal(&self.key.tag(&[sealed]), tag).is_err()
        {
            return Err(Refusal::Unauthentic);
        }
        if header.to != self.own {
            return Err(Refusal::Misdirected);
        }
        if !self.windows.contains_key(&header.from) && self.windows.len() >= Self::MAX_SENDERS {
            return Err(Refusal::TooManySenders);
        }
        let window = self.windows.entry(header.from).or_default();
        if !window.accept(header.counter) {
            return Err(Refusal::Replayed);
        }
        let forwarded = Forwarded {
            direction: header.direction,
            channel: header.channel,
            hops: header.hops,
            entry: header.entry,
            client: header.client,
            datagram,
        };
        Ok((header.from, forwarded))
    }

    /// Forgets senders of nodes that are gone, once there are many. Not at once: a node that was only out of touch goes on
    /// under its id, and what it sent before could be repeated.
    pub fn retain(&mut self, mut is_member: impl FnMut(u64) -> bool) {
        if self.windows.len() > Self::MAX_SENDERS / 2 {
            self.windows.retain(|sender, _| is_member(sender.node));
        }
    }
}

#[cfg(test)]
mod tests;
