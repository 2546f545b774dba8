//! What is of one namespace is nothing to the others.

use device_state::query::DeviceQuery;
use device_state::selection::{Condition, DeviceFilter, DeviceTest, Pattern, TextTest};
use device_state::{
    BootstrapProfile, Command, Credential, CredentialId, CredentialName, DeviceName, DevicePrefix,
    Devices, EventFilter, Namespace, NodeId, Outcome, Rejection, SecurityIdentity,
    SessionGeneration, Timestamp, query,
};

use crate::metadata::{key, label};
use crate::world::{World, endpoint, id, identity, register, registration, write};

const ACME: &str = "\u{1f}acme\u{1f}";

fn acme() -> Namespace {
    Namespace::new("acme").unwrap()
}

/// A device of the default namespace and one of the same name in `acme`.
fn two_meters() -> World {
    let mut world = World::new();
    world.register("meter", 1);
    world.run(register(registration(&format!("{ACME}meter"), 2)));
    world
}

fn names(found: &[DeviceName]) -> Vec<String> {
    found.iter().map(|name| name.shown().to_string()).collect()
}

fn selected(world: &World, namespace: &Namespace, filter: &DeviceFilter) -> Vec<String> {
    let query = DeviceQuery {
        filter,
        prefix: &DevicePrefix::of(namespace),
        after: None,
        limit: 10,
        examine: 10,
    };
    let page = query::select_devices(&world.tables, &query);
    let found: Vec<_> = page
        .devices
        .into_iter()
        .map(|device| device.endpoint)
        .collect();
    names(&found)
}

#[test]
fn two_devices_of_one_name_do_not_meet() {
    let mut world = two_meters();
    world.enqueue("meter", write("A"));
    world.run(label(&format!("{ACME}meter"), &[("site", "north")], &[]));
    assert_eq!(world.device("meter").operations.len(), 1);
    assert_eq!(world.device("meter").metadata, None);
    let other = world.device(&format!("{ACME}meter"));
    assert!(other.operations.is_empty() && other.metadata.is_some());
    let everything = Condition::everything();
    assert_eq!(
        selected(&world, &Namespace::default(), &everything),
        ["meter"]
    );
    assert_eq!(selected(&world, &acme(), &everything), ["acme/meter"]);
    let north = TextTest::Is(Pattern::Whole("north".to_owned()));
    let north = Condition::Test(DeviceTest::Label(key("site"), north));
    assert!(selected(&world, &Namespace::default(), &north).is_empty());
    assert_eq!(selected(&world, &acme(), &north), ["acme/meter"]);
    let named = TextTest::Is(Pattern::Whole("meter".to_owned()));
    let named = Condition::Test(DeviceTest::Endpoint(named));
    assert_eq!(selected(&world, &acme(), &named), ["acme/meter"]);
    let everything = Condition::everything();
    let page = |namespace: &Namespace| {
        query::select_operations(&world.tables, namespace, &everything, None, (10, 10)).operations
    };
    assert_eq!(page(&Namespace::default()).len(), 1);
    assert!(page(&acme()).is_empty());
}

#[test]
fn a_watcher_is_told_of_the_devices_of_its_namespace() {
    let filter = |namespace: &Namespace| {
        EventFilter::everything_of(Devices::Prefix(DevicePrefix::of(namespace)))
    };
    let (ours, theirs) = (endpoint("meter"), endpoint(&format!("{ACME}meter")));
    assert!(filter(&Namespace::default()).covers(&ours));
    assert!(!filter(&Namespace::default()).covers(&theirs));
    assert!(filter(&acme()).covers(&theirs) && !filter(&acme()).covers(&ours));
    let world = two_meters();
    let present = query::list_present(&world.tables, None, &filter(&acme()), 10);
    let present: Vec<_> = present.into_iter().map(|view| view.endpoint).collect();
    assert_eq!(names(&present), ["acme/meter"]);
}

#[test]
fn the_id_of_a_registration_is_good_in_its_namespace() {
    let mut world = two_meters();
    for namespace in [acme(), Namespace::default()] {
        let outcome = world.run(Command::Deregister {
            namespace: namespace.clone(),
            id: id(1),
            identity: identity("meter"),
        });
        let is_ours = namespace.is_default();
        let unknown = Outcome::Rejected(Rejection::UnknownRegistration);
        assert_eq!(outcome == unknown, !is_ours, "{outcome:?}");
    }
}

fn credential(name: &str, secret: u8) -> Credential {
    Credential {
        id: CredentialId::OscoreId(b"dev".to_vec()),
        endpoint: endpoint(name),
        sealed_secret: vec![secret],
        created_at: Timestamp(0),
        serial: u64::from(secret),
    }
}

#[test]
fn one_id_of_a_credential_has_a_secret_in_each_namespace() {
    let mut world = World::new();
    for (name, secret) in [("meter".to_owned(), 1), (format!("{ACME}meter"), 2)] {
        let credential = credential(&name, secret);
        assert_eq!(
            world.run(Command::PutCredential { credential }),
            Outcome::Done
        );
    }
    let id = CredentialId::OscoreId(b"dev".to_vec());
    for (namespace, secret) in [(Namespace::default(), 1), (acme(), 2)] {
        let name = CredentialName::new(&namespace, id.clone());
        let found = query::credential(&world.tables, &name).unwrap();
        assert_eq!(found.sealed_secret, [secret]);
        let page = query::list_credentials(&world.tables, &namespace, None, 10);
        assert_eq!(page.credentials.len(), 1);
        let outcome = world.run(Command::ClaimContext {
            namespace: namespace.clone(),
            oscore_id: b"dev".to_vec(),
            owner: NodeId(u64::from(secret)),
            expected: SessionGeneration(0),
        });
        assert!(
            matches!(outcome, Outcome::ContextClaimed { .. }),
            "{outcome:?}"
        );
        let owner = query::context_owner(&world.tables, &namespace, b"dev").unwrap();
        assert_eq!(owner.owner, NodeId(u64::from(secret)));
    }
    let credential = CredentialName::new(&acme(), id.clone());
    world.run(Command::RemoveCredential { credential });
    let left = CredentialName::new(&Namespace::default(), id);
    assert!(query::credential(&world.tables, &left).is_some());
}

#[test]
fn profiles_are_for_devices_of_their_namespace() {
    let mut world = World::new();
    let profile = |namespace: Namespace, name: &str| BootstrapProfile {
        namespace,
        name: name.to_owned(),
        endpoint_prefix: String::new(),
        servers: Vec::new(),
        access: Vec::new(),
    };
    let profile = profile(acme(), "all");
    world.run(Command::PutBootstrapProfile { profile });
    assert_eq!(
        query::bootstrap_profile(&world.tables, &endpoint("meter")),
        None
    );
    let found = query::bootstrap_profile(&world.tables, &endpoint(&format!("{ACME}meter")));
    assert_eq!(found.unwrap().name, "all");
    let remove = |namespace: Namespace| Command::RemoveBootstrapProfile {
        namespace,
        name: "all".to_owned(),
    };
    let outcome = world.run(remove(Namespace::default()));
    assert_eq!(outcome, Outcome::Rejected(Rejection::UnknownProfile));
    assert_eq!(world.run(remove(acme())), Outcome::Done);
}

#[test]
fn somebody_without_security_takes_no_name_of_another_namespace() {
    let mut world = two_meters();
    let mut stranger = registration("meter", 3);
    stranger.identity = SecurityIdentity::Unauthenticated;
    world.run(register(stranger));
    let view = world.device(&format!("{ACME}meter"));
    assert_eq!(view.registration.unwrap().id, id(2));
}
