//! Endpoints that register with security only.

use device_state::limit::MAX_ENDPOINT_CREDENTIALS;
use device_state::{
    BoundCredential, Command, Credential, CredentialId, CredentialKey, CredentialName,
    CredentialOrigin, Event, FeatureLevel, Namespace, Outcome, Rejection, SecurityIdentity,
    Timestamp, query,
};

use crate::world::{World, endpoint, register, registration};

const SECURITY_REQUIRED: Outcome = Outcome::Rejected(Rejection::SecurityRequired);

fn id(name: &str) -> CredentialId {
    CredentialId::PskIdentity(name.as_bytes().to_vec())
}

fn credential(name: &str) -> SecurityIdentity {
    SecurityIdentity::Credential(id(name))
}

fn key(credential: &str, serial: u64) -> CredentialKey {
    CredentialKey {
        id: id(credential),
        serial,
    }
}

fn stored(key: CredentialKey) -> BoundCredential {
    BoundCredential {
        key,
        origin: CredentialOrigin::Stored,
    }
}

fn bind(world: &mut World, credential: &str) -> Outcome {
    world.run(Command::BindEndpoint {
        endpoint: endpoint("meter"),
        credential: stored(key(credential, 1)),
    })
}

fn unbind_serial(world: &mut World, credential: &str, serial: u64) -> Outcome {
    world.run(Command::UnbindEndpoint {
        endpoint: endpoint("meter"),
        credential: key(credential, serial),
    })
}

fn unbind(world: &mut World, credential: &str) -> Outcome {
    unbind_serial(world, credential, 1)
}

fn register_as(world: &mut World, identity: SecurityIdentity, random: u64) -> Outcome {
    world.run(register(device_state::Registration {
        identity,
        ..registration("meter", random)
    }))
}

fn register_unsecured(world: &mut World, random: u64) -> Outcome {
    register_as(world, SecurityIdentity::Unauthenticated, random)
}

#[test]
fn an_endpoint_with_a_credential_is_not_anybodys() {
    let mut world = World::new();
    assert_eq!(bind(&mut world, "first"), Outcome::Done);
    assert_eq!(bind(&mut world, "second"), Outcome::Done);
    assert_eq!(bind(&mut world, "second"), Outcome::Done);
    assert_eq!(register_unsecured(&mut world, 1), SECURITY_REQUIRED);
    unbind(&mut world, "first");
    assert_eq!(register_unsecured(&mut world, 1), SECURITY_REQUIRED);
    assert!(world.events().is_empty());
    unbind(&mut world, "second");
    let registered = register_unsecured(&mut world, 1);
    assert!(matches!(registered, Outcome::Registered { .. }));
}

#[test]
fn a_secured_registration_is_not_replaced_by_anybody() {
    let mut world = World::new();
    let names = SecurityIdentity::CertificateNames(vec!["meter".to_owned()]);
    register_as(&mut world, names.clone(), 1);
    assert_eq!(register_unsecured(&mut world, 2), SECURITY_REQUIRED);
    let live = query::registration(&world.tables, &endpoint("meter")).unwrap();
    assert_eq!(live.identity, names);
    world.run(Command::Deregister {
        namespace: Namespace::default(),
        id: live.id,
        identity: names,
    });
    let registered = register_unsecured(&mut world, 2);
    assert!(matches!(registered, Outcome::Registered { .. }));
    // The other way round is how a device is given security.
    bind(&mut world, "meter");
    let registered = register_as(&mut world, credential("meter"), 3);
    assert!(matches!(registered, Outcome::Registered { .. }));
}

#[test]
fn what_was_registered_without_security_ends_when_there_is_some() {
    let mut world = World::new();
    register_unsecured(&mut world, 1);
    bind(&mut world, "meter");
    assert_eq!(world.device("meter").registration, None);
}

#[test]
fn a_credential_that_is_gone_registers_nothing() {
    let mut world = World::new();
    let unknown = Outcome::Rejected(Rejection::UnknownCredential);
    bind(&mut world, "meter");
    unbind(&mut world, "meter");
    assert_eq!(register_as(&mut world, credential("meter"), 1), unknown);
    bind(&mut world, "other");
    assert_eq!(register_as(&mut world, credential("meter"), 1), unknown);
}

#[test]
fn a_late_removal_leaves_a_newer_credential_alone() {
    let mut world = World::new();
    bind(&mut world, "meter");
    let again = Command::BindEndpoint {
        endpoint: endpoint("meter"),
        credential: stored(key("meter", 2)),
    };
    world.run(again);
    register_as(&mut world, credential("meter"), 1);
    unbind(&mut world, "meter");
    assert!(world.device("meter").registration.is_some());
    assert_eq!(register_unsecured(&mut world, 2), SECURITY_REQUIRED);
    unbind_serial(&mut world, "meter", 2);
    assert_eq!(world.device("meter").registration, None);
}

#[test]
fn a_registration_ends_with_its_credential() {
    let mut world = World::new();
    bind(&mut world, "meter");
    bind(&mut world, "spare");
    register_as(&mut world, credential("meter"), 1);
    unbind(&mut world, "spare");
    assert!(world.device("meter").registration.is_some());
    unbind(&mut world, "meter");
    assert_eq!(world.device("meter").registration, None);
    let last = world.events().pop();
    assert!(matches!(last, Some(Event::Deregistered { .. })), "{last:?}");
}

#[test]
fn a_credential_that_goes_tells_whose_it_was() {
    let mut world = World::new();
    let put = |world: &mut World, name: &str| {
        world.run(Command::PutCredential {
            credential: Credential {
                id: id("key"),
                endpoint: endpoint(name),
                sealed_secret: vec![1],
                created_at: Timestamp(0),
                serial: name.len() as u64,
            },
        })
    };
    let taken = |name: &str| Outcome::CredentialTaken {
        endpoint: endpoint(name),
        serial: name.len() as u64,
    };
    assert_eq!(put(&mut world, "meter"), Outcome::Done);
    assert_eq!(put(&mut world, "meter"), Outcome::Done);
    assert_eq!(put(&mut world, "lamp"), taken("meter"));
    let remove = Command::RemoveCredential {
        credential: CredentialName::new(&Namespace::default(), id("key")),
    };
    assert_eq!(world.run(remove), taken("lamp"));
}

#[test]
fn a_credential_that_is_added_is_not_taken_from_another_endpoint() {
    let mut world = World::new();
    let add = |world: &mut World, name: &str, serial| {
        let command = Command::AddCredential {
            credential: Credential {
                id: id("key"),
                endpoint: endpoint(name),
                sealed_secret: vec![1],
                created_at: Timestamp(0),
                serial,
            },
        };
        assert_eq!(command.needs(), FeatureLevel::ADDED_CREDENTIALS);
        world.run(command)
    };
    assert_eq!(add(&mut world, "meter", 1), Outcome::Done);
    assert_eq!(add(&mut world, "meter", 2), Outcome::Done);
    let taken = Outcome::Rejected(Rejection::CredentialTaken);
    assert_eq!(add(&mut world, "lamp", 3), taken);
    let name = CredentialName::new(&Namespace::default(), id("key"));
    let stored = query::credential(&world.tables, &name).unwrap();
    assert_eq!((stored.endpoint, stored.serial), (endpoint("meter"), 2));
}

#[test]
fn the_credentials_of_an_endpoint_are_bounded() {
    let mut world = World::new();
    for number in 0..MAX_ENDPOINT_CREDENTIALS {
        assert_eq!(bind(&mut world, &number.to_string()), Outcome::Done);
    }
    assert_eq!(
        bind(&mut world, "one more"),
        Outcome::Rejected(Rejection::TooManyCredentials)
    );
    assert_eq!(bind(&mut world, "0"), Outcome::Done);
}
