//! How often something may be done.

use std::time::{Duration, Instant};

/// A token bucket: a burst at once, then one per interval.
///
/// Bounds the status writes that one device can cause by registering again and again.
#[derive(Clone, Debug)]
pub struct Budget {
    burst: u32,
    interval: Duration,
    /// When the bucket is full again; the time until then is what has been spent.
    full_at: Instant,
}

impl Budget {
    /// A full bucket of `burst` tokens (at least 1) that gains one every `interval`.
    pub fn new(burst: u32, interval: Duration, now: Instant) -> Self {
        Self {
            burst: burst.max(1),
            interval,
            full_at: now,
        }
    }

    /// Takes a token, or says how long there will be none.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let spent = self.full_at.saturating_duration_since(now);
        let allowed = self.interval.saturating_mul(self.burst - 1);
        if spent > allowed {
            return Err(spent.saturating_sub(allowed));
        }
        self.full_at = now + spent + self.interval;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a first instant to count from")]

    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_for_each_interval() {
        let start = Instant::now();
        let interval = Duration::from_secs(10);
        let mut budget = Budget::new(3, interval, start);
        for _ in 0..3 {
            assert_eq!(budget.take(start), Ok(()));
        }
        assert_eq!(budget.take(start), Err(interval));
        assert_eq!(budget.take(start + interval), Ok(()));
        assert_eq!(budget.take(start + interval), Err(interval));
        let later = start + interval * 100;
        for _ in 0..3 {
            assert_eq!(budget.take(later), Ok(()));
        }
        assert!(budget.take(later).is_err());
    }
}
