//! Requests that are sent again.

use std::time::Duration;

use device_state::limit::{DEDUP_AGE, DEDUP_BATCH, MAX_DEDUP_ROWS};
use device_state::{
    Command, CredentialId, CredentialName, Namespace, Outcome, Queueing, Rejection, RequestId,
    invariant, query,
};
use lwm2m::NotificationAttributes;

use crate::world::{BATTERY, World, endpoint, id, identity, read, register, registration, request};

#[test]
fn a_retry_gets_the_first_outcome_and_changes_nothing() {
    let mut world = World::registered("meter");
    let deadline = world.now.saturating_add(Duration::from_mins(5));
    let command = Command::Enqueue {
        endpoint: endpoint("meter"),
        operation: read(),
        deadline,
        queueing: Queueing::default(),
    };
    let first = world.submit(Some(request(1)), command.clone());
    let before = world.tables.clone();
    world.advance(Duration::from_secs(10));
    let again = world.submit(Some(request(1)), command);
    assert_eq!(again.outcome, first.outcome);
    assert_eq!(again.effects, []);
    assert_eq!(world.tables, before);
}

#[test]
fn a_refusal_stays_a_refusal() {
    let mut world = World::new();
    let deregister = Command::Deregister {
        namespace: Namespace::default(),
        id: id(1),
        identity: identity("meter"),
    };
    let refused = Outcome::Rejected(Rejection::UnknownRegistration);
    assert_eq!(
        world.submit(Some(request(1)), deregister.clone()).outcome,
        refused
    );
    world.register("meter", 1);
    assert_eq!(
        world.submit(Some(request(1)), deregister.clone()).outcome,
        refused
    );
    assert!(matches!(
        world.submit(Some(request(2)), deregister).outcome,
        Outcome::Deregistered { .. }
    ));
}

#[test]
fn a_retried_registration_hears_of_the_observations_of_now() {
    let mut world = World::new();
    let command = register(registration("meter", 1));
    world.submit(Some(request(1)), command.clone());
    let lease_until = world.now.saturating_add(Duration::from_mins(5));
    world.run(Command::HoldObservation {
        endpoint: endpoint("meter"),
        observed: BATTERY.into(),
        parameters: NotificationAttributes::default(),
        holder: 5,
        lease_until,
    });
    let Outcome::Registered { observations, .. } = world.submit(Some(request(1)), command).outcome
    else {
        panic!("not registered")
    };
    assert_eq!(observations, world.device("meter").observations);
}

#[test]
fn a_command_without_request_id_leaves_no_outcome() {
    let world = World::registered("meter");
    assert_eq!(query::counters(&world.tables).dedup_rows, 0);
}

#[test]
fn outcomes_are_bounded_in_number_and_the_oldest_go_first() {
    let mut world = World::new();
    let refused = Command::RemoveCredential {
        credential: CredentialName::new(&Namespace::default(), CredentialId::PskIdentity(vec![1])),
    };
    for sequence in 0..MAX_DEDUP_ROWS + 2 * DEDUP_BATCH {
        world.advance(Duration::from_millis(1));
        world.submit_unchecked(Some(request(sequence)), refused.clone());
    }
    invariant::check(&world.tables).unwrap();
    assert_eq!(query::counters(&world.tables).dedup_rows, MAX_DEDUP_ROWS);
    let kept = |sequence| {
        let key = device_state::RowKey::Dedup(RequestId {
            client: 7,
            sequence,
        });
        device_state::Tables::get(&world.tables, &key).is_some()
    };
    assert!(!kept(2 * DEDUP_BATCH - 1));
    assert!(kept(2 * DEDUP_BATCH));
}

#[test]
fn old_outcomes_go() {
    let mut world = World::new();
    let refused = Command::RemoveCredential {
        credential: CredentialName::new(&Namespace::default(), CredentialId::PskIdentity(vec![1])),
    };
    for sequence in 0..3 * DEDUP_BATCH {
        world.submit_unchecked(Some(request(sequence)), refused.clone());
    }
    world.advance(DEDUP_AGE + Duration::from_millis(1));
    for sequence in 3 * DEDUP_BATCH..4 * DEDUP_BATCH {
        world.submit_unchecked(Some(request(sequence)), refused.clone());
    }
    invariant::check(&world.tables).unwrap();
    assert_eq!(query::counters(&world.tables).dedup_rows, 2 * DEDUP_BATCH);
}
