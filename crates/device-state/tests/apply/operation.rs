//! The queue of a device.

use std::time::Duration;

use device_state::limit::{MAX_FINISHED_OPERATIONS, MAX_QUEUED_OPERATIONS};
use device_state::{
    ChildValue, Command, Effect, Event, Namespace, OperationId, OperationOutcome, OperationState,
    Outcome, Queueing, Rejection, Timestamp, ValueOrigin,
};
use lwm2m::{Entry, Operation, Path, WriteMode};

use crate::world::{
    BATTERY, CONTENT, NODE, SHARD, UTC_OFFSET, World, delivered, endpoint, execute, id, identity,
    read, refused, text, write,
};

const UNKNOWN: Outcome = Outcome::Rejected(Rejection::UnknownOperation);

#[test]
fn operations_are_delivered_in_the_order_in_which_they_came() {
    let mut world = World::registered("meter");
    let first = world.enqueue("meter", read());
    assert!(world.effects.contains(&Effect::OperationReady {
        endpoint: endpoint("meter")
    }));
    let second = world.enqueue("meter", write("+01:00"));
    assert_eq!((first.shard, second.sequence), (SHARD, first.sequence + 1));
    assert_eq!(world.next_operation("meter"), Some(first));
    world.start("meter", first);
    world.finish("meter", first, delivered());
    assert!(world.effects.contains(&Effect::OperationReady {
        endpoint: endpoint("meter")
    }));
    assert_eq!(world.next_operation("meter"), Some(second));
}

#[test]
fn one_operation_of_a_device_is_in_flight() {
    let mut world = World::registered("meter");
    let first = world.enqueue("meter", read());
    let second = world.enqueue("meter", read());
    assert_eq!(world.start("meter", first), Outcome::Done);
    assert_eq!(world.next_operation("meter"), None);
    assert_eq!(world.start("meter", first), UNKNOWN);
    assert_eq!(world.start("meter", second), UNKNOWN);
    let state = OperationState::InFlight {
        owner: NODE,
        since: world.now,
    };
    assert_eq!(world.operation("meter", first).state, state);
}

#[test]
fn a_full_queue_refuses_more() {
    let mut world = World::registered("meter");
    let operations: Vec<_> = (0..MAX_QUEUED_OPERATIONS)
        .map(|_| world.enqueue("meter", read()))
        .collect();
    let enqueue = Command::Enqueue {
        endpoint: endpoint("meter"),
        operation: read(),
        deadline: Timestamp::NEVER,
        queueing: Queueing::default(),
    };
    assert_eq!(
        world.run(enqueue.clone()),
        Outcome::Rejected(Rejection::QueueFull)
    );
    world.finish("meter", operations[0], delivered());
    assert!(matches!(world.run(enqueue), Outcome::Enqueued { .. }));
    assert_eq!(
        world.set_desired("meter", 1, &[(UTC_OFFSET, "Z")]),
        Outcome::Done
    );
}

#[test]
fn desired_values_take_no_place_in_the_queue_of_callers() {
    let mut world = World::registered("meter");
    let paths = (0..MAX_QUEUED_OPERATIONS as u16).map(|id| Path::Resource(3303, id, 5601));
    let resources: Vec<_> = paths.map(|path| (path, "1")).collect();
    world.set_desired("meter", 1, &resources);
    world.enqueue("meter", read());
    assert_eq!(
        world.device("meter").operations.len(),
        MAX_QUEUED_OPERATIONS + 1
    );
}

#[test]
fn an_operation_ends_once_and_its_end_is_an_event() {
    let mut world = World::registered("meter");
    let operation = world.enqueue("meter", execute());
    assert_eq!(world.finish("meter", operation, refused()), Outcome::Done);
    let finished = Event::OperationFinished {
        operation,
        name: "execute".to_owned(),
        target: crate::world::REBOOT.to_string(),
        outcome: refused(),
    };
    assert_eq!(world.events(), [finished]);
    assert!(world.effects.contains(&Effect::OperationFinished {
        endpoint: endpoint("meter"),
        operation
    }));
    assert_eq!(world.finish("meter", operation, delivered()), UNKNOWN);
    assert_eq!(world.end_of("meter", operation), Some(refused()));
}

#[test]
fn the_result_is_kept_for_an_hour() {
    let mut world = World::registered("meter");
    let operation = world.enqueue("meter", read());
    world.finish("meter", operation, refused());
    world.advance(Duration::from_millis(3_600_000 - 1));
    world.expire();
    assert_eq!(world.end_of("meter", operation), Some(refused()));
    world.advance(Duration::from_millis(1));
    assert_eq!(world.expire(), 1);
    assert!(world.device("meter").operations.is_empty());
}

#[test]
fn the_oldest_result_goes_when_there_are_too_many() {
    let mut world = World::registered("meter");
    let operations: Vec<_> = (0..=MAX_FINISHED_OPERATIONS)
        .map(|_| {
            let operation = world.enqueue("meter", read());
            world.finish("meter", operation, refused());
            operation
        })
        .collect();
    let kept: Vec<OperationId> = world
        .device("meter")
        .operations
        .iter()
        .map(|record| record.id)
        .collect();
    assert_eq!(kept, operations[1..]);
}

#[test]
fn an_operation_that_is_not_delivered_by_its_deadline_expires() {
    let mut world = World::registered("meter");
    let operation = world.enqueue("meter", read());
    world.advance(Duration::from_mins(5));
    assert_eq!(world.start("meter", operation), UNKNOWN);
    assert_eq!(world.expire(), 1);
    assert_eq!(
        world.end_of("meter", operation),
        Some(OperationOutcome::Expired)
    );
}

#[test]
fn an_exchange_in_flight_may_outlast_the_deadline() {
    let mut world = World::registered("meter");
    let operation = world.enqueue("meter", read());
    let next = world.enqueue("meter", write("Z"));
    world.advance(Duration::from_mins(4));
    world.start("meter", operation);
    world.advance(Duration::from_secs(61));
    assert_eq!(world.expire(), 1);
    assert_eq!(world.end_of("meter", operation), None);
    assert_eq!(world.end_of("meter", next), Some(OperationOutcome::Expired));
    world.advance(Duration::from_secs(32));
    assert_eq!(world.expire(), 1);
    assert_eq!(
        world.end_of("meter", operation),
        Some(OperationOutcome::Expired)
    );
}

#[test]
fn a_lost_exchange_is_repeated_unless_it_may_happen_once() {
    let create = Operation::Create {
        path: Path::Object(3303),
        instance: None,
        values: Vec::new(),
    };
    for (operation, repeated) in [
        (read(), true),
        (write("Z"), true),
        (execute(), false),
        (create, false),
    ] {
        let mut world = World::registered("meter");
        let operation = world.enqueue("meter", operation);
        let requeue = Command::Requeue {
            endpoint: endpoint("meter"),
            operation,
        };
        assert_eq!(world.run(requeue.clone()), UNKNOWN);
        world.start("meter", operation);
        assert_eq!(world.run(requeue), Outcome::Done);
        let expected = if repeated {
            None
        } else {
            Some(OperationOutcome::Expired)
        };
        assert_eq!(world.end_of("meter", operation), expected);
        assert_eq!(world.next_operation("meter").is_some(), repeated);
    }
}

#[test]
fn only_a_pending_operation_can_be_cancelled() {
    let mut world = World::registered("meter");
    let (sent, waiting) = (
        world.enqueue("meter", read()),
        world.enqueue("meter", read()),
    );
    world.start("meter", sent);
    assert_eq!(
        world.run(Command::Cancel {
            endpoint: endpoint("meter"),
            operation: sent
        }),
        UNKNOWN
    );
    assert_eq!(
        world.run(Command::Cancel {
            endpoint: endpoint("meter"),
            operation: waiting
        }),
        Outcome::Done
    );
    assert_eq!(
        world.end_of("meter", waiting),
        Some(OperationOutcome::Cancelled)
    );
}

#[test]
fn an_operation_of_another_device_or_shard_is_unknown() {
    let mut world = World::registered("meter");
    let operation = world.enqueue("meter", read());
    assert_eq!(world.start("pump", operation), UNKNOWN);
    let foreign = OperationId {
        shard: device_state::ShardId(7),
        ..operation
    };
    assert_eq!(world.start("meter", foreign), UNKNOWN);
}

#[test]
fn delivered_reads_and_writes_tell_the_last_values() {
    let mut world = World::registered("meter");
    let operation = world.enqueue("meter", read());
    let values = vec![(BATTERY, lwm2m::Value::Integer(80))];
    world.finish(
        "meter",
        operation,
        OperationOutcome::Delivered {
            code: CONTENT,
            values,
        },
    );
    let operation = world.enqueue("meter", write("+01:00"));
    world.finish("meter", operation, delivered());
    let operation = world.enqueue("meter", write("+02:00"));
    world.finish("meter", operation, refused());
    // What another device has is not what its gateway has.
    let behind = write("+03:00").behind("dev0".parse().unwrap());
    let operation = world.enqueue("meter", behind);
    world.finish("meter", operation, delivered());
    let values = world.device("meter").values;
    let known: Vec<_> = values
        .iter()
        .map(|row| (row.path, row.value.clone(), row.origin))
        .collect();
    let battery = (BATTERY, lwm2m::Value::Integer(80), ValueOrigin::Read);
    assert_eq!(
        known,
        [battery, (UTC_OFFSET, text("+01:00"), ValueOrigin::Write)]
    );
    let behind = world.device("meter").child_values;
    let [ChildValue { child, value }] = &behind[..] else {
        panic!("{behind:?}")
    };
    assert_eq!((child.as_str(), value.path), ("dev0", UTC_OFFSET));
    assert_eq!(
        (&value.value, value.origin),
        (&text("+03:00"), ValueOrigin::Write)
    );
}

#[test]
fn operations_wait_for_a_device_that_is_gone_until_their_deadline() {
    let mut world = World::registered("meter");
    let operation = world.enqueue("meter", read());
    world.run(Command::Deregister {
        namespace: Namespace::default(),
        id: id(1),
        identity: identity("meter"),
    });
    assert_eq!(world.next_operation("meter"), Some(operation));
    world.advance(Duration::from_mins(5));
    world.expire();
    assert_eq!(
        world.end_of("meter", operation),
        Some(OperationOutcome::Expired)
    );
}

#[test]
fn a_late_answer_counts_even_when_the_operation_waits_again() {
    let mut world = World::registered("meter");
    let operation = world.enqueue("meter", read());
    world.start("meter", operation);
    world.run(Command::Requeue {
        endpoint: endpoint("meter"),
        operation,
    });
    assert_eq!(world.finish("meter", operation, delivered()), Outcome::Done);
    assert_eq!(world.end_of("meter", operation), Some(delivered()));
}

fn ask(world: &mut World, operation: Operation, queueing: Queueing) -> OperationId {
    let deadline = world.now.saturating_add(Duration::from_mins(5));
    let enqueue = Command::Enqueue {
        endpoint: endpoint("meter"),
        operation,
        deadline,
        queueing,
    };
    match world.run(enqueue) {
        Outcome::Enqueued { operation } => operation,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_highest_priority_goes_first_and_among_equals_the_oldest() {
    let mut world = World::registered("meter");
    let with = |priority| Queueing {
        priority,
        supersedes: false,
    };
    let order = [0, 5, 9, 5].map(|priority| ask(&mut world, read(), with(priority)));
    for index in [2, 1, 3, 0] {
        assert_eq!(world.next_operation("meter"), Some(order[index]));
        world.start("meter", order[index]);
        world.finish("meter", order[index], delivered());
    }
}

#[test]
fn a_write_takes_the_place_of_those_that_it_leaves_nothing_of_if_it_is_asked_to() {
    let mut world = World::registered("meter");
    let supersedes = Queueing {
        priority: 0,
        supersedes: true,
    };
    let zone = Path::Resource(3, 0, 15);
    let other = Operation::Write {
        path: zone,
        mode: WriteMode::Replace,
        values: vec![Entry::new(zone, text("Europe/Berlin"))],
    };
    let first = ask(&mut world, write("+01:00"), Queueing::default());
    let other = ask(&mut world, other, Queueing::default());
    let executed = ask(&mut world, execute(), Queueing::default());
    let second = ask(&mut world, write("+02:00"), Queueing::default());
    let last = ask(&mut world, write("+03:00"), supersedes);
    let outcome = |id| match world.operation("meter", id).state {
        OperationState::Finished { outcome, .. } => Some(outcome),
        _ => None,
    };
    assert_eq!(outcome(first), Some(OperationOutcome::Superseded));
    assert_eq!(outcome(second), Some(OperationOutcome::Superseded));
    assert_eq!(
        [outcome(other), outcome(executed), outcome(last)],
        [None, None, None]
    );
}
