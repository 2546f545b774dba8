//! Replay protection of requests (RFC 8613 §7.4).

use crate::partial_iv::PartialIv;

/// What the window knows about a number before the message is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Above every accepted one: the message may move the peer's address.
    Newest,
    /// Unseen, inside the window.
    Late,
    /// Seen, or too old to tell.
    Replayed,
}

/// A sliding window over the last 64 sequence numbers; RFC 8613 §3.2.2 asks for 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ReplayWindow {
    /// One above the highest accepted number.
    next: u64,
    /// Bit n is set when `next - 1 - n` was accepted.
    seen: u64,
}

impl ReplayWindow {
    pub(crate) const SIZE: u64 = 64;

    pub(crate) const fn restore(next: u64, seen: u64) -> Self {
        Self { next, seen }
    }

    /// RFC 8613 appendix B.1.2: the window after a request that is known to be fresh; nothing
    /// older is accepted.
    pub(crate) const fn starting_after(number: PartialIv) -> Self {
        Self {
            next: number.number() + 1,
            seen: u64::MAX,
        }
    }

    /// `(next, seen)`, for [`ReplayWindow::restore`].
    pub(crate) const fn parts(self) -> (u64, u64) {
        (self.next, self.seen)
    }

    pub(crate) const fn check(self, number: PartialIv) -> Freshness {
        let number = number.number();
        if number >= self.next {
            return Freshness::Newest;
        }
        let age = self.next - 1 - number;
        if age >= Self::SIZE || self.seen >> age & 1 == 1 {
            return Freshness::Replayed;
        }
        Freshness::Late
    }

    /// Marks an authenticated message's number, which [`ReplayWindow::check`] found fresh.
    pub(crate) const fn accept(&mut self, number: PartialIv) {
        let number = number.number();
        if number >= self.next {
            let step = number - self.next + 1;
            self.seen = if step >= Self::SIZE {
                0
            } else {
                self.seen << step
            };
            self.seen |= 1;
            self.next = number + 1;
        } else {
            let age = self.next - 1 - number;
            if age < Self::SIZE {
                self.seen |= 1 << age;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iv(number: u64) -> PartialIv {
        PartialIv::new(number).expect("numbers of the tests are small")
    }

    #[test]
    fn numbers_are_fresh_once_and_stale_below_the_window() {
        let mut window = ReplayWindow::default();
        assert_eq!(window.check(iv(0)), Freshness::Newest);
        window.accept(iv(0));
        assert_eq!(window.check(iv(0)), Freshness::Replayed);
        window.accept(iv(70));
        assert_eq!(window.check(iv(6)), Freshness::Replayed);
        assert_eq!(window.check(iv(7)), Freshness::Late);
        window.accept(iv(7));
        assert_eq!(window.check(iv(7)), Freshness::Replayed);
        window.accept(PartialIv::MAX);
        assert_eq!(window.check(PartialIv::MAX), Freshness::Replayed);
    }

    #[test]
    fn after_a_synchronisation_nothing_older_is_fresh() {
        let window = ReplayWindow::starting_after(iv(100));
        assert!((0..=100).all(|number| window.check(iv(number)) == Freshness::Replayed));
        assert_eq!(window.check(iv(101)), Freshness::Newest);
    }

    proptest::proptest! {
        #[test]
        fn no_number_is_fresh_twice(numbers in proptest::collection::vec(0u64..200, 0..400)) {
            let mut window = ReplayWindow::default();
            let mut accepted = std::collections::BTreeSet::new();
            for number in numbers {
                if window.check(iv(number)) != Freshness::Replayed {
                    assert!(accepted.insert(number));
                    window.accept(iv(number));
                }
            }
        }
    }
}
