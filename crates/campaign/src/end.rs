//! How a campaign ends before its time.

use device_state::Timestamp;
use device_state::campaign::{Campaign, CampaignState, OnFailure, Tally, WaveState};

use crate::decide::{enter, steer};
use crate::schedule::deadline;
use crate::turn::Turn;
use crate::{Decision, ShardView, judge};

/// Halts every shard, until nothing is on its way any more.
pub(crate) fn abort(campaign: &Campaign, shards: &[ShardView], now: Timestamp) -> Vec<Decision> {
    if !is_quiet(shards) {
        return vec![Decision::Halt];
    }
    // Before the last step of the course: after it nobody looks at the campaign any more.
    let mut waves = campaign.course.waves.iter();
    let is_bad = waves.any(|wave| wave.state == WaveState::Failed);
    let rolls_back = is_bad && campaign.plan.on_failure == OnFailure::Rollback;
    let back = rolls_back.then_some(Decision::RollBack);
    let last = finish(campaign, CampaignState::Aborted, now);
    back.into_iter().chain([last]).collect()
}

/// What the deadline leads to, once it is over.
///
/// There is no state for this, as the time tells it to every planner alike. Should the clock of one be behind, a shard
/// that was halted tells it; nothing else but an abort halts one.
pub(crate) fn overdue(
    campaign: &Campaign,
    shards: &[ShardView],
    now: Timestamp,
) -> Option<Vec<Decision>> {
    let deadline = deadline(campaign);
    let is_halted = shards.iter().any(|view| view.halted);
    if !is_halted && deadline.is_none_or(|deadline| now < deadline) {
        return None;
    }
    if deadline.is_none() {
        return Some(vec![enter(campaign, CampaignState::Aborting)]);
    }
    if !is_quiet(shards) {
        return Some(vec![Decision::Halt]);
    }
    let state = if is_complete(campaign, shards) {
        CampaignState::Succeeded
    } else {
        CampaignState::DeadlineExceeded
    };
    Some(vec![finish(campaign, state, now)])
}

fn tallies(shards: &[ShardView]) -> impl Iterator<Item = &Tally> {
    shards
        .iter()
        .flat_map(|view| view.waves.iter().chain([&view.common]))
}

/// Nobody is on its way, and nobody will be.
fn is_quiet(shards: &[ShardView]) -> bool {
    shards.iter().all(|view| view.halted) && tallies(shards).all(|tally| tally.active() == 0)
}

/// Whether a campaign that has no end of its own may be said to have reached it: nobody was turned away.
fn is_complete(campaign: &Campaign, shards: &[ShardView]) -> bool {
    let everybody = tallies(shards).all(|tally| tally.waiting == 0 && tally.cancelled == 0);
    let is_good = |turn: Turn<'_>| {
        turn.is_open_ended
            && match turn.course.state {
                WaveState::Running => {
                    judge::verdict(&turn).is_ok() && judge::enough_succeeded(&turn)
                }
                WaveState::Failed => true,
                _ => false,
            }
    };
    campaign.course.state == CampaignState::Running
        && everybody
        && Turn::of(campaign, shards).is_some_and(is_good)
}

/// The last step: no wave is left as if something were still to come.
fn finish(campaign: &Campaign, state: CampaignState, now: Timestamp) -> Decision {
    let of_stopped = match state {
        CampaignState::Succeeded => WaveState::Succeeded,
        _ => WaveState::Failed,
    };
    steer(campaign, |course| {
        course.state = state;
        course.ended_at = Some(now);
        for wave in &mut course.waves {
            wave.state = match wave.state {
                WaveState::Pending => WaveState::Skipped,
                WaveState::Running | WaveState::Soaking { .. } => of_stopped,
                WaveState::AwaitingApproval => WaveState::Succeeded,
                ended => ended,
            };
            if wave.started_at.is_some() {
                wave.ended_at.get_or_insert(now);
            }
        }
    })
}
