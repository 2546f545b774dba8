//! Bootstrap profiles, and what came of bootstraps.

use device_state::{
    BootstrapProfile, BootstrapRecord, BootstrapResult, BootstrapSecurity, BootstrapServer,
    Command, Event, Namespace, Outcome, Rejection, Timestamp, query,
};

use crate::world::{World, endpoint};

fn profile(name: &str, endpoint_prefix: &str) -> BootstrapProfile {
    BootstrapProfile {
        namespace: Namespace::default(),
        name: name.to_owned(),
        endpoint_prefix: endpoint_prefix.to_owned(),
        servers: vec![BootstrapServer {
            uri: "coaps://lwm2m.example.com".to_owned(),
            short_server_id: 1,
            security: BootstrapSecurity::Psk,
            lifetime: lwm2m::Lifetime::from_secs(300),
            binding: lwm2m::Binding::UDP,
        }],
        access: Vec::new(),
    }
}

fn put(world: &mut World, profile: BootstrapProfile) -> Outcome {
    world.run(Command::PutBootstrapProfile { profile })
}

fn chosen(world: &World, name: &str) -> Option<String> {
    query::bootstrap_profile(&world.tables, &endpoint(name)).map(|profile| profile.name)
}

#[test]
fn the_profile_with_the_longest_fitting_prefix_counts() {
    let mut world = World::new();
    assert_eq!(chosen(&world, "meter-7"), None);
    for (name, prefix) in [("all", ""), ("meters", "meter-"), ("lamps", "lamp-")] {
        assert_eq!(put(&mut world, profile(name, prefix)), Outcome::Done);
    }
    assert_eq!(chosen(&world, "meter-7").as_deref(), Some("meters"));
    assert_eq!(chosen(&world, "valve-1").as_deref(), Some("all"));
    let remove = |name: &str| Command::RemoveBootstrapProfile {
        namespace: Namespace::default(),
        name: name.to_owned(),
    };
    assert_eq!(world.run(remove("meters")), Outcome::Done);
    assert_eq!(chosen(&world, "meter-7").as_deref(), Some("all"));
    assert_eq!(
        world.run(remove("meters")),
        Outcome::Rejected(Rejection::UnknownProfile)
    );
}

#[test]
fn there_are_not_too_many_profiles_and_each_can_be_replaced() {
    let mut world = World::new();
    for number in 0..BootstrapProfile::MAX_PROFILES {
        put(&mut world, profile(&format!("p{number}"), "x"));
    }
    assert_eq!(
        put(&mut world, profile("another", "x")),
        Outcome::Rejected(Rejection::TooManyProfiles)
    );
    assert_eq!(put(&mut world, profile("p0", "meter-")), Outcome::Done);
    assert_eq!(chosen(&world, "meter-7").as_deref(), Some("p0"));
}

#[test]
fn the_last_bootstrap_of_a_device_is_kept_and_told() {
    let mut world = World::new();
    let record = BootstrapRecord {
        endpoint: endpoint("meter"),
        profile: "all".to_owned(),
        outcome: BootstrapResult::Finished,
        detail: "delete /0 2.02".to_owned(),
        at: Timestamp(0),
        confirmed: vec![b"meter/1/a".to_vec()],
    };
    let command = |record| Command::RecordBootstrap { record };
    assert_eq!(world.run(command(record.clone())), Outcome::Done);
    let kept = BootstrapRecord {
        at: world.now,
        ..record.clone()
    };
    assert_eq!(world.device("meter").bootstrap, Some(kept.clone()));
    assert_eq!(world.events(), [Event::Bootstrapped { record: kept }]);
    // What it has confirmed it has until it confirms something else.
    let failed = BootstrapRecord {
        outcome: BootstrapResult::Failed,
        confirmed: vec![b"meter/1/b".to_vec()],
        ..record
    };
    world.run(command(failed));
    let shown = world.device("meter").bootstrap.unwrap();
    assert_eq!(shown.outcome, BootstrapResult::Failed);
    assert_eq!(shown.confirmed, [b"meter/1/a".to_vec()]);
}

#[test]
fn what_came_of_a_bootstrap_changes_nothing_of_a_registration() {
    let mut world = World::registered("meter");
    let before = world.device("meter").registration;
    for outcome in [BootstrapResult::Finished, BootstrapResult::Failed] {
        world.run(Command::RecordBootstrap {
            record: BootstrapRecord {
                endpoint: endpoint("meter"),
                profile: "all".to_owned(),
                outcome,
                detail: String::new(),
                at: Timestamp(0),
                confirmed: Vec::new(),
            },
        });
        assert_eq!(world.device("meter").registration, before);
    }
}
