//! Register, Update, Deregister and the end of a lifetime.

use std::net::SocketAddr;
use std::time::Duration;

use device_state::{
    Command, Effect, Event, Expiring, Namespace, OperationState, Outcome, Quirks, Registration,
    Rejection, Row, SecurityIdentity, SessionCid, Tables, Timestamp, Transport, query,
    registration_shard,
};
use lwm2m::{
    Binding, Entry, Lifetime, LwM2mVersion, NotificationAttributes, Observed, Operation, Path,
    RegistrationId, Value, WriteMode,
};

use crate::world::{
    NODE, OTHER_NODE, SHARD, World, delivered, endpoint, execute, id, identity, read, register,
    registration, update, update_by,
};

#[test]
fn a_registration_gets_the_leaders_times_and_a_grace() {
    let mut world = World::new();
    let outcome = world.register("meter", 1);
    let expires_at = world.now.saturating_add(Duration::from_secs(600 + 93));
    assert_eq!(
        outcome,
        Outcome::Registered {
            id: id(1),
            expires_at,
            observations: Vec::new(),
            quirks: Quirks::default(),
            moved_from: None,
        }
    );
    let row = world.device("meter").registration.unwrap();
    assert_eq!(
        (row.registered_at, row.updated_at, row.expires_at),
        (world.now, world.now, expires_at)
    );
    assert_eq!(
        world.events(),
        [Event::Registered {
            registration: Box::new(row)
        }]
    );
    assert!(world.effects.contains(&Effect::RegistrationChanged {
        endpoint: endpoint("meter")
    }));
    assert_eq!(world.effects.last(), Some(&Effect::FeedAdvanced));
    assert_eq!(query::next_expiry(&world.tables), Some(expires_at));
}

#[test]
fn an_infinite_lifetime_never_ends() {
    let mut world = World::new();
    world.run(register(registration_for_ever()));
    assert_eq!(
        world.device("meter").registration.unwrap().expires_at,
        Timestamp::NEVER
    );
    assert_eq!(query::next_expiry(&world.tables), None);
    world.now = Timestamp(u64::MAX);
    assert_eq!(world.expire(), 0);
}

fn registration_for_ever() -> Registration {
    Registration {
        lifetime: Lifetime::INFINITE,
        ..registration("meter", 1)
    }
}

#[test]
fn a_new_registration_replaces_the_old_one() {
    let mut world = World::registered("meter");
    world.advance(Duration::from_secs(5));
    world.register("meter", 2);
    assert_eq!(query::registration_by_id(&world.tables, &id(1)), None);
    assert_eq!(
        query::registration_by_id(&world.tables, &id(2))
            .unwrap()
            .endpoint,
        endpoint("meter")
    );
    assert_eq!(query::counters(&world.tables).registrations, 1);
    assert_eq!(
        world.run(update("meter", 1)),
        Outcome::Rejected(Rejection::UnknownRegistration)
    );
}

#[test]
fn an_id_that_another_device_has_is_refused() {
    let mut world = World::registered("meter");
    assert_eq!(
        world.register("pump", 1),
        Outcome::Rejected(Rejection::UnknownRegistration)
    );
    assert!(world.device("pump").is_unknown());
    assert_eq!(
        query::registration_by_id(&world.tables, &id(1))
            .unwrap()
            .endpoint,
        endpoint("meter")
    );
}

#[test]
fn a_device_that_registers_anew_gets_its_operations_again_but_an_execute_at_most_once() {
    for (operation, repeated) in [(read(), true), (execute(), false)] {
        let mut world = World::registered("meter");
        let operation = world.enqueue("meter", operation);
        world.start("meter", operation);
        world.register("meter", 2);
        let record = world.operation("meter", operation);
        assert_eq!(record.state == OperationState::Pending, repeated);
        let ready = Effect::OperationReady {
            endpoint: endpoint("meter"),
        };
        assert_eq!(world.effects.contains(&ready), repeated);
        assert_eq!(world.end_of("meter", operation).is_some(), !repeated);
    }
}

#[test]
fn a_registration_answers_with_what_is_to_be_observed() {
    let mut world = World::new();
    let path = crate::world::BATTERY;
    let lease_until = Timestamp(u64::MAX - 1);
    world.run(Command::HoldObservation {
        endpoint: endpoint("meter"),
        observed: path.into(),
        parameters: NotificationAttributes::default(),
        holder: 5,
        lease_until,
    });
    let Outcome::Registered { observations, .. } = world.register("meter", 1) else {
        panic!("not registered")
    };
    assert_eq!(observations, world.device("meter").observations);
    assert_eq!(observations.len(), 1);
}

#[test]
fn an_update_extends_the_lifetime_and_changes_what_it_names() {
    let mut world = World::registered("meter");
    world.advance(Duration::from_secs(500));
    let Command::Update { id, identity, .. } = update("meter", 1) else {
        unreachable!()
    };
    let outcome = world.run(Command::Update {
        namespace: Namespace::default(),
        id,
        identity,
        owner: OTHER_NODE,
        peer: "198.51.100.1:40000".parse().unwrap(),
        transport: None,
        session: None,
        lifetime: Some(Lifetime::from_secs(60)),
        binding: Some(Binding::UDP_QUEUED),
        links: None,
    });
    let expires_at = world.now.saturating_add(Duration::from_secs(60 + 93));
    assert_eq!(
        outcome,
        Outcome::Updated {
            endpoint: endpoint("meter"),
            expires_at,
            observations: Vec::new(),
            moved_from: Some(registration("meter", 1).peer),
        }
    );
    let row = world.device("meter").registration.unwrap();
    assert_eq!(
        (row.owner, row.binding, row.updated_at),
        (OTHER_NODE, Binding::UDP_QUEUED, world.now)
    );
    assert_eq!(row.links, "</1/0>,</3/0>");
    assert_eq!(row.peer.port(), 40_000);
    assert!(row.registered_at < row.updated_at);
    assert_eq!(
        world.events(),
        [Event::Updated {
            registration: Box::new(row)
        }]
    );
}

#[test]
fn an_update_that_names_transports_leaves_the_queue_mode_on() {
    for (version, after) in [
        (LwM2mVersion::V1_0, Binding::UDP),
        (LwM2mVersion::V1_1, Binding::UDP_QUEUED),
        (LwM2mVersion::V1_2, Binding::UDP_QUEUED),
    ] {
        let mut world = World::new();
        world.run(register(Registration {
            version,
            binding: Binding::UDP_QUEUED,
            ..registration("meter", 1)
        }));
        let mut command = update("meter", 1);
        if let Command::Update { binding, .. } = &mut command {
            *binding = Some(Binding::UDP);
        }
        world.run(command);
        let row = world.device("meter").registration.unwrap();
        assert_eq!(row.binding, after, "{version}");
    }
}

#[test]
fn an_update_over_another_node_gives_up_what_the_old_node_had_in_flight() {
    let mut world = World::registered("meter");
    let operation = world.enqueue("meter", read());
    world.start("meter", operation);
    world.run(update_by("meter", 1, NODE));
    assert_eq!(world.next_operation("meter"), None);
    world.run(update_by("meter", 1, OTHER_NODE));
    assert_eq!(world.next_operation("meter"), Some(operation));
}

#[test]
fn an_update_names_the_observations_that_are_wanted() {
    let mut world = World::registered("meter");
    world.run(Command::HoldObservation {
        endpoint: endpoint("meter"),
        observed: Observed::Path("/3303/0/5700".parse().unwrap()),
        parameters: NotificationAttributes::default(),
        holder: 1,
        lease_until: world.now.saturating_add(Duration::from_secs(600)),
    });
    let mut named = |update| match world.run(update) {
        Outcome::Updated { observations, .. } => observations.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(named(update_by("meter", 1, NODE)), 1);
    assert_eq!(named(update_by("meter", 1, OTHER_NODE)), 1);
    let mut elsewhere = update_by("meter", 1, OTHER_NODE);
    if let Command::Update {
        peer,
        transport,
        session,
        ..
    } = &mut elsewhere
    {
        *peer = "198.51.100.7:9".parse().unwrap();
        *transport = Some(Transport::Tcp);
        *session = Some(SessionCid([1, 0, 42, 9, 9, 9, 9, 9]));
    }
    assert_eq!(named(elsewhere), 1);
    let registration = world.device("meter").registration.unwrap();
    assert_eq!(registration.transport, Transport::Tcp);
}

#[test]
fn a_device_moves_with_its_session_and_its_lifetime_runs_on() {
    let session = SessionCid([1, 0, 42, 9, 9, 9, 9, 9]);
    let mut world = World::new();
    world.run(register(Registration {
        session: Some(session),
        ..registration("meter", 1)
    }));
    let operation = world.enqueue("meter", read());
    world.start("meter", operation);
    let before = world.device("meter").registration.unwrap();
    world.advance(Duration::from_secs(60));
    let moved = |session| Command::MoveRegistration {
        id: id(1),
        session,
        owner: OTHER_NODE,
    };
    assert_eq!(
        world.run(moved(SessionCid([1, 0, 42, 8, 8, 8, 8, 8]))),
        Outcome::Rejected(Rejection::UnknownRegistration)
    );
    assert_eq!(
        world.run(moved(session)),
        Outcome::Updated {
            endpoint: endpoint("meter"),
            expires_at: before.expires_at,
            observations: Vec::new(),
            moved_from: None,
        }
    );
    let after = world.device("meter").registration.unwrap();
    assert_eq!(
        after,
        Registration {
            owner: OTHER_NODE,
            ..before
        }
    );
    assert_eq!(world.next_operation("meter"), Some(operation));
}

#[test]
fn another_identity_learns_nothing_about_a_registration() {
    let mut world = World::registered("meter");
    let unknown = Outcome::Rejected(Rejection::UnknownRegistration);
    assert_eq!(world.run(update("pump", 1)), unknown);
    assert_eq!(
        world.run(Command::Deregister {
            namespace: Namespace::default(),
            id: id(1),
            identity: identity("pump")
        }),
        unknown
    );
    assert_eq!(
        world.run(Command::Deregister {
            namespace: Namespace::default(),
            id: id(9),
            identity: identity("pump")
        }),
        unknown
    );
    let unsecured = SecurityIdentity::Unauthenticated;
    assert_eq!(
        world.run(Command::Deregister {
            namespace: Namespace::default(),
            id: id(1),
            identity: unsecured
        }),
        unknown
    );
    assert!(world.device("meter").registration.is_some());
}

#[test]
fn a_deregistered_device_keeps_its_queue_and_its_observations() {
    let mut world = World::registered("meter");
    let operation = world.enqueue("meter", read());
    let lease_until = world.now.saturating_add(Duration::from_hours(1));
    let path = crate::world::BATTERY;
    world.run(Command::HoldObservation {
        endpoint: endpoint("meter"),
        observed: path.into(),
        parameters: NotificationAttributes::default(),
        holder: 5,
        lease_until,
    });
    let outcome = world.run(Command::Deregister {
        namespace: Namespace::default(),
        id: id(1),
        identity: identity("meter"),
    });
    assert_eq!(
        outcome,
        Outcome::Deregistered {
            endpoint: endpoint("meter")
        }
    );
    assert_eq!(world.events(), [Event::Deregistered { id: id(1) }]);
    let device = world.device("meter");
    assert_eq!(device.registration, None);
    assert_eq!((device.operations.len(), device.observations.len()), (1, 1));
    assert_eq!(query::counters(&world.tables).registrations, 0);
    world.register("meter", 2);
    assert_eq!(world.next_operation("meter"), Some(operation));
}

#[test]
fn a_registration_ends_after_its_lifetime_and_its_grace() {
    let mut world = World::registered("meter");
    world.advance(Duration::from_millis(693_000 - 1));
    assert_eq!(world.expire(), 0);
    world.advance(Duration::from_millis(1));
    assert_eq!(world.expire(), 1);
    assert_eq!(world.events(), [Event::Expired { id: id(1) }]);
    assert_eq!(world.device("meter").registration, None);
    assert_eq!(query::registration_by_id(&world.tables, &id(1)), None);
}

#[test]
fn a_written_lifetime_holds_at_once_and_ends_nothing_early() {
    let mut world = World::registered("meter");
    let lifetime_after = |world: &mut World, path: Path, seconds: i64| {
        let values = vec![Entry::new(path, Value::Integer(seconds))];
        let mode = WriteMode::Replace;
        let operation = world.enqueue("meter", Operation::Write { path, mode, values });
        world.start("meter", operation);
        world.finish("meter", operation, delivered());
        let registration = world.device("meter").registration.unwrap();
        (registration.lifetime.as_secs(), registration.expires_at)
    };
    let own = Path::Resource(1, 0, 1);
    let end = world.now.saturating_add(Duration::from_secs(600 + 93));
    assert_eq!(lifetime_after(&mut world, own, 60), (60, end));
    let later = world.now.saturating_add(Duration::from_secs(1000 + 93));
    assert_eq!(lifetime_after(&mut world, own, 1000), (1000, later));
    // That of an account with another server is not this registration's.
    let others = Path::Resource(1, 1, 1);
    assert_eq!(lifetime_after(&mut world, others, 5000), (1000, later));
}

#[test]
fn what_was_renewed_does_not_end() {
    let mut world = World::registered("meter");
    world.advance(Duration::from_secs(690));
    world.run(update("meter", 1));
    world.advance(Duration::from_mins(10));
    assert_eq!(world.expire(), 0);
    assert!(world.device("meter").registration.is_some());
}

#[test]
fn an_expiry_row_that_was_left_over_ends_nothing() {
    let mut world = World::registered("meter");
    let operation = world.enqueue("meter", read());
    let clean = world.tables.clone();
    let left_over = [
        Expiring::Registration(endpoint("meter")),
        Expiring::Registration(endpoint("pump")),
        Expiring::Operation(endpoint("meter"), operation.sequence),
        Expiring::Operation(endpoint("meter"), 99),
        Expiring::Session(SessionCid([0; 8])),
        Expiring::Hold(endpoint("meter"), crate::world::BATTERY.into(), 1),
    ];
    for what in left_over {
        world.tables.put(Row::Expiry {
            at: world.now,
            what,
        });
    }
    assert_eq!(world.expire(), 0);
    assert_eq!(world.tables, clean);
}

#[test]
fn a_limited_expiry_takes_the_oldest_first() {
    let mut world = World::new();
    for (random, name) in ["a", "b", "c"].into_iter().enumerate() {
        world.register(name, random as u64);
        world.advance(Duration::from_secs(1));
    }
    world.advance(Duration::from_hours(1));
    assert_eq!(
        world.run(Command::ExpireUpTo { limit: 2 }),
        Outcome::Expired { rows: 2 }
    );
    assert!(world.device("b").registration.is_none());
    assert!(world.device("c").registration.is_some());
    assert_eq!(world.expire(), 1);
}

#[test]
fn a_registration_id_names_its_shard() {
    assert_eq!(id(1).as_str(), "002a0000000000000001");
    assert_eq!(registration_shard(&id(u64::MAX)), Some(SHARD));
    for foreign in ["abc", "002A0000", "_02a0000", "xyz-1234"] {
        assert_eq!(
            registration_shard(&RegistrationId::new(foreign).unwrap()),
            None
        );
    }
}

#[test]
fn a_device_that_comes_from_elsewhere_is_told_with_where_it_was() {
    let mut world = World::registered("meter");
    let home = registration("meter", 1).peer;
    let away = SocketAddr::from(([192, 0, 2, 77], 40_000));
    let moved_from = |outcome: Outcome| match outcome {
        Outcome::Registered { moved_from, .. } | Outcome::Updated { moved_from, .. } => moved_from,
        other => panic!("{other:?}"),
    };
    let from = |random: u64, peer: SocketAddr| {
        register(Registration {
            peer,
            ..registration("meter", random)
        })
    };
    assert_eq!(moved_from(world.run(from(2, away))), Some(home));
    assert_eq!(moved_from(world.run(from(3, away))), None);
    // Its Update comes from where it was first.
    assert_eq!(moved_from(world.run(update("meter", 3))), Some(away));
    assert_eq!(moved_from(world.run(update("meter", 3))), None);
}
