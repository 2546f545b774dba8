//! Who owns a peer that nothing is known of.

use std::net::{IpAddr, SocketAddr};

use siphasher::sip::SipHasher13;

use crate::{Key, WorkerId};

/// Nodes that may become owners, each with its number of workers.
///
/// Rendezvous hashing: every node gets a score for a peer, and the highest one wins. A node that comes or goes moves only
/// the peers that it wins or had won.
#[derive(Clone, Debug)]
pub struct Rendezvous {
    hash: SipHasher13,
    nodes: Vec<(u64, u8)>,
}

impl Rendezvous {
    pub fn new(key: &Key, nodes: impl IntoIterator<Item = (u64, u8)>) -> Self {
        let workers = |&(_, workers): &(u64, u8)| workers > 0;
        Self {
            hash: SipHasher13::new_with_key(&key.hash),
            nodes: nodes.into_iter().filter(workers).collect(),
        }
    }

    /// The owner of a peer without a session that can be looked up; `None` if there is no node.
    pub fn of_peer(&self, peer: SocketAddr) -> Option<WorkerId> {
        // A mapped address is the one that a node with an IPv4 socket sees.
        let ip = match peer.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let mut bytes = [0; 18];
        let (address, port) = bytes.split_at_mut(16);
        address.copy_from_slice(&ip.octets());
        port.copy_from_slice(&peer.port().to_be_bytes());
        self.choose(&bytes)
    }

    /// The successor that goes on with a session.
    pub fn of_session(&self, cid: &[u8]) -> Option<WorkerId> {
        self.choose(cid)
    }

    fn choose(&self, what: &[u8]) -> Option<WorkerId> {
        let hash = self.hash.hash(what);
        let score = |node: u64| mix(hash ^ mix(node));
        let (node, workers) = self
            .nodes
            .iter()
            .max_by_key(|(node, _)| (score(*node), *node))?;
        Some(WorkerId {
            node: *node,
            // Not the bits that chose the node.
            worker: (hash.rotate_left(32) % u64::from(*workers)) as u8,
        })
    }
}

/// Spreads a change of any bit over all of them: the finalizer of SplitMix64.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ value >> 31
}
