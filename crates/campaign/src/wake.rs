use device_state::Timestamp;
use device_state::campaign::{Campaign, CampaignState, WaveState};

use crate::schedule::{WindowState, deadline, window};

/// When time alone changes something, if nothing else happens before: a soak or a deadline ends, a window opens. Only
/// what is after `now`.
pub fn next_wake(campaign: &Campaign, now: Timestamp) -> Option<Timestamp> {
    let times = match campaign.course.state {
        CampaignState::Running => [deadline(campaign), opening(campaign, now), soak(campaign)],
        CampaignState::Paused(_) => [deadline(campaign), None, None],
        _ => return None,
    };
    let ahead = |time: &Timestamp| *time > now && *time != Timestamp::NEVER;
    times.into_iter().flatten().filter(ahead).min()
}

fn opening(campaign: &Campaign, now: Timestamp) -> Option<Timestamp> {
    match window(&campaign.plan.schedule, now) {
        WindowState::Open => None,
        WindowState::Closed { until } => until,
    }
}

fn soak(campaign: &Campaign) -> Option<Timestamp> {
    let until = |state| match state {
        WaveState::Soaking { until } => Some(until),
        _ => None,
    };
    campaign
        .course
        .waves
        .iter()
        .filter_map(|wave| until(wave.state))
        .min()
}
