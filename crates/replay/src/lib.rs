//! Replay protection by a sliding window over sequence numbers, as DTLS (RFC 6347 §4.1.2.6) and OSCORE (RFC 8613 §7.4)
//! ask for it.
//!
//! Owns: which numbers were seen. Never: authenticates anything; a number is marked only after that.
//!
//! ```
//! use replay::{Freshness, ReplayWindow};
//!
//! let mut window = ReplayWindow::default();
//! assert_eq!(window.check(7), Freshness::Newest);
//! window.accept(7);
//! assert_eq!(window.check(7), Freshness::Replayed);
//! assert_eq!(window.check(6), Freshness::Late);
//! ```

/// What the window knows about a sequence number before what carries it is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Above every accepted one: it may move the peer's address.
    Newest,
    /// Unseen, inside the window.
    Late,
    /// Seen, or too old to tell.
    Replayed,
}

/// The last 64 sequence numbers under one key; RFC 8613 §3.2.2 asks for 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplayWindow {
    /// One above the highest accepted sequence number.
    next: u64,
    /// Bit n is set when `next - 1 - n` was accepted.
    seen: u64,
}

impl ReplayWindow {
    /// Numbers that are told apart.
    pub const SIZE: u64 = 64;

    /// A window from what [`ReplayWindow::parts`] gave.
    pub const fn restore(next: u64, seen: u64) -> Self {
        Self { next, seen }
    }

    /// The window after a number that is known to be fresh: nothing older is (RFC 8613 appendix
    /// B.1.2). `number` is below the highest `u64`, as those of both protocols are.
    pub const fn starting_after(number: u64) -> Self {
        Self {
            next: number + 1,
            seen: u64::MAX,
        }
    }

    /// One above the highest accepted number, and which before it were, for [`ReplayWindow::restore`].
    pub const fn parts(self) -> (u64, u64) {
        (self.next, self.seen)
    }

    /// What is known of a number. It changes nothing.
    pub const fn check(self, sequence: u64) -> Freshness {
        if sequence >= self.next {
            return Freshness::Newest;
        }
        let age = self.next - 1 - sequence;
        if age >= Self::SIZE || self.seen >> age & 1 == 1 {
            return Freshness::Replayed;
        }
        Freshness::Late
    }

    /// Marks an authenticated number, which [`ReplayWindow::check`] found fresh.
    pub const fn accept(&mut self, sequence: u64) {
        if sequence >= self.next {
            let step = sequence - self.next + 1;
            self.seen = if step >= Self::SIZE {
                0
            } else {
                self.seen << step
            };
            self.seen |= 1;
            self.next = sequence + 1;
        } else {
            let age = self.next - 1 - sequence;
            if age < Self::SIZE {
                self.seen |= 1 << age;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_fresh_once_and_stale_below_the_window() {
        let mut window = ReplayWindow::default();
        assert_eq!(window.check(0), Freshness::Newest);
        window.accept(0);
        assert_eq!(window.check(0), Freshness::Replayed);
        window.accept(70);
        assert_eq!(window.check(6), Freshness::Replayed);
        assert_eq!(window.check(7), Freshness::Late);
        window.accept(7);
        assert_eq!(window.check(7), Freshness::Replayed);
        assert_eq!(window.check(70), Freshness::Replayed);
        assert_eq!(window.check(71), Freshness::Newest);
        window.accept((1 << 48) - 1);
        assert_eq!(window.check((1 << 48) - 1), Freshness::Replayed);
        assert_eq!(window.check(70), Freshness::Replayed);
    }

    #[test]
    fn after_a_synchronisation_nothing_older_is_fresh() {
        let window = ReplayWindow::starting_after(100);
        assert!((0..=100).all(|number| window.check(number) == Freshness::Replayed));
        assert_eq!(window.check(101), Freshness::Newest);
    }

    proptest::proptest! {
        #[test]
        fn no_number_is_fresh_twice(numbers in proptest::collection::vec(0u64..200, 0..400)) {
            let mut window = ReplayWindow::default();
            let mut accepted = std::collections::BTreeSet::new();
            for number in numbers {
                if window.check(number) != Freshness::Replayed {
                    assert!(accepted.insert(number));
                    window.accept(number);
                }
            }
        }
    }
}
