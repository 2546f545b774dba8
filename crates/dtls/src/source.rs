//! Whom the peers of one host or network are counted as.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// What limits per source count: one IPv4 address, mapped ones too, or the /64 that one IPv6 host
/// can choose its addresses from.
pub fn source_of(peer: SocketAddr) -> IpAddr {
    match peer.ip().to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}
