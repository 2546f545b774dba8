//! Replay protection (RFC 6347 §4.1.2.6).

/// What the window knows about a sequence number before the record is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Above every accepted one: the record may move the peer's address.
    Newest,
    /// Unseen, inside the window.
    Late,
    /// Seen, or too old to tell.
    Replayed,
}

/// A sliding window over the last 64 sequence numbers of one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ReplayWindow {
    /// One above the highest accepted sequence number.
    next: u64,
    /// Bit n is set when `next - 1 - n` was accepted.
    seen: u64,
}

impl ReplayWindow {
    pub(crate) const SIZE: u64 = 64;

    pub(crate) const fn restore(next: u64, seen: u64) -> Self {
        Self { next, seen }
    }

    /// `(next, seen)`, for [`ReplayWindow::restore`].
    pub(crate) const fn parts(self) -> (u64, u64) {
        (self.next, self.seen)
    }

    pub(crate) const fn check(self, sequence: u64) -> Freshness {
        if sequence >= self.next {
            return Freshness::Newest;
        }
        let age = self.next - 1 - sequence;
        if age >= Self::SIZE || self.seen >> age & 1 == 1 {
            return Freshness::Replayed;
        }
        Freshness::Late
    }

    /// Marks an authenticated record's number, which [`ReplayWindow::check`] found fresh.
    pub(crate) const fn accept(&mut self, sequence: u64) {
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
        assert_eq!(window.check(70), Freshness::Replayed);
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
