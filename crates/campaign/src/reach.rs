//! Whether the fleet itself is well: how many devices that were registered when the wave began are not any more.
//!
//! Each shard counts its own, from the [`census`](device_state::campaign::Course::census) on that it was told of. It is
//! judged once all of them do: a part of the fleet says nothing about the whole.

use device_state::campaign::{Campaign, Reach};

use crate::{Decision, ShardView};

const ALL: u128 = 1_000_000;

/// Whether more devices are lost than may be.
pub(crate) fn is_unwell(campaign: &Campaign, shards: &[ShardView]) -> bool {
    let (Some(part), Some((counted, lost))) = (
        campaign.plan.pause_when_unreachable,
        counted(campaign, shards),
    ) else {
        return false;
    };
    u128::from(lost) * ALL > u128::from(part) * u128::from(counted)
}

/// Devices that have to stay, and those that did not; `None` as long as not all shards count from the same moment on.
fn counted(campaign: &Campaign, shards: &[ShardView]) -> Option<(u64, u64)> {
    let census = campaign.course.census;
    let of_shard = |view: &ShardView| view.reach.filter(|reach| reach.census == census);
    let all: Option<Vec<Reach>> = shards.iter().map(of_shard).collect();
    let sum = |(counted, lost): (u64, u64), reach: Reach| {
        (
            counted.saturating_add(reach.counted),
            lost.saturating_add(reach.lost),
        )
    };
    (census > 0).then_some(all?.into_iter().fold((0, 0), sum))
}

/// Who has to begin to count.
pub(crate) fn beginnings(campaign: &Campaign, shards: &[ShardView]) -> Vec<Decision> {
    let census = campaign.course.census;
    let is_behind = |view: &&ShardView| view.reach.is_some_and(|reach| reach.census < census);
    let behind = shards.iter().filter(is_behind);
    behind
        .map(|view| Decision::Count { shard: view.shard })
        .collect()
}
