//! Ports for servers that tests start, stop and start again.
//!
//! Asking the system for any free port and giving it back is not enough: until the server takes
//! it, or while it is down, the system may give the same port to an outgoing connection or to
//! another test. These come from below the range that the system gives out
//! (`net.ipv4.ip_local_port_range` begins at 32768), and stay the process's own while it lives.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::sync::{Mutex, PoisonError};

/// Ports of a block. The first is bound while the process lives, and so says whose the others are.
const BLOCK: u16 = 50;
/// Where the first block begins.
const BEGIN: u16 = 10_000;
/// How many blocks there are; the last ends before 32768.
const BLOCKS: u16 = (32_768 - BEGIN) / BLOCK;

static BLOCKS_HELD: Mutex<Vec<Block>> = Mutex::new(Vec::new());

struct Block {
    claim: TcpListener,
    given: u16,
}

/// A port that nobody listens at, on TCP and on UDP, and that is given to nobody else while this
/// process lives.
///
/// # Panics
///
/// If every block of ports is held by somebody.
pub fn free_port() -> u16 {
    let mut held = BLOCKS_HELD.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(port) = held.last_mut().and_then(Block::next) {
            return port;
        }
        held.push(Block::claim().expect("a block of ports is free"));
    }
}

impl Block {
    /// The first free block, looked for from a place of this process's own.
    fn claim() -> Option<Self> {
        let own = std::process::id() % u32::from(BLOCKS);
        let from = u16::try_from(own).unwrap_or_default();
        (0..BLOCKS)
            .map(|step| BEGIN + (from + step) % BLOCKS * BLOCK)
            .find_map(|first| TcpListener::bind((Ipv4Addr::LOCALHOST, first)).ok())
            .map(|claim| Self { claim, given: 0 })
    }

    fn next(&mut self) -> Option<u16> {
        let first = self.claim.local_addr().ok()?.port();
        while self.given + 1 < BLOCK {
            self.given += 1;
            let port = first + self.given;
            if is_free(port) {
                return Some(port);
            }
        }
        None
    }
}

/// Servers listen on loopback or on every address, of either family.
fn is_free(port: u16) -> bool {
    let taken = |attempt: io::Result<()>| {
        attempt.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    };
    let v4 = Ipv4Addr::UNSPECIFIED;
    let v6 = Ipv6Addr::UNSPECIFIED;
    ![
        TcpListener::bind((v4, port)).map(drop),
        TcpListener::bind((v6, port)).map(drop),
        UdpSocket::bind((v4, port)).map(drop),
        UdpSocket::bind((v6, port)).map(drop),
    ]
    .into_iter()
    .any(taken)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_port_is_given_twice_and_none_that_the_system_gives() {
        let count = usize::from(BLOCK) * 3;
        let ports: BTreeSet<u16> = (0..count).map(|_| free_port()).collect();
        assert_eq!(ports.len(), count);
        assert!(ports.iter().all(|port| (BEGIN..32_768).contains(port)));
    }

    #[test]
    fn a_port_that_somebody_listens_at_is_left_out() {
        let mut block = Block::claim().unwrap();
        let first = block.next().unwrap();
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first + 1)).unwrap();
        assert_ne!(block.next(), Some(taken.local_addr().unwrap().port()));
    }
}
