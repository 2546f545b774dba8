use campaign::{Decision, ShardView, decide};
use device_state::ShardId;
use device_state::campaign::{
    Campaign, CampaignState, OnFailure, PauseReason, Reach, Share, WaveState,
};

use crate::rig::{NOW, admitted, after, begun, plan, settle, shard, steered, tally, wave};

const UNREACHABLE: CampaignState = CampaignState::Paused(PauseReason::Unreachable);

/// Its wave began with step 2. More than a fifth must not be lost.
fn watched() -> Campaign {
    let mut plan = plan(vec![wave("all", Share::ALL)]);
    plan.pause_when_unreachable = Some(200_000);
    plan.on_failure = OnFailure::Abort;
    let mut campaign = begun(plan, 20, 20);
    campaign.course.census = 2;
    campaign
}

/// With devices on their way, of which so many are lost of those that are counted.
fn counting(id: u16, census: u64, (lost, counted): (u64, u64)) -> ShardView {
    let reach = Reach {
        census,
        registered: counted - lost,
        counted,
        lost,
    };
    ShardView {
        reach: Some(reach),
        ..shard(id, 0, vec![tally(10, 0, 0)])
    }
}

#[test]
fn a_campaign_pauses_when_too_many_devices_are_lost_and_nothing_is_held_against_the_wave() {
    for (first, second, stops) in [
        ((0, 0), (0, 0), false),
        ((2, 10), (2, 10), false),
        ((4, 10), (0, 10), false),
        ((4, 10), (1, 10), true),
        ((1, 1), (0, 0), true),
    ] {
        let mut campaign = watched();
        let shards = [counting(0, 2, first), counting(1, 2, second)];
        assert_eq!(settle(&mut campaign, &shards, NOW), []);
        let state = campaign.course.state;
        assert_eq!(state == UNREACHABLE, stops, "{first:?} {second:?}");
        assert_eq!(campaign.course.waves[0].state, WaveState::Running);
    }
}

#[test]
fn a_part_of_the_shards_says_nothing_about_the_fleet() {
    let campaign = watched();
    let shards = [counting(0, 2, (9, 10)), counting(1, 1, (0, 0))];
    let count = Decision::Count { shard: ShardId(1) };
    assert_eq!(decide(&campaign, &shards, NOW), [count]);
}

#[test]
fn it_is_counted_anew_from_the_beginning_of_a_wave_and_when_somebody_lets_it_go_on() {
    let mut campaign = watched();
    campaign.course.waves[0].state = WaveState::Pending;
    campaign.course.census = 0;
    let shards = [counting(0, 0, (0, 0))];
    let course = steered(decide(&campaign, &shards, NOW));
    assert_eq!((course.step, course.census), (3, 3));
    campaign.course = course;

    campaign.course.state = UNREACHABLE;
    campaign.control.paused = true;
    assert_eq!(settle(&mut campaign, &shards, NOW), []);
    campaign.control.paused = false;
    let count = Decision::Count { shard: ShardId(0) };
    assert_eq!(settle(&mut campaign, &shards, after(1)), [count]);
    assert_eq!(campaign.course.census, campaign.course.step);
}

#[test]
fn nobody_counts_unless_the_plan_asks_for_it() {
    let mut campaign = watched();
    campaign.plan.pause_when_unreachable = None;
    campaign.course.waves[0].state = WaveState::Pending;
    campaign.course.census = 0;
    let mut view = counting(0, 0, (9, 9));
    view.reach = None;
    view.waves[0] = tally(0, 0, 0);
    view.common.waiting = 3;
    assert_eq!(admitted(&settle(&mut campaign, &[view], NOW)), [(0, 0, 3)]);
    assert_eq!(campaign.course.census, 0);
}
