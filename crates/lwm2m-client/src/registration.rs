//! Where a device stands with its registration (LwM2M Core 1.2 §6.2).
//!
//! ```text
//!  Off ── start ─▶ Registering ── 2.01 ─▶ Registered ◀── 2.04, 5.03 ── Updating
//!                   ▲      │                 │  └──── half of the lifetime ──▲ │
//!                   │    failure             └── deregister ─▶ Deregistering   │
//!                   ├── Waiting ◀───────────── 4.xx, no answer ────────────────┘
//!                   └── Waiting ◀── disabled ── Deregistering
//! ```

use std::time::{Duration, Instant};

use coap::ExchangeId;
use lwm2m::{Binding, Lifetime};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::config::Retry;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Registration {
    Off,
    Waiting {
        until: Instant,
        failures: u32,
    },
    Registering {
        exchange: ExchangeId,
        failures: u32,
        announced: Announced,
    },
    Registered(Registered),
    Updating {
        exchange: ExchangeId,
        registered: Registered,
        announced: Announced,
    },
    Deregistering {
        exchange: ExchangeId,
        /// After how long it registers again, if it does.
        pause: Option<Duration>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Registered {
    /// Location-Path of the registration.
    pub(crate) location: Vec<String>,
    /// What the server knows.
    pub(crate) announced: Announced,
    /// When the next Update is due; never if the lifetime is infinite.
    pub(crate) update_at: Option<Instant>,
}

/// What a Register or Update has told, or would tell now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) lifetime: Lifetime,
    pub(crate) binding: Binding,
    /// Revision of the list of objects.
    pub(crate) objects: u32,
}

/// Whether the server takes a profile id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProfileUse {
    /// As far as the device knows.
    Offered,
    Refused,
}

impl Registration {
    pub(crate) fn timeout(&self) -> Option<Instant> {
        match self {
            Self::Waiting { until, .. } => Some(*until),
            Self::Registered(registered) => registered.update_at,
            Self::Off
            | Self::Registering { .. }
            | Self::Updating { .. }
            | Self::Deregistering { .. } => None,
        }
    }

    /// The exchange it waits for.
    pub(crate) fn exchange(&self) -> Option<ExchangeId> {
        match self {
            Self::Registering { exchange, .. }
            | Self::Updating { exchange, .. }
            | Self::Deregistering { exchange, .. } => Some(*exchange),
            Self::Off | Self::Waiting { .. } | Self::Registered(_) => None,
        }
    }

    /// Whether the device takes requests of its server.
    // LwM2M Core 1.2 §6.2.1: what comes before the registration is complete is ignored. While it
    // ends, the server may still repeat what it has asked.
    pub(crate) fn takes_requests(&self) -> bool {
        match self {
            Self::Registered(_) | Self::Updating { .. } | Self::Deregistering { .. } => true,
            Self::Off | Self::Waiting { .. } | Self::Registering { .. } => false,
        }
    }

    /// What the server holds, if it holds a registration.
    pub(crate) fn registered(&self) -> Option<&Registered> {
        match self {
            Self::Registered(registered) | Self::Updating { registered, .. } => Some(registered),
            Self::Off
            | Self::Waiting { .. }
            | Self::Registering { .. }
            | Self::Deregistering { .. } => None,
        }
    }
}

/// The wait after this many failures in a row.
pub(crate) fn backoff(retry: Retry, failures: u32, rng: &mut ChaCha8Rng) -> Duration {
    let doubled = retry
        .shortest
        .saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(0));
    let wait = if failures > 31 {
        retry.longest
    } else {
        doubled
    };
    spread(wait.min(retry.longest), rng)
}

/// Half to one and a half of a wait.
fn spread(wait: Duration, rng: &mut ChaCha8Rng) -> Duration {
    wait.mul_f64(rng.random_range(0.5..1.5))
}

/// The wait that a 5.03 asks for and up to a half more, so that a fleet does not come back at
/// once. RFC 7252 §5.10.5: without Max-Age, 60 seconds.
pub(crate) fn asked_wait(max_age: Option<u32>, rng: &mut ChaCha8Rng) -> Duration {
    let asked = Duration::from_secs(u64::from(max_age.unwrap_or(60)));
    // The server's bound is a day; what is longer is no hint but a mistake.
    asked
        .min(Duration::from_hours(24))
        .mul_f64(rng.random_range(1.0..1.5))
}

/// The time to the next Update: half of the lifetime, less up to a tenth.
pub(crate) fn update_after(
    lifetime: Lifetime,
    interval: Option<Duration>,
    rng: &mut ChaCha8Rng,
) -> Option<Duration> {
    let half = lifetime.duration().map(|lifetime| lifetime / 2);
    let interval = interval.or(half)?;
    Some(interval.mul_f64(rng.random_range(0.9..=1.0)))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn waits_double_up_to_their_bound() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let retry = Retry {
            shortest: Duration::from_secs(2),
            longest: Duration::from_secs(60),
        };
        for (failures, seconds) in [(1, 2), (2, 4), (3, 8), (5, 32), (6, 60), (40, 60)] {
            let wait = backoff(retry, failures, &mut rng);
            let middle = Duration::from_secs(seconds);
            assert!(
                wait >= middle / 2 && wait <= middle * 3 / 2,
                "{failures}: {wait:?}"
            );
        }
    }

    #[test]
    fn updates_come_before_half_of_the_lifetime() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let after = update_after(Lifetime::from_secs(100), None, &mut rng);
        assert!(after.is_some_and(
            |after| after >= Duration::from_secs(45) && after <= Duration::from_secs(50)
        ));
        assert_eq!(update_after(Lifetime::INFINITE, None, &mut rng), None);
    }

    #[test]
    fn an_overloaded_server_is_given_the_time_it_asks_for() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let wait = asked_wait(Some(30), &mut rng);
        assert!(wait >= Duration::from_secs(30) && wait <= Duration::from_secs(45));
    }
}
