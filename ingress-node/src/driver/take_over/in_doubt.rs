//! Records that were forwarded to an owner which may be dead by then.
//!
//! A dead node is a member until its lease ends. What is forwarded to it meanwhile is kept, so that its clients are
//! answered when somebody else may go on, and not when they repeat themselves: that can be six seconds later
//! (RFC 7252 §4.2). A record that the owner did handle before it died is handled twice then, as if its client had
//! repeated it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use device_state::NodeId;

use super::Stray;

/// A dead node is gone by then.
const LONGEST: Duration = Duration::from_secs(4);
/// What is kept at most, in bytes of datagrams.
const MAX_BYTES: usize = 16 << 20;
/// The same in datagrams.
const MAX_RECORDS: usize = 1 << 16;

/// The records forwarded last, oldest first.
#[derive(Debug, Default)]
pub(super) struct InDoubt {
    records: VecDeque<(Instant, NodeId, Stray)>,
    bytes: usize,
}

impl InDoubt {
    pub(super) fn keep(&mut self, now: Instant, owner: NodeId, stray: Stray) {
        self.bytes += stray.datagram.len();
        self.records.push_back((now, owner, stray));
        while let Some((since, _, oldest)) = self.records.front() {
            let is_old = now.saturating_duration_since(*since) > LONGEST;
            if !is_old && self.bytes <= MAX_BYTES && self.records.len() <= MAX_RECORDS {
                return;
            }
            self.bytes -= oldest.datagram.len();
            self.records.pop_front();
        }
    }

    /// Takes out what went to nodes that are gone.
    pub(super) fn take(&mut self, now: Instant, is_gone: impl Fn(NodeId) -> bool) -> Vec<Stray> {
        let (gone, there): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.records)
            .into_iter()
            .filter(|(since, ..)| now.saturating_duration_since(*since) <= LONGEST)
            .partition(|(_, owner, _)| is_gone(*owner));
        self.bytes = there.iter().map(|(.., stray)| stray.datagram.len()).sum();
        self.records = there;
        gone.into_iter().map(|(.., stray)| stray).collect()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use dtls::ConnectionId;
    use forward::{Channel, WorkerId};

    use super::*;
    use crate::driver::route::Arrival;

    fn stray(bytes: usize) -> Stray {
        let arrival = Arrival {
            channel: Channel::Secured,
            peer: "192.0.2.1:5684".parse().unwrap(),
            entry: WorkerId { node: 1, worker: 0 },
            hops: 0,
        };
        Stray::new(cid(), arrival, vec![0; bytes])
    }

    fn cid() -> ConnectionId {
        ConnectionId::from_bytes(&[1, 0, 0, 1, 2, 3, 4, 5]).unwrap()
    }

    #[test]
    fn what_a_dead_owner_was_sent_is_taken_out_once() {
        let mut kept = InDoubt::default();
        let now = crate::driver::now().instant;
        for (second, owner) in [(0, 7), (1, 7), (2, 8), (5, 7)] {
            kept.keep(now + Duration::from_secs(second), NodeId(owner), stray(10));
        }
        let later = now + Duration::from_secs(5);
        // Only the first is too old.
        assert_eq!(kept.take(later, |node| node == NodeId(7)).len(), 2);
        assert_eq!(kept.take(later, |node| node == NodeId(7)).len(), 0);
        assert_eq!(kept.take(later, |node| node == NodeId(8)).len(), 1);
        assert_eq!(kept.bytes, 0);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut kept = InDoubt::default();
        let now = crate::driver::now().instant;
        for _ in 0..MAX_RECORDS + 5 {
            kept.keep(now, NodeId(7), stray(1));
        }
        assert_eq!(kept.records.len(), MAX_RECORDS);
        for _ in 0..20 {
            kept.keep(now, NodeId(7), stray(1 << 20));
        }
        assert_eq!((kept.records.len(), kept.bytes), (16, MAX_BYTES));
    }
}
