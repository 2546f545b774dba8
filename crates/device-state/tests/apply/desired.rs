//! The desired set.

use device_state::limit::MAX_DESIRED;
use device_state::{
    Command, DesiredState, DesiredValue, Effect, Event, Goal, OperationId, OperationOutcome,
    OperationSource, Outcome, Rejection, Timestamp, ValueOrigin,
};
use lwm2m::{Operation, Path, WriteMode};

use crate::world::{BATTERY, UTC_OFFSET, World, delivered, endpoint, refused, text};

const TIMEZONE: Path = Path::Resource(3, 0, 15);

/// The write that the resource waits for.
fn pending(world: &World, path: Path) -> OperationId {
    match world.desired_state("meter", path) {
        Some(DesiredState::Pending { operation }) => operation,
        other => panic!("{other:?}"),
    }
}

/// A device whose UTC offset was written.
fn in_sync() -> World {
    let mut world = World::registered("meter");
    world.set_desired("meter", 1, &[(UTC_OFFSET, "Z")]);
    let write = pending(&world, UTC_OFFSET);
    world.finish("meter", write, delivered());
    world
}

#[test]
fn a_desired_value_is_written() {
    let mut world = World::registered("meter");
    assert_eq!(
        world.set_desired("meter", 1, &[(UTC_OFFSET, "Z")]),
        Outcome::Done
    );
    let operation = pending(&world, UTC_OFFSET);
    assert!(world.effects.contains(&Effect::OperationReady {
        endpoint: endpoint("meter")
    }));
    let record = world.operation("meter", operation);
    assert_eq!(
        (record.source, record.deadline),
        (OperationSource::Desired, Timestamp::NEVER)
    );
    assert!(matches!(
        record.operation,
        Operation::Write {
            path: UTC_OFFSET,
            mode: WriteMode::Replace,
            ..
        }
    ));
    let state = Some(DesiredState::Pending { operation });
    assert_eq!(
        world.events(),
        [Event::DesiredChanged {
            path: UTC_OFFSET,
            generation: 1,
            state
        }]
    );

    world.start("meter", operation);
    world.finish("meter", operation, delivered());
    let state = Some(DesiredState::InSync { since: world.now });
    assert_eq!(world.desired_state("meter", UTC_OFFSET), state);
    assert!(world.events().contains(&Event::DesiredChanged {
        path: UTC_OFFSET,
        generation: 1,
        state
    }));
    let value = &world.device("meter").values[0];
    assert_eq!(
        (value.path, &value.value, value.origin),
        (UTC_OFFSET, &text("Z"), ValueOrigin::Write)
    );
}

#[test]
fn an_unknown_device_can_have_a_desired_set() {
    let mut world = World::new();
    world.set_desired("meter", 1, &[(UTC_OFFSET, "Z")]);
    world.register("meter", 1);
    assert_eq!(
        world.next_operation("meter"),
        Some(pending(&world, UTC_OFFSET))
    );
}

#[test]
fn an_older_generation_is_refused() {
    let mut world = World::registered("meter");
    world.set_desired("meter", 5, &[(UTC_OFFSET, "Z")]);
    let before = world.tables.clone();
    assert_eq!(
        world.set_desired("meter", 4, &[]),
        Outcome::Rejected(Rejection::StaleGeneration)
    );
    assert_eq!(world.tables, before);
    assert_eq!(
        world.set_desired("meter", 5, &[(UTC_OFFSET, "+01:00")]),
        Outcome::Done
    );
    assert_eq!(
        world.device("meter").desired[0].goal,
        Goal::Value(text("+01:00"))
    );
}

#[test]
fn setting_the_same_again_writes_nothing() {
    let mut world = in_sync();
    let before = world.tables.clone();
    world.set_desired("meter", 1, &[(UTC_OFFSET, "Z")]);
    assert_eq!(world.tables, before);
    assert_eq!(world.effects, []);
    world.set_desired("meter", 2, &[(UTC_OFFSET, "Z")]);
    assert_eq!(world.events(), []);
    assert_eq!(world.device("meter").desired_generation, Some(2));
    assert!(matches!(
        world.desired_state("meter", UTC_OFFSET),
        Some(DesiredState::InSync { .. })
    ));
}

#[test]
fn only_what_changed_is_written() {
    let mut world = in_sync();
    world.set_desired(
        "meter",
        2,
        &[(UTC_OFFSET, "Z"), (TIMEZONE, "Europe/Berlin")],
    );
    assert!(matches!(
        world.desired_state("meter", UTC_OFFSET),
        Some(DesiredState::InSync { .. })
    ));
    assert_eq!(
        world.next_operation("meter"),
        Some(pending(&world, TIMEZONE))
    );
    assert_eq!(world.events().len(), 1);
}

#[test]
fn a_newer_value_supersedes_a_write_that_waits() {
    let mut world = World::registered("meter");
    world.set_desired("meter", 1, &[(UTC_OFFSET, "Z")]);
    let old = pending(&world, UTC_OFFSET);
    world.set_desired("meter", 2, &[(UTC_OFFSET, "+01:00")]);
    assert_eq!(
        world.end_of("meter", old),
        Some(OperationOutcome::Superseded)
    );
    assert_ne!(pending(&world, UTC_OFFSET), old);
}

#[test]
fn a_newer_value_follows_a_write_that_is_in_flight() {
    let mut world = World::registered("meter");
    world.set_desired("meter", 1, &[(UTC_OFFSET, "Z")]);
    let old = pending(&world, UTC_OFFSET);
    world.start("meter", old);
    world.set_desired("meter", 2, &[(UTC_OFFSET, "+01:00")]);
    let new = pending(&world, UTC_OFFSET);
    world.finish("meter", old, delivered());
    assert_eq!(pending(&world, UTC_OFFSET), new);
    assert_eq!(world.next_operation("meter"), Some(new));
    assert_eq!(world.device("meter").values[0].value, text("Z"));
}

#[test]
fn a_lost_write_that_nobody_wants_is_not_repeated() {
    let wishes: [(&[(Path, &str)], OperationOutcome); 2] = [
        (&[(UTC_OFFSET, "+01:00")], OperationOutcome::Superseded),
        (&[], OperationOutcome::Cancelled),
    ];
    for (wish, end) in wishes {
        let mut world = World::registered("meter");
        world.set_desired("meter", 1, &[(UTC_OFFSET, "Z")]);
        let old = pending(&world, UTC_OFFSET);
        world.start("meter", old);
        world.set_desired("meter", 2, wish);
        world.register("meter", 2);
        assert_eq!(world.end_of("meter", old), Some(end));
    }
}

#[test]
fn what_is_no_longer_desired_is_not_written() {
    let mut world = World::registered("meter");
    world.set_desired("meter", 1, &[(UTC_OFFSET, "Z")]);
    let write = pending(&world, UTC_OFFSET);
    world.set_desired("meter", 2, &[]);
    assert_eq!(
        world.end_of("meter", write),
        Some(OperationOutcome::Cancelled)
    );
    assert_eq!(world.desired_state("meter", UTC_OFFSET), None);
    let gone = Event::DesiredChanged {
        path: UTC_OFFSET,
        generation: 2,
        state: None,
    };
    assert!(world.events().contains(&gone));
}

#[test]
fn a_refused_value_is_tried_again_with_the_next_generation_only() {
    let mut world = World::registered("meter");
    world.set_desired("meter", 1, &[(UTC_OFFSET, "nonsense")]);
    let write = pending(&world, UTC_OFFSET);
    world.finish("meter", write, refused());
    assert!(matches!(
        world.desired_state("meter", UTC_OFFSET),
        Some(DesiredState::Rejected { code: 0x85, .. })
    ));
    let before = world.tables.clone();
    world.set_desired("meter", 1, &[(UTC_OFFSET, "nonsense")]);
    assert_eq!(world.tables, before);
    world.set_desired("meter", 2, &[(UTC_OFFSET, "nonsense")]);
    assert_ne!(pending(&world, UTC_OFFSET), write);
}

#[test]
fn a_desired_write_without_answer_goes_on() {
    let mut world = World::registered("meter");
    world.set_desired("meter", 1, &[(UTC_OFFSET, "Z")]);
    let write = pending(&world, UTC_OFFSET);
    let cancel = Command::Cancel {
        endpoint: endpoint("meter"),
        operation: write,
    };
    assert_eq!(
        world.run(cancel),
        Outcome::Rejected(Rejection::UnknownOperation)
    );
    world.start("meter", write);
    assert_eq!(
        world.finish("meter", write, OperationOutcome::Expired),
        Outcome::Done
    );
    assert_eq!(world.next_operation("meter"), Some(write));
}

#[test]
fn a_desired_set_is_bounded() {
    let mut world = World::registered("meter");
    let resources = |count: usize| {
        (0..count)
            .map(|id| DesiredValue::initial(Path::Resource(3303, id as u16, 5601), text("1")))
            .collect()
    };
    let set = |count| Command::SetDesired {
        endpoint: endpoint("meter"),
        generation: 1,
        resources: resources(count),
    };
    assert_eq!(
        world.run(set(MAX_DESIRED + 1)),
        Outcome::Rejected(Rejection::TooManyDesired)
    );
    assert!(world.device("meter").desired.is_empty());
    assert_eq!(world.run(set(MAX_DESIRED)), Outcome::Done);
    assert_eq!(world.device("meter").desired.len(), MAX_DESIRED);
}

#[test]
fn a_withdrawn_intent_can_be_made_anew() {
    let mut world = World::registered("meter");
    world.set_desired("meter", 7, &[(UTC_OFFSET, "Z"), (BATTERY, "1")]);
    assert_eq!(
        world.set_desired("meter", 0, &[(UTC_OFFSET, "Z")]),
        Outcome::Rejected(Rejection::StaleGeneration)
    );
    assert_eq!(world.set_desired("meter", 0, &[]), Outcome::Done);
    let device = world.device("meter");
    assert_eq!((device.desired.len(), device.desired_generation), (0, None));
    assert_eq!(
        world.set_desired("meter", 1, &[(UTC_OFFSET, "Z")]),
        Outcome::Done
    );
}
