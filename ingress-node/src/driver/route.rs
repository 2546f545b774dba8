//! Which worker of which node a datagram belongs to, and by which socket an answer leaves.
//!
//! ```text
//!  datagram ─▶ held here? ─────────── yes ─▶ handled
//!                 │ no
//!                 ├─ with a Connection ID ─▶ stray record: the session says who owns it (take_over.rs)
//!                 └─ by its peer alone ─▶ hash of the peer ─▶ this worker, a sibling, or a worker of another node
//! ```
//!
//! The decisions behind it are in docs/decisions/0004.

use std::net::SocketAddr;
use std::sync::Arc;

use coap::Code;
use device_state::{MemberPhase, NodeId};
use dtls::{ConnectionId, Found};
use forward::{Channel, Direction, Forwarded, Key, Opener, Seal, WorkerId};
use hashbrown::HashMap;
use lwm2m_server::Now;
use oscore::Disposition;

use super::carrier::{Carrier, refusal};
use super::take_over::Stray;
use super::{Driver, Input, Peer, Unsecured};
use crate::members::Members;
use crate::udp::Socket;

/// How often a datagram is passed on between nodes: to whom it seems to belong, and from there to whom it does.
const MAX_HOPS: u8 = 2;
/// Peers whose way back is remembered, per worker.
const MAX_WAYS: usize = 1 << 20;

/// How a datagram came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(super) channel: Channel,
    pub(super) peer: SocketAddr,
    /// The worker whose socket it came to.
    pub(super) entry: WorkerId,
    /// How often it was passed on between nodes.
    pub(super) hops: u8,
}

/// Whom a datagram belongs to.
enum Owner {
    ThisWorker,
    /// Of this node or another.
    Worker(WorkerId),
    /// To be found by its session.
    Session(ConnectionId),
}

/// What a worker knows of the other ones.
pub(super) struct Routes {
    pub(super) own: WorkerId,
    pub(super) members: Arc<Members>,
    /// Another node was there: from then on peers without a session are steered by their hash. Before, the kernel's
    /// choice of a worker is as good.
    steers: bool,
    pub(super) phase: MemberPhase,
    socket: Option<Socket>,
    seal: Seal,
    opener: Opener,
    /// The entries of peers that do not send to this worker's own sockets.
    ways: HashMap<(Channel, SocketAddr), WorkerId>,
}

impl Routes {
    pub(super) fn new(key: &Key, own: WorkerId, socket: Option<Socket>) -> Self {
        Self {
            own,
            members: Arc::new(Members::new(key, Vec::new())),
            steers: false,
            phase: MemberPhase::Ready,
            socket,
            seal: Seal::new(key, own),
            opener: Opener::new(key, own),
            ways: HashMap::new(),
        }
    }

    pub(super) fn socket(&self) -> Option<&Socket> {
        self.socket.as_ref()
    }

    /// Sends what was queued; how many were lost.
    pub(super) fn flush(&mut self) -> usize {
        self.socket.as_mut().map_or(0, Socket::flush)
    }

    pub(super) fn direct(&self, channel: Channel, peer: SocketAddr) -> Arrival {
        Arrival {
            channel,
            peer,
            entry: self.own,
            hops: 0,
        }
    }

    pub(super) fn set_members(&mut self, members: Arc<Members>) {
        self.steers |= members.has_other(NodeId(self.own.node));
        self.ways
            .retain(|_, entry| members.phase(NodeId(entry.node)).is_some());
        self.opener
            .retain(|node| members.phase(NodeId(node)).is_some());
        self.members = members;
    }

    /// The worker that a peer belongs to, unless it is this one.
    pub(super) fn owner_of_peer(&self, arrival: &Arrival) -> Option<WorkerId> {
        let is_settled = arrival.hops > 0 && self.phase == MemberPhase::Ready;
        if !self.steers || is_settled || arrival.hops >= MAX_HOPS {
            return None;
        }
        self.members
            .ready()
            .of_peer(arrival.peer)
            .filter(|owner| *owner != self.own)
    }

    /// A worker of an owner: the one that the peer's hash would choose, which is where the session is if it came about
    /// there. Otherwise it passes from worker to worker.
    pub(super) fn worker_of(&self, node: NodeId, peer: SocketAddr) -> Option<WorkerId> {
        let workers = self.members.ready_workers(node);
        let hashed = self.members.ready().of_peer(peer)?;
        Some(WorkerId {
            node: node.0,
            worker: hashed.worker.checked_rem(workers)?,
        })
    }

    /// Remembers by which socket to answer.
    fn note_way(&mut self, arrival: &Arrival) {
        let key = (arrival.channel, arrival.peer);
        if arrival.entry.node == self.own.node {
            if !self.ways.is_empty() {
                self.ways.remove(&key);
            }
        } else if self.ways.len() < MAX_WAYS || self.ways.contains_key(&key) {
            self.ways.insert(key, arrival.entry);
        }
    }

    /// The node that a peer's datagrams enter by; `None` if it is this one, or is gone.
    fn way(&self, channel: Channel, peer: SocketAddr) -> Option<WorkerId> {
        if self.ways.is_empty() {
            return None;
        }
        self.ways.get(&(channel, peer)).copied()
    }

    /// How the last datagram of a peer came. It is not forwarded any more: whether it was is not known.
    pub(super) fn last_arrival(&self, channel: Channel, peer: SocketAddr) -> Arrival {
        Arrival {
            channel,
            peer,
            entry: self.way(channel, peer).unwrap_or(self.own),
            hops: MAX_HOPS,
        }
    }

    /// Packs and queues a datagram for another node; `false` if it cannot be reached.
    fn forward(&mut self, to: WorkerId, forwarded: &Forwarded<'_>) -> bool {
        let (Some(address), Some(socket)) = (self.members.address(to), &mut self.socket) else {
            return false;
        };
        socket.queue(address, self.seal.pack(to, forwarded));
        true
    }
}

impl Driver {
    /// A datagram of a client, by whatever way.
    pub(super) fn arrived(&mut self, now: Now, arrival: &Arrival, datagram: &mut [u8]) {
        match self.owner(arrival, datagram) {
            Owner::ThisWorker => self.accept(now, arrival, datagram),
            Owner::Worker(worker) => self.pass(worker, arrival, datagram),
            Owner::Session(cid) => self.stray(Stray::new(cid, *arrival, datagram.to_vec())),
        }
    }

    fn owner(&self, arrival: &Arrival, datagram: &[u8]) -> Owner {
        let found = match arrival.channel {
            Channel::Secured => self.dtls.find(arrival.peer, datagram),
            Channel::Plain if self.holds_unsecured(arrival.peer) => Found::Here,
            Channel::Plain => Found::Nothing,
        };
        match found {
            Found::Here => Owner::ThisWorker,
            Found::Session(cid) => Owner::Session(cid),
            Found::Nothing => match self.routes.owner_of_peer(arrival) {
                Some(worker) => Owner::Worker(worker),
                None => Owner::ThisWorker,
            },
        }
    }

    /// Handles a datagram, whoever it belongs to.
    pub(super) fn accept(&mut self, now: Now, arrival: &Arrival, datagram: &mut [u8]) {
        self.routes.note_way(arrival);
        let peer = arrival.peer;
        match arrival.channel {
            Channel::Secured => self.dtls.handle_datagram(now.instant, peer, datagram),
            Channel::Plain => self.accept_plain(now, peer, datagram),
        }
    }

    fn holds_unsecured(&self, peer: SocketAddr) -> bool {
        let carrier = Carrier::Udp(peer);
        self.application.holds_peer(Peer::Udp(peer)) || self.contexts.layer.holds_peer(carrier)
    }

    /// A datagram that is secured by OSCORE or by nothing.
    fn accept_plain(&mut self, now: Now, peer: SocketAddr, datagram: &[u8]) {
        let (layer, carrier) = (&mut self.contexts.layer, Carrier::Udp(peer));
        if layer.handle_datagram(now.instant, carrier, datagram) == Disposition::Taken {
            return;
        }
        match self.limits.unsecured {
            Unsecured::Served => {
                if let Some(origin) = self.origin_of(carrier) {
                    self.application
                        .handle_datagram(now, Peer::Udp(peer), &origin, datagram);
                }
            }
            Unsecured::Refused => {
                // RFC 7252 §5.9.2.2.
                let refused = |request| refusal(&request, Code::UNAUTHORIZED_4_01);
                if let Some(refusal) = coap::decode(datagram).ok().and_then(refused) {
                    self.transmit(Channel::Plain, peer, refusal.to_datagram());
                }
            }
        }
    }

    /// Gives a datagram to the worker that it belongs to.
    pub(super) fn pass(&mut self, to: WorkerId, arrival: &Arrival, datagram: &[u8]) {
        let passed = if to.node == self.routes.own.node {
            let sibling = self.workers.get(usize::from(to.worker));
            let input = || Input::Steered(*arrival, datagram.to_vec());
            sibling.is_some_and(|sibling| sibling.try_send(input()).is_ok())
        } else {
            arrival.hops < MAX_HOPS
                && self.routes.forward(
                    to,
                    &Forwarded {
                        direction: Direction::In,
                        channel: arrival.channel,
                        hops: arrival.hops + 1,
                        entry: arrival.entry,
                        client: arrival.peer,
                        datagram,
                    },
                )
        };
        if passed {
            self.metrics.datagrams_forwarded.inc();
        } else {
            // The client repeats it.
            self.metrics.datagrams_lost.inc();
        }
    }

    /// A datagram from the forwarding port.
    pub(super) fn forwarded(&mut self, now: Now, packed: &[u8]) {
        let (forwarded, datagram) = match self.routes.opener.open(packed) {
            Ok((_, forwarded)) => (forwarded, forwarded.datagram),
            Err(error) => {
                tracing::debug!(%error, "a forwarded datagram is dropped");
                self.metrics.forwarded_refused.inc();
                return;
            }
        };
        match forwarded.direction {
            Direction::In => {
                let arrival = Arrival {
                    channel: forwarded.channel,
                    peer: forwarded.client,
                    entry: forwarded.entry,
                    hops: forwarded.hops,
                };
                self.arrived(now, &arrival, &mut datagram.to_vec());
            }
            Direction::Out => self.emit(forwarded.channel, forwarded.client, datagram.to_vec()),
        }
    }

    /// Sends to a client by the socket that it sent to.
    pub(super) fn transmit(&mut self, channel: Channel, peer: SocketAddr, datagram: Vec<u8>) {
        if let Some(entry) = self.routes.way(channel, peer) {
            let forwarded = Forwarded {
                direction: Direction::Out,
                channel,
                hops: 1,
                entry,
                client: peer,
                datagram: &datagram,
            };
            if self.routes.forward(entry, &forwarded) {
                return;
            }
        }
        self.emit(channel, peer, datagram);
    }

    /// Sends by this worker's own socket.
    fn emit(&mut self, channel: Channel, peer: SocketAddr, datagram: Vec<u8>) {
        let socket = match channel {
            Channel::Secured => Some(&mut self.coaps),
            Channel::Plain => self.coap.as_mut(),
        };
        if let Some(socket) = socket {
            self.metrics.datagrams_sent.inc();
            socket.queue(peer, datagram);
        }
    }
}
