use std::time::Duration;

use campaign::decide;
use device_state::campaign::{
    CampaignState, Membership, Promotion, Share, Tally, WaveCourse, WaveState,
};

use crate::rig::{
    NOW, admitted, after, begun, campaign, plan, running, selector, settle, shard, steered, tally,
    wave,
};

#[test]
fn a_campaign_begins_when_every_shard_found_its_members() {
    let campaign = campaign(plan(vec![wave("all", Share::ALL)]));
    let mut shards = [shard(0, 4, vec![]), shard(1, 3, vec![])];
    shards[1].enrolled = false;
    assert_eq!(decide(&campaign, &shards, NOW), []);
    assert_eq!(decide(&campaign, &[], NOW), []);
    shards[1].enrolled = true;
    let course = steered(decide(&campaign, &shards, NOW));
    assert_eq!((course.step, course.members), (1, 7));
    assert_eq!(course.state, CampaignState::Running);
    assert_eq!(course.waves, [WaveCourse::default()]);
    assert_eq!(course.started_at, None);
}

#[test]
fn a_campaign_without_members_has_succeeded() {
    let mut campaign = campaign(plan(vec![wave("all", Share::ALL)]));
    let course = steered(decide(&campaign, &[shard(0, 0, vec![])], NOW));
    assert_eq!(
        (course.state, course.members),
        (CampaignState::Succeeded, 0)
    );
    assert_eq!(course.ended_at, Some(NOW));
    campaign.course = course;
    campaign.control.aborted = true;
    assert_eq!(decide(&campaign, &[shard(0, 0, vec![])], NOW), []);
}

#[test]
fn sizes_are_shares_of_all_members_as_far_as_somebody_waits() {
    for (size, lane, common, settled) in [
        (Share::Millionths(100_000), None, 40, 4),
        (Share::Millionths(1), None, 40, 1),
        (Share::Devices(7), None, 40, 7),
        (Share::Devices(70), None, 40, 40),
        (Share::Millionths(500_000), Some(3), 37, 3),
        (Share::Devices(2), Some(3), 37, 2),
        (Share::Devices(2), Some(0), 40, 0),
    ] {
        let mut first = wave("first", size);
        first.selector = lane.map(|_| selector());
        let mut campaign = campaign(plan(vec![first, wave("rest", Share::ALL)]));
        campaign.course.state = CampaignState::Running;
        campaign.course.members = 40;
        let of_lane = Tally {
            waiting: lane.unwrap_or(0),
            ..Tally::default()
        };
        let course = steered(decide(&campaign, &[shard(0, common, vec![of_lane])], NOW));
        assert_eq!(course.waves[0], running(settled), "{size:?} {lane:?}");
        assert_eq!(course.started_at, Some(NOW));
    }
}

#[test]
fn the_last_wave_takes_everybody_who_is_left() {
    let mut first = wave("first", Share::Devices(1));
    first.selector = Some(selector());
    let mut campaign = begun(plan(vec![first, wave("rest", Share::Devices(1))]), 12, 1);
    let lane = Tally {
        waiting: 4,
        succeeded: 1,
        ..Tally::default()
    };
    let shards = [shard(0, 5, vec![lane]), shard(1, 2, vec![])];
    let admissions = settle(&mut campaign, &shards, NOW);
    assert_eq!(campaign.course.waves[1].size, 11);
    assert_eq!(admitted(&admissions), [(0, 1, 9), (1, 1, 2)]);
}

#[test]
fn who_joins_does_not_hold_a_wave_open_that_has_all_its_devices() {
    let mut plan = plan(vec![
        wave("first", Share::Devices(2)),
        wave("rest", Share::ALL),
    ]);
    plan.membership = Membership::Dynamic;
    let mut campaign = begun(plan, 2, 2);
    // Both were in the second shard; with the one that joined, the first shard would have given one of them.
    let shards = [shard(0, 1, vec![]), shard(1, 0, vec![tally(0, 2, 0)])];
    let admissions = settle(&mut campaign, &shards, NOW);
    assert_eq!(campaign.course.waves[0].state, WaveState::Succeeded);
    assert_eq!(admitted(&admissions), [(0, 1, 1)]);
}

#[test]
fn a_wave_without_anybody_is_over_at_once_but_is_approved_like_any_other() {
    let mut first = wave("first", Share::Devices(1));
    first.selector = Some(selector());
    first.soak = Duration::from_hours(1);
    let mut automatic = begun(plan(vec![first.clone(), wave("rest", Share::ALL)]), 3, 0);
    let shards = [shard(0, 3, vec![])];
    assert_eq!(admitted(&settle(&mut automatic, &shards, NOW)), [(0, 1, 3)]);
    assert_eq!(automatic.course.waves[0].state, WaveState::Succeeded);
    assert_eq!(automatic.course.waves[0].size, 0);

    first.promotion = Promotion::Manual;
    let mut manual = begun(plan(vec![first, wave("rest", Share::ALL)]), 3, 0);
    assert_eq!(settle(&mut manual, &shards, NOW), []);
    assert_eq!(manual.course.waves[0].state, WaveState::AwaitingApproval);
}

#[test]
fn a_wave_soaks_and_then_waits_for_its_approval() {
    let mut first = wave("first", Share::Devices(2));
    first.soak = Duration::from_secs(60);
    first.promotion = Promotion::Manual;
    let waves = vec![
        first,
        wave("second", Share::Devices(1)),
        wave("rest", Share::ALL),
    ];
    let mut campaign = begun(plan(waves), 5, 2);
    let shards = [shard(0, 3, vec![tally(0, 2, 0)])];
    assert_eq!(settle(&mut campaign, &shards, after(10)), []);
    let wave = campaign.course.waves[0];
    assert_eq!(
        (wave.state, wave.ended_at),
        (WaveState::Soaking { until: after(70) }, Some(after(10)))
    );
    assert_eq!(decide(&campaign, &shards, after(69)), []);
    assert_eq!(settle(&mut campaign, &shards, after(70)), []);
    assert_eq!(campaign.course.waves[0].state, WaveState::AwaitingApproval);
    for (approved, begins) in [
        ("", false),
        ("other", false),
        ("first", true),
        ("rest", true),
    ] {
        let mut campaign = campaign.clone();
        campaign.control.approved_through = approved.into();
        let admissions = settle(&mut campaign, &shards, after(71));
        assert_eq!(!admissions.is_empty(), begins, "{approved}");
        assert_eq!(campaign.course.waves[1].state == WaveState::Running, begins);
    }
}

#[test]
fn an_earlier_approval_does_not_cover_a_later_wave() {
    let mut second = wave("second", Share::Devices(1));
    second.promotion = Promotion::Manual;
    let waves = vec![
        wave("first", Share::Devices(1)),
        second,
        wave("rest", Share::ALL),
    ];
    let mut campaign = begun(plan(waves), 3, 1);
    campaign.control.approved_through = "first".into();
    let shards = [shard(0, 1, vec![tally(0, 1, 0), tally(0, 1, 0)])];
    assert_eq!(settle(&mut campaign, &shards, NOW), []);
    assert_eq!(campaign.course.waves[1].state, WaveState::AwaitingApproval);
}

#[test]
fn the_last_wave_asks_for_no_approval_and_ends_the_campaign() {
    let mut last = wave("all", Share::ALL);
    last.promotion = Promotion::Manual;
    last.soak = Duration::from_secs(5);
    let mut campaign = begun(plan(vec![last]), 2, 2);
    let shards = [shard(0, 0, vec![tally(0, 2, 0)])];
    assert_eq!(settle(&mut campaign, &shards, NOW), []);
    assert_eq!(campaign.course.state, CampaignState::Running);
    assert_eq!(settle(&mut campaign, &shards, after(5)), []);
    assert_eq!(campaign.course.state, CampaignState::Succeeded);
    assert_eq!(campaign.course.ended_at, Some(after(5)));
}

#[test]
fn a_wave_is_not_over_while_a_device_is_on_its_way_in_any_shard() {
    let mut campaign = begun(plan(vec![wave("all", Share::ALL)]), 4, 4);
    let shards = [
        shard(0, 0, vec![tally(0, 2, 0)]),
        shard(1, 0, vec![tally(1, 1, 0)]),
    ];
    assert_eq!(settle(&mut campaign, &shards, NOW), []);
    assert_eq!(campaign.course.waves[0].state, WaveState::Running);
}

#[test]
fn a_deleted_device_does_not_hold_a_wave_up() {
    let mut campaign = begun(
        plan(vec![
            wave("most", Share::Devices(4)),
            wave("rest", Share::ALL),
        ]),
        4,
        4,
    );
    let mut view = shard(0, 0, vec![tally(0, 3, 0)]);
    view.common.skipped = 1;
    settle(&mut campaign, &[view], NOW);
    assert_eq!(campaign.course.state, CampaignState::Succeeded);
    assert_eq!(campaign.course.waves[0].size, 3);
}

#[test]
fn an_open_ended_wave_grows_with_who_joins_and_is_never_over() {
    let mut plan = plan(vec![wave("all", Share::ALL)]);
    plan.membership = Membership::Dynamic;
    let mut campaign = campaign(plan);
    assert_eq!(settle(&mut campaign, &[shard(0, 0, vec![])], NOW), []);
    assert_eq!(campaign.course.waves[0], running(0));
    let joined = [shard(0, 2, vec![])];
    assert_eq!(admitted(&settle(&mut campaign, &joined, NOW)), [(0, 0, 2)]);
    assert_eq!(
        (campaign.course.members, campaign.course.waves[0].size),
        (2, 2)
    );
    let done = [shard(0, 0, vec![tally(0, 2, 0)])];
    assert_eq!(settle(&mut campaign, &done, NOW), []);
    assert_eq!(campaign.course.state, CampaignState::Running);
}

#[test]
fn an_open_ended_wave_that_began_without_anybody_admits_who_joins() {
    let mut plan = plan(vec![wave("all", Share::ALL)]);
    plan.membership = Membership::Dynamic;
    plan.max_unavailable = Some(Share::Devices(1));
    let mut campaign = campaign(plan);
    campaign.course = steered(decide(&campaign, &[shard(0, 0, vec![])], NOW));
    let joined = [shard(0, 2, vec![])];
    assert_eq!(admitted(&settle(&mut campaign, &joined, NOW)), [(0, 0, 1)]);
    assert_eq!(campaign.course.members, 2);
}

#[test]
fn a_view_from_before_the_campaign_began_is_not_believed() {
    let campaign = begun(plan(vec![wave("all", Share::ALL)]), 2, 2);
    let mut before = shard(0, 0, vec![]);
    before.enrolled = false;
    assert_eq!(decide(&campaign, &[before, shard(1, 2, vec![])], NOW), []);
}

#[test]
fn a_plan_that_nobody_checked_does_no_harm() {
    let mut none = campaign(plan(vec![]));
    settle(&mut none, &[shard(0, 2, vec![])], NOW);
    assert_eq!(none.course.state, CampaignState::Succeeded);
    let zero = wave("all", Share::Millionths(u32::MAX));
    let mut many = campaign(plan(vec![zero; 300]));
    many.plan.schedule.deadline = Some(Duration::MAX);
    many.control.approved_through = "nothing".into();
    settle(&mut many, &[shard(0, 2, vec![])], NOW);
    assert_eq!(many.course.waves[0].state, WaveState::Running);
}
