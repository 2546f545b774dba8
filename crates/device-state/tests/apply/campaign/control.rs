//! What people say to a campaign, and what holds from then on.

use device_state::campaign::{Abort, Campaign, CampaignState, Course, PauseReason, Phase};
use device_state::{Command, FeatureLevel, Namespace, Outcome, Rejection, query};

use super::{ID, begun, campaign, part, phase};
use crate::world::World;

const ENDED: Outcome = Outcome::Rejected(Rejection::CampaignEnded);
const STOPPED: Outcome = Outcome::Rejected(Rejection::CampaignStopped);
const ASKED: CampaignState = CampaignState::Paused(PauseReason::Asked);
const TOO_MANY_FAILED: CampaignState = CampaignState::Paused(PauseReason::FailureThreshold);

pub(super) fn raise(world: &mut World) {
    let level = FeatureLevel::CAMPAIGN_HEALTH;
    assert_eq!(
        world.run(Command::RaiseFeatureLevel { level }),
        Outcome::Done
    );
}

/// A common shard with the campaign `c` in this state.
fn standing(state: CampaignState) -> World {
    let mut world = World::new();
    raise(&mut world);
    let campaign = Box::new(campaign("c"));
    world.run(Command::PutCampaign { campaign });
    assert_eq!(steer(&mut world, state), Outcome::Done);
    world
}

fn stored(world: &World) -> Campaign {
    query::campaign(&world.tables, &Namespace::default(), "c").unwrap()
}

/// As the planner does that has seen all.
fn steer(world: &mut World, state: CampaignState) -> Outcome {
    let before = stored(world);
    steer_from(world, &before, state)
}

fn steer_from(world: &mut World, seen: &Campaign, state: CampaignState) -> Outcome {
    world.run(Command::SteerCampaign {
        id: seen.id,
        namespace: Namespace::default(),
        name: "c".to_owned(),
        course: Course {
            step: seen.course.step + 1,
            state,
            ..seen.course.clone()
        },
    })
}

fn say(paused: Option<bool>, approved_through: Option<&str>, abort: Abort) -> Command {
    Command::ControlCampaign {
        namespace: Namespace::default(),
        name: "c".to_owned(),
        paused,
        approved_through: approved_through.map(str::to_owned),
        abort,
    }
}

fn pause() -> Command {
    say(Some(true), None, Abort::No)
}

fn resume() -> Command {
    say(Some(false), None, Abort::No)
}

fn approve() -> Command {
    say(None, Some("canary"), Abort::No)
}

fn abort() -> Command {
    say(None, None, Abort::Now)
}

#[test]
fn what_people_say_holds_at_once_and_the_planner_comes_too_late() {
    for (state, command, then) in [
        (CampaignState::Running, pause(), ASKED),
        (ASKED, pause(), ASKED),
        (ASKED, resume(), CampaignState::Running),
        (CampaignState::Running, resume(), CampaignState::Running),
        (TOO_MANY_FAILED, pause(), ASKED),
        (CampaignState::Running, abort(), CampaignState::Aborting),
        (TOO_MANY_FAILED, abort(), CampaignState::Aborting),
        (CampaignState::Enrolling, abort(), CampaignState::Aborting),
        // Everybody is asked all the same.
        (CampaignState::Enrolling, pause(), CampaignState::Enrolling),
    ] {
        let mut world = standing(state);
        let seen = stored(&world);
        assert_eq!(world.run(command), Outcome::Done);
        assert_eq!(stored(&world).course.state, then, "{state:?}");
        let late = steer_from(&mut world, &seen, CampaignState::Succeeded);
        assert_eq!(late, Outcome::Rejected(Rejection::CourseMoved));
    }
}

#[test]
fn a_campaign_that_has_ended_or_ends_refuses_all_but_an_end() {
    for state in [
        CampaignState::Succeeded,
        CampaignState::Aborted,
        CampaignState::DeadlineExceeded,
        CampaignState::Aborting,
    ] {
        let mut world = standing(state);
        let before = stored(&world);
        for command in [pause(), resume(), approve()] {
            assert_eq!(world.run(command), ENDED, "{state:?}");
        }
        assert_eq!(world.run(abort()), Outcome::Done);
        assert_eq!(stored(&world), before);
    }
}

#[test]
fn a_campaign_that_stopped_goes_on_once_somebody_has_paused_it() {
    let mut world = standing(TOO_MANY_FAILED);
    assert_eq!(world.run(resume()), STOPPED);
    assert_eq!(world.run(approve()), STOPPED);
    assert_eq!(stored(&world).control.approved_through, "");
    assert_eq!(world.run(pause()), Outcome::Done);
    // Before the planner has looked.
    assert_eq!(world.run(resume()), Outcome::Done);
    assert_eq!(stored(&world).course.state, CampaignState::Running);
    assert_eq!(world.run(approve()), Outcome::Done);
}

/// Replicas of a release before would write other rows.
#[test]
fn below_the_level_everything_is_as_before() {
    let mut world = World::new();
    let campaign = Box::new(campaign("c"));
    world.run(Command::PutCampaign { campaign });
    steer(&mut world, TOO_MANY_FAILED);
    let before = stored(&world);
    for command in [resume(), approve(), pause(), abort()] {
        assert_eq!(world.run(command), Outcome::Done);
    }
    assert_eq!(stored(&world).course, before.course);
    assert!(stored(&world).control.aborted);
}

#[test]
fn nobody_begins_by_what_was_decided_before_a_pause() {
    let names = ["a", "b", "c"];
    let mut world = begun(part(ID), &names);
    raise(&mut world);
    let admit = |wave, until, step| Command::AdmitDevices {
        id: ID,
        wave,
        until,
        step,
        census: 0,
    };
    let began = |world: &World| {
        let waits = |name: &&&str| phase(world, name) != Phase::Waiting;
        names.iter().filter(waits).count()
    };
    world.run(admit(0, 1, 4));
    assert_eq!(began(&world), 1);
    // The pause is step 5, and the shard is told of it.
    world.run(admit(0, 0, 5));
    for late in [admit(0, 3, 4), admit(1, 3, 3), admit(1, 3, 0)] {
        assert_eq!(world.run(late), Outcome::Done);
        assert_eq!(began(&world), 1);
    }
    world.run(admit(0, 2, 6));
    assert_eq!(began(&world), 2);
}
