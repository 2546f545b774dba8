//! Lists and overviews.

use device_state::query::{self, PendingCursor};
use device_state::{
    Command, Credential, CredentialId, DeviceName, DevicePrefix, Namespace, Outcome, Timestamp,
};

use crate::world::{World, endpoint, read};

fn names(world: &World, after: Option<&str>, prefix: &str, limit: usize) -> Vec<String> {
    let after = after.map(endpoint);
    let page = query::list_devices(
        &world.tables,
        after.as_ref(),
        &DevicePrefix::new(&Namespace::default(), prefix),
        limit,
    );
    page.into_iter()
        .map(|registration| registration.endpoint.stored().to_owned())
        .collect()
}

#[test]
fn devices_are_listed_by_prefix_and_page() {
    let mut world = World::new();
    let greatest = "\u{10FFFF}".repeat(63) + "\u{FFFF}";
    for (random, name) in ["b", "a-2", "a-1", "a", &greatest, "a\u{10FFFF}"]
        .into_iter()
        .enumerate()
    {
        world.register(name, random as u64);
    }
    assert_eq!(
        names(&world, None, "", 10),
        ["a", "a-1", "a-2", "a\u{10FFFF}", "b", &greatest]
    );
    assert_eq!(names(&world, None, "a-", 10), ["a-1", "a-2"]);
    assert_eq!(names(&world, Some("a"), "a", 2), ["a-1", "a-2"]);
    assert_eq!(names(&world, Some("a-2"), "a", 2), ["a\u{10FFFF}"]);
    assert_eq!(names(&world, Some("b"), "a", 2), [""; 0]);
    assert_eq!(names(&world, Some("b"), "", 2), [&greatest[..]]);
    assert_eq!(names(&world, None, "\n", 2), [""; 0]);
    assert_eq!(names(&world, None, &greatest, 2), [&greatest[..]]);
}

#[test]
fn a_new_leader_finds_the_devices_with_pending_operations() {
    let mut world = World::new();
    for name in ["a", "b", "c"] {
        for _ in 0..3 {
            world.enqueue(name, read());
        }
    }
    let operations = world.device("b").operations;
    for record in &operations {
        world.finish("b", record.id, crate::world::delivered());
    }
    for limit in [1, 2, 3, 4, 100] {
        let mut found: Vec<DeviceName> = Vec::new();
        let mut cursor: Option<PendingCursor> = None;
        loop {
            let page = query::pending_devices(&world.tables, cursor.as_ref(), limit);
            found.extend(page.endpoints);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        found.dedup();
        assert_eq!(found, [endpoint("a"), endpoint("c")]);
    }
}

#[test]
fn credentials_are_listed_in_pages() {
    let mut world = World::new();
    let ids = [
        CredentialId::PskIdentity(vec![1]),
        CredentialId::PskIdentity(vec![1, 0]),
        CredentialId::PskIdentity(vec![255; 128]),
        CredentialId::PublicKey([255; 32]),
        CredentialId::OscoreId(Vec::new()),
        CredentialId::OscoreId(vec![255; 7]),
    ];
    for id in ids.iter().rev() {
        let id = id.clone();
        let endpoint = endpoint("meter");
        let credential = Credential {
            id,
            endpoint,
            sealed_secret: Vec::new(),
            created_at: Timestamp(0),
            serial: 0,
        };
        assert_eq!(
            world.run(Command::PutCredential { credential }),
            Outcome::Done
        );
    }
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = query::list_credentials(&world.tables, &Namespace::default(), after.as_ref(), 1);
        found.extend(page.credentials.into_iter().map(|credential| credential.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, ids);
}

#[test]
fn nothing_is_known_of_a_device_that_was_never_seen() {
    assert!(World::new().device("meter").is_unknown());
    assert!(!World::registered("meter").device("meter").is_unknown());
}
