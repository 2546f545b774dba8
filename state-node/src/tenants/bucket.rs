//! A token bucket: so many at once, and so many more with every second.

use std::time::{Duration, Instant};

/// What is left of a rate. Time is an argument.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    left: f64,
    at: Instant,
}

/// How fast a bucket is filled, and how much is in a full one. Both are at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) per_second: u32,
    pub(crate) burst: u32,
}

impl Bucket {
    pub(crate) fn full(rate: Rate, now: Instant) -> Self {
        Self {
            left: f64::from(rate.burst),
            at: now,
        }
    }

    /// Takes one; else tells when there will be one.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let per_second = f64::from(rate.per_second);
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * per_second).min(f64::from(rate.burst));
        self.at = self.at.max(now);
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.left) / per_second))
    }

    /// Whether it is as if nobody had ever taken anything.
    pub(crate) fn is_full(&self, rate: Rate, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left + passed * f64::from(rate.per_second) >= f64::from(rate.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_so_many_a_second() {
        let rate = Rate {
            per_second: 4,
            burst: 2,
        };
        let start = Instant::now();
        let mut bucket = Bucket::full(rate, start);
        assert!(bucket.take(rate, start).is_ok() && bucket.take(rate, start).is_ok());
        assert_eq!(bucket.take(rate, start), Err(Duration::from_millis(250)));
        let later = start + Duration::from_millis(250);
        assert!(bucket.take(rate, later).is_ok());
        assert!(bucket.take(rate, later).is_err() && !bucket.is_full(rate, later));
        // A long rest gives no more than a burst.
        let rested = start + Duration::from_hours(1);
        assert!(bucket.is_full(rate, rested));
        for _ in 0..2 {
            assert!(bucket.take(rate, rested).is_ok());
        }
        assert!(bucket.take(rate, rested).is_err());
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let rate = Rate {
            per_second: 1,
            burst: 1,
        };
        let earlier = Instant::now();
        let start = earlier + Duration::from_secs(5);
        let mut bucket = Bucket::full(rate, start);
        assert!(bucket.take(rate, start).is_ok());
        assert!(bucket.take(rate, earlier).is_err());
        assert!(bucket.take(rate, start).is_err());
    }
}
