//! Which of this host's addresses a peer talks to.
//!
//! A socket on all addresses answers from the one that the kernel takes for the way back, which on a host with several
//! is not always the one that was asked; whoever asked then takes the answer for somebody else's (RFC 7252 §5.3.2).

use std::net::{IpAddr, SocketAddr};

use hashbrown::HashMap;

/// Peers that are remembered one by one at most.
const MAX_OTHERS: usize = 1 << 18;

/// The addresses of this host by their peers.
#[derive(Debug, Default)]
pub(super) struct LocalAddresses {
    /// What the first datagram came to and, but on few hosts, every one; of IPv4 and of IPv6.
    usual: [Option<IpAddr>; 2],
    /// Of peers that talk to another one.
    others: HashMap<SocketAddr, IpAddr>,
}

impl LocalAddresses {
    /// A datagram of `peer` came to `local`.
    pub(super) fn learn(&mut self, peer: SocketAddr, local: IpAddr) {
        let [v4, v6] = &mut self.usual;
        let usual = if is_v4(peer) { v4 } else { v6 };
        if *usual.get_or_insert(local) == local {
            if !self.others.is_empty() {
                self.others.remove(&peer);
            }
            return;
        }
        if self.others.len() >= MAX_OTHERS {
            // Each is learnt again by its next datagram.
            self.others.clear();
        }
        self.others.insert(peer, local);
    }

    /// Where a datagram to `peer` is to leave from, if that is not for the kernel to choose.
    pub(super) fn of(&self, peer: SocketAddr) -> Option<IpAddr> {
        let [v4, v6] = self.usual;
        let other = self.others.get(&peer).copied();
        other.or_else(|| if is_v4(peer) { v4 } else { v6 })
    }
}

/// A socket of both families gives IPv4 addresses mapped into IPv6.
fn is_v4(peer: SocketAddr) -> bool {
    peer.ip().to_canonical().is_ipv4()
}
