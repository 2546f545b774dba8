use std::time::Duration;

/// How likely something is. Exact to about one in four thousand million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Probability {
    /// Of 2^32 draws, how many hit.
    hits: u64,
}

/// What a link does to the datagrams that cross it in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// A datagram never arrives.
    pub loss: Probability,
    /// A datagram that is not lost arrives twice.
    pub duplicate: Probability,
    /// A datagram is held back by [`Conditions::held_back`], so that later ones may overtake it.
    pub reorder: Probability,
    /// Every datagram takes at least this long.
    pub delay: Duration,
    /// At most this is added to the delay, evenly spread. Jitter alone never reorders.
    pub jitter: Duration,
    /// How long a reordered datagram, and the second copy of a duplicate, is held back.
    pub held_back: Duration,
}

impl Probability {
    /// It never happens.
    pub const NEVER: Self = Self { hits: 0 };
    /// It always happens.
    pub const ALWAYS: Self = Self { hits: 1 << 32 };

    /// `percent` in a hundred; more than 100 counts as always.
    pub const fn percent(percent: u16) -> Self {
        Self::per_mille(percent.saturating_mul(10))
    }

    /// `per_mille` in a thousand; more than 1000 counts as always.
    pub const fn per_mille(per_mille: u16) -> Self {
        if per_mille >= 1000 {
            return Self::ALWAYS;
        }
        Self {
            hits: ((per_mille as u64) << 32) / 1000,
        }
    }

    pub(crate) fn hit_by(self, draw: u32) -> bool {
        u64::from(draw) < self.hits
    }
}

impl Conditions {
    /// Every datagram arrives at once, in order.
    pub const fn perfect() -> Self {
        Self {
            loss: Probability::NEVER,
            duplicate: Probability::NEVER,
            reorder: Probability::NEVER,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            held_back: Duration::ZERO,
        }
    }

    /// Nothing arrives: an outage, or one side of a partition.
    pub const fn cut() -> Self {
        Self {
            loss: Probability::ALWAYS,
            ..Self::perfect()
        }
    }

    /// A constrained radio link: some of everything. A round trip takes 200 to 400 ms.
    pub const fn rough() -> Self {
        Self {
            loss: Probability::percent(10),
            duplicate: Probability::percent(3),
            reorder: Probability::percent(3),
            delay: Duration::from_millis(100),
            jitter: Duration::from_millis(100),
            held_back: Duration::from_millis(500),
        }
    }
}

impl Default for Conditions {
    fn default() -> Self {
        Self::perfect()
    }
}
