//! What DTLS sessions are resumed by.

use std::time::Duration;

use device_state::limit::MAX_RESUMPTION_STATE;
use device_state::{
    Command, Effect, Namespace, Outcome, Rejection, Resumption, ResumptionId, Session, SessionCid,
    SessionGeneration, ShardId, Timestamp, query,
};

use crate::world::{NODE, OTHER_NODE, World, identity, request};

const FIRST: SessionCid = SessionCid([1, 0, 42, 9, 9, 9, 9, 1]);
const SECOND: SessionCid = SessionCid([1, 0, 42, 9, 9, 9, 9, 2]);
const UNKNOWN: Outcome = Outcome::Rejected(Rejection::UnknownResumption);
const DAY: Duration = Duration::from_hours(24);

fn id(last: u8) -> ResumptionId {
    let mut id = [last; 32];
    id[..3].copy_from_slice(&[ResumptionId::FORMAT, 0, 42]);
    ResumptionId(id)
}

fn session(world: &World, cid: SessionCid) -> Box<Session> {
    Box::new(Session {
        namespace: Namespace::default(),
        cid,
        export: vec![1, 2, 3],
        identity: identity("meter"),
        peer: "192.0.2.7:5684".parse().unwrap(),
        owner: NODE,
        generation: SessionGeneration(0),
        stored_at: Timestamp(0),
        expires_at: world.now.saturating_add(Duration::from_hours(1)),
    })
}

fn resumption(world: &World, last: u8) -> Resumption {
    Resumption {
        namespace: Namespace::default(),
        id: id(last),
        state: vec![4, 5, 6],
        identity: identity("meter"),
        session: None,
        stored_at: Timestamp(0),
        expires_at: world.now.saturating_add(DAY),
    }
}

fn store(world: &mut World, cid: SessionCid, last: u8) -> Outcome {
    let session = session(world, cid);
    let resumption = Some(Box::new(resumption(world, last)));
    world.run(Command::StoreSession {
        session,
        resumption,
    })
}

fn resume(world: &mut World, cid: Option<SessionCid>) -> Outcome {
    let session = cid.map(|cid| session(world, cid));
    world.run(Command::Resume { id: id(1), session })
}

fn stored(world: &World, last: u8) -> Option<Resumption> {
    query::resumption(&world.tables, id(last))
}

fn has_session(world: &World, cid: SessionCid) -> bool {
    query::session(&world.tables, cid).is_some()
}

#[test]
fn an_id_names_its_shard() {
    assert_eq!(id(7).shard(), ShardId(42));
}

#[test]
fn a_session_is_stored_together_with_what_it_is_resumed_by() {
    let mut world = World::new();
    assert_eq!(store(&mut world, FIRST, 1), Outcome::Done);
    let row = stored(&world, 1).unwrap();
    assert_eq!((row.session, row.stored_at), (Some(FIRST), world.now));
    assert_eq!(query::counters(&world.tables).resumptions, 1);
    assert!(has_session(&world, FIRST));
}

#[test]
fn nothing_is_stored_when_either_id_is_taken() {
    let mut world = World::new();
    store(&mut world, FIRST, 1);
    let before = world.tables.clone();
    let taken = Outcome::Rejected(Rejection::ResumptionTaken);
    assert_eq!(store(&mut world, SECOND, 1), taken);
    assert_eq!(
        store(&mut world, FIRST, 2),
        Outcome::Rejected(Rejection::CidTaken)
    );
    let resumption = Box::new(resumption(&world, 1));
    assert_eq!(world.run(Command::StoreResumption { resumption }), taken);
    assert_eq!(world.tables, before);
}

#[test]
fn what_is_too_long_is_not_stored() {
    let mut world = World::new();
    let of_length = |world: &World, length| {
        let mut resumption = resumption(world, 1);
        resumption.state = vec![0; length];
        Box::new(resumption)
    };
    let session = session(&world, FIRST);
    let resumption = Some(of_length(&world, MAX_RESUMPTION_STATE + 1));
    let command = Command::StoreSession {
        session,
        resumption,
    };
    let too_long = Outcome::Rejected(Rejection::ResumptionTooLong);
    assert_eq!(world.run(command), too_long);
    assert!(world.tables.is_empty());
    let resumption = of_length(&world, MAX_RESUMPTION_STATE);
    let command = Command::StoreResumption { resumption };
    assert_eq!(world.run(command), Outcome::Done);
}

#[test]
fn a_resumed_session_takes_the_place_of_the_one_before() {
    let mut world = World::new();
    store(&mut world, FIRST, 1);
    let end = stored(&world, 1).unwrap().expires_at;
    world.run(Command::ClaimSession {
        cid: FIRST,
        owner: OTHER_NODE,
        expected: SessionGeneration(0),
    });
    world.advance(Duration::from_mins(1));
    assert_eq!(resume(&mut world, Some(SECOND)), Outcome::Done);
    assert_eq!(
        world.effects,
        [Effect::SessionRemoved {
            cid: FIRST,
            owner: OTHER_NODE
        }]
    );
    assert!(!has_session(&world, FIRST) && has_session(&world, SECOND));
    assert_eq!(query::counters(&world.tables).sessions, 1);
    let row = stored(&world, 1).unwrap();
    assert_eq!((row.session, row.expires_at), (Some(SECOND), end));
}

#[test]
fn a_session_without_a_connection_id_is_resumed_without_a_row() {
    let mut world = World::new();
    let resumption = Box::new(resumption(&world, 1));
    world.run(Command::StoreResumption { resumption });
    assert_eq!(resume(&mut world, None), Outcome::Done);
    assert_eq!(resume(&mut world, Some(FIRST)), Outcome::Done);
    assert_eq!(resume(&mut world, None), Outcome::Done);
    assert!(!has_session(&world, FIRST));
    assert_eq!(stored(&world, 1).unwrap().session, None);
}

#[test]
fn nothing_is_resumed_into_a_taken_connection_id() {
    let mut world = World::new();
    store(&mut world, FIRST, 1);
    store(&mut world, SECOND, 2);
    let before = world.tables.clone();
    let taken = Outcome::Rejected(Rejection::CidTaken);
    assert_eq!(resume(&mut world, Some(SECOND)), taken);
    assert_eq!(resume(&mut world, Some(FIRST)), taken);
    assert_eq!(world.tables, before);
}

#[test]
fn a_connection_id_that_went_to_another_device_is_left_to_it() {
    let mut world = World::new();
    store(&mut world, FIRST, 1);
    world.run(Command::RemoveSession { cid: FIRST });
    let mut session = session(&world, FIRST);
    session.identity = identity("lamp");
    world.run(Command::StoreSession {
        session,
        resumption: None,
    });
    assert_eq!(resume(&mut world, Some(SECOND)), Outcome::Done);
    assert!(has_session(&world, FIRST) && has_session(&world, SECOND));
}

#[test]
fn what_a_session_is_resumed_by_outlives_it_but_not_its_own_end() {
    let mut world = World::new();
    store(&mut world, FIRST, 1);
    world.run(Command::RemoveSession { cid: FIRST });
    assert_eq!(resume(&mut world, Some(SECOND)), Outcome::Done);
    world.advance(DAY);
    assert_eq!(resume(&mut world, None), UNKNOWN);
    assert_eq!(world.expire(), 2);
    assert_eq!(stored(&world, 1), None);
    assert_eq!(query::counters(&world.tables).resumptions, 0);
    assert_eq!(resume(&mut world, None), UNKNOWN);
}

#[test]
fn what_is_removed_cannot_be_resumed_and_its_session_goes_on() {
    let mut world = World::new();
    store(&mut world, FIRST, 1);
    let remove = Command::RemoveResumption { id: id(1) };
    assert_eq!(world.run(remove.clone()), Outcome::Done);
    assert_eq!(world.run(remove), UNKNOWN);
    assert_eq!(resume(&mut world, Some(SECOND)), UNKNOWN);
    assert!(has_session(&world, FIRST) && !has_session(&world, SECOND));
}

#[test]
fn a_retried_resumption_is_answered_as_before() {
    let mut world = World::new();
    store(&mut world, FIRST, 1);
    let session = Some(session(&world, SECOND));
    let command = Command::Resume { id: id(1), session };
    let first = world.submit(Some(request(1)), command.clone());
    assert_eq!(first.outcome, Outcome::Done);
    let before = world.tables.clone();
    assert_eq!(
        world.submit(Some(request(1)), command).outcome,
        first.outcome
    );
    assert_eq!(world.tables, before);
}
