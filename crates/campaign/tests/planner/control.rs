use std::time::Duration;

use campaign::{Decision, decide};
use device_state::campaign::{Campaign, CampaignState, OnFailure, PauseReason, Share, WaveState};

use crate::rig::{
    NOW, admitted, after, begun, campaign, plan, settle, shard, steered, tally, wave,
};

fn of_two_waves() -> Campaign {
    let mut first = wave("first", Share::Devices(2));
    first.soak = Duration::from_secs(60);
    begun(plan(vec![first, wave("rest", Share::ALL)]), 6, 2)
}

#[test]
fn nobody_is_admitted_while_it_is_paused() {
    let mut campaign = of_two_waves();
    let shards = [shard(0, 6, vec![])];
    campaign.control.paused = true;
    let course = steered(decide(&campaign, &shards, NOW));
    assert_eq!(course.state, CampaignState::Paused(PauseReason::Asked));
    campaign.course = course;
    assert_eq!(decide(&campaign, &shards, NOW), []);
    campaign.control.paused = false;
    assert_eq!(admitted(&settle(&mut campaign, &shards, NOW)), [(0, 0, 2)]);
}

#[test]
fn the_soak_counts_from_the_last_result_though_it_came_during_a_pause() {
    let mut campaign = of_two_waves();
    let shards = [shard(0, 4, vec![tally(0, 2, 0)])];
    campaign.control.paused = true;
    assert_eq!(settle(&mut campaign, &shards, after(5)), []);
    assert_eq!(campaign.course.waves[0].state, WaveState::Running);
    assert_eq!(campaign.course.waves[0].ended_at, Some(after(5)));
    campaign.control.paused = false;
    assert_eq!(settle(&mut campaign, &shards, after(40)), []);
    assert_eq!(
        campaign.course.waves[0].state,
        WaveState::Soaking { until: after(65) }
    );
}

#[test]
fn an_abort_comes_before_anything_else() {
    for state in [
        CampaignState::Enrolling,
        CampaignState::Running,
        CampaignState::Paused(PauseReason::Asked),
        CampaignState::Paused(PauseReason::FailureThreshold),
    ] {
        let mut campaign = of_two_waves();
        campaign.plan.on_failure = OnFailure::Rollback;
        campaign.course.state = state;
        campaign.control.aborted = true;
        let mut view = shard(0, 4, vec![tally(1, 1, 0)]);
        assert_eq!(
            settle(&mut campaign, &[view.clone()], NOW),
            [Decision::Halt]
        );
        assert_eq!(campaign.course.state, CampaignState::Aborting);
        view.halted = true;
        view.waves[0].updating = 0;
        view.waves[0].cancelled = 1;
        // No wave was bad, so there is nothing to go back from.
        assert_eq!(decide(&campaign, &[view.clone()], after(1)).len(), 1);
        settle(&mut campaign, &[view], after(1));
        assert_eq!(campaign.course.state, CampaignState::Aborted);
        assert_eq!(campaign.course.ended_at, Some(after(1)));
        assert_eq!(campaign.course.waves[1].state, WaveState::Skipped);
        assert_eq!(campaign.course.waves[1].ended_at, None);
    }
}

#[test]
fn a_campaign_that_was_aborted_before_it_began_has_no_members() {
    let mut campaign = campaign(plan(vec![wave("all", Share::ALL)]));
    campaign.control.aborted = true;
    let mut view = shard(0, 0, vec![]);
    view.enrolled = false;
    view.halted = true;
    settle(&mut campaign, &[view], NOW);
    assert_eq!(campaign.course.state, CampaignState::Aborted);
    assert_eq!(campaign.course.waves[0].state, WaveState::Skipped);
}
