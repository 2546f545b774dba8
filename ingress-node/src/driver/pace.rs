//! How often somebody may have a new session stored.
//!
//! A stored session stays for days. Whoever has one credential could fill the disks of the state tier by handshakes
//! alone; a device that is only badly made shakes hands for every message, which is seldom more than a few a minute.

use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use device_state::SecurityIdentity;
use hashbrown::DefaultHashBuilder;

/// Sessions at once, after a rest.
const BURST: u32 = 100;
/// Time for each further one.
const INTERVAL: Duration = Duration::from_secs(6);
/// Identities share this many by a keyed hash: 1 MiB, however many there are. With a million devices a bucket is for
/// fifteen, which all may come back at once; one of them that never stops shuts the others out of full handshakes.
const BUCKETS: usize = 1 << 16;

/// A token bucket for each of many groups of identities.
pub(super) struct Pace {
    /// When the bucket is full again; `None` before its first use.
    full_at: Vec<Option<Instant>>,
    hash: DefaultHashBuilder,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            full_at: vec![None; BUCKETS],
            hash: DefaultHashBuilder::default(),
        }
    }
}

impl Pace {
    /// Takes one session, if one is left. Only somebody who has proved to have the identity may be charged.
    pub(super) fn take(&mut self, now: Instant, identity: &SecurityIdentity) -> bool {
        let index = self.hash.hash_one(identity) as usize % BUCKETS;
        let Some(full_at) = self.full_at.get_mut(index) else {
            return false;
        };
        let next = full_at.map_or(now, |at| at.max(now)) + INTERVAL;
        let is_left = next - now <= INTERVAL * BURST;
        if is_left {
            *full_at = Some(next);
        }
        is_left
    }
}

#[cfg(test)]
mod tests {
    use device_state::CredentialId;

    use super::*;

    #[test]
    fn one_identity_stores_a_bounded_number_of_sessions() {
        let identity =
            |name: &[u8]| SecurityIdentity::Credential(CredentialId::PskIdentity(name.to_vec()));
        let mut pace = Pace::default();
        let mut now = crate::driver::now().instant;
        let mut taken = |now, name| (0..200).filter(|_| pace.take(now, &identity(name))).count();
        assert_eq!(taken(now, b"meter"), 100);
        assert_eq!(taken(now, b"lamp"), 100);
        now += Duration::from_mins(1);
        assert_eq!(taken(now, b"meter"), 10);
    }
}
