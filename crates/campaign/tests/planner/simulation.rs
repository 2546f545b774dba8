//! Whole campaigns, with planners that know how things were once, and with decisions that arrive late, twice, in any
//! order or never. The rules that hold at every moment are in [`rules`].

mod rules;
mod scenario;
mod shard;
mod world;

use std::time::Duration;

use campaign::next_wake;
use device_state::campaign::{CampaignState, Membership, OnFailure, PauseReason, WaveState};
use proptest::prelude::*;

use rules::Limit;
use scenario::{Event, Scenario, events, scenario};
use world::World;

fn play(world: &mut World, event: &Event) {
    match event {
        Event::Decide { row_age, ages } => world.decide(*row_age, ages),
        Event::Deliver { which, keep } => {
            if world.sent.is_empty() {
                return;
            }
            let which = which % world.sent.len();
            let round = world.sent[which].clone();
            if !keep {
                world.sent.remove(which);
            }
            world.deliver(round);
        }
        Event::Lose { which } => world.lose(*which),
        Event::Work => work(world),
        Event::End {
            shard,
            device,
            outcome,
        } => world.end(*shard, *device, *outcome),
        Event::Pass { seconds } => {
            world.now = world.now.saturating_add(Duration::from_secs(*seconds));
        }
        Event::Pause => world.campaign.control.paused = true,
        Event::LetGo => world.campaign.control.paused = false,
        Event::Approve { wave } => {
            let wave = &world.campaign.plan.waves[wave % world.campaign.plan.waves.len()];
            world
                .campaign
                .control
                .approved_through
                .clone_from(&wave.name);
        }
        Event::Abort => world.campaign.control.aborted = true,
        Event::Enrol { shard } => world.enrol(*shard),
        Event::Delete { shard, device } => world.delete(*shard, *device),
        Event::Join { shard, wave } => world.join(*shard, *wave),
    }
    if matches!(
        event,
        Event::Pause | Event::LetGo | Event::Approve { .. } | Event::Abort
    ) {
        world.store();
    }
    world.check();
}

/// One planner that sees how things are, and whose decisions arrive at once.
fn work(world: &mut World) {
    world.decide(0, &[]);
    while !world.sent.is_empty() {
        let round = world.sent.remove(0);
        world.deliver(round);
    }
}

/// Nothing more goes wrong, devices have results, and somebody lets the campaign go on whenever it stands still. Whatever
/// was still on its way arrives first.
fn calm_down(world: &mut World, scenario: &Scenario) {
    while !world.sent.is_empty() {
        let round = world.sent.remove(0);
        world.deliver(round);
    }
    for shard in 0..world.shards.len() {
        world.enrol(shard);
    }
    let last = world
        .campaign
        .plan
        .waves
        .last()
        .expect("a wave")
        .name
        .clone();
    world.campaign.control.approved_through = last;
    for round in 0..4_000 {
        if world.is_over() || rests(world) {
            return;
        }
        let stands_still = matches!(
            world.campaign.course.state,
            CampaignState::Paused(PauseReason::FailureThreshold | PauseReason::SuccessThreshold)
        );
        world.campaign.control.paused = stands_still;
        world.store();
        let before = world.picture();
        work(world);
        let outcome = scenario.outcomes[round % scenario.outcomes.len()];
        (0..world.shards.len()).for_each(|shard| world.end(shard, round, outcome));
        world.check();
        if before == world.picture() {
            let wake = next_wake(&world.campaign, world.now);
            world.now =
                wake.unwrap_or_else(|| panic!("nothing will ever happen: {}", world.picture()));
        }
    }
    panic!("the campaign does not end: {}", world.picture());
}

/// A campaign that has no end of its own, and nothing to do.
fn rests(world: &World) -> bool {
    let plan = &world.campaign.plan;
    let is_idle = |shard: &shard::Shard| shard.active().is_empty() && shard.waiting().is_empty();
    let last = world.campaign.course.waves.last();
    plan.membership == Membership::Dynamic
        && plan.schedule.deadline.is_none()
        && world.is_running()
        && last.is_some_and(|wave| matches!(wave.state, WaveState::Running | WaveState::Failed))
        && world.shards.iter().all(is_idle)
}

fn run(scenario: &Scenario, events: &[Event], limit: Limit) {
    let mut world = scenario.world(limit);
    for event in events {
        play(&mut world, event);
    }
    calm_down(&mut world, scenario);
    let course = &world.campaign.course;
    let was_bad = course
        .waves
        .iter()
        .any(|wave| wave.state == WaveState::Failed);
    if course.state == CampaignState::Aborted && !world.campaign.control.aborted {
        let goes_back = world.campaign.plan.on_failure == OnFailure::Rollback;
        assert_eq!(was_bad && goes_back, world.back > 0);
    }
}

proptest! {
    // `PROPTEST_CASES=100000` looks longer.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn limits_hold_with_views_of_any_age_and_planners_that_race(
        scenario in scenario(Membership::Snapshot),
        events in events(scenario::Disturbance::None),
    ) {
        run(&scenario, &events, Limit::Holds);
    }

    #[test]
    fn sizes_hold_whoever_is_deleted_and_the_first_one_is_made_up_for_once(
        scenario in scenario(Membership::Snapshot),
        events in events(scenario::Disturbance::OldViewsAndDeleted),
    ) {
        run(&scenario, &events, Limit::Gives { deleted: 0 });
    }

    #[test]
    fn limits_hold_whoever_joins_or_is_deleted_when_one_planner_sees_what_it_did(
        scenario in scenario(Membership::Dynamic),
        events in events(scenario::Disturbance::JoinedAndDeleted),
    ) {
        run(&scenario, &events, Limit::Holds);
    }
}
