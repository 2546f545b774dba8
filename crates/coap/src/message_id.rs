//! Which message ids a peer has seen of us lately (RFC 7252 §4.4).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::Rng;

use crate::message::MessageId;

const IDS: u32 = 1 << 16;

/// Periods into which the exchange lifetime is divided. More of them free ids sooner, fewer take
/// less memory; with 16 an id rests for at most 1/16 longer than it has to.
const PERIODS: u32 = 16;

/// Hands out message ids in sequence from a random start.
///
/// Because they are sequential, an id is free again exactly when fewer than 65,536 were handed
/// out within the exchange lifetime, so counting per period is all there is to remember.
#[derive(Debug)]
pub(crate) struct MessageIds {
    next: Option<u16>,
    /// Start of a period and how many ids were handed out in it, oldest first.
    periods: VecDeque<(Instant, u32)>,
}

/// All ids are in use for that long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted {
    pub(crate) retry_after: Duration,
}

impl MessageIds {
    pub(crate) fn new() -> Self {
        Self {
            next: None,
            periods: VecDeque::new(),
        }
    }

    /// How long after an id is handed out the record of it is needed.
    pub(crate) fn memory(lifetime: Duration) -> Duration {
        lifetime + lifetime / PERIODS
    }

    /// How many ids are free, or when the next ones are.
    pub(crate) fn available(&mut self, now: Instant, lifetime: Duration) -> Result<u32, Exhausted> {
        let memory = Self::memory(lifetime);
        while self
            .periods
            .front()
            .is_some_and(|(start, _)| *start + memory <= now)
        {
            self.periods.pop_front();
        }
        let used: u32 = self.periods.iter().map(|(_, count)| count).sum();
        match self.periods.front() {
            Some((start, _)) if used >= IDS => Err(Exhausted {
                retry_after: (*start + memory).saturating_duration_since(now),
            }),
            _ => Ok(IDS - used),
        }
    }

    pub(crate) fn allocate(
        &mut self,
        now: Instant,
        lifetime: Duration,
        rng: &mut impl Rng,
    ) -> Result<MessageId, Exhausted> {
        self.available(now, lifetime)?;
        let id = self.next.unwrap_or_else(|| rng.random());
        self.next = Some(id.wrapping_add(1));
        match self.periods.back_mut() {
            Some((start, count)) if now < *start + lifetime / PERIODS => *count += 1,
            _ => self.periods.push_back((now, 1)),
        }
        Ok(MessageId(id))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]
    #![expect(
        clippy::disallowed_methods,
        reason = "virtual time has to start somewhere"
    )]

    use std::collections::HashMap;

    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const LIFETIME: Duration = Duration::from_secs(247);

    #[test]
    fn an_id_is_not_reused_within_the_exchange_lifetime() {
        let (mut ids, mut rng) = (MessageIds::new(), ChaCha8Rng::seed_from_u64(1));
        let mut now = Instant::now();
        let mut used: HashMap<u16, Instant> = HashMap::new();
        let mut held_back = 0;
        for _ in 0..150_000 {
            now += Duration::from_millis(2);
            match ids.allocate(now, LIFETIME, &mut rng) {
                Ok(id) => {
                    if let Some(before) = used.insert(id.0, now) {
                        assert!(now - before >= LIFETIME);
                    }
                }
                Err(Exhausted { retry_after }) => {
                    held_back += 1;
                    now += retry_after;
                    ids.allocate(now, LIFETIME, &mut rng).unwrap();
                    used.clear();
                }
            }
        }
        assert!(held_back > 0);
    }

    #[test]
    fn the_record_stays_small() {
        let (mut ids, mut rng) = (MessageIds::new(), ChaCha8Rng::seed_from_u64(1));
        let start = Instant::now();
        for step in 0..2_000 {
            let now = start + Duration::from_secs(step);
            ids.allocate(now, LIFETIME, &mut rng).unwrap();
            assert!(ids.periods.len() <= PERIODS as usize + 2);
        }
    }
}
