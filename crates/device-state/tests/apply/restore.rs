//! What a new cluster does not believe of the rows that it begins with.

use std::time::Duration;

use device_state::apply::restore::{SKIPPED_GENERATIONS, SKIPPED_OPERATIONS};
use device_state::{
    Command, ContextOwner, Credential, CredentialId, Event, Member, MemberPhase, Namespace,
    OperationOutcome, OperationState, Outcome, Restoration, Restored, Resumption, ResumptionId,
    Revision, Session, SessionCid, SessionGeneration, Timestamp, invariant, query,
};

use crate::world::{
    NODE, SHARD, World, endpoint, execute, identity, register, registration, write,
};

/// Restores the rows in steps of two, as a cluster would that begins with them.
fn restore(world: &mut World) -> Restored {
    world.revision += 1;
    let mut restoration = Restoration::new(SHARD, Revision(world.revision), world.now);
    while !restoration.is_done() {
        restoration.step(&mut world.tables, 2);
    }
    invariant::check(&world.tables).unwrap();
    restoration.restored()
}

fn store_session(world: &mut World, last: u8) {
    let mut id = [last; 32];
    id[..3].copy_from_slice(&[ResumptionId::FORMAT, 0, 42]);
    let session = Session {
        namespace: Namespace::default(),
        cid: SessionCid([1, 0, 42, 9, 9, 9, 9, last]),
        export: vec![1, 2, 3],
        identity: identity("meter"),
        peer: "192.0.2.7:5684".parse().unwrap(),
        owner: NODE,
        generation: SessionGeneration(3),
        stored_at: Timestamp(0),
        expires_at: world.now.saturating_add(Duration::from_hours(1)),
    };
    let resumption = Resumption {
        namespace: Namespace::default(),
        id: ResumptionId(id),
        state: vec![4, 5, 6],
        identity: identity("meter"),
        session: None,
        stored_at: Timestamp(0),
        expires_at: world.now.saturating_add(Duration::from_hours(24)),
    };
    let outcome = world.run(Command::StoreSession {
        session: Box::new(session),
        resumption: Some(Box::new(resumption)),
    });
    assert_eq!(outcome, Outcome::Done);
}

fn put_context(world: &mut World, oscore_id: &[u8]) {
    world.run(Command::PutCredential {
        credential: Credential {
            id: CredentialId::OscoreId(oscore_id.to_vec()),
            endpoint: endpoint("meter"),
            sealed_secret: vec![1],
            created_at: Timestamp(0),
            serial: 0,
        },
    });
}

fn claim(world: &mut World, oscore_id: &[u8], expected: u16) -> ContextOwner {
    let outcome = world.run(Command::ClaimContext {
        namespace: Namespace::default(),
        oscore_id: oscore_id.to_vec(),
        owner: NODE,
        expected: SessionGeneration(expected),
    });
    match outcome {
        Outcome::ContextClaimed { context } => context,
        other => panic!("{other:?}"),
    }
}

#[test]
fn sessions_and_what_they_are_resumed_by_are_gone() {
    let mut world = World::new();
    for last in 1..=5 {
        store_session(&mut world, last);
    }
    let mut registration = registration("meter", 1);
    registration.session = Some(SessionCid([1, 0, 42, 9, 9, 9, 9, 5]));
    world.run(register(registration));
    let restored = restore(&mut world);
    assert_eq!((restored.sessions, restored.resumptions), (5, 5));
    let counters = query::counters(&world.tables);
    assert_eq!((counters.sessions, counters.resumptions), (0, 0));
    assert!(query::session(&world.tables, SessionCid([1, 0, 42, 9, 9, 9, 9, 1])).is_none());
    let kept = query::registration(&world.tables, &endpoint("meter"));
    assert_eq!(kept.map(|kept| kept.session), Some(None));
}

#[test]
fn no_generation_of_an_oscore_context_comes_again() {
    let mut world = World::new();
    for id in 1..=3 {
        put_context(&mut world, &[id]);
        claim(&mut world, &[id], 0);
    }
    // Claimed after the backup, so that there is no row; and one whose credential was stored after it.
    put_context(&mut world, &[9]);
    assert_eq!(restore(&mut world).contexts, 3);
    put_context(&mut world, &[10]);
    let next = claim(&mut world, &[1], SKIPPED_GENERATIONS + 1);
    assert_eq!(next.generation.0, SKIPPED_GENERATIONS + 2);
    for id in [9, 10] {
        let first = claim(&mut world, &[id], 0);
        assert_eq!(first.generation.0, SKIPPED_GENERATIONS + 1);
    }
    restore(&mut world);
    put_context(&mut world, &[11]);
    let later = claim(&mut world, &[11], 0);
    assert_eq!(later.generation.0, 2 * SKIPPED_GENERATIONS + 1);
}

#[test]
fn what_an_owner_left_of_its_window_is_not_believed() {
    let mut world = World::new();
    put_context(&mut world, &[1]);
    let owned = claim(&mut world, &[1], 0);
    world.run(Command::ReleaseContext {
        namespace: Namespace::default(),
        oscore_id: vec![1],
        owner: NODE,
        generation: owned.generation,
        window: vec![7; 8],
    });
    restore(&mut world);
    let next = claim(&mut world, &[1], SKIPPED_GENERATIONS + 1);
    assert_eq!(next.window, Vec::<u8>::new());
}

#[test]
fn used_up_contexts_stay_so() {
    let mut world = World::new();
    put_context(&mut world, &[1]);
    claim(&mut world, &[1], 0);
    for _ in 0..10 {
        restore(&mut world);
    }
    let outcome = world.run(Command::ClaimContext {
        namespace: Namespace::default(),
        oscore_id: vec![1],
        owner: NODE,
        expected: SessionGeneration(u16::MAX),
    });
    assert!(matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
}

#[test]
fn what_happens_once_is_not_sent_again_and_the_rest_is() {
    let mut world = World::registered("meter");
    let waits = world.enqueue("meter", execute());
    let repeated = world.enqueue("meter", write("+01:00"));
    world.register("pump", 2);
    let under_way = world.enqueue("pump", execute());
    world.start("pump", under_way);
    let restored = restore(&mut world);
    assert_eq!(restored.cancelled, 1);
    let state = |world: &World, name: &str, id| {
        query::operation(&world.tables, &endpoint(name), id).map(|record| record.state)
    };
    let ended = |state| match state {
        Some(OperationState::Finished { outcome, .. }) => Some(outcome),
        _ => None,
    };
    let cancelled = Some(OperationOutcome::Cancelled);
    assert_eq!(ended(state(&world, "meter", waits)), cancelled);
    let lost = Some(OperationOutcome::Expired);
    assert_eq!(ended(state(&world, "pump", under_way)), lost);
    assert_eq!(
        state(&world, "meter", repeated),
        Some(OperationState::Pending)
    );
    let told = query::feed(
        &world.tables,
        query::FeedPosition::after(Revision(world.revision - 1)),
        10,
    );
    let query::FeedPage::Entries(told) = told else {
        panic!("{told:?}")
    };
    let told: Vec<_> = told
        .iter()
        .map(|entry| match &entry.event {
            Event::OperationFinished { operation, .. } => *operation,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [waits, under_way]);
    let next = world.enqueue("meter", write("+01:00"));
    assert!(next.sequence >= SKIPPED_OPERATIONS);
}

#[test]
fn ingress_nodes_of_the_other_cluster_are_unknown() {
    let mut world = World::new();
    let member = Member {
        namespace: Namespace::default(),
        node: NODE,
        name: "ingress".to_owned(),
        phase: MemberPhase::Ready,
        workers: vec!["192.0.2.1:7445".parse().unwrap()],
        lease_until: Timestamp(0),
    };
    world.run(Command::RenewMembership {
        member,
        lease: Duration::from_secs(10),
    });
    restore(&mut world);
    assert!(query::members(&world.tables).is_empty());
}
