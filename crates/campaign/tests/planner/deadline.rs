use std::time::Duration;

use campaign::{Decision, decide};
use device_state::campaign::{
    Campaign, CampaignState, Membership, PauseReason, Share, Tally, WaveState,
};

use crate::rig::{NOW, after, begun, plan, settle, shard, tally, wave};

fn with_deadline() -> Campaign {
    let mut campaign = begun(
        plan(vec![
            wave("most", Share::Devices(2)),
            wave("rest", Share::ALL),
        ]),
        4,
        2,
    );
    campaign.plan.schedule.deadline = Some(Duration::from_secs(100));
    campaign
}

#[test]
fn at_the_deadline_the_campaign_ends_with_what_there_is() {
    for state in [
        CampaignState::Running,
        CampaignState::Paused(PauseReason::FailureThreshold),
    ] {
        let mut campaign = with_deadline();
        campaign.course.state = state;
        let mut view = shard(0, 2, vec![tally(1, 1, 0)]);
        assert_ne!(
            settle(&mut campaign.clone(), &[view.clone()], after(99)),
            [Decision::Halt]
        );
        assert_eq!(
            decide(&campaign, &[view.clone()], after(100)),
            [Decision::Halt]
        );
        view.halted = true;
        // The clock of another planner is behind.
        assert_eq!(
            decide(&campaign, &[view.clone()], after(99)),
            [Decision::Halt]
        );
        view.waves[0] = tally(0, 2, 0);
        assert_eq!(settle(&mut campaign, &[view], after(101)), []);
        assert_eq!(campaign.course.state, CampaignState::DeadlineExceeded);
        let states: Vec<_> = campaign
            .course
            .waves
            .iter()
            .map(|wave| wave.state)
            .collect();
        assert_eq!(states, [WaveState::Failed, WaveState::Skipped]);
    }
}

#[test]
fn an_abort_after_the_deadline_is_an_abort() {
    let mut campaign = with_deadline();
    campaign.control.aborted = true;
    let mut view = shard(0, 2, vec![]);
    view.halted = true;
    settle(&mut campaign, &[view], after(200));
    assert_eq!(campaign.course.state, CampaignState::Aborted);
}

#[test]
fn an_open_ended_campaign_succeeds_at_the_deadline_if_nobody_was_turned_away() {
    let turned_away = Tally {
        cancelled: 1,
        ..tally(0, 9, 0)
    };
    for (tally, state) in [
        (tally(0, 9, 1), CampaignState::Succeeded),
        (tally(0, 8, 2), CampaignState::DeadlineExceeded),
        (turned_away, CampaignState::DeadlineExceeded),
    ] {
        let mut campaign = with_deadline();
        campaign.plan.membership = Membership::Dynamic;
        campaign.plan.waves.remove(0);
        campaign.course.waves.remove(1);
        campaign.plan.waves[0].success_threshold = 900_000;
        let mut view = shard(0, 0, vec![tally]);
        assert_eq!(
            decide(&campaign, &[view.clone()], after(100)),
            [Decision::Halt]
        );
        view.halted = true;
        settle(&mut campaign, &[view], after(100));
        assert_eq!(campaign.course.state, state);
    }
}

#[test]
fn a_shard_that_was_halted_without_a_deadline_aborts_the_campaign() {
    let mut campaign = with_deadline();
    campaign.plan.schedule.deadline = None;
    let mut view = shard(0, 2, vec![]);
    view.halted = true;
    settle(&mut campaign, &[view], NOW);
    assert_eq!(campaign.course.state, CampaignState::Aborted);
}
