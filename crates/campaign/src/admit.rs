//! Who may begin.
//!
//! Of a wave, at most [`limit`] devices are on their way at once, in all shards together. Nobody counts them at one
//! moment: each shard tells of its own, of a moment of its own, and an admission that was decided by older views may
//! arrive after this one was. So the limit is divided over the shards, and each admits until its part is used up.
//!
//! **Why older views cannot break it.** A shard's room is who still may need a part: devices that wait for their turn in
//! this wave and devices on their way. Without anybody joining it never grows, so what a view tells of it is never too
//! little. The shard is told to admit until `ended + part` were admitted. Devices that ended stay so; hence of those
//! admitted by the word of one view there are never more on their way than its part, nor more than there is room by now.
//! By the second property of [`fill`](crate::fill::fill) this is not more than the part that `fill` would give for the
//! rooms of this very moment, and by the first one these parts add up to the limit. It holds for each admission that was
//! ever decided, and so for whichever a shard goes by. The same argument, with everybody who can be in the wave for room
//! and the wave's size for the limit, shows that no wave gets more devices than its size.
//!
//! **What can break it.** A room that grows while an admission is on its way that no view shows yet:
//!
//! - A waiting device is deleted in one shard, and the wave makes up for it in another one. For one device that is one
//!   too many at most; with several, planners whose views know of different ones add up. The size of the wave holds.
//! - Somebody joins an open-ended wave. Its shards therefore have fixed parts as long as everybody has one. With a limit
//!   below the number of shards the parts have to move, and a planner that goes by a view from before its own last
//!   admission, or beside another one, may exceed the limit by what both admitted.
//! - Another campaign lets a device go. What it holds needs no part of the limit until then: others would stand still for it.
//!   The size of the wave holds, for it is divided by all who wait.
//!
//! With views that are not older than the last admission none of it happens, because whatever is seen on its way is taken
//! off the limit first.

use device_state::campaign::Campaign;

use crate::Decision;
use crate::fill::fill;
use crate::turn::{Lot, Turn};

/// Devices that may be on their way at once.
pub(crate) fn limit(campaign: &Campaign, turn: &Turn<'_>) -> u64 {
    let of_wave = turn.plan.max_concurrent.of(turn.course.size);
    let of_campaign = campaign.plan.max_unavailable;
    of_campaign.map_or(of_wave, |share| {
        of_wave.min(share.of(campaign.course.members))
    })
}

/// What each shard may admit now.
pub(crate) fn admissions(campaign: &Campaign, turn: &Turn<'_>) -> Vec<Decision> {
    // A checked plan has fewer waves.
    let Ok(wave) = u8::try_from(turn.index) else {
        return Vec::new();
    };
    let limit = limit(campaign, turn);
    let targets = turn.targets();
    let parts = fill(limit, &rooms(turn, &targets, limit));
    let mut free = free(turn, limit);
    let mut admissions = Vec::new();
    for ((lot, target), part) in turn.lots.iter().zip(targets).zip(parts) {
        let until = target.min(lot.ended.saturating_add(part));
        let more = until.saturating_sub(lot.admitted()).min(free);
        free -= more;
        if more > 0 {
            admissions.push(Decision::Admit {
                shard: lot.shard,
                wave,
                until: lot.admitted() + more,
            });
        }
    }
    admissions
}

/// Who may still need a part of the limit, by shard.
fn rooms(turn: &Turn<'_>, targets: &[u64], limit: u64) -> Vec<u64> {
    if turn.is_open_ended && limit >= turn.lots.len() as u64 {
        return vec![u64::MAX; turn.lots.len()];
    }
    let room = |(lot, target): (&Lot, &u64)| {
        let left = target.saturating_sub(lot.ended);
        left.min(lot.ready()).max(lot.active)
    };
    turn.lots.iter().zip(targets).map(room).collect()
}

/// What can be given out by what the views show, whichever moments they are of.
fn free(turn: &Turn<'_>, limit: u64) -> u64 {
    let sum = |count: fn(&Lot) -> u64| turn.lots.iter().map(count).fold(0, u64::saturating_add);
    let free = limit.saturating_sub(sum(|lot| lot.active));
    if turn.is_last {
        return free;
    }
    free.min(turn.course.size.saturating_sub(sum(Lot::admitted)))
}
