//! The header of a forwarded datagram.
//!
//! ```text
//!  version 1 │ kind 1 │ hops 1 │ from 9 │ to 9 │ counter 8 │ entry 9 │ family 1 │ port 2 │ address 4 or 16
//! ```
//!
//! A worker is the id of its node (8 bytes) and its index. Numbers are big-endian.

use std::net::{IpAddr, SocketAddr};

use crate::{Channel, Direction, WorkerId};

/// The only version so far. A node drops what it does not know; the client repeats it.
const VERSION: u8 = 1;

/// With an IPv6 client.
pub(crate) const MAX_LENGTH: usize = 57;

const OUT: u8 = 0x01;
const PLAIN: u8 = 0x02;

const V4: u8 = 4;
const V6: u8 = 6;

/// Everything but the datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) direction: Direction,
    pub(crate) channel: Channel,
    pub(crate) hops: u8,
    pub(crate) from: WorkerId,
    pub(crate) to: WorkerId,
    pub(crate) counter: u64,
    pub(crate) entry: WorkerId,
    pub(crate) client: SocketAddr,
}

impl Header {
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        let direction = match self.direction {
            Direction::In => 0,
            Direction::Out => OUT,
        };
        let channel = match self.channel {
            Channel::Secured => 0,
            Channel::Plain => PLAIN,
        };
        bytes.extend([VERSION, direction | channel, self.hops]);
        for end in [self.from, self.to] {
            bytes.extend(end.node.to_be_bytes());
            bytes.push(end.worker);
        }
        bytes.extend(self.counter.to_be_bytes());
        bytes.extend(self.entry.node.to_be_bytes());
        bytes.push(self.entry.worker);
        let family = if self.client.is_ipv4() { V4 } else { V6 };
        bytes.push(family);
        bytes.extend(self.client.port().to_be_bytes());
        match self.client.ip() {
            IpAddr::V4(ip) => bytes.extend(ip.octets()),
            IpAddr::V6(ip) => bytes.extend(ip.octets()),
        }
    }

    /// The header and what follows it. `None` if it is cut short or of another version.
    pub(crate) fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (&[version, kind, hops], rest) = bytes.split_first_chunk()?;
        if version != VERSION || kind & !(OUT | PLAIN) != 0 {
            return None;
        }
        let (from, rest) = worker(rest)?;
        let (to, rest) = worker(rest)?;
        let (counter, rest) = rest.split_first_chunk()?;
        let (entry, rest) = worker(rest)?;
        let (&family, rest) = rest.split_first()?;
        let (port, rest) = rest.split_first_chunk()?;
        let (ip, rest) = address(family, rest)?;
        let header = Self {
            direction: if kind & OUT == 0 {
                Direction::In
            } else {
                Direction::Out
            },
            channel: if kind & PLAIN == 0 {
                Channel::Secured
            } else {
                Channel::Plain
            },
            hops,
            from,
            to,
            counter: u64::from_be_bytes(*counter),
            entry,
            client: SocketAddr::new(ip, u16::from_be_bytes(*port)),
        };
        Some((header, rest))
    }
}

fn worker(bytes: &[u8]) -> Option<(WorkerId, &[u8])> {
    let (node, rest) = bytes.split_first_chunk()?;
    let (&worker, rest) = rest.split_first()?;
    let node = u64::from_be_bytes(*node);
    Some((WorkerId { node, worker }, rest))
}

fn address(family: u8, bytes: &[u8]) -> Option<(IpAddr, &[u8])> {
    match family {
        V4 => {
            let (octets, rest) = bytes.split_first_chunk::<4>()?;
            Some((IpAddr::from(*octets), rest))
        }
        V6 => {
            let (octets, rest) = bytes.split_first_chunk::<16>()?;
            Some((IpAddr::from(*octets), rest))
        }
        _ => None,
    }
}
