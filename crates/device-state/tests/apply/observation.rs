//! Observation intents and their leases.

use std::time::Duration;

use device_state::{Command, Effect, Observation, Outcome, Rejection};
use lwm2m::{NotificationAttributes, Observed, Path};

use crate::world::{BATTERY, World, endpoint};

fn hold(world: &mut World, path: Path, holder: u64, seconds: u64) -> Outcome {
    let lease_until = world.now.saturating_add(Duration::from_secs(seconds));
    world.run(Command::HoldObservation {
        endpoint: endpoint("meter"),
        observed: path.into(),
        parameters: NotificationAttributes::default(),
        holder,
        lease_until,
    })
}

fn release(world: &mut World, holder: u64) -> Outcome {
    world.run(Command::ReleaseObservation {
        endpoint: endpoint("meter"),
        observed: BATTERY.into(),
        holder,
    })
}

fn wanted() -> Effect {
    Effect::ObservationWanted {
        endpoint: endpoint("meter"),
        observed: BATTERY.into(),
    }
}

fn unwanted() -> Effect {
    Effect::ObservationUnwanted {
        endpoint: endpoint("meter"),
        observed: BATTERY.into(),
    }
}

#[test]
fn a_path_is_observed_from_its_first_to_its_last_holder() {
    let mut world = World::registered("meter");
    assert_eq!(hold(&mut world, BATTERY, 1, 60), Outcome::Done);
    assert_eq!(world.effects, [wanted()]);
    hold(&mut world, BATTERY, 2, 60);
    assert_eq!(world.effects, []);
    release(&mut world, 1);
    assert_eq!(world.effects, []);
    release(&mut world, 2);
    assert_eq!(world.effects, [unwanted()]);
    assert!(world.device("meter").observations.is_empty());
    assert_eq!(release(&mut world, 2), Outcome::Done);
    assert_eq!(world.effects, []);
}

#[test]
fn a_hold_ends_with_its_lease_unless_it_is_renewed() {
    let mut world = World::registered("meter");
    hold(&mut world, BATTERY, 1, 60);
    hold(&mut world, BATTERY, 2, 60);
    world.advance(Duration::from_secs(30));
    hold(&mut world, BATTERY, 1, 60);
    world.advance(Duration::from_secs(30));
    assert_eq!(world.expire(), 1);
    let holders = |world: &World| {
        world.device("meter").observations[0]
            .holders
            .iter()
            .map(|held| held.id)
            .collect()
    };
    let left: Vec<u64> = holders(&world);
    assert_eq!(left, [1]);
    world.advance(Duration::from_secs(30));
    assert_eq!(world.expire(), 1);
    assert_eq!(world.effects, [unwanted()]);
}

#[test]
fn renewing_to_the_same_time_writes_nothing() {
    let mut world = World::registered("meter");
    hold(&mut world, BATTERY, 1, 60);
    let before = world.tables.clone();
    hold(&mut world, BATTERY, 1, 60);
    assert_eq!(world.tables, before);
}

#[test]
fn holders_and_paths_are_bounded() {
    let mut world = World::registered("meter");
    let too_many = Outcome::Rejected(Rejection::TooManyObservations);
    for holder in 0..Observation::MAX_HOLDERS as u64 {
        assert_eq!(hold(&mut world, BATTERY, holder, 60), Outcome::Done);
    }
    assert_eq!(hold(&mut world, BATTERY, 1_000, 60), too_many);
    assert_eq!(hold(&mut world, BATTERY, 0, 90), Outcome::Done);
    for id in 1..Observation::MAX_PATHS as u16 {
        assert_eq!(hold(&mut world, Path::Object(id), 1, 60), Outcome::Done);
    }
    assert_eq!(hold(&mut world, Path::Object(999), 1, 60), too_many);
    assert_eq!(world.effects, []);
}

#[test]
fn the_same_path_of_a_gateway_and_of_each_child_is_observed_apart() {
    let mut world = World::registered("meter");
    let child = |prefix: &str| Observed::Behind {
        child: prefix.parse().unwrap(),
        path: BATTERY,
    };
    let hold = |world: &mut World, observed: &Observed| {
        let lease_until = world.now.saturating_add(Duration::from_secs(60));
        world.run(Command::HoldObservation {
            endpoint: endpoint("meter"),
            observed: observed.clone(),
            parameters: NotificationAttributes::default(),
            holder: 1,
            lease_until,
        })
    };
    // The last prefix that there can be, and the first.
    let all = [
        Observed::Path(BATTERY),
        child("!"),
        child("dev0"),
        child(&"~".repeat(64)),
    ];
    for observed in &all {
        assert_eq!(hold(&mut world, observed), Outcome::Done);
        let wanted = Effect::ObservationWanted {
            endpoint: endpoint("meter"),
            observed: observed.clone(),
        };
        assert_eq!(world.effects, [wanted]);
    }
    let kept = |world: &World| -> Vec<Observed> {
        let observations = world.device("meter").observations;
        observations.into_iter().map(|row| row.observed).collect()
    };
    assert_eq!(kept(&world), all);
    release(&mut world, 1);
    assert_eq!(world.effects, [unwanted()]);
    assert_eq!(kept(&world), all[1..]);
    world.advance(Duration::from_secs(60));
    assert_eq!(world.expire(), 3);
    assert_eq!(kept(&world), []);
}
