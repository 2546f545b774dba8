//! DTLS sessions and credentials.

use std::time::Duration;

use device_state::{
    Command, ContextOwner, Credential, CredentialId, CredentialName, Effect, Namespace, NodeId,
    Outcome, Rejection, Session, SessionCid, SessionGeneration, Timestamp, query,
};

use crate::world::{NODE, OTHER_NODE, World, endpoint, identity};

const CID: SessionCid = SessionCid([1, 0, 42, 9, 9, 9, 9, 9]);

fn session(world: &World, generation: u16) -> Session {
    Session {
        namespace: Namespace::default(),
        cid: CID,
        export: vec![1, 2, 3],
        identity: identity("meter"),
        peer: "192.0.2.7:5684".parse().unwrap(),
        owner: NODE,
        generation: SessionGeneration(generation),
        stored_at: Timestamp(0),
        expires_at: world.now.saturating_add(Duration::from_hours(1)),
    }
}

fn store(world: &mut World, generation: u16) -> Outcome {
    let session = Box::new(session(world, generation));
    world.run(Command::StoreSession {
        session,
        resumption: None,
    })
}

fn claim(world: &mut World, owner: NodeId, expected: u16) -> Outcome {
    world.run(Command::ClaimSession {
        cid: CID,
        owner,
        expected: SessionGeneration(expected),
    })
}

#[test]
fn a_connection_id_is_given_once() {
    let mut world = World::new();
    assert_eq!(store(&mut world, 0), Outcome::Done);
    assert_eq!(
        query::session(&world.tables, CID).unwrap().stored_at,
        world.now
    );
    assert_eq!(store(&mut world, 0), Outcome::Rejected(Rejection::CidTaken));
    assert_eq!(query::counters(&world.tables).sessions, 1);
}

#[test]
fn one_of_two_claims_wins() {
    let mut world = World::new();
    store(&mut world, 3);
    let Outcome::Claimed { session } = claim(&mut world, OTHER_NODE, 3) else {
        panic!("not claimed")
    };
    assert_eq!(
        (session.owner, session.generation),
        (OTHER_NODE, SessionGeneration(4))
    );
    assert_eq!(
        world.effects,
        [Effect::SessionMoved {
            cid: CID,
            from: NODE,
            to: OTHER_NODE
        }]
    );
    assert_eq!(
        claim(&mut world, NodeId(3), 3),
        Outcome::Rejected(Rejection::GenerationMoved)
    );
    assert_eq!(query::session(&world.tables, CID).as_ref(), Some(&*session));
}

#[test]
fn a_session_whose_generations_are_used_up_cannot_be_claimed() {
    let mut world = World::new();
    store(&mut world, u16::MAX);
    assert_eq!(
        claim(&mut world, OTHER_NODE, u16::MAX),
        Outcome::Rejected(Rejection::UnknownSession)
    );
    assert_eq!(query::session(&world.tables, CID).unwrap().owner, NODE);
}

#[test]
fn a_session_is_removed_or_ends() {
    let mut world = World::new();
    store(&mut world, 0);
    assert_eq!(
        world.run(Command::RemoveSession { cid: CID }),
        Outcome::Done
    );
    assert_eq!(
        world.effects,
        [Effect::SessionRemoved {
            cid: CID,
            owner: NODE
        }]
    );
    let unknown = Outcome::Rejected(Rejection::UnknownSession);
    assert_eq!(world.run(Command::RemoveSession { cid: CID }), unknown);
    assert_eq!(claim(&mut world, NODE, 0), unknown);
    store(&mut world, 0);
    world.advance(Duration::from_hours(1));
    assert_eq!(world.expire(), 1);
    assert_eq!(query::session(&world.tables, CID), None);
    assert_eq!(query::counters(&world.tables).sessions, 0);
}

fn put_credential(world: &mut World, name: &str, secret: u8) -> Vec<Effect> {
    let credential = Credential {
        id: CredentialId::PskIdentity(b"meter-psk".to_vec()),
        endpoint: endpoint(name),
        sealed_secret: vec![secret],
        created_at: Timestamp(0),
        serial: 0,
    };
    let outcome = world.run(Command::PutCredential { credential });
    assert!(!matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
    world.effects.clone()
}

fn psk() -> CredentialName {
    let id = CredentialId::PskIdentity(b"meter-psk".to_vec());
    CredentialName::new(&Namespace::default(), id)
}

#[test]
fn a_credential_is_replaced_and_removed() {
    let mut world = World::new();
    let credential = psk();
    assert_eq!(put_credential(&mut world, "meter", 1), []);
    assert_eq!(put_credential(&mut world, "meter", 2), []);
    let stored = query::credential(&world.tables, &credential).unwrap();
    assert_eq!(
        (stored.sealed_secret, stored.created_at),
        (vec![2], world.now)
    );
    let remove = Command::RemoveCredential {
        credential: credential.clone(),
    };
    world.run(remove.clone());
    assert_eq!(world.effects, [Effect::CredentialRevoked { credential }]);
    assert_eq!(
        world.run(remove),
        Outcome::Rejected(Rejection::UnknownCredential)
    );
}

#[test]
fn a_credential_that_goes_to_another_endpoint_is_revoked() {
    let mut world = World::new();
    let credential = psk();
    put_credential(&mut world, "meter", 1);
    let effects = put_credential(&mut world, "lamp", 1);
    assert_eq!(effects, [Effect::CredentialRevoked { credential }]);
}

#[test]
fn an_oscore_context_has_one_owner_at_a_time_and_never_an_old_generation() {
    let mut world = World::new();
    let oscore_id = vec![7];
    let credential = Credential {
        id: CredentialId::OscoreId(oscore_id.clone()),
        endpoint: endpoint("meter"),
        sealed_secret: vec![1],
        created_at: Timestamp(0),
        serial: 0,
    };
    let put = Command::PutCredential { credential };
    let claim = |expected| Command::ClaimContext {
        namespace: Namespace::default(),
        oscore_id: oscore_id.clone(),
        owner: NODE,
        expected: SessionGeneration(expected),
    };
    let unknown = Outcome::Rejected(Rejection::UnknownCredential);
    assert_eq!(world.run(claim(0)), unknown);
    world.run(put.clone());
    let claimed = |generation| Outcome::ContextClaimed {
        context: ContextOwner {
            namespace: Namespace::default(),
            oscore_id: oscore_id.clone(),
            owner: NODE,
            generation: SessionGeneration(generation),
            window: Vec::new(),
        },
    };
    assert_eq!(world.run(claim(0)), claimed(1));
    let moved = Outcome::Rejected(Rejection::GenerationMoved);
    assert_eq!(world.run(claim(0)), moved);
    let id = CredentialId::OscoreId(oscore_id.clone());
    world.run(Command::RemoveCredential {
        credential: CredentialName::new(&Namespace::default(), id),
    });
    world.run(put);
    assert_eq!(world.run(claim(0)), moved);
    assert_eq!(world.run(claim(1)), claimed(2));
}

#[test]
fn what_an_owner_of_a_context_leaves_is_for_the_next_one_once() {
    let mut world = World::new();
    let oscore_id = vec![7];
    let credential = Credential {
        id: CredentialId::OscoreId(oscore_id.clone()),
        endpoint: endpoint("meter"),
        sealed_secret: vec![1],
        created_at: Timestamp(0),
        serial: 0,
    };
    world.run(Command::PutCredential { credential });
    let claim = |world: &mut World, owner, expected| {
        let outcome = world.run(Command::ClaimContext {
            namespace: Namespace::default(),
            oscore_id: oscore_id.clone(),
            owner,
            expected: SessionGeneration(expected),
        });
        match outcome {
            Outcome::ContextClaimed { context } => context.window,
            other => panic!("{other:?}"),
        }
    };
    let release = |owner, generation, window: &[u8]| Command::ReleaseContext {
        namespace: Namespace::default(),
        oscore_id: vec![7],
        owner,
        generation: SessionGeneration(generation),
        window: window.to_vec(),
    };
    let moved = Outcome::Rejected(Rejection::GenerationMoved);
    let other = NodeId(NODE.0 + 1);
    assert_eq!(world.run(release(NODE, 0, b"none")), moved);
    assert_eq!(claim(&mut world, NODE, 0), b"");
    assert_eq!(world.run(release(other, 1, b"not its own")), moved);
    assert_eq!(world.run(release(NODE, 1, b"first")), Outcome::Done);
    assert_eq!(claim(&mut world, other, 1), b"first");
    // Too late: the other one has accepted more.
    assert_eq!(world.run(release(NODE, 1, b"first")), moved);
    assert_eq!(claim(&mut world, NODE, 2), b"");
}
