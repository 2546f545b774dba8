//! Growing pauses between attempts.

use std::time::Duration;

/// Doubles from one attempt to the next up to a bound; each pause is drawn from its upper half, so that the callers of
/// a node that came back do not all return at once.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            next: first,
            longest,
        }
    }

    /// For calls that somebody waits for.
    pub(crate) const fn of_call() -> Self {
        Self::new(Duration::from_millis(5), Duration::from_millis(250))
    }

    /// For streams that are kept for ever.
    pub(crate) const fn of_stream() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(2))
    }

    pub(crate) fn pause(&mut self) -> Duration {
        let full = self.next;
        self.next = full.saturating_mul(2).min(self.longest);
        full.mul_f64(rand::random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_bound_and_vary() {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(35));
        for full in [10, 20, 35, 35] {
            let pause = backoff.pause();
            assert!(pause <= Duration::from_millis(full));
            assert!(pause >= Duration::from_millis(full) / 2);
        }
    }
}
