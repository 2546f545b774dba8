//! Last values.

use std::time::Duration;

use device_state::limit::MAX_VALUES;
use device_state::{Command, Event, Outcome, Rejection, Timestamp, ValueOrigin};
use lwm2m::{Path, Value};

use crate::world::{BATTERY, World, endpoint, id};

fn record(world: &mut World, random: u64, values: &[(Path, i64, Timestamp)]) -> Outcome {
    let values = values
        .iter()
        .map(|(path, value, at)| (*path, Value::Integer(*value), *at))
        .collect();
    world.run(Command::RecordValues {
        endpoint: endpoint("meter"),
        registration: id(random),
        origin: ValueOrigin::Notify,
        values,
    })
}

fn battery(world: &World) -> (Value, Timestamp) {
    let value = world.device("meter").values[0].clone();
    (value.value, value.at)
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
