//! The life of the whole campaign; that of its waves is in [`wave`].

use device_state::Timestamp;
use device_state::campaign::{
    Campaign, CampaignState, Course, Membership, Tally, WaveCourse, WaveState,
};

use crate::{Decision, ShardView, end, wave};

/// What is to be done, by what is stored of the campaign and what the shards told. At most one step of the course; no
/// admissions beside one that changes the state of the campaign or of a wave. Nothing for a campaign that is over.
pub fn decide(campaign: &Campaign, shards: &[ShardView], now: Timestamp) -> Vec<Decision> {
    if campaign.course.state.is_final() || shards.is_empty() {
        return Vec::new();
    }
    if campaign.course.state == CampaignState::Aborting {
        return end::abort(campaign, shards, now);
    }
    if campaign.control.aborted {
        return vec![enter(campaign, CampaignState::Aborting)];
    }
    if let Some(ending) = end::overdue(campaign, shards, now) {
        return ending;
    }
    if !shards.iter().all(|view| view.enrolled) {
        // In a campaign that has begun, the view is from before it did: it lacks members.
        return Vec::new();
    }
    match campaign.course.state {
        CampaignState::Enrolling => enrol(campaign, shards, now),
        _ => wave::advance(campaign, shards, now),
    }
}

/// One step further.
pub(crate) fn steer(campaign: &Campaign, change: impl FnOnce(&mut Course)) -> Decision {
    let mut course = campaign.course.clone();
    course.step = course.step.saturating_add(1);
    course
        .waves
        .resize(campaign.plan.waves.len(), WaveCourse::default());
    change(&mut course);
    Decision::Steer(course)
}

/// One step further, into another state.
pub(crate) fn enter(campaign: &Campaign, state: CampaignState) -> Decision {
    steer(campaign, |course| course.state = state)
}

/// How many members the shards count, wherever they are. Grows by who joins only.
pub(crate) fn members(shards: &[ShardView]) -> u64 {
    let count = |tally: &Tally| tally.waiting + tally.admitted();
    let tallies = shards
        .iter()
        .flat_map(|view| view.waves.iter().chain([&view.common]));
    tallies.map(count).fold(0, u64::saturating_add)
}

fn enrol(campaign: &Campaign, shards: &[ShardView], now: Timestamp) -> Vec<Decision> {
    let members = members(shards);
    let is_nobody = members == 0 && campaign.plan.membership != Membership::Dynamic;
    let begin = |course: &mut Course| {
        course.members = members;
        course.state = CampaignState::Running;
        if is_nobody {
            course.state = CampaignState::Succeeded;
            course.ended_at = Some(now);
            course.waves.fill(WaveCourse {
                state: WaveState::Succeeded,
                ..WaveCourse::default()
            });
        }
    };
    vec![steer(campaign, begin)]
}
