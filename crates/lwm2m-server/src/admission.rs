//! When a device comes back that cannot be served now.
//!
//! Refused devices get appointments, one after the other and as fast as commits were seen to end while others had to be
//! refused. So a fleet that comes all at once comes back at the pace at which it can be served: asking every device to
//! wait equally long would only put off the crowd.

use std::time::{Duration, Instant};

use rand::Rng;

/// Commits a second expected of the state tier before it was seen at its limit.
const FIRST_RATE: f64 = 4_000.0;
/// Bounds of what is expected: a state tier that did nothing for a second may come back in the next one.
const RATES: std::ops::RangeInclusive<f64> = 250.0..=1_000_000.0;
/// How long commits are counted before they say something about the pace.
const WINDOW: Duration = Duration::from_secs(1);

/// Gives appointments to refused devices.
#[derive(Debug)]
pub(crate) struct Admission {
    shortest: Duration,
    longest: Duration,
    /// Commits a second that the state tier is expected to take.
    rate: f64,
    /// The next appointment.
    next: Option<Instant>,
    window: Option<Window>,
}

/// What happened lately.
#[derive(Clone, Copy, Debug)]
struct Window {
    begun: Instant,
    served: u32,
    refused: u32,
}

impl Admission {
    /// Appointments are in `shortest` at the soonest and in `longest`, and up to `shortest` more, at the latest.
    pub(crate) const fn new(shortest: Duration, longest: Duration) -> Self {
        Self {
            shortest,
            longest,
            rate: FIRST_RATE,
            next: None,
            window: None,
        }
    }

    /// A commit succeeded.
    pub(crate) fn served(&mut self, now: Instant) {
        self.window(now).served += 1;
    }

    /// A device is refused; whole seconds for it to wait, at least 1.
    pub(crate) fn appointment(&mut self, now: Instant, rng: &mut impl Rng) -> u32 {
        self.window(now).refused += 1;
        let (soonest, latest) = (now + self.shortest, now + self.longest);
        let is_good = |next: &Instant| (soonest..=latest).contains(next);
        let at = self.next.filter(is_good).unwrap_or(soonest);
        self.next = Some(at + Duration::from_secs_f64(self.rate.recip()));
        // A device that leaves its own clock to chance is met by others that do not.
        let jitter = self.shortest.mul_f64(rng.random_range(0.0..1.0));
        let wait = (at + jitter).duration_since(now);
        u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).max(1)
    }

    /// The present window. One that is over says how fast commits end, if devices had to be refused in it: otherwise the
    /// state tier may not have been at its limit.
    fn window(&mut self, now: Instant) -> &mut Window {
        let window = self.window.get_or_insert_with(|| Window::new(now));
        let elapsed = now.saturating_duration_since(window.begun);
        if elapsed >= WINDOW {
            if window.refused > 0 && elapsed < WINDOW * 2 {
                let seen = f64::from(window.served) / elapsed.as_secs_f64();
                self.rate = f64::midpoint(self.rate, seen).clamp(*RATES.start(), *RATES.end());
            }
            *window = Window::new(now);
        }
        window
    }
}

impl Window {
    const fn new(begun: Instant) -> Self {
        Self {
            begun,
            served: 0,
            refused: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::disallowed_methods,
        reason = "a test has to begin somewhere in time"
    )]

    use rand::SeedableRng;
    use rand_chacha::ChaCha12Rng;

    use super::*;

    const SHORTEST: Duration = Duration::from_secs(5);
    const LONGEST: Duration = Duration::from_secs(300);

    #[test]
    fn appointments_follow_each_other_at_the_pace_of_commits() {
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let mut admission = Admission::new(SHORTEST, LONGEST);
        let begun = Instant::now();
        // For ten seconds the state tier does 1,000 a second, and as many devices are refused.
        for millisecond in 0..10_000 {
            let now = begun + Duration::from_millis(millisecond);
            admission.served(now);
            admission.appointment(now, &mut rng);
        }
        admission.next = None;
        let now = begun + Duration::from_secs(10);
        let waits: Vec<u32> = (0..20_000)
            .map(|_| admission.appointment(now, &mut rng))
            .collect();
        assert!(waits.iter().all(|wait| (5..=31).contains(wait)));
        let late = waits.iter().filter(|wait| **wait >= 20).count();
        assert!((5_000..10_000).contains(&late), "{late}");
    }

    #[test]
    fn appointments_are_never_later_than_the_longest_wait() {
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let mut admission = Admission::new(SHORTEST, Duration::from_secs(30));
        let now = Instant::now();
        let waits = (0..1_000_000).map(|_| admission.appointment(now, &mut rng));
        assert_eq!(waits.max(), Some(34));
    }
}
