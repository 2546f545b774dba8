//! How many handshakes begin per time, in all and for each source.

use std::hash::BuildHasher as _;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::random::{KeyedState, Random};
use crate::source::source_of;
use crate::suite::CipherSuite;

/// Sources share this many buckets by a keyed hash, so that the memory is the same for one source
/// and for millions: 256 KiB. A source that nobody else's flood is to harm needs a bucket of its
/// own; beside a thousand floods it has one with a probability of 94 %.
const BUCKETS: usize = 1 << 14;

/// How many handshakes one with an ephemeral key counts for.
const EPHEMERAL: u32 = 10;

/// How many handshakes one counts for.
pub(crate) const fn count_of(suite: CipherSuite) -> u32 {
    if suite.key_exchange().is_ephemeral() {
        EPHEMERAL
    } else {
        1
    }
}

/// A rate of handshakes, and how many may come at once. One with an ephemeral key counts for ten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandshakeRate {
    per_second: NonZeroU32,
    burst: NonZeroU32,
}

const fn at_least_one(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

impl HandshakeRate {
    /// In the long run `per_second`, after a rest `burst`. 0 counts as 1.
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second: at_least_one(per_second),
            burst: at_least_one(burst),
        }
    }

    fn interval(self) -> Duration {
        Duration::from_secs(1) / self.per_second.get()
    }
}

/// A token bucket, told by when it is full again; `None` before its first use.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket(Option<Instant>);

impl Bucket {
    /// The bucket with so many tokens less, if it has them. A full one has enough for one hello.
    fn without(self, now: Instant, rate: HandshakeRate, count: u32) -> Option<Self> {
        let interval = rate.interval();
        let full = self.0.map_or(now, |full| full.max(now)) + interval * count;
        let most = interval * rate.burst.get().max(count);
        (full - now <= most).then_some(Self(Some(full)))
    }
}

/// What is left of the rates. [`Server`](crate::Server) has one of its own; this is also for the
/// handshakes of other protocols.
pub struct HandshakeBudget {
    all: Bucket,
    sources: Vec<Bucket>,
    hash: KeyedState,
}

impl HandshakeBudget {
    /// With full rates. The seed is secret, so that nobody can choose whom to share with.
    pub fn new(seed: [u8; 32]) -> Self {
        Self::keyed(Random::from_seed(seed).hash_key())
    }

    pub(crate) fn keyed(hash: KeyedState) -> Self {
        Self {
            all: Bucket::default(),
            sources: vec![Bucket::default(); BUCKETS],
            hash,
        }
    }

    /// Takes a handshake with an ephemeral key off both rates, or nothing when either is used up.
    pub fn take_ephemeral(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        all: HandshakeRate,
        each: HandshakeRate,
    ) -> bool {
        self.take(now, peer, EPHEMERAL, all, each)
    }

    /// Takes what a hello counts for off both rates, or nothing when either is used up.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        count: u32,
        all: HandshakeRate,
        each: HandshakeRate,
    ) -> bool {
        let bucket = self.hash.hash_one(source_of(peer)) as usize % BUCKETS;
        let Some(source) = self.sources.get_mut(bucket) else {
            return false;
        };
        let left = (
            self.all.without(now, all, count),
            source.without(now, each, count),
        );
        let (Some(all), Some(each)) = left else {
            return false;
        };
        (self.all, *source) = (all, each);
        true
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to start from"
    )]

    use super::*;

    const PLENTY: HandshakeRate = HandshakeRate::new(1_000_000, 1_000_000);

    fn peer(host: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, host], port))
    }

    #[test]
    fn a_source_has_its_burst_and_then_its_rate() {
        let mut budget = HandshakeBudget::new([1; 32]);
        let each = HandshakeRate::new(10, 30);
        let mut now = Instant::now();
        let mut taken = |now, host| {
            let ports = 0..200;
            ports
                .filter(|&port| budget.take(now, peer(host, port), 1, PLENTY, each))
                .count()
        };
        assert_eq!(taken(now, 1), 30);
        assert_eq!(taken(now, 2), 30);
        now += Duration::from_millis(100);
        assert_eq!(taken(now, 1), 1);
        now += Duration::from_millis(550);
        assert_eq!(taken(now, 1), 5);
        now += Duration::from_mins(60);
        assert_eq!(taken(now, 1), 30);
    }

    #[test]
    fn what_one_rate_refuses_costs_the_other_nothing() {
        let mut budget = HandshakeBudget::new([1; 32]);
        let (all, each) = (HandshakeRate::new(10, 40), HandshakeRate::new(10, 30));
        let now = Instant::now();
        let mut taken = |now, host| {
            let ports = 0..200;
            ports
                .filter(|&port| budget.take(now, peer(host, port), 1, all, each))
                .count()
        };
        assert_eq!(taken(now, 1), 30);
        // 170 refusals later there are 10 left.
        assert_eq!(taken(now, 2), 10);
        assert_eq!(taken(now, 3), 0);
        // The total fills as fast as one source empties it; the third was charged nothing.
        let later = now + Duration::from_secs(3);
        assert_eq!(taken(later, 3), 30);
    }

    #[test]
    fn what_is_dearer_takes_more_and_is_never_shut_out() {
        let mut budget = HandshakeBudget::new([1; 32]);
        let mut now = Instant::now();
        let mut take = |now, count, each| budget.take(now, peer(1, 1), count, PLENTY, each);
        let each = HandshakeRate::new(10, 25);
        assert_eq!(
            [10, 10, 10, 1].map(|count| take(now, count, each)),
            [true, true, false, true]
        );
        now += Duration::from_mins(1);
        // A burst that is smaller than one of them lets one through when nothing else came.
        let each = HandshakeRate::new(1, 2);
        assert_eq!([10, 1].map(|count| take(now, count, each)), [true, false]);
        now += Duration::from_secs(10);
        assert!(take(now, 10, each));
    }

    #[test]
    fn a_rate_of_nothing_is_one() {
        assert_eq!(HandshakeRate::new(0, 0), HandshakeRate::new(1, 1));
    }
}
