//! Which message ids a peer has seen of us lately (RFC 7252 §4.4).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::Rng;

use crate::message::MessageId;

const IDS: u32 = 1 << 16;
const HALF: u32 = IDS / 2;

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
    /// When the last one was handed out.
    last: Option<Instant>,
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
            last: None,
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

    /// Whether a new exchange may take an id while `waiting` others have yet to take theirs.
    ///
    /// While half of the ids are free they go as fast as they are asked for. From then on each waits for its share of
    /// the lifetime: at first about 265 a second, the pace that could go on for ever, and fewer as they get fewer. So
    /// whoever hurries never leaves a peer without ids, mute to everybody else, until the first ones are free again.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        lifetime: Duration,
        waiting: u32,
    ) -> Result<(), Exhausted> {
        let free = self.available(now, lifetime)?.saturating_sub(waiting);
        let pace = match free {
            // What is left belongs to those who wait.
            0 => lifetime / PERIODS,
            1..HALF => lifetime / (2 * free),
            _ => return Ok(()),
        };
        let retry_after = self.last.map_or(Duration::ZERO, |last| {
            (last + pace).saturating_duration_since(now)
        });
        if free > 0 && retry_after.is_zero() {
            return Ok(());
        }
        Err(Exhausted {
            retry_after: retry_after.max(Duration::from_millis(1)),
        })
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
        self.last = Some(now);
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

    /// A caller who comes back as soon as it may, with 3,000 requests a second or fewer.
    fn hurry(ids: &mut MessageIds, mut now: Instant, seconds: u64) -> (u32, Duration) {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (end, mut sent, mut longest) = (now + Duration::from_secs(seconds), 0, Duration::ZERO);
        while now < end {
            if let Err(Exhausted { retry_after }) = ids.admit(now, LIFETIME, 0) {
                longest = longest.max(retry_after);
                now += retry_after;
                continue;
            }
            ids.allocate(now, LIFETIME, &mut rng).unwrap();
            sent += 1;
            now += Duration::from_micros(333);
        }
        (sent, longest)
    }

    #[test]
    fn whoever_hurries_never_leaves_a_peer_mute() {
        // An hour, of which ten lifetimes would be enough to find a gap.
        let (sent, longest) = hurry(&mut MessageIds::new(), Instant::now(), 3_600);
        assert!(longest < Duration::from_millis(50), "{longest:?}");
        assert!(sent > 3_600 * 150, "{sent}");
    }

    #[test]
    fn a_slow_time_before_does_not_make_the_pace_worse() {
        let (mut ids, mut rng) = (MessageIds::new(), ChaCha8Rng::seed_from_u64(1));
        let mut now = Instant::now();
        for _ in 0..250 {
            now += Duration::from_secs(1);
            ids.allocate(now, LIFETIME, &mut rng).unwrap();
        }
        let (_, longest) = hurry(&mut ids, now, 3_600);
        assert!(longest < Duration::from_millis(50), "{longest:?}");
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
