//! Flights: fragmenting, packing into datagrams, and the retransmission timer (RFC 6347 §4.2.4).

use std::time::{Duration, Instant};

use crate::handshake::HEADER as MESSAGE_HEADER;
use crate::protection::{Outgoing, RecordKeys};
use crate::record::{self, ContentType, EPOCH_PROTECTED, PlainSequence};
use crate::sequence::WriteSequence;
use crate::wire::put_u24;

/// The smallest datagram size that is honoured: our client's hello has to fit whole, because the
/// stateless cookie exchange cannot read fragments of one.
pub(crate) const MIN_MTU: usize = 256;
/// A datagram with less room than this for a fragment is sent off first.
const MIN_FRAGMENT: usize = 32;

/// One element of a flight. Messages have their unfragmented header.
pub(crate) enum Part {
    Plain(Vec<u8>),
    ChangeCipherSpec,
    Sealed(Vec<u8>),
}

/// What protected parts are sealed with.
pub(crate) struct Sealer<'a> {
    pub(crate) keys: &'a RecordKeys,
    pub(crate) cid: &'a [u8],
    pub(crate) write: &'a mut WriteSequence,
}

/// Sends a flight with record numbers of its own, in as few datagrams of at most `mtu` bytes as
/// the messages' order allows. Protected parts are left out without a sealer, or when its numbers
/// are used up.
pub(crate) fn transmit(
    parts: &[Part],
    plain: &mut PlainSequence,
    mut sealer: Option<Sealer<'_>>,
    mtu: usize,
    emit: impl FnMut(Vec<u8>),
) {
    let mut packer = Packer {
        mtu: mtu.max(MIN_MTU),
        datagram: Vec::new(),
        emit,
    };
    for part in parts {
        match part {
            Part::Plain(message) => packer.message(message, record::HEADER, |out, fragment| {
                record::put_plain(out, ContentType::Handshake, plain, fragment);
            }),
            Part::ChangeCipherSpec => {
                packer.make_room(record::HEADER + 1);
                let out = &mut packer.datagram;
                record::put_plain(out, ContentType::ChangeCipherSpec, plain, &[1]);
            }
            Part::Sealed(message) => {
                let Some(sealer) = &mut sealer else { continue };
                let overhead = sealer.keys.overhead(sealer.cid);
                packer.message(message, overhead, |out, fragment| {
                    let Some(sequence) = sealer.write.next() else {
                        return;
                    };
                    let outgoing = Outgoing {
                        content_type: ContentType::Handshake,
                        epoch: EPOCH_PROTECTED,
                        sequence,
                        cid: sealer.cid,
                    };
                    sealer.keys.seal(outgoing, fragment, out);
                });
            }
        }
    }
    packer.flush();
}

struct Packer<E> {
    mtu: usize,
    datagram: Vec<u8>,
    emit: E,
}

impl<E: FnMut(Vec<u8>)> Packer<E> {
    fn flush(&mut self) {
        if !self.datagram.is_empty() {
            (self.emit)(std::mem::take(&mut self.datagram));
        }
    }

    fn room(&self) -> usize {
        self.mtu.saturating_sub(self.datagram.len())
    }

    fn make_room(&mut self, wanted: usize) {
        if self.room() < wanted {
            self.flush();
        }
    }

    fn message(
        &mut self,
        message: &[u8],
        overhead: usize,
        mut put: impl FnMut(&mut Vec<u8>, &[u8]),
    ) {
        let fixed = overhead + MESSAGE_HEADER;
        let (header, body) = message.split_at(MESSAGE_HEADER);
        if self.room() >= fixed + body.len() {
            put(&mut self.datagram, message);
            return;
        }
        let mut offset = 0;
        loop {
            let left = body.len() - offset;
            self.make_room(fixed + left.min(MIN_FRAGMENT));
            let size = left.min(self.room().saturating_sub(fixed).max(1));
            let mut fragment = Vec::with_capacity(MESSAGE_HEADER + size);
            // Type, length and message_seq stay; only offset and fragment length differ.
            fragment.extend_from_slice(&header[..6]);
            put_u24(&mut fragment, offset);
            put_u24(&mut fragment, size);
            fragment.extend_from_slice(&body[offset..offset + size]);
            put(&mut self.datagram, &fragment);
            offset += size;
            if offset == body.len() {
                return;
            }
        }
    }
}

/// How a flight is repeated while the peer stays silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retransmission {
    /// Before the first repetition; doubled after each. RFC 6347 §4.2.4.1: 1 s.
    pub initial: Duration,
    /// The longest interval. RFC 6347 §4.2.4.1: no less than 60 s.
    pub longest: Duration,
    /// Repetitions before the handshake is given up.
    pub attempts: u8,
}

impl Default for Retransmission {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            longest: Duration::from_mins(1),
            attempts: 5,
        }
    }
}

/// Runs while an answer to a flight is awaited.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetransmitTimer {
    at: Instant,
    interval: Duration,
    left: u8,
}

/// What a timer that ran out asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    Retransmit,
    GiveUp,
}

impl RetransmitTimer {
    pub(crate) fn start(now: Instant, policy: &Retransmission) -> Self {
        Self {
            at: now + policy.initial,
            interval: policy.initial,
            left: policy.attempts,
        }
    }

    pub(crate) const fn at(&self) -> Instant {
        self.at
    }

    pub(crate) fn expire(&mut self, now: Instant, policy: &Retransmission) -> Expiry {
        let Some(left) = self.left.checked_sub(1) else {
            return Expiry::GiveUp;
        };
        self.left = left;
        self.interval = self.interval.saturating_mul(2).min(policy.longest);
        self.at = now + self.interval;
        Expiry::Retransmit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::{self, Fragment, MessageType};
    use crate::reassembly::Reassembly;
    use crate::wire::Reader;

    #[test]
    fn a_long_message_is_cut_to_the_datagram_size_and_comes_back_together() {
        let long = handshake::message(MessageType::ServerKeyExchange, 0, |out| {
            out.extend((0..1000).map(|i| i as u8));
        });
        let short = handshake::message(MessageType::ServerHelloDone, 1, |_| {});
        let mut datagrams = Vec::new();
        transmit(
            &[Part::Plain(long.clone()), Part::Plain(short.clone())],
            &mut PlainSequence::starting_at(5),
            None,
            256,
            |datagram| datagrams.push(datagram),
        );
        assert!(datagrams.iter().all(|datagram| datagram.len() <= 256));
        let mut reassembly = Reassembly::new(0, 4096);
        let mut sequence = 5;
        for datagram in datagrams.iter_mut().rev() {
            let mut rest = datagram.as_mut_slice();
            while let Some((record, tail)) = record::split_first(rest, 0) {
                assert!(record.sequence >= 5);
                sequence += 1;
                let mut reader = Reader::new(record.payload());
                if let Ok(fragment) = Fragment::read(&mut reader) {
                    reassembly.push(0, &fragment);
                }
                rest = tail;
            }
        }
        assert!(sequence > 10);
        assert_eq!(reassembly.pop().map(|message| message.bytes), Some(long));
        assert_eq!(reassembly.pop().map(|message| message.bytes), Some(short));
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to start from"
    )]
    #[test]
    fn the_timer_doubles_up_to_the_longest_interval_and_gives_up() {
        let policy = Retransmission {
            initial: Duration::from_secs(20),
            longest: Duration::from_mins(1),
            attempts: 3,
        };
        let start = Instant::now();
        let mut timer = RetransmitTimer::start(start, &policy);
        let mut waits = Vec::new();
        let mut now = start;
        loop {
            waits.push((timer.at() - now).as_secs());
            now = timer.at();
            if timer.expire(now, &policy) == Expiry::GiveUp {
                break;
            }
        }
        assert_eq!(waits, [20, 40, 60, 60]);
    }
}
