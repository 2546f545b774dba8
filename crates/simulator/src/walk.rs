//! How a simulated temperature moves.

use std::time::{Duration, Instant};

use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// The temperature that every walk tends to, in degrees Celsius.
const MEAN: f64 = 20.0;

/// A random walk that stays around its mean, in steps of a hundredth.
#[derive(Debug)]
pub(crate) struct Walk {
    value: f64,
    interval: Duration,
    next: Instant,
}

impl Walk {
    /// Begins somewhere in its first interval, so that a fleet does not move in step.
    pub(crate) fn new(now: Instant, value: f64, interval: Duration, rng: &mut ChaCha8Rng) -> Self {
        Self {
            value,
            interval,
            next: now + interval.mul_f64(rng.random_range(0.0..1.0)),
        }
    }

    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// The next value, if it is time for one.
    pub(crate) fn step(&mut self, now: Instant, rng: &mut ChaCha8Rng) -> Option<f64> {
        if self.next > now {
            return None;
        }
        // What was missed while the process did not run is not caught up.
        self.next = (self.next + self.interval).max(now);
        let drift = (MEAN - self.value) * 0.05;
        self.value = ((self.value + drift + rng.random_range(-0.5..0.5)) * 100.0).round() / 100.0;
        Some(self.value)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use rand::SeedableRng;

    use super::*;

    #[test]
    fn walks_move_once_an_interval_and_stay_near_their_mean() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let interval = Duration::from_secs(5);
        let mut walk = Walk::new(Instant::now(), 80.0, interval, &mut rng);
        let mut last = 80.0;
        for _ in 0..500 {
            let now = walk.next();
            last = walk.step(now, &mut rng).unwrap();
            assert_eq!(walk.step(now, &mut rng), None);
        }
        assert!((15.0..25.0).contains(&last), "{last}");
    }
}
