//! What silence of an observed device means.

use std::time::Duration;

use device_state::freshness::MARGIN;
use device_state::{Command, Freshness, ValueOrigin, observation_freshness};
use lwm2m::{ChildPrefix, CompositePaths, NotificationAttributes, Observed, Path, Setting, Value};

use crate::world::{BATTERY, World, endpoint, id};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const MEMORY: Path = Path::Resource(3, 0, 10);
const DEFAULT_PMAX: Path = Path::Resource(1, 0, 3);

fn pmax(seconds: u32) -> NotificationAttributes {
    NotificationAttributes {
        pmax: Setting::To(seconds),
        ..NotificationAttributes::default()
    }
}

/// A registered device that is observed.
fn observed(observed: Observed, parameters: NotificationAttributes) -> World {
    let mut world = World::registered("meter");
    world.run(Command::HoldObservation {
        endpoint: endpoint("meter"),
        observed,
        parameters,
        holder: 1,
        lease_until: world.now.saturating_add(Duration::from_hours(1)),
    });
    world
}

fn report(world: &mut World, origin: ValueOrigin, path: Path, value: i64) {
    report_of(world, None, origin, (path, value));
}

fn report_of(
    world: &mut World,
    child: Option<ChildPrefix>,
    origin: ValueOrigin,
    (path, value): (Path, i64),
) {
    let at = world.now;
    world.run(Command::RecordValues {
        endpoint: endpoint("meter"),
        registration: id(1),
        child,
        origin,
        values: vec![(path, Value::Integer(value), at)],
    });
}

fn notify(world: &mut World, path: Path) {
    report(world, ValueOrigin::Notify, path, 80);
}

fn freshness(world: &World) -> Freshness {
    let device = world.device("meter");
    observation_freshness(&device, world.now, &device.observations[0])
}

#[test]
fn silence_beyond_pmax_and_what_a_notification_may_be_late_is_told() {
    let mut world = observed(BATTERY.into(), pmax(60));
    assert_eq!(freshness(&world), Freshness::Unpromised);
    notify(&mut world, BATTERY);
    let due = world.now.saturating_add(MINUTE);
    world.advance(MINUTE + MARGIN);
    assert_eq!(freshness(&world), Freshness::Fresh { due });
    world.advance(SECOND);
    assert_eq!(freshness(&world), Freshness::Stale { since: due });

    // The same value again is news.
    notify(&mut world, BATTERY);
    let due = world.now.saturating_add(MINUTE);
    assert_eq!(freshness(&world), Freshness::Fresh { due });
}

#[test]
fn what_came_another_way_says_nothing_of_the_observation() {
    let mut world = observed(Path::ObjectInstance(3, 0).into(), pmax(60));
    notify(&mut world, BATTERY);
    let due = world.now.saturating_add(MINUTE);
    world.advance(MINUTE + MARGIN + SECOND);
    report(&mut world, ValueOrigin::Send, MEMORY, 7);
    assert_eq!(freshness(&world), Freshness::Stale { since: due });
}

#[test]
fn the_default_of_the_server_object_holds_where_nothing_else_was_said() {
    let mut world = observed(BATTERY.into(), NotificationAttributes::default());
    notify(&mut world, BATTERY);
    assert_eq!(freshness(&world), Freshness::Unpromised);
    report(&mut world, ValueOrigin::Read, DEFAULT_PMAX, 300);
    let due = world.now.saturating_add(MINUTE * 5);
    assert_eq!(freshness(&world), Freshness::Fresh { due });
    report(&mut world, ValueOrigin::Read, DEFAULT_PMAX, 0);
    assert_eq!(freshness(&world), Freshness::Unpromised);
}

#[test]
fn a_pmax_below_pmin_promises_nothing() {
    let parameters = NotificationAttributes {
        pmin: Setting::To(90),
        ..pmax(60)
    };
    let mut world = observed(BATTERY.into(), parameters);
    notify(&mut world, BATTERY);
    assert_eq!(freshness(&world), Freshness::Unpromised);
}

#[test]
fn of_several_paths_the_most_silent_one_counts() {
    let paths = CompositePaths::new(vec![BATTERY, MEMORY]).unwrap();
    let mut world = observed(Observed::Composite(paths), pmax(60));
    notify(&mut world, BATTERY);
    let due = world.now.saturating_add(MINUTE);
    world.advance(MINUTE + MARGIN + SECOND);
    notify(&mut world, MEMORY);
    assert_eq!(freshness(&world), Freshness::Stale { since: due });
}

#[test]
fn a_new_registration_begins_anew_and_without_one_nothing_is_said() {
    let mut world = observed(BATTERY.into(), pmax(60));
    notify(&mut world, BATTERY);
    world.advance(MINUTE + MARGIN + SECOND);
    world.register("meter", 2);
    let due = world.now.saturating_add(MINUTE);
    assert_eq!(freshness(&world), Freshness::Fresh { due });
    world.advance(Duration::from_mins(15));
    world.run(Command::ExpireUpTo { limit: 1_000 });
    assert_eq!(freshness(&world), Freshness::Unpromised);
}

#[test]
fn an_observation_of_a_child_is_as_fresh_as_what_that_child_reported() {
    let child = |prefix: &str| -> ChildPrefix { prefix.parse().unwrap() };
    let observation = || Observed::Behind {
        child: child("dev0"),
        path: BATTERY,
    };
    let notified = |world: &mut World, prefix: &str| {
        let origin = ValueOrigin::Notify;
        report_of(world, Some(child(prefix)), origin, (BATTERY, 80));
    };
    let mut world = observed(observation(), pmax(60));
    notify(&mut world, BATTERY);
    notified(&mut world, "dev1");
    assert_eq!(freshness(&world), Freshness::Unpromised);
    notified(&mut world, "dev0");
    let due = world.now.saturating_add(MINUTE);
    assert_eq!(freshness(&world), Freshness::Fresh { due });
    world.advance(MINUTE + MARGIN + SECOND);
    notify(&mut world, BATTERY);
    notified(&mut world, "dev1");
    assert_eq!(freshness(&world), Freshness::Stale { since: due });

    // The defaults of the gateway's Server object are for what it reports of itself.
    let mut world = observed(observation(), NotificationAttributes::default());
    report(&mut world, ValueOrigin::Read, DEFAULT_PMAX, 300);
    notified(&mut world, "dev0");
    assert_eq!(freshness(&world), Freshness::Unpromised);
}
