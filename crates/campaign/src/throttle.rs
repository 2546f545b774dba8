//! How fast devices begin, with [`begin_every`](device_state::campaign::Plan::begin_every).
//!
//! The planner says how many devices may be on their way; this holds admissions back until time has paid for them. It is
//! remembered by whoever carries the decisions out and stored nowhere: what another one lets in that takes over is one
//! device more at most, beside what was on its way, and a command for each half a second would be the price of not
//! having that.

use std::collections::BTreeMap;
use std::time::Duration;

use device_state::campaign::Tally;
use device_state::{ShardId, Timestamp};

use crate::fill::fill;
use crate::{Decision, ShardView};

/// Time in which nobody could begin, as in a pause or outside the windows, is worth no more than this, or one device. Nor has a
/// shard that does not begin its devices more than that coming to it.
const MOST_SAVED: Duration = Duration::from_secs(10);

/// Who was let in of one campaign.
#[derive(Clone, Debug, Default)]
pub struct Throttle {
    /// Time that is not used up.
    saved: Duration,
    seen: Option<Timestamp>,
    wave: u8,
    /// How many each shard may have admitted to the wave. It may not have heard of it: then it is told once more, for nothing.
    let_in: BTreeMap<ShardId, u64>,
    /// Which shard comes first when a number cannot be divided: each in its turn, so that none waits for ever.
    first: usize,
}

impl Throttle {
    /// Of `decisions`, by these views, what is to be carried out: no more than one device is admitted for each `every` that
    /// has passed since the first call, and one at once. A clock that jumps is worth as much as a pause.
    pub fn hold_back(
        &mut self,
        every: Duration,
        mut decisions: Vec<Decision>,
        shards: &[ShardView],
        now: Timestamp,
    ) -> Vec<Decision> {
        self.earn(every, now);
        let wishes: Vec<u64> = decisions
            .iter()
            .filter_map(|decision| self.wish(every, decision, shards))
            .collect();
        let mut parts = self.pay(every, wishes).into_iter();
        decisions.retain_mut(|decision| {
            let Decision::Admit { shard, wave, until } = decision else {
                return true;
            };
            let begun = admitted(shards, *shard, *wave);
            let let_in = self.let_in.entry(*shard).or_default();
            let more = parts.next().unwrap_or_default();
            let most = begun.max(*let_in).saturating_add(more);
            *until = most.min(*until);
            *let_in = most;
            *until > begun
        });
        decisions
    }

    fn earn(&mut self, every: Duration, now: Timestamp) {
        let passed = self.seen.map_or(every, |seen| {
            Duration::from_millis(now.0.saturating_sub(seen.0))
        });
        self.seen = Some(now);
        let saved = self.saved.saturating_add(passed);
        // Not two devices; but what is left of a round counts for the next one.
        let one = every.saturating_add(every.min(MOST_SAVED) / 2);
        self.saved = saved.min(MOST_SAVED.max(one));
    }

    /// How many devices an admission would begin that have not been let in, and may be.
    fn wish(&mut self, every: Duration, decision: &Decision, shards: &[ShardView]) -> Option<u64> {
        let Decision::Admit { shard, wave, until } = *decision else {
            return None;
        };
        if wave != self.wave {
            self.wave = wave;
            self.let_in.clear();
        }
        let begun = admitted(shards, shard, wave);
        let let_in = self.let_in.get(&shard).copied().unwrap_or_default();
        let let_in = let_in.max(begun);
        let most = affordable(MOST_SAVED, every).max(1);
        let room = most.saturating_sub(let_in - begun);
        Some(until.saturating_sub(let_in).min(room))
    }

    /// How many each shard gets of what there is time for.
    fn pay(&mut self, every: Duration, mut wishes: Vec<u64>) -> Vec<u64> {
        let price = every.as_nanos().max(1);
        let first = self.first % wishes.len().max(1);
        wishes.rotate_left(first);
        let mut parts = fill(affordable(self.saved, every), &wishes);
        parts.rotate_right(first);
        let begin: u64 = parts.iter().sum();
        let spent = u64::try_from(u128::from(begin) * price).unwrap_or(u64::MAX);
        self.saved = self.saved.saturating_sub(Duration::from_nanos(spent));
        if begin > 0 {
            self.first = self.first.wrapping_add(1);
        }
        parts
    }
}

/// How many devices may begin for so much time.
fn affordable(time: Duration, every: Duration) -> u64 {
    let devices = time.as_nanos() / every.as_nanos().max(1);
    u64::try_from(devices).unwrap_or(u64::MAX)
}

/// How many devices of a shard have had their turn in a wave.
fn admitted(shards: &[ShardView], shard: ShardId, wave: u8) -> u64 {
    let view = shards.iter().find(|view| view.shard == shard);
    let tally = view.and_then(|view| view.waves.get(usize::from(wave)));
    tally.map_or(0, Tally::admitted)
}
