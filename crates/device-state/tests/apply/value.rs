//! Last values.

use std::time::Duration;

use device_state::limit::{MAX_CHILD_VALUE_BYTES, MAX_CHILD_VALUES, MAX_VALUES};
use device_state::{Command, Event, Outcome, Rejection, Timestamp, ValueOrigin, query};
use lwm2m::{ChildPrefix, Path, Value};

use crate::world::{BATTERY, World, endpoint, id};

fn record(world: &mut World, random: u64, values: &[(Path, i64, Timestamp)]) -> Outcome {
    record_of(world, random, None, values)
}

fn record_of(
    world: &mut World,
    random: u64,
    child: Option<&ChildPrefix>,
    values: &[(Path, i64, Timestamp)],
) -> Outcome {
    let values = values
        .iter()
        .map(|(path, value, at)| (*path, Value::Integer(*value), *at))
        .collect();
    world.run(Command::RecordValues {
        endpoint: endpoint("meter"),
        registration: id(random),
        child: child.cloned(),
        origin: ValueOrigin::Notify,
        values,
    })
}

fn battery(world: &World) -> (Value, Timestamp) {
    let value = world.device("meter").values[0].clone();
    (value.value, value.at)
}

#[test]
fn a_device_is_heard_from_by_what_it_reports_as_well() {
    let mut world = World::registered("meter");
    let heard = |world: &World| {
        let registration = world.device("meter").registration.unwrap();
        query::heard_at(&world.tables, &registration)
    };
    let registered = world.now;
    assert_eq!(heard(&world), registered);
    world.advance(Duration::from_hours(1));
    let reported = world.now;
    record(&mut world, 1, &[(BATTERY, 80, reported)]);
    world.advance(Duration::from_secs(5));
    assert_eq!(heard(&world), reported);
}

#[test]
fn reported_values_are_kept_and_told() {
    let mut world = World::registered("meter");
    let now = world.now;
    assert_eq!(record(&mut world, 1, &[(BATTERY, 80, now)]), Outcome::Done);
    assert_eq!(battery(&world), (Value::Integer(80), now));
    let values = vec![(BATTERY, Value::Integer(80), now)];
    assert_eq!(
        world.events(),
        [Event::ValuesReported {
            child: None,
            origin: ValueOrigin::Notify,
            values
        }]
    );
}

#[test]
fn values_of_a_registration_that_is_over_are_refused() {
    let mut world = World::registered("meter");
    world.register("meter", 2);
    let now = world.now;
    let refused = Outcome::Rejected(Rejection::UnknownRegistration);
    assert_eq!(record(&mut world, 1, &[(BATTERY, 80, now)]), refused);
    assert!(world.device("meter").values.is_empty());
    assert_eq!(world.events(), []);
}

#[test]
fn an_older_value_does_not_replace_a_newer_one() {
    let mut world = World::registered("meter");
    let older = world.now;
    world.advance(Duration::from_mins(1));
    let newer = world.now;
    record(&mut world, 1, &[(BATTERY, 79, newer), (BATTERY, 80, older)]);
    assert_eq!(battery(&world), (Value::Integer(79), newer));
}

#[test]
fn a_clock_in_the_future_does_not_keep_later_values_out() {
    let mut world = World::registered("meter");
    record(&mut world, 1, &[(BATTERY, 80, Timestamp(u64::MAX))]);
    assert_eq!(battery(&world), (Value::Integer(80), world.now));
    world.advance(Duration::from_secs(1));
    let now = world.now;
    record(&mut world, 1, &[(BATTERY, 79, now)]);
    assert_eq!(battery(&world), (Value::Integer(79), now));
}

#[test]
fn the_number_of_kept_values_is_bounded() {
    let mut world = World::registered("meter");
    let now = world.now;
    let values: Vec<_> = (0..=MAX_VALUES as u16)
        .map(|id| (Path::Resource(3303, id, 5700), 1, now))
        .collect();
    assert_eq!(record(&mut world, 1, &values), Outcome::Done);
    assert_eq!(world.device("meter").values.len(), MAX_VALUES);
    let [Event::ValuesReported { values, .. }] = &world.events()[..] else {
        panic!("not reported")
    };
    assert_eq!(values.len(), MAX_VALUES + 1);
    assert_eq!(
        record(&mut world, 1, &[(Path::Resource(3303, 0, 5700), 2, now)]),
        Outcome::Done
    );
    assert_eq!(world.device("meter").values[0].value, Value::Integer(2));
}

#[test]
fn what_a_gateway_reports_of_a_child_is_kept_and_told_as_that_childs() {
    let mut world = World::registered("meter");
    let now = world.now;
    let child = |prefix: &str| -> ChildPrefix { prefix.parse().unwrap() };
    let of = |world: &World, prefix: &str| -> Vec<Value> {
        let (device, child) = (world.device("meter"), child(prefix));
        let values = device.values_of(Some(&child));
        values.map(|kept| kept.value.clone()).collect()
    };
    record(&mut world, 1, &[(BATTERY, 10, now)]);
    for (prefix, value) in [("dev0", 20), ("dev1", 30), ("dev0", 21)] {
        let values = [(BATTERY, value, now)];
        record_of(&mut world, 1, Some(&child(prefix)), &values);
    }
    let [Event::ValuesReported { child: told, .. }] = &world.events()[..] else {
        panic!("not reported")
    };
    assert_eq!(told.as_ref(), Some(&child("dev0")));
    assert_eq!(of(&world, "dev0"), [Value::Integer(21)]);
    assert_eq!(of(&world, "dev1"), [Value::Integer(30)]);
    assert_eq!(battery(&world).0, Value::Integer(10));
    assert_eq!(world.device("meter").values_of(None).count(), 1);
    let stale = Timestamp(now.0 - 1);
    record_of(&mut world, 1, Some(&child("dev0")), &[(BATTERY, 19, stale)]);
    assert_eq!(of(&world, "dev0"), [Value::Integer(21)]);
    let refused = Outcome::Rejected(Rejection::UnknownRegistration);
    let another = record_of(&mut world, 2, Some(&child("dev0")), &[(BATTERY, 1, now)]);
    assert_eq!(another, refused);
}

#[test]
fn the_number_of_values_behind_a_gateway_is_bounded_apart_from_its_own() {
    let mut world = World::registered("meter");
    let now = world.now;
    let half: Vec<_> = (0..=MAX_CHILD_VALUES as u16 / 2)
        .map(|id| (Path::Resource(3303, id, 5700), 1, now))
        .collect();
    for prefix in ["dev0", "~"] {
        let child = prefix.parse().unwrap();
        record_of(&mut world, 1, Some(&child), &half);
    }
    let [Event::ValuesReported { values, .. }] = &world.events()[..] else {
        panic!("not reported")
    };
    assert_eq!(values.len(), half.len());
    assert_eq!(world.device("meter").child_values.len(), MAX_CHILD_VALUES);
    record(&mut world, 1, &[(BATTERY, 80, now)]);
    assert_eq!(battery(&world).0, Value::Integer(80));
}

#[test]
fn a_long_value_behind_a_gateway_is_told_and_not_kept() {
    let mut world = World::registered("meter");
    let now = world.now;
    let opaque = |length: usize| Value::Opaque(vec![0; length]);
    let values = vec![
        (BATTERY, opaque(MAX_CHILD_VALUE_BYTES + 1), now),
        (Path::Resource(3, 0, 10), opaque(MAX_CHILD_VALUE_BYTES), now),
    ];
    world.run(Command::RecordValues {
        endpoint: endpoint("meter"),
        registration: id(1),
        child: Some("dev0".parse().unwrap()),
        origin: ValueOrigin::Notify,
        values: values.clone(),
    });
    let kept = world.device("meter").child_values;
    let kept: Vec<_> = kept.iter().map(|kept| kept.value.path).collect();
    assert_eq!(kept, [Path::Resource(3, 0, 10)]);
    let told = Event::ValuesReported {
        child: Some("dev0".parse().unwrap()),
        origin: ValueOrigin::Notify,
        values,
    };
    assert_eq!(world.events().last(), Some(&told));
}
