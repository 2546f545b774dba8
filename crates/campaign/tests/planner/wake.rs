use std::time::Duration;

use campaign::next_wake;
use device_state::campaign::{CampaignState, PauseReason, Share, WaveState};

use crate::rig::{NOW, after, begun, plan, wave};

#[test]
fn one_wakes_when_time_alone_changes_something() {
    let mut campaign = begun(plan(vec![wave("all", Share::ALL)]), 2, 2);
    assert_eq!(next_wake(&campaign, NOW), None);
    campaign.plan.schedule.deadline = Some(Duration::from_secs(100));
    assert_eq!(next_wake(&campaign, NOW), Some(after(100)));
    assert_eq!(next_wake(&campaign, after(100)), None);
    campaign.course.waves[0].state = WaveState::Soaking { until: after(50) };
    assert_eq!(next_wake(&campaign, NOW), Some(after(50)));
    assert_eq!(next_wake(&campaign, after(50)), Some(after(100)));
    campaign.plan.schedule.not_before = Some(after(20));
    assert_eq!(next_wake(&campaign, NOW), Some(after(20)));
    campaign.course.state = CampaignState::Paused(PauseReason::Asked);
    assert_eq!(next_wake(&campaign, NOW), Some(after(100)));
    campaign.course.state = CampaignState::Succeeded;
    assert_eq!(next_wake(&campaign, NOW), None);
}
