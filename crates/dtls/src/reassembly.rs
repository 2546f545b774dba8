//! Puts handshake messages back together and in order (RFC 6347 §4.2.3, §4.2.6).

use std::collections::VecDeque;

use crate::handshake::{Fragment, HEADER, MessageType, put_message_header};

/// How many messages ahead of the next one are kept: a flight has at most this many.
const WINDOW: usize = 6;
/// How many separate pieces of one message are tracked.
const MAX_PIECES: usize = 16;

/// A whole message, with a header as if it had never been fragmented.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) kind: MessageType,
    pub(crate) epoch: u16,
    pub(crate) bytes: Vec<u8>,
}

impl Message {
    pub(crate) fn body(&self) -> &[u8] {
        self.bytes.get(HEADER..).unwrap_or_default()
    }
}

/// What became of a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acceptance {
    Kept,
    /// Of a message that was handed out already: the peer repeats its flight.
    Repeated,
    /// Too long, too far ahead, in too many pieces, or at odds with an earlier fragment.
    Refused,
}

struct Partial {
    kind: MessageType,
    epoch: u16,
    length: usize,
    bytes: Vec<u8>,
    /// Disjoint, not adjacent, in no order.
    received: Vec<(usize, usize)>,
}

impl Partial {
    fn is_complete(&self) -> bool {
        self.length == 0 || self.received.as_slice() == [(0, self.length)]
    }

    /// Adds a range; false when there are too many.
    fn cover(&mut self, start: usize, end: usize) -> bool {
        let (mut start, mut end) = (start, end);
        self.received.retain(|&(from, to)| {
            let apart = to < start || from > end;
            if !apart {
                start = start.min(from);
                end = end.max(to);
            }
            apart
        });
        // Only a range that merged with none can meet a full list, so nothing is lost here.
        if self.received.len() >= MAX_PIECES {
            return false;
        }
        self.received.push((start, end));
        true
    }
}

/// Holds at most `WINDOW` messages, whose bodies together have at most `limit` bytes.
pub(crate) struct Reassembly {
    next: u16,
    limit: usize,
    slots: VecDeque<Option<Partial>>,
}

impl Reassembly {
    /// Expects the message `next` first.
    pub(crate) fn new(next: u16, limit: usize) -> Self {
        Self {
            next,
            limit,
            slots: VecDeque::new(),
        }
    }

    pub(crate) fn push(&mut self, epoch: u16, fragment: &Fragment<'_>) -> Acceptance {
        let Some(ahead) = fragment.message_seq.checked_sub(self.next) else {
            return Acceptance::Repeated;
        };
        let ahead = usize::from(ahead);
        let is_idle = fragment.body.is_empty() && fragment.length != 0;
        if ahead >= WINDOW || is_idle {
            return Acceptance::Refused;
        }
        let is_new = self.slots.get(ahead).is_none_or(Option::is_none);
        if is_new && self.held() + fragment.length > self.limit {
            return Acceptance::Refused;
        }
        while self.slots.len() <= ahead {
            self.slots.push_back(None);
        }
        let Some(slot) = self.slots.get_mut(ahead) else {
            return Acceptance::Refused;
        };
        let partial = slot.get_or_insert_with(|| {
            let mut bytes = Vec::with_capacity(HEADER + fragment.length);
            put_message_header(
                &mut bytes,
                fragment.kind,
                fragment.length,
                fragment.message_seq,
            );
            bytes.resize(HEADER + fragment.length, 0);
            Partial {
                kind: fragment.kind,
                epoch,
                length: fragment.length,
                bytes,
                received: Vec::new(),
            }
        });
        let agrees = partial.kind == fragment.kind
            && partial.epoch == epoch
            && partial.length == fragment.length;
        let end = fragment.offset + fragment.body.len();
        if !agrees || !partial.cover(fragment.offset, end) {
            return Acceptance::Refused;
        }
        let target = partial
            .bytes
            .get_mut(HEADER + fragment.offset..HEADER + end);
        if let Some(target) = target {
            target.copy_from_slice(fragment.body);
        }
        Acceptance::Kept
    }

    fn held(&self) -> usize {
        self.slots
            .iter()
            .flatten()
            .map(|partial| partial.length)
            .sum()
    }

    /// The next message in order, once it is complete.
    pub(crate) fn pop(&mut self) -> Option<Message> {
        if !self.slots.front()?.as_ref()?.is_complete() {
            return None;
        }
        let partial = self.slots.pop_front()??;
        self.next = self.next.saturating_add(1);
        Some(Message {
            kind: partial.kind,
            epoch: partial.epoch,
            bytes: partial.bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use proptest::prelude::*;

    use super::*;
    use crate::handshake::{self, MessageType};

    fn pieces(message: &[u8], cuts: &[usize]) -> Vec<(usize, Vec<u8>)> {
        let body = &message[HEADER..];
        let mut bounds: Vec<usize> = cuts.iter().map(|cut| cut % (body.len() + 1)).collect();
        bounds.extend([0, body.len()]);
        bounds.sort_unstable();
        bounds.dedup();
        bounds
            .windows(2)
            .map(|pair| (pair[0], body[pair[0]..pair[1]].to_vec()))
            .collect()
    }

    fn fragment(message_seq: u16, length: usize, offset: usize, body: &[u8]) -> Fragment<'_> {
        Fragment {
            kind: MessageType::ServerKeyExchange,
            length,
            message_seq,
            offset,
            body,
            raw: &[],
        }
    }

    proptest! {
        #[test]
        fn pieces_in_any_order_make_the_message(
            body in prop::collection::vec(any::<u8>(), 1..200),
            cuts in prop::collection::vec(any::<usize>(), 0..12),
            seed in any::<u64>(),
        ) {
            let message = handshake::message(MessageType::ServerKeyExchange, 4, |out| {
                out.extend_from_slice(&body);
            });
            let mut pieces = pieces(&message, &cuts);
            let count = pieces.len();
            for i in (1..count).rev() {
                pieces.swap(i, (seed as usize).wrapping_mul(i) % (i + 1));
            }
            let mut reassembly = Reassembly::new(4, 4096);
            for (offset, piece) in pieces.iter().chain(&pieces.clone()[..count / 2]) {
                let fragment = fragment(4, body.len(), *offset, piece);
                prop_assert_eq!(reassembly.push(0, &fragment), Acceptance::Kept);
            }
            prop_assert_eq!(reassembly.pop().unwrap().bytes, message);
            prop_assert!(reassembly.pop().is_none());
        }
    }

    #[test]
    fn messages_come_out_in_order_and_once() {
        let mut reassembly = Reassembly::new(1, 100);
        assert_eq!(
            reassembly.push(0, &fragment(2, 1, 0, &[2])),
            Acceptance::Kept
        );
        assert!(reassembly.pop().is_none());
        assert_eq!(
            reassembly.push(0, &fragment(1, 1, 0, &[1])),
            Acceptance::Kept
        );
        assert_eq!(reassembly.pop().unwrap().body(), [1]);
        assert_eq!(reassembly.pop().unwrap().body(), [2]);
        assert_eq!(
            reassembly.push(0, &fragment(1, 1, 0, &[1])),
            Acceptance::Repeated
        );
    }

    #[test]
    fn bounds_hold() {
        let mut reassembly = Reassembly::new(0, 100);
        let refused = [
            fragment(WINDOW as u16, 1, 0, &[0]),
            fragment(0, 101, 0, &[0]),
            fragment(0, 5, 2, &[]),
        ];
        for fragment in &refused {
            assert_eq!(reassembly.push(0, fragment), Acceptance::Refused);
        }
        assert_eq!(
            reassembly.push(0, &fragment(1, 10, 0, &[0])),
            Acceptance::Kept
        );
        assert_eq!(
            reassembly.push(0, &fragment(0, 91, 0, &[0])),
            Acceptance::Refused
        );
        let mut reassembly = Reassembly::new(0, 100);
        for piece in 0..MAX_PIECES {
            let fragment = fragment(0, 100, piece * 2, &[0]);
            assert_eq!(reassembly.push(0, &fragment), Acceptance::Kept);
        }
        assert_eq!(
            reassembly.push(0, &fragment(0, 100, 60, &[0])),
            Acceptance::Refused
        );
        assert_eq!(
            reassembly.push(1, &fragment(0, 100, 1, &[0])),
            Acceptance::Refused
        );
    }
}
