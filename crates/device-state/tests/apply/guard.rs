//! Commands under conditions: etags, rehearsals and ids that were used before.

use device_state::command::{Live, Missing};
use device_state::guard::Effectiveness;
use device_state::{
    Command, DesiredValue, Etag, Guard, MemoryTables, Metadata, Outcome, Rejection, query,
};

use crate::metadata::label;
use crate::world::{UTC_OFFSET, World, endpoint, request, text};

fn guarded(guard: Guard, command: Command) -> Command {
    Command::Guarded {
        guard,
        command: Box::new(command),
    }
}

fn expecting(etag: Etag) -> Guard {
    Guard {
        etag: Some(etag),
        ..Guard::default()
    }
}

fn etag(world: &World, name: &str) -> Etag {
    let none = Metadata::none(endpoint(name));
    Etag::of_metadata(&query::metadata(&world.tables, &endpoint(name)).unwrap_or(none))
}

#[test]
fn a_change_of_what_has_changed_meanwhile_is_refused() {
    let mut world = World::new();
    let unseen = etag(&world, "m");
    let change = |value: &str| label("m", &[("a", value)], &[]);
    assert_eq!(
        world.run(guarded(expecting(unseen), change("1"))),
        Outcome::Done
    );
    let refused = Outcome::Rejected(Rejection::EtagMismatch);
    assert_eq!(world.run(guarded(expecting(unseen), change("2"))), refused);
    let seen = etag(&world, "m");
    assert_eq!(
        world.run(guarded(expecting(seen), change("2"))),
        Outcome::Done
    );
    let forget = Command::Forget {
        endpoint: endpoint("m"),
        live: Live::Refused,
        missing: Missing::Refused,
    };
    assert_eq!(world.run(guarded(expecting(seen), forget.clone())), refused);
    let seen = etag(&world, "m");
    assert_eq!(world.run(guarded(expecting(seen), forget)), Outcome::Done);
}

#[test]
fn the_desired_set_has_an_etag_of_what_is_wanted() {
    let mut world = World::registered("m");
    let set = |generation, value: &str| Command::SetDesired {
        endpoint: endpoint("m"),
        generation,
        resources: vec![DesiredValue::initial(UTC_OFFSET, text(value))],
    };
    let etag = |world: &World| {
        let view = world.device("m");
        Etag::of_desired(view.desired_generation, &view.desired)
    };
    let empty = etag(&world);
    assert_eq!(
        world.run(guarded(expecting(empty), set(1, "+01:00"))),
        Outcome::Done
    );
    let refused = Outcome::Rejected(Rejection::EtagMismatch);
    assert_eq!(
        world.run(guarded(expecting(empty), set(2, "+02:00"))),
        refused
    );
    let before = etag(&world);
    let operation = world.next_operation("m").unwrap();
    world.start("m", operation);
    world.finish("m", operation, crate::world::delivered());
    assert_eq!(etag(&world), before, "how far the device is does not count");
}

#[test]
fn a_rehearsal_finds_what_would_be_refused_and_changes_nothing() {
    let mut world = World::registered("m");
    let tried = Guard {
        effect: Effectiveness::Rehearsed,
        ..Guard::default()
    };
    let before: MemoryTables = world.tables.clone();
    let forget = Command::Forget {
        endpoint: endpoint("m"),
        live: Live::Refused,
        missing: Missing::Refused,
    };
    let refused = Outcome::Rejected(Rejection::StillRegistered);
    assert_eq!(world.run(guarded(tried, forget)), refused);
    let change = label("m", &[("a", "1")], &[]);
    let applied = world.submit(Some(request(1)), guarded(tried, change.clone()));
    assert_eq!((applied.outcome, applied.effects.len()), (Outcome::Done, 0));
    let desired = Command::SetDesired {
        endpoint: endpoint("m"),
        generation: 1,
        resources: vec![DesiredValue::initial(UTC_OFFSET, text("+01:00"))],
    };
    assert_eq!(world.run(guarded(tried, desired)), Outcome::Done);
    assert_eq!(world.tables, before);
    // The id is still free for the change that is meant.
    let real = guarded(Guard::default(), change);
    assert_eq!(world.submit(Some(request(1)), real).outcome, Outcome::Done);
    assert_ne!(world.tables, before);
}

#[test]
fn an_id_stands_for_one_request() {
    let mut world = World::new();
    let of = |fingerprint: u64, value: &str| {
        let guard = Guard {
            fingerprint: Some(fingerprint),
            ..Guard::default()
        };
        guarded(guard, label("m", &[("a", value)], &[]))
    };
    let mut run = |command| world.submit(Some(request(1)), command).outcome;
    assert_eq!(run(of(1, "1")), Outcome::Done);
    assert_eq!(run(of(1, "1")), Outcome::Done);
    let refused = Outcome::Rejected(Rejection::RequestIdReused);
    assert_eq!(run(of(2, "2")), refused);
    assert_eq!(
        run(of(1, "1")),
        Outcome::Done,
        "a refusal does not take the place"
    );
}
