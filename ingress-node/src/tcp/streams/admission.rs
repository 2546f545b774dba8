//! Who gets a connection, and who is at its other end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use device_state::Transport;
use dtls::{CertifiedIdentity, PeerRejection, source_of};
use lwm2m_server::Principal;
use tokio::net::TcpStream;

use super::Streams;
use crate::tcp::event::{Secured, StreamId, secure};
use crate::tcp::{Io, Security};

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Proved {
    pub(crate) principal: Arc<Principal>,
    /// What it showed to prove that.
    pub(crate) certificate: Option<Arc<CertifiedIdentity>>,
}

/// A connection of which it is not decided yet who is at its other end.
pub(super) struct Undecided {
    address: SocketAddr,
    io: Io,
}

impl Streams {
    pub(super) fn accepted(&mut self, listener: usize, stream: TcpStream, address: SocketAddr) {
        self.accept_after = None;
        let Some(security) = self.listeners.get(listener).map(|at| at.security) else {
            return;
        };
        let tls = match security {
            Security::None => None,
            Security::Tls if self.tls.is_none() || !self.may_shake_hands(address) => {
                self.counters.refused += 1;
                return;
            }
            Security::Tls => self.tls.clone(),
        };
        let all = self.open.len() + self.handshakes.len() + self.undecided.len();
        let of_source = self.sources.entry(source_of(address)).or_default();
        if all >= self.limits.connections || *of_source >= self.limits.connections_per_source {
            if *of_source == 0 {
                self.sources.remove(&source_of(address));
            }
            self.counters.refused += 1;
            return;
        }
        *of_source += 1;
        let Some(tls) = tls else {
            let (id, proved) = (self.next_id(), self.anyone.clone());
            self.add(id, address, Transport::Tcp, proved, Box::new(stream));
            return;
        };
        let time = self.limits.handshake_time;
        self.handshakes.push(secure(tls, stream, address, time));
    }

    fn may_shake_hands(&mut self, address: SocketAddr) -> bool {
        let (all, each) = (
            self.limits.handshake_rate,
            self.limits.handshake_rate_per_source,
        );
        self.budget.take_ephemeral(self.now, address, all, each)
    }

    pub(super) fn secured(&mut self, address: SocketAddr, secured: Secured) {
        let Secured { io, chain } = secured;
        let id = self.next_id();
        if chain.is_empty() {
            let proved = self.anyone.clone();
            self.add(id, address, Transport::Tls, proved, io);
        } else {
            self.undecided.insert(id, Undecided { address, io });
            self.shown.push_back((id, chain));
        }
    }

    /// The certificates that a device showed, its own first. [`Streams::admit`] or [`Streams::turn_away`] is to follow.
    pub(crate) fn poll_shown(&mut self) -> Option<(StreamId, Vec<Vec<u8>>)> {
        self.shown.pop_front()
    }

    /// Serves a device that has proved who it is.
    pub(crate) fn admit(&mut self, now: Instant, id: StreamId, proved: Proved) {
        self.now = now;
        if let Some(Undecided { address, io }) = self.undecided.remove(&id) {
            self.add(id, address, Transport::Tls, proved, io);
        }
    }

    /// Tells a device that its certificate is not accepted, and nothing else.
    pub(crate) fn turn_away(&mut self, now: Instant, id: StreamId, reason: PeerRejection) {
        self.counters.handshakes_failed += 1;
        self.admit(now, id, self.anyone.clone());
        self.abort(now, id, &reason.to_string());
    }

    /// Ends those of whom it is not decided who they are: nobody will.
    pub(super) fn forget_undecided(&mut self) {
        self.shown.clear();
        for undecided in std::mem::take(&mut self.undecided).into_values() {
            self.release_source(undecided.address);
        }
    }

    pub(super) fn release_source(&mut self, address: SocketAddr) {
        let source = source_of(address);
        if let Some(count) = self.sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&source);
            }
        }
    }
}
