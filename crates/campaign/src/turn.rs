//! The wave whose turn it is, as the shards count it.

use device_state::ShardId;
use device_state::campaign::{Campaign, Membership, Tally, Wave, WaveCourse, WaveState};

use crate::ShardView;
use crate::fill::fill;

/// The first wave that is not behind the campaign.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) index: usize,
    pub(crate) plan: &'a Wave,
    pub(crate) course: WaveCourse,
    pub(crate) is_last: bool,
    /// Somebody may join it at any time, so that it is never over.
    pub(crate) is_open_ended: bool,
    /// In the order in which shards come first when a number cannot be divided.
    pub(crate) lots: Vec<Lot>,
    /// Of all shards.
    pub(crate) tally: Tally,
}

/// What a shard has of the wave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lot {
    pub(crate) shard: ShardId,
    /// Who can be taken, now or once another campaign lets it go.
    pub(crate) waiting: u64,
    /// Those of them that another campaign holds.
    pub(crate) held: u64,
    pub(crate) active: u64,
    pub(crate) ended: u64,
}

impl Lot {
    pub(crate) const fn admitted(&self) -> u64 {
        self.active.saturating_add(self.ended)
    }

    /// Who can be on its way in the wave now, at most.
    pub(crate) const fn ready(&self) -> u64 {
        let free = self.waiting.saturating_sub(self.held);
        self.active.saturating_add(free)
    }

    /// Who can be in the wave at most. Devices move from one term to the other within a shard; without anybody joining,
    /// the sum never grows.
    pub(crate) const fn pool(&self) -> u64 {
        self.waiting.saturating_add(self.admitted())
    }
}

impl<'a> Turn<'a> {
    /// `None` after the last wave.
    pub(crate) fn of(campaign: &'a Campaign, shards: &[ShardView]) -> Option<Self> {
        let waves = &campaign.plan.waves;
        let course = |index: usize| campaign.course.waves.get(index).copied();
        let is_behind = |index: &usize| {
            let state = course(*index).unwrap_or_default().state;
            matches!(state, WaveState::Succeeded | WaveState::Skipped)
        };
        let index = (0..waves.len()).find(|index| !is_behind(index))?;
        Some(Self::at(campaign, shards, index))
    }

    pub(crate) fn at(campaign: &'a Campaign, shards: &[ShardView], index: usize) -> Self {
        let plan = &campaign.plan.waves[index];
        let is_last = index + 1 == campaign.plan.waves.len();
        let mut tally = Tally::default();
        let mut lots = Vec::with_capacity(shards.len());
        for view in in_order(shards, &campaign.plan.seed) {
            let of_shard = view.waves.get(index).cloned().unwrap_or_default();
            lots.push(Lot {
                shard: view.shard,
                waiting: waiting(view, (index, plan, is_last), |tally| tally.waiting),
                held: waiting(view, (index, plan, is_last), |tally| tally.held),
                active: of_shard.active(),
                ended: of_shard.ended(),
            });
            tally.add(&of_shard);
        }
        Self {
            index,
            plan,
            course: campaign
                .course
                .waves
                .get(index)
                .copied()
                .unwrap_or_default(),
            is_last,
            is_open_ended: is_last && campaign.plan.membership == Membership::Dynamic,
            lots,
            tally,
        }
    }

    /// Who can be in the wave at most, in all shards.
    pub(crate) fn pool(&self) -> u64 {
        self.lots
            .iter()
            .fold(0, |sum, lot| sum.saturating_add(lot.pool()))
    }

    /// How many devices each shard gives to the wave, in the order of `lots`.
    pub(crate) fn targets(&self) -> Vec<u64> {
        let pools: Vec<u64> = self.lots.iter().map(Lot::pool).collect();
        if self.is_last {
            return pools;
        }
        fill(self.course.size, &pools)
    }

    /// Whether each of its devices has a result.
    ///
    /// That is, as many as it has have a result, whichever shards they are in: who joins one of them moves the parts that
    /// the shards were to give, when all devices of the wave had their turn already. Or nobody is left who could be in it.
    ///
    /// A view of an older moment does not make a wave seem to be over: no wave gets more devices than its size, so if as
    /// many have a result there is nobody else; and who has a result keeps it.
    pub(crate) fn is_over(&self) -> bool {
        let ended = self
            .lots
            .iter()
            .fold(0_u64, |sum, lot| sum.saturating_add(lot.ended));
        let done = |lot: &Lot| lot.ended >= lot.pool() && lot.active == 0;
        let has_all = !self.is_last && ended >= self.course.size;
        !self.is_open_ended && (has_all || self.lots.iter().all(done))
    }
}

/// Who waits in a shard for the wave: a count of those that do.
fn waiting(
    view: &ShardView,
    (index, plan, is_last): (usize, &Wave, bool),
    count: fn(&Tally) -> u64,
) -> u64 {
    if is_last {
        let lanes = view.waves.iter().map(count);
        return lanes.fold(count(&view.common), u64::saturating_add);
    }
    match plan.selector {
        Some(_) => view.waves.get(index).map_or(0, count),
        None => count(&view.common),
    }
}

/// The same for all waves of a campaign, and for campaigns with the same seed, but not always shard 0 first: it would
/// have all the canaries.
fn in_order<'a>(shards: &'a [ShardView], seed: &str) -> Vec<&'a ShardView> {
    let mut ordered: Vec<&ShardView> = shards.iter().collect();
    ordered.sort_by_key(|view| view.shard);
    // FNV-1a: a shift that looks random is enough.
    let hash = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let first = (hash >> 32) % (ordered.len().max(1) as u64);
    ordered.rotate_left(first as usize);
    ordered
}
