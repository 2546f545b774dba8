//! Enrollment: what becomes of devices that are registered by a policy.

use std::collections::BTreeMap;
use std::time::Duration;

use device_state::campaign::Selector;
use device_state::query::{DeviceQuery, select_devices};
use device_state::selection::{Condition, DeviceTest, Pattern, TextTest};
use device_state::{
    Command, DevicePrefix, Enrollment, EnrollmentAction, EnrollmentCriteria, EnrollmentPolicy,
    EnrollmentStanding, EnrollmentTally, FeatureLevel, Group, LabelKey, LabelValue, MapChange,
    Namespace, Outcome, Profile, Registration, Rejection, query,
};

use crate::world::{World, endpoint, execute, id, identity, register, registration};

fn labels(of: &[(&str, &str)]) -> BTreeMap<LabelKey, LabelValue> {
    let label = |(key, value): &(&str, &str)| {
        (LabelKey::new(key).unwrap(), LabelValue::new(value).unwrap())
    };
    of.iter().map(label).collect()
}

fn by(policy: &str, standing: EnrollmentStanding) -> Enrollment {
    Enrollment {
        policy: policy.to_owned(),
        standing,
        labels: BTreeMap::new(),
    }
}

fn enrolled(name: &str, enrollment: Enrollment) -> Command {
    register(Registration {
        enrollment: Some(enrollment),
        ..registration(name, 1)
    })
}

fn tally(world: &World, policy: &str) -> (u64, u64) {
    let EnrollmentTally {
        admitted,
        quarantined,
    } = query::enrollment_tally(&world.tables, &Namespace::default(), policy);
    (admitted, quarantined)
}

fn policy(name: &str) -> EnrollmentPolicy {
    EnrollmentPolicy {
        namespace: Namespace::default(),
        name: name.to_owned(),
        description: String::new(),
        priority: 0,
        criteria: EnrollmentCriteria::default(),
        action: EnrollmentAction::Admit,
        proof: None,
        labels: BTreeMap::new(),
        max_devices: None,
        registrations_per_second: None,
    }
}

#[test]
fn devices_are_counted_by_the_policy_that_they_are_registered_by() {
    let mut world = World::new();
    world.run(enrolled("a", by("lab", EnrollmentStanding::Quarantined)));
    assert_eq!(tally(&world, "lab"), (0, 1));
    // It registers again, and once more by another policy.
    world.run(enrolled("a", by("lab", EnrollmentStanding::Admitted)));
    assert_eq!(tally(&world, "lab"), (1, 0));
    world.run(enrolled("a", by("lab", EnrollmentStanding::Admitted)));
    assert_eq!(tally(&world, "lab"), (1, 0));
    world.run(enrolled("a", by("all", EnrollmentStanding::Admitted)));
    assert_eq!(
        (tally(&world, "lab"), tally(&world, "all")),
        ((0, 0), (1, 0))
    );
    // None is about it any more.
    world.run(register(registration("a", 1)));
    assert_eq!(tally(&world, "all"), (0, 0));
}

#[test]
fn a_registration_that_ends_is_counted_out_however_it_ends() {
    let mut world = World::new();
    let admitted = || by("all", EnrollmentStanding::Admitted);
    world.run(enrolled("a", admitted()));
    world.run(Command::Deregister {
        namespace: Namespace::default(),
        id: id(1),
        identity: identity("a"),
    });
    assert_eq!(tally(&world, "all"), (0, 0));
    world.run(enrolled("a", admitted()));
    world.advance(Duration::from_hours(1));
    world.expire();
    assert_eq!(tally(&world, "all"), (0, 0));
    assert_eq!(query::counters(&world.tables).enrolled, 0);
}

#[test]
fn a_device_gets_the_labels_that_it_has_no_other_value_of() {
    let mut world = World::new();
    let own = labels(&[("site", "north")]);
    world.run(Command::ChangeMetadata {
        endpoint: endpoint("a"),
        labels: MapChange::Replace(own),
        annotations: MapChange::none(),
        missing: device_state::command::Missing::Allowed,
    });
    let given = Enrollment {
        labels: labels(&[("site", "south"), ("kind", "meter")]),
        ..by("all", EnrollmentStanding::Admitted)
    };
    world.run(enrolled("a", given));
    let device = world.device("a");
    let metadata = query::metadata(&world.tables, &endpoint("a")).unwrap();
    assert_eq!(
        metadata.labels,
        labels(&[("kind", "meter"), ("site", "north")])
    );
    // They are labels of the device now, not of its registration.
    let stored = device.registration.unwrap().enrollment;
    assert_eq!(stored, Some(by("all", EnrollmentStanding::Admitted)));
}

#[test]
fn what_is_for_a_device_in_quarantine_waits_until_it_is_admitted() {
    let mut world = World::new();
    world.run(enrolled("a", by("lab", EnrollmentStanding::Quarantined)));
    let operation = world.enqueue("a", execute());
    assert_eq!(world.next_operation("a"), None);
    world.run(enrolled("a", by("lab", EnrollmentStanding::Admitted)));
    assert_eq!(world.next_operation("a"), Some(operation));
}

#[test]
fn policies_are_stored_by_name_and_bounded_in_number() {
    let mut world = World::new();
    let put = |policy: EnrollmentPolicy| Command::PutEnrollmentPolicy {
        policy: Box::new(policy),
    };
    for number in 0..EnrollmentPolicy::MAX_POLICIES {
        let done = world.submit_unchecked(None, put(policy(&format!("p{number}"))));
        assert_eq!(done.outcome, Outcome::Done);
    }
    let refused = Outcome::Rejected(Rejection::TooManyEnrollmentPolicies);
    assert_eq!(world.run(put(policy("one-more"))), refused);
    let changed = EnrollmentPolicy {
        priority: 7,
        ..policy("p7")
    };
    assert_eq!(world.run(put(changed.clone())), Outcome::Done);
    let namespace = Namespace::default();
    assert_eq!(
        query::enrollment_policy(&world.tables, &namespace, "p7"),
        Some(changed)
    );
    let remove = |name: &str| Command::RemoveEnrollmentPolicy {
        namespace: Namespace::default(),
        name: name.to_owned(),
    };
    assert_eq!(world.run(remove("p7")), Outcome::Done);
    let unknown = Outcome::Rejected(Rejection::UnknownEnrollmentPolicy);
    assert_eq!(world.run(remove("p7")), unknown);
    let elsewhere = Namespace::new("acme").unwrap();
    assert!(query::enrollment_policies(&world.tables, &elsewhere).is_empty());
}

#[test]
fn replicas_of_a_release_before_are_not_told_of_policies() {
    let named = enrolled("a", by("all", EnrollmentStanding::Admitted));
    assert_eq!(named.needs(), FeatureLevel::ENROLLMENT);
    assert!(register(registration("a", 1)).needs() < FeatureLevel::ENROLLMENT);
}

#[test]
fn devices_are_listed_by_the_policy_that_they_are_registered_by() {
    let mut world = World::new();
    let registered = [
        ("a", Some(by("lab", EnrollmentStanding::Quarantined))),
        ("b", Some(by("lab", EnrollmentStanding::Admitted))),
        ("c", Some(by("all", EnrollmentStanding::Admitted))),
        ("d", None),
    ];
    for (number, (name, enrollment)) in (1..).zip(registered) {
        let done = world.run(register(Registration {
            enrollment,
            ..registration(name, number)
        }));
        assert!(matches!(done, Outcome::Registered { .. }), "{done:?}");
    }
    let listed = |test: DeviceTest| {
        let query = DeviceQuery {
            filter: &Condition::Test(test),
            prefix: &DevicePrefix::of(&Namespace::default()),
            after: None,
            limit: 10,
            examine: 10,
        };
        let page = select_devices(&world.tables, &query);
        let names = page.devices.iter().map(|device| device.endpoint.stored());
        names.collect::<Vec<_>>().join(" ")
    };
    let lab = || Pattern::Whole("lab".to_owned());
    let by_policy = |test| listed(DeviceTest::EnrollmentPolicy(test));
    assert_eq!(by_policy(TextTest::Is(lab())), "a b");
    assert_eq!(by_policy(TextTest::IsNot(lab())), "c");
    assert_eq!(listed(DeviceTest::Quarantined), "a");
}

#[test]
fn replicas_of_a_release_before_are_not_given_filters_that_they_cannot_read() {
    let selector = |filter| Selector {
        text: String::new(),
        filter,
    };
    let waiting = Condition::Test(DeviceTest::Quarantined);
    let waiting = selector(Condition::All(vec![Condition::Not(Box::new(waiting))]));
    let registered = selector(Condition::Test(DeviceTest::Registered));
    let group = |selector| Command::PutGroup {
        group: Group {
            namespace: Namespace::default(),
            name: "waiting".to_owned(),
            selector,
            description: String::new(),
        },
    };
    assert_eq!(group(registered.clone()).needs(), FeatureLevel::CAMPAIGNS);
    let put = |profile| Command::PutProfile {
        profile: Box::new(profile),
    };
    let profile = Profile {
        selector: waiting.clone(),
        ..crate::profile::profile("waiting", 1, &[])
    };
    let start = |campaign| Command::PutCampaign {
        campaign: Box::new(campaign),
    };
    let mut by_wave = crate::campaign::campaign("by-wave");
    assert!(start(by_wave.clone()).needs() < FeatureLevel::ENROLLMENT_FILTERS);
    by_wave.plan.waves[0].selector = Some(waiting.clone());
    let mut whole = crate::campaign::campaign("whole");
    whole.plan.selector = waiting.clone();
    for command in [group(waiting), put(profile), start(by_wave), start(whole)] {
        let needs = command.needs();
        assert_eq!(needs, FeatureLevel::ENROLLMENT_FILTERS, "{command:?}");
    }
}
