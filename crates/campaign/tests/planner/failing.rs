use campaign::{Decision, decide};
use device_state::campaign::{
    Campaign, CampaignState, FailureThreshold, OnFailure, PauseReason, Share, Tally, WaveState,
};

use crate::rig::{NOW, admitted, after, begun, plan, settle, shard, steered, tally, wave};

/// A wave of 100 in a campaign of 200, 10 at once.
fn failing(threshold: FailureThreshold, minimum_results: u64) -> Campaign {
    let mut first = wave("first", Share::Devices(100));
    first.failure_threshold = threshold;
    first.minimum_results = minimum_results;
    first.max_concurrent = Share::Devices(10);
    begun(plan(vec![first, wave("rest", Share::ALL)]), 200, 100)
}

fn by_number(devices: u64) -> FailureThreshold {
    FailureThreshold {
        devices: Some(devices),
        millionths: None,
    }
}

fn by_part(millionths: u32) -> FailureThreshold {
    FailureThreshold {
        devices: None,
        millionths: Some(millionths),
    }
}

#[test]
fn a_number_counts_at_once_and_a_part_from_the_minimum_of_results_on() {
    for (threshold, minimum, succeeded, failed, stops) in [
        (by_number(2), 50, 0, 1, false),
        (by_number(2), 50, 0, 2, true),
        (by_part(100_000), 10, 0, 9, false),
        (by_part(100_000), 10, 9, 1, false),
        (by_part(100_000), 10, 8, 2, true),
        (by_part(0), 0, 5, 0, false),
        (by_part(0), 0, 5, 1, true),
        (by_part(500_000), 0, 1, 1, false),
        (
            FailureThreshold {
                devices: Some(50),
                millionths: Some(10_000),
            },
            5,
            4,
            1,
            true,
        ),
        (FailureThreshold::default(), 0, 0, 60, false),
    ] {
        let mut campaign = failing(threshold, minimum);
        let shards = [shard(0, 150, vec![tally(1, succeeded, failed)])];
        let more = settle(&mut campaign, &shards, NOW);
        assert_eq!(
            more.is_empty(),
            stops,
            "{threshold:?} {minimum} {succeeded} {failed}"
        );
        let (state, of_wave) = if stops {
            (
                CampaignState::Paused(PauseReason::FailureThreshold),
                WaveState::Failed,
            )
        } else {
            (CampaignState::Running, WaveState::Running)
        };
        assert_eq!(
            (campaign.course.state, campaign.course.waves[0].state),
            (state, of_wave)
        );
    }
}

#[test]
fn failures_count_over_all_shards_and_a_small_wave_has_a_small_minimum() {
    let mut campaign = failing(by_part(400_000), 1_000);
    campaign.course.waves[0].size = 4;
    let shards = [
        shard(0, 98, vec![tally(0, 1, 1)]),
        shard(1, 98, vec![tally(0, 1, 1)]),
    ];
    settle(&mut campaign, &shards, NOW);
    assert_eq!(
        campaign.course.state,
        CampaignState::Paused(PauseReason::FailureThreshold)
    );
    assert_eq!(campaign.course.waves[0].ended_at, Some(NOW));
}

#[test]
fn too_few_that_succeeded_stop_a_wave_that_is_over() {
    for (threshold, tally, good) in [
        (990_000, tally(0, 99, 1), true),
        (990_000, tally(0, 98, 2), false),
        (
            1_000_000,
            Tally {
                expired: 60,
                skipped: 40,
                ..Tally::default()
            },
            true,
        ),
        (
            1_000_000,
            Tally {
                expired: 60,
                succeeded: 40,
                ..Tally::default()
            },
            true,
        ),
        (
            500_000,
            Tally {
                expired: 97,
                failed: 3,
                ..Tally::default()
            },
            false,
        ),
        (0, tally(0, 0, 100), true),
    ] {
        let mut campaign = failing(FailureThreshold::default(), 0);
        campaign.plan.waves[0].success_threshold = threshold;
        settle(&mut campaign, &[shard(0, 100, vec![tally.clone()])], NOW);
        let state = campaign.course.state;
        let paused = CampaignState::Paused(PauseReason::SuccessThreshold);
        assert_eq!(
            state,
            if good { CampaignState::Running } else { paused },
            "{tally:?}"
        );
        assert_eq!(campaign.course.waves[1].state == WaveState::Running, good);
    }
}

#[test]
fn a_campaign_that_paused_by_itself_goes_on_when_somebody_pauses_it_and_lets_it_go() {
    let mut campaign = failing(by_number(2), 0);
    campaign.control.approved_through = "rest".into();
    let shards = [shard(0, 150, vec![tally(1, 3, 2)])];
    assert_eq!(settle(&mut campaign, &shards, NOW), []);
    assert_eq!(settle(&mut campaign, &shards, after(9)), []);
    campaign.control.paused = true;
    assert_eq!(settle(&mut campaign, &shards, after(10)), []);
    assert_eq!(
        campaign.course.state,
        CampaignState::Paused(PauseReason::Asked)
    );
    campaign.control.paused = false;
    assert_eq!(
        admitted(&settle(&mut campaign, &shards, after(20))),
        [(0, 0, 15)]
    );
    assert_eq!(campaign.course.waves[0].state, WaveState::Failed);

    let worse = [shard(0, 100, vec![tally(0, 3, 97)])];
    campaign.plan.waves[0].success_threshold = 900_000;
    assert!(!settle(&mut campaign, &worse, after(30)).is_empty());
    assert_eq!(campaign.course.waves[0].state, WaveState::Succeeded);
    assert_eq!(campaign.course.waves[1].state, WaveState::Running);
}

#[test]
fn what_failed_during_a_pause_stops_the_campaign_when_it_is_let_go() {
    let mut campaign = failing(by_number(2), 0);
    campaign.control.paused = true;
    settle(&mut campaign, &[shard(0, 150, vec![tally(4, 0, 0)])], NOW);
    let shards = [shard(0, 150, vec![tally(0, 0, 4)])];
    assert_eq!(settle(&mut campaign, &shards, after(1)), []);
    assert_eq!(
        campaign.course.state,
        CampaignState::Paused(PauseReason::Asked)
    );
    campaign.control.paused = false;
    assert_eq!(settle(&mut campaign, &shards, after(2)), []);
    assert_eq!(
        campaign.course.state,
        CampaignState::Paused(PauseReason::FailureThreshold)
    );
}

#[test]
fn a_bad_wave_aborts_and_goes_back_if_the_plan_says_so() {
    for (on_failure, back) in [(OnFailure::Abort, false), (OnFailure::Rollback, true)] {
        for paused in [false, true] {
            let mut campaign = failing(by_number(2), 0);
            campaign.plan.on_failure = on_failure;
            campaign.control.paused = paused;
            let mut shards = [shard(0, 150, vec![tally(1, 3, 2)]), shard(1, 0, vec![])];
            let course = steered(decide(&campaign, &shards, NOW));
            assert_eq!(course.state, CampaignState::Aborting);
            campaign.course = course;
            assert_eq!(decide(&campaign, &shards, NOW), [Decision::Halt]);
            shards[0].halted = true;
            assert_eq!(decide(&campaign, &shards, NOW), [Decision::Halt]);
            shards[1].halted = true;
            assert_eq!(decide(&campaign, &shards, NOW), [Decision::Halt]);
            shards[0].waves[0] = tally(0, 3, 3);
            let decisions = settle(&mut campaign, &shards, after(1));
            let course = &campaign.course;
            let states: Vec<_> = course.waves.iter().map(|wave| wave.state).collect();
            assert_eq!(course.state, CampaignState::Aborted);
            assert_eq!(states, [WaveState::Failed, WaveState::Skipped]);
            assert_eq!(decisions, [], "nothing for a campaign that is over");
            let mut before = campaign.clone();
            before.course.state = CampaignState::Aborting;
            let last = decide(&before, &shards, after(1));
            assert_eq!(last.first() == Some(&Decision::RollBack), back);
        }
    }
}
