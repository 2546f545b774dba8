//! Profiles: who has which, and what that makes of a device.

use std::time::Duration;

use device_state::campaign::{Selector, Share, Sweep};
use device_state::command::{Live, Missing};
use device_state::limit::{CORRECTION_GAP, READ_BACK_GAP};
use device_state::profile::{
    Activity, Profile, ProfileObservation, ProfileRollout, ProfileState, ProfileTally,
    Requirements, Standing,
};
use device_state::selection::{Condition, DeviceTest, Pattern, TextTest};
use device_state::{
    Command, DesiredOrigin, DesiredState, DesiredValue, DriftPolicy, Etag, FeatureLevel, Goal,
    LabelKey, Namespace, OperationOutcome, Outcome, Rejection, Row, Timestamp, ValueOrigin, query,
};
use lwm2m::{NotificationAttributes, Observed, Operation, Path};

use crate::metadata::label;
use crate::world::{
    BATTERY, CONTENT, UTC_OFFSET, World, delivered, endpoint, id, identity, refused, register,
    registration, text, write,
};

const TIMEZONE: Path = Path::Resource(3, 0, 15);

/// For devices with the label `site=north`.
pub(crate) fn profile(name: &str, priority: i32, values: &[(Path, &str)]) -> Profile {
    let site = DeviceTest::Label(
        LabelKey::new("site").unwrap(),
        TextTest::Is(Pattern::Whole("north".to_owned())),
    );
    let value = |(path, value): &(Path, &str)| DesiredValue {
        path: *path,
        goal: Goal::Value(text(value)),
        drift: DriftPolicy::Enforce,
    };
    Profile {
        namespace: Namespace::default(),
        name: name.to_owned(),
        description: String::new(),
        selector: Selector {
            text: "labels.site = north".to_owned(),
            filter: Condition::Test(site),
        },
        group: String::new(),
        priority,
        activity: Activity::Active,
        requires: Requirements::default(),
        rollout: None,
        resources: values.iter().map(value).collect(),
        observations: Vec::new(),
        revision: 0,
    }
}

impl World {
    /// With drift and profiles.
    fn with_profiles() -> Self {
        let mut world = Self::new();
        world.run(Command::RaiseFeatureLevel {
            level: FeatureLevel::PROFILES,
        });
        world
    }

    /// Declares a profile and makes the shard go by it.
    pub(crate) fn put_profile(&mut self, profile: Profile) {
        let name = profile.name.clone();
        let put = Command::PutProfile {
            profile: Box::new(profile),
        };
        let outcome = self.run(put);
        assert!(matches!(outcome, Outcome::Revised { .. }), "{outcome:?}");
        let stored = query::profile(&self.tables, &Namespace::default(), &name).unwrap();
        self.install(stored, Standing::Declared);
    }

    fn remove_profile(&mut self, name: &str) {
        let namespace = Namespace::default();
        let stored = query::profile(&self.tables, &namespace, name).unwrap();
        let remove = Command::RemoveProfile {
            namespace,
            name: name.to_owned(),
        };
        assert_eq!(self.run(remove), Outcome::Done);
        self.install(stored, Standing::Removed);
    }

    fn install(&mut self, profile: Profile, standing: Standing) {
        let (namespace, name) = (profile.namespace.clone(), profile.name.clone());
        let profile = Box::new(profile);
        self.run(Command::InstallProfile { profile, standing });
        let known = |world: &Self| query::profile_part(&world.tables, &namespace, &name);
        while known(self).is_some_and(|part| !part.is_marked()) {
            let step = Command::SpreadProfile {
                namespace: namespace.clone(),
                name: name.clone(),
                limit: 2,
            };
            assert_eq!(self.run(step), Outcome::Done);
        }
    }

    /// A registered device of the site.
    fn in_the_north(&mut self, name: &str, random: u64) {
        self.register(name, random);
        self.run(label(name, &[("site", "north")], &[]));
    }

    /// Registered devices of the site, with the random numbers from 1 on.
    fn all_in_the_north(&mut self, names: &[&str]) {
        for (name, random) in names.iter().zip(1..) {
            self.in_the_north(name, random);
        }
    }

    fn tally(&self, name: &str) -> ProfileTally {
        query::profile_tally(&self.tables, &Namespace::default(), name)
    }

    /// `path=value profile` of what is desired.
    fn wanted(&self, name: &str) -> Vec<String> {
        let view = self.device(name);
        let line = |row: &device_state::DesiredResource| {
            let origin = match &row.origin {
                DesiredOrigin::Device => "device",
                DesiredOrigin::Profile(profile) => profile,
            };
            format!("{}={} {origin}", row.path, row.goal.to_text())
        };
        view.desired.iter().map(line).collect()
    }

    /// The device does what waits for it, in turn.
    fn obey(&mut self, name: &str) -> Vec<&'static str> {
        let mut done = Vec::new();
        while let Some(operation) = self.next_operation(name) {
            done.push(self.operation(name, operation).operation.name());
            self.start(name, operation);
            self.finish(name, operation, delivered());
        }
        done
    }

    fn tell(&mut self, name: &str, random: u64, path: Path, value: &str) {
        self.tell_at(name, random, (path, value), self.now);
    }

    fn tell_at(&mut self, name: &str, random: u64, (path, value): (Path, &str), at: Timestamp) {
        let outcome = self.run(Command::RecordValues {
            endpoint: endpoint(name),
            registration: id(random),
            child: None,
            origin: ValueOrigin::Notify,
            values: vec![(path, text(value), at)],
        });
        assert_eq!(outcome, Outcome::Done);
    }
}

#[test]
fn a_profile_reaches_those_that_are_there_and_those_that_come() {
    let mut world = World::with_profiles();
    world.all_in_the_north(&["a", "b", "c"]);
    world.register("south", 4);
    world.put_profile(profile("base", 100, &[(UTC_OFFSET, "+01:00")]));
    assert_eq!(world.tally("base").pending, 3);
    assert_eq!(world.wanted("a"), ["/3/0/14=+01:00 base"]);
    assert!(world.wanted("south").is_empty());
    assert_eq!(world.obey("a"), ["write"]);
    assert_eq!(
        (world.tally("base").pending, world.tally("base").in_sync),
        (2, 1)
    );
    world.in_the_north("d", 5);
    assert_eq!(world.wanted("d"), ["/3/0/14=+01:00 base"]);
    // It leaves, and what was not written yet is written no more.
    world.run(label("d", &[("site", "south")], &[]));
    assert!(world.wanted("d").is_empty());
    assert!(world.obey("d").is_empty());
    assert_eq!(world.tally("base").matched(), 3);
}

#[test]
fn only_what_changed_in_a_profile_is_written() {
    let mut world = World::with_profiles();
    world.in_the_north("a", 1);
    world.put_profile(profile(
        "base",
        100,
        &[(UTC_OFFSET, "+01:00"), (TIMEZONE, "CET")],
    ));
    assert_eq!(world.obey("a"), ["write", "write"]);
    world.put_profile(profile(
        "base",
        100,
        &[(UTC_OFFSET, "+02:00"), (TIMEZONE, "CET")],
    ));
    assert_eq!(world.obey("a"), ["write"]);
    world.put_profile(profile("base", 100, &[(TIMEZONE, "CET")]));
    assert!(world.obey("a").is_empty());
    assert_eq!(world.wanted("a"), ["/3/0/15=CET base"]);
}

#[test]
fn the_device_itself_counts_before_profiles_and_the_higher_one_before_the_lower() {
    let mut world = World::with_profiles();
    world.in_the_north("a", 1);
    world.put_profile(profile(
        "low",
        1,
        &[(UTC_OFFSET, "+01:00"), (TIMEZONE, "CET")],
    ));
    world.put_profile(profile("high", 2, &[(UTC_OFFSET, "+02:00")]));
    assert_eq!(
        world.wanted("a"),
        ["/3/0/14=+02:00 high", "/3/0/15=CET low"]
    );
    world.set_desired("a", 1, &[(UTC_OFFSET, "+03:00")]);
    assert_eq!(
        world.wanted("a"),
        ["/3/0/14=+03:00 device", "/3/0/15=CET low"]
    );
    assert_eq!(world.tally("high").superseded, 1);
    let view = world.device("a");
    let own = Etag::of_desired(Some(1), &view.desired);
    let bare: Vec<_> = view.desired.into_iter().take(1).collect();
    assert_eq!(
        own,
        Etag::of_desired(Some(1), &bare),
        "profiles are not of the set"
    );
    world.set_desired("a", 0, &[]);
    assert_eq!(
        world.wanted("a"),
        ["/3/0/14=+02:00 high", "/3/0/15=CET low"]
    );
    world.remove_profile("high");
    assert_eq!(world.wanted("a"), ["/3/0/14=+01:00 low", "/3/0/15=CET low"]);
    assert_eq!(world.tally("high"), ProfileTally::default());
}

#[test]
fn of_equals_the_name_that_comes_first_counts() {
    let mut world = World::with_profiles();
    world.in_the_north("a", 1);
    world.put_profile(profile("b", 1, &[(UTC_OFFSET, "+02:00")]));
    world.put_profile(profile("a", 1, &[(UTC_OFFSET, "+01:00")]));
    assert_eq!(world.wanted("a"), ["/3/0/14=+01:00 a"]);
}

#[test]
fn what_a_device_refused_is_tried_again_with_the_next_revision() {
    let mut world = World::with_profiles();
    world.in_the_north("a", 1);
    world.put_profile(profile("base", 1, &[(UTC_OFFSET, "+01:00")]));
    let operation = world.next_operation("a").unwrap();
    world.start("a", operation);
    world.finish("a", operation, refused());
    assert_eq!(world.tally("base").rejected, 1);
    world.register("a", 9);
    assert_eq!(world.next_operation("a"), None);
    // The same again is no change.
    world.put_profile(profile("base", 1, &[(UTC_OFFSET, "+01:00")]));
    assert_eq!(world.next_operation("a"), None);
    world.put_profile(Profile {
        description: "once more".to_owned(),
        ..profile("base", 1, &[(UTC_OFFSET, "+01:00")])
    });
    assert_eq!(world.obey("a"), ["write"]);
    assert_eq!(world.tally("base").in_sync, 1);
}

#[test]
fn a_paused_profile_changes_nothing() {
    let mut world = World::with_profiles();
    world.in_the_north("a", 1);
    world.put_profile(profile("base", 1, &[(UTC_OFFSET, "+01:00")]));
    world.obey("a");
    world.put_profile(Profile {
        activity: Activity::Paused,
        ..profile("base", 1, &[(UTC_OFFSET, "+05:00")])
    });
    world.in_the_north("late", 2);
    world.run(label("a", &[("site", "south")], &[]));
    assert_eq!(world.wanted("a"), ["/3/0/14=+01:00 base"]);
    assert!(world.wanted("late").is_empty());
    world.put_profile(profile("base", 1, &[(UTC_OFFSET, "+05:00")]));
    assert!(world.wanted("a").is_empty());
    assert_eq!(world.wanted("late"), ["/3/0/14=+05:00 base"]);
}

#[test]
fn a_device_that_lacks_what_is_required_is_told_as_unsupported() {
    let mut world = World::with_profiles();
    world.in_the_north("a", 1);
    world.put_profile(Profile {
        requires: Requirements {
            objects: vec![3303],
            version: None,
        },
        ..profile("base", 1, &[(UTC_OFFSET, "+01:00")])
    });
    assert_eq!(world.tally("base").unsupported, 1);
    assert!(world.wanted("a").is_empty());
    world.run(register(device_state::Registration {
        links: "</3/0>,</3303/0>".to_owned(),
        ..registration("a", 2)
    }));
    assert_eq!(world.wanted("a"), ["/3/0/14=+01:00 base"]);
    assert_eq!(world.tally("base").unsupported, 0);
}

#[test]
fn observations_of_a_profile_begin_and_end_with_it() {
    let mut world = World::with_profiles();
    world.in_the_north("a", 1);
    let observed = Observed::Path(BATTERY);
    world.put_profile(Profile {
        observations: vec![ProfileObservation {
            observed: observed.clone(),
            parameters: NotificationAttributes::default(),
        }],
        ..profile("watch", 1, &[])
    });
    assert_eq!(world.obey("a"), ["observe"]);
    assert_eq!(world.device("a").observations.len(), 1);
    assert_eq!(world.tally("watch").in_sync, 1);
    world.remove_profile("watch");
    assert!(world.device("a").observations.is_empty());
    // Somebody who observes it otherwise is not disturbed, and the profile tells of it.
    world.run(Command::HoldObservation {
        endpoint: endpoint("a"),
        observed: observed.clone(),
        parameters: NotificationAttributes {
            pmin: Some(1).into(),
            ..NotificationAttributes::default()
        },
        holder: 7,
        lease_until: Timestamp::NEVER,
    });
    world.put_profile(Profile {
        observations: vec![ProfileObservation {
            observed,
            parameters: NotificationAttributes::default(),
        }],
        ..profile("watch", 1, &[])
    });
    assert_eq!(world.tally("watch").rejected, 1);
}

#[test]
fn an_observation_goes_from_one_profile_to_another_that_wants_it_otherwise() {
    let mut world = World::with_profiles();
    world.in_the_north("a", 1);
    let observing = |name: &str, priority, pmin: Option<u32>| Profile {
        observations: vec![ProfileObservation {
            observed: Observed::Path(BATTERY),
            parameters: NotificationAttributes {
                pmin: pmin.into(),
                ..NotificationAttributes::default()
            },
        }],
        ..profile(name, priority, &[])
    };
    world.put_profile(observing("low", 1, None));
    // There is one observation of a path, and the higher one counts.
    world.put_profile(observing("high", 2, Some(1)));
    assert_eq!(
        (world.tally("high").in_sync, world.tally("low").rejected),
        (1, 1)
    );
    let held = &world.device("a").observations[0];
    assert_eq!(held.parameters.pmin.value(), Some(1));
    // What nobody wants is not asked for.
    assert_eq!(world.obey("a"), ["observe"]);
    world.remove_profile("high");
    assert_eq!(world.tally("low").in_sync, 1);
}

#[test]
fn an_observation_that_a_caller_lets_go_is_that_of_the_profile() {
    let mut world = World::with_profiles();
    world.in_the_north("a", 1);
    let observed = Observed::Path(BATTERY);
    let (endpoint, holder) = (endpoint("a"), 7);
    world.run(Command::HoldObservation {
        endpoint: endpoint.clone(),
        observed: observed.clone(),
        parameters: NotificationAttributes {
            pmin: Some(5).into(),
            ..NotificationAttributes::default()
        },
        holder,
        lease_until: Timestamp::NEVER,
    });
    world.put_profile(Profile {
        observations: vec![ProfileObservation {
            observed: observed.clone(),
            parameters: NotificationAttributes::default(),
        }],
        ..profile("watch", 1, &[])
    });
    assert_eq!(world.tally("watch").rejected, 1);
    world.run(Command::ReleaseObservation {
        endpoint,
        observed,
        holder,
    });
    assert_eq!(world.tally("watch").in_sync, 1);
}

#[test]
fn observations_that_come_and_go_do_not_pile_up_for_a_device_that_sleeps() {
    let mut world = World::with_profiles();
    world.in_the_north("a", 1);
    world.put_profile(Profile {
        observations: vec![ProfileObservation {
            observed: Observed::Path(BATTERY),
            parameters: NotificationAttributes::default(),
        }],
        ..profile("watch", 1, &[])
    });
    for _ in 0..9 {
        world.run(label("a", &[("site", "south")], &[]));
        world.run(label("a", &[("site", "north")], &[]));
    }
    assert_eq!(world.obey("a"), ["observe"]);
}

#[test]
fn a_device_that_was_unsupported_stays_so_while_its_profile_is_paused_and_goes_with_its_registration()
 {
    let mut world = World::with_profiles();
    world.in_the_north("a", 1);
    world.run(label("a", &[], &["site"]));
    let everybody = |activity| {
        let mut profile = profile("base", 1, &[(UTC_OFFSET, "+01:00")]);
        profile.selector.filter = Condition::everything();
        profile.requires.objects = vec![3303];
        profile.activity = activity;
        profile
    };
    world.put_profile(everybody(Activity::Active));
    world.put_profile(everybody(Activity::Paused));
    assert_eq!(world.tally("base").unsupported, 1);
    let deregister = Command::Deregister {
        namespace: Namespace::default(),
        id: id(1),
        identity: identity("a"),
    };
    world.run(deregister);
    assert_eq!(world.tally("base"), ProfileTally::default());
}

#[test]
fn a_paused_profile_leaves_the_room_that_others_need() {
    let mut world = World::with_profiles();
    world.in_the_north("a", 1);
    let low: Vec<(Path, &str)> = (0..64).map(|id| (Path::Resource(3, 0, id), "x")).collect();
    world.put_profile(profile("base", 1, &low));
    world.put_profile(Profile {
        activity: Activity::Paused,
        ..profile("base", 1, &low)
    });
    let own: Vec<(Path, &str)> = (0..256).map(|id| (Path::Resource(9, 0, id), "x")).collect();
    assert_eq!(world.set_desired("a", 1, &own), Outcome::Done);
    assert_eq!(world.device("a").desired.len(), 256);
    assert_eq!(world.set_desired("a", 0, &[]), Outcome::Done);
    assert!(world.wanted("a").iter().all(|row| row.ends_with("base")));
}

#[test]
fn a_value_that_cannot_be_read_does_not_keep_others_from_being_read() {
    let mut world = confirmed(DriftPolicy::Enforce);
    world.advance(READ_BACK_GAP);
    world.register("a", 2);
    let operation = world.next_operation("a").unwrap();
    world.start("a", operation);
    world.finish("a", operation, refused());
    world.register("a", 3);
    assert_eq!(world.next_operation("a"), None);
}

#[test]
fn a_device_that_is_deleted_has_no_profiles() {
    let mut world = World::with_profiles();
    world.in_the_north("a", 1);
    world.put_profile(profile("base", 1, &[(UTC_OFFSET, "+01:00")]));
    let forget = Command::Forget {
        endpoint: endpoint("a"),
        live: Live::Deregistered,
        missing: Missing::Refused,
    };
    assert_eq!(world.run(forget), Outcome::Done);
    assert_eq!(world.tally("base"), ProfileTally::default());
    assert!(world.device("a").is_unknown());
}

#[test]
fn an_older_revision_and_a_removal_of_what_is_not_there_change_nothing() {
    let mut world = World::with_profiles();
    world.in_the_north("a", 1);
    world.put_profile(profile("base", 1, &[(UTC_OFFSET, "+01:00")]));
    let older = query::profile(&world.tables, &Namespace::default(), "base").unwrap();
    world.put_profile(profile("base", 1, &[(UTC_OFFSET, "+02:00")]));
    world.install(older.clone(), Standing::Declared);
    assert_eq!(world.wanted("a"), ["/3/0/14=+02:00 base"]);
    let unknown = Profile {
        name: "unknown".to_owned(),
        ..older
    };
    world.install(unknown, Standing::Removed);
    let parts = query::all_profile_parts(&world.tables);
    assert_eq!(parts.len(), 1);
    let remove = Command::RemoveProfile {
        namespace: Namespace::default(),
        name: "unknown".to_owned(),
    };
    let unknown = Outcome::Rejected(Rejection::UnknownDeviceProfile);
    assert_eq!(world.run(remove), unknown);
}

#[test]
fn profiles_of_a_namespace_are_bounded() {
    let mut world = World::with_profiles();
    for number in 0..Profile::MAX_PROFILES {
        let put = Command::PutProfile {
            profile: Box::new(profile(&format!("p{number}"), 1, &[])),
        };
        let outcome = world.run(put);
        assert!(matches!(outcome, Outcome::Revised { .. }), "{outcome:?}");
    }
    let put = |name: &str| Command::PutProfile {
        profile: Box::new(profile(name, 1, &[])),
    };
    let refused = Outcome::Rejected(Rejection::TooManyDeviceProfiles);
    assert_eq!(world.run(put("more")), refused);
    let outcome = world.run(put("p0"));
    assert!(matches!(outcome, Outcome::Revised { .. }), "{outcome:?}");
}

/// A device with one desired value of this policy that it has confirmed.
fn confirmed(drift: DriftPolicy) -> World {
    let mut world = World::with_profiles();
    world.register("a", 1);
    world.run(Command::SetDesired {
        endpoint: endpoint("a"),
        generation: 1,
        resources: vec![DesiredValue {
            path: UTC_OFFSET,
            goal: Goal::Value(text("+01:00")),
            drift,
        }],
    });
    assert_eq!(world.obey("a"), ["write"]);
    world
}

#[test]
fn drift_is_corrected_once_in_a_while() {
    let mut world = confirmed(DriftPolicy::Enforce);
    world.advance(Duration::from_mins(1));
    world.tell("a", 1, UTC_OFFSET, "Z");
    assert_eq!(world.obey("a"), ["write"]);
    // A device that takes everything and does nothing is not written to for ever.
    world.advance(Duration::from_mins(1));
    world.tell("a", 1, UTC_OFFSET, "Z");
    assert!(world.obey("a").is_empty());
    let drifted = world.desired_state("a", UTC_OFFSET).unwrap();
    assert!(matches!(drifted, DesiredState::Drifted { .. }));
    world.advance(CORRECTION_GAP);
    world.tell("a", 1, UTC_OFFSET, "Z");
    assert_eq!(world.obey("a"), ["write"]);
    world.advance(Duration::from_mins(1));
    world.tell("a", 1, UTC_OFFSET, "Z");
    world.tell("a", 1, UTC_OFFSET, "+01:00");
    let restored = world.desired_state("a", UTC_OFFSET).unwrap();
    assert!(matches!(restored, DesiredState::InSync { .. }));
}

#[test]
fn what_somebody_wrote_is_drift_though_the_device_told_it_before_it_answered() {
    let mut world = confirmed(DriftPolicy::Enforce);
    world.advance(Duration::from_mins(1));
    let operation = world.enqueue("a", write("Z"));
    world.start("a", operation);
    // The notification comes first, and is committed last.
    let told_at = world.now;
    world.advance(Duration::from_millis(1));
    world.finish("a", operation, delivered());
    world.tell_at("a", 1, (UTC_OFFSET, "Z"), told_at);
    let correction = world.next_operation("a").unwrap();
    world.start("a", correction);
    world.finish("a", correction, delivered());
    let state = world.desired_state("a", UTC_OFFSET).unwrap();
    assert!(matches!(state, DesiredState::InSync { .. }));

    // Nobody writes the value that is desired for nothing.
    world.advance(Duration::from_mins(1));
    world.tell("a", 1, UTC_OFFSET, "Z");
    let operation = world.enqueue("a", write("+01:00"));
    world.start("a", operation);
    world.finish("a", operation, delivered());
    world.advance(CORRECTION_GAP);
    world.expire();
    assert!(world.obey("a").is_empty());
}

#[test]
fn what_drifted_too_soon_is_corrected_when_its_time_has_come() {
    let mut world = confirmed(DriftPolicy::Enforce);
    world.advance(Duration::from_mins(1));
    world.tell("a", 1, UTC_OFFSET, "Z");
    assert_eq!(world.obey("a"), ["write"]);
    world.advance(Duration::from_mins(1));
    world.tell("a", 1, UTC_OFFSET, "Z");
    world.advance(Duration::from_mins(58));
    world.expire();
    assert!(world.obey("a").is_empty());
    // The device says nothing more.
    world.advance(Duration::from_mins(1));
    world.expire();
    assert_eq!(world.obey("a"), ["write"]);

    world.advance(Duration::from_mins(1));
    world.register("a", 2);
    world.tell("a", 2, UTC_OFFSET, "Z");
    world.tell("a", 2, UTC_OFFSET, "+01:00");
    world.advance(CORRECTION_GAP);
    world.expire();
    assert!(world.obey("a").is_empty(), "it came right by itself");
}

#[test]
fn what_is_to_be_enforced_from_now_on_is_corrected() {
    let mut world = confirmed(DriftPolicy::Report);
    world.advance(Duration::from_mins(1));
    world.tell("a", 1, UTC_OFFSET, "Z");
    world.run(Command::SetDesired {
        endpoint: endpoint("a"),
        generation: 2,
        resources: vec![DesiredValue {
            path: UTC_OFFSET,
            goal: Goal::Value(text("+01:00")),
            drift: DriftPolicy::Enforce,
        }],
    });
    world.expire();
    assert_eq!(world.obey("a"), ["write"]);
}

#[test]
fn drift_is_only_told_if_that_is_wanted_and_not_looked_at_otherwise() {
    let mut world = confirmed(DriftPolicy::Report);
    world.advance(Duration::from_mins(1));
    world.tell("a", 1, UTC_OFFSET, "Z");
    assert!(world.obey("a").is_empty());
    let drifted = world.desired_state("a", UTC_OFFSET).unwrap();
    assert!(matches!(drifted, DesiredState::Drifted { .. }));

    let mut world = confirmed(DriftPolicy::InitOnly);
    world.advance(READ_BACK_GAP);
    world.tell("a", 1, UTC_OFFSET, "Z");
    world.register("a", 2);
    assert!(world.obey("a").is_empty());
    let state = world.desired_state("a", UTC_OFFSET).unwrap();
    assert!(matches!(state, DesiredState::InSync { .. }));
}

#[test]
fn a_device_that_comes_back_is_asked_what_it_has() {
    let mut world = confirmed(DriftPolicy::Enforce);
    world.register("a", 2);
    assert_eq!(world.next_operation("a"), None, "it said so a moment ago");
    world.advance(READ_BACK_GAP);
    world.register("a", 3);
    // Once, however often it registers.
    world.register("a", 4);
    let operation = world.next_operation("a").unwrap();
    let asked = world.operation("a", operation).operation;
    assert!(matches!(
        asked,
        Operation::Read {
            path: UTC_OFFSET,
            ..
        }
    ));
    world.start("a", operation);
    let reset = OperationOutcome::Delivered {
        code: CONTENT,
        values: vec![(UTC_OFFSET, text("Z"))],
    };
    world.finish("a", operation, reset);
    assert_eq!(world.obey("a"), ["write"]);
    assert!(
        world
            .tables
            .rows()
            .any(|row| matches!(row, Row::Desired(_)))
    );
    let state = world.desired_state("a", UTC_OFFSET).unwrap();
    assert!(matches!(state, DesiredState::InSync { .. }));
}

#[test]
fn releases_before_know_no_drift() {
    let mut world = World::new();
    world.register("a", 1);
    world.run(Command::SetDesired {
        endpoint: endpoint("a"),
        generation: 1,
        resources: vec![DesiredValue {
            path: UTC_OFFSET,
            goal: Goal::Value(text("+01:00")),
            drift: DriftPolicy::Enforce,
        }],
    });
    assert_eq!(world.device("a").desired[0].drift, DriftPolicy::InitOnly);
}

#[test]
fn devices_of_a_profile_are_listed_by_state() {
    let mut world = World::with_profiles();
    world.all_in_the_north(&["a", "b", "c"]);
    world.put_profile(profile("base", 1, &[(UTC_OFFSET, "+01:00")]));
    world.obey("b");
    let namespace = Namespace::default();
    let place = (&namespace, "base");
    let listed = |states: &[ProfileState], after: Option<&str>, examine| {
        let after = after.map(endpoint);
        let page = query::profile_devices(&world.tables, place, states, after.as_ref(), examine);
        let names = page
            .devices
            .iter()
            .map(|one| one.endpoint.stored().to_owned());
        (
            names.collect::<Vec<_>>(),
            page.next.map(|next| next.stored().to_owned()),
        )
    };
    let name = |name: &str| endpoint(name).stored().to_owned();
    assert_eq!(
        listed(&[], None, 2),
        (vec![name("a"), name("b")], Some(name("b")))
    );
    assert_eq!(listed(&[], Some("b"), 2), (vec![name("c")], None));
    assert_eq!(
        listed(&[ProfileState::InSync], None, 9),
        (vec![name("b")], None)
    );
}

/// One whose devices have their turn one after the other.
fn in_turns(profile: Profile) -> Profile {
    Profile {
        rollout: Some(ProfileRollout {
            max_concurrent: Share::Devices(1),
            failure_threshold: None,
            windows: Vec::new(),
        }),
        ..profile
    }
}

impl World {
    /// It is the turn of so many further devices.
    fn release(&mut self, name: &str, limit: u32) {
        let namespace = Namespace::default();
        let part = query::profile_part(&self.tables, &namespace, name).unwrap();
        let release = Command::ReleaseProfile {
            namespace,
            name: name.to_owned(),
            revision: part.profile.revision,
            released: part.released,
            limit,
            examine: 5,
        };
        assert_eq!(self.run(release), Outcome::Done);
    }

    fn is_spread(&self, name: &str) -> bool {
        let part = query::profile_part(&self.tables, &Namespace::default(), name);
        part.unwrap().is_spread()
    }
}

#[test]
fn devices_keep_what_they_have_until_it_is_their_turn() {
    let mut world = World::with_profiles();
    world.all_in_the_north(&["a", "b", "c"]);
    world.put_profile(profile("base", 100, &[(UTC_OFFSET, "+01:00")]));
    for name in ["a", "b", "c"] {
        assert_eq!(world.obey(name), ["write"]);
    }
    world.put_profile(in_turns(profile("base", 100, &[(UTC_OFFSET, "+02:00")])));
    assert_eq!(world.tally("base").waiting, 3);
    assert_eq!(world.wanted("b"), ["/3/0/14=+01:00 base"]);
    world.release("base", 1);
    assert_eq!(world.wanted("a"), ["/3/0/14=+02:00 base"]);
    assert_eq!(world.wanted("b"), ["/3/0/14=+01:00 base"]);
    assert_eq!(
        (world.tally("base").waiting, world.tally("base").pending),
        (2, 1)
    );
    assert_eq!(world.obey("a"), ["write"]);
    // Whatever becomes of them meanwhile.
    world.register("c", 9);
    world.run(label("c", &[("room", "1")], &[]));
    world.tell("c", 9, UTC_OFFSET, "Z");
    assert_eq!(world.obey("c"), ["write"]);
    assert_eq!(world.wanted("c"), ["/3/0/14=+01:00 base"]);
    assert_eq!(world.tally("base").waiting, 2);
    assert!(!world.is_spread("base"));
    world.release("base", 5);
    assert!(world.is_spread("base"));
    assert_eq!(world.obey("b"), ["write"]);
    assert_eq!(world.obey("c"), ["write"]);
    assert_eq!(world.tally("base").in_sync, 3);
}

#[test]
fn a_turn_is_given_once() {
    let mut world = World::with_profiles();
    world.all_in_the_north(&["a", "b", "c"]);
    world.put_profile(in_turns(profile("base", 100, &[(UTC_OFFSET, "+01:00")])));
    let part = query::profile_part(&world.tables, &Namespace::default(), "base").unwrap();
    let first = |revision| Command::ReleaseProfile {
        namespace: Namespace::default(),
        name: "base".to_owned(),
        revision,
        released: Sweep::NotBegun,
        limit: 1,
        examine: 5,
    };
    // Of another revision, and twice.
    assert_eq!(world.run(first(part.profile.revision + 1)), Outcome::Done);
    assert_eq!(world.tally("base").waiting, 3);
    assert_eq!(world.run(first(part.profile.revision)), Outcome::Done);
    assert_eq!(world.run(first(part.profile.revision)), Outcome::Done);
    assert_eq!(
        (world.tally("base").waiting, world.tally("base").pending),
        (2, 1)
    );
}

#[test]
fn nobody_has_a_turn_before_everybody_was_asked() {
    let mut world = World::with_profiles();
    world.in_the_north("a", 1);
    let declared = in_turns(profile("base", 100, &[(UTC_OFFSET, "+01:00")]));
    world.run(Command::InstallProfile {
        profile: Box::new(declared),
        standing: Standing::Declared,
    });
    world.release("base", 1);
    let step = Command::SpreadProfile {
        namespace: Namespace::default(),
        name: "base".to_owned(),
        limit: 5,
    };
    // Who had it, and who might.
    assert_eq!(world.run(step.clone()), Outcome::Done);
    world.release("base", 1);
    assert_eq!(world.run(step), Outcome::Done);
    assert_eq!(world.tally("base").waiting, 1);
    assert!(!world.is_spread("base"));
    world.release("base", 1);
    assert_eq!(world.wanted("a"), ["/3/0/14=+01:00 base"]);
}

#[test]
fn those_that_have_nothing_to_do_are_gone_through_at_once() {
    let mut world = World::with_profiles();
    world.all_in_the_north(&["a", "b", "c", "d"]);
    world.put_profile(profile("base", 100, &[(UTC_OFFSET, "+01:00")]));
    for name in ["a", "b", "d"] {
        world.obey(name);
    }
    let again = profile("base", 100, &[(UTC_OFFSET, "+01:00"), (TIMEZONE, "CET")]);
    world.put_profile(in_turns(again.clone()));
    world.release("base", 1);
    assert_eq!(world.obey("a"), ["write"]);
    // Another description, and everybody waits anew; one of them has nothing to do any more.
    world.put_profile(in_turns(Profile {
        description: "once more".to_owned(),
        ..again
    }));
    assert_eq!(world.tally("base").waiting, 4);
    world.release("base", 1);
    assert_eq!(
        (world.tally("base").in_sync, world.tally("base").pending),
        (1, 1)
    );
    assert_eq!(world.tally("base").waiting, 2);
}

#[test]
fn what_a_stopped_change_has_not_brought_yet_is_not_brought_any_more() {
    let mut world = World::with_profiles();
    world.all_in_the_north(&["a", "b"]);
    world.put_profile(profile("base", 100, &[(UTC_OFFSET, "+01:00")]));
    world.obey("a");
    world.obey("b");
    world.put_profile(in_turns(profile("base", 100, &[(UTC_OFFSET, "bad")])));
    world.release("base", 1);
    assert!(world.next_operation("a").is_some());
    world.put_profile(in_turns(profile("base", 100, &[(UTC_OFFSET, "+02:00")])));
    assert_eq!(world.tally("base").waiting, 2);
    assert!(world.obey("a").is_empty());
    world.release("base", 2);
    assert_eq!(world.wanted("a"), ["/3/0/14=+02:00 base"]);
    assert_eq!(world.obey("a"), ["write"]);
}

#[test]
fn a_pause_in_the_middle_leaves_those_that_wait_waiting() {
    let mut world = World::with_profiles();
    world.all_in_the_north(&["a", "b"]);
    let declared = in_turns(profile("base", 100, &[(UTC_OFFSET, "+01:00")]));
    world.put_profile(declared.clone());
    world.release("base", 1);
    world.put_profile(Profile {
        activity: Activity::Paused,
        ..declared.clone()
    });
    assert_eq!(
        (world.tally("base").pending, world.tally("base").waiting),
        (1, 1)
    );
    world.register("b", 9);
    assert_eq!(world.tally("base").waiting, 1);
    assert!(world.wanted("b").is_empty());
    world.put_profile(declared);
    world.release("base", 5);
    assert_eq!(world.tally("base").waiting, 0);
    assert_eq!(world.wanted("b"), ["/3/0/14=+01:00 base"]);
}

#[test]
fn one_that_waits_keeps_no_observation_from_one_that_counts_before() {
    let mut world = World::with_profiles();
    world.in_the_north("a", 1);
    let observing = |pmin: u32| ProfileObservation {
        observed: Observed::Path(BATTERY),
        parameters: NotificationAttributes {
            pmin: Some(pmin).into(),
            ..NotificationAttributes::default()
        },
    };
    let low = Profile {
        observations: vec![observing(1)],
        ..profile("low", 1, &[])
    };
    world.put_profile(low.clone());
    world.obey("a");
    world.put_profile(in_turns(low));
    assert_eq!(world.tally("low").waiting, 1);
    world.put_profile(Profile {
        observations: vec![observing(2)],
        ..profile("high", 2, &[])
    });
    assert_eq!(world.tally("high").in_sync, 1);
    assert_eq!(world.tally("low").waiting, 1);
}

#[test]
fn a_rollout_is_of_the_content_of_a_profile_and_needs_its_level() {
    let plain = profile("base", 100, &[(UTC_OFFSET, "+01:00")]);
    let careful = in_turns(plain.clone());
    assert_ne!(
        Etag::of_device_profile(&plain),
        Etag::of_device_profile(&careful)
    );
    let needs = |profile: Profile| {
        let profile = Box::new(profile);
        Command::PutProfile { profile }.needs()
    };
    assert_eq!(needs(plain), FeatureLevel::PROFILES);
    assert_eq!(needs(careful), FeatureLevel::PROFILE_ROLLOUTS);
}

#[test]
fn who_comes_or_leaves_meanwhile_waits_as_well() {
    let mut world = World::with_profiles();
    for (name, random) in [("a", 1), ("c", 3)] {
        world.in_the_north(name, random);
    }
    world.put_profile(profile("base", 100, &[(UTC_OFFSET, "+01:00")]));
    world.obey("a");
    world.obey("c");
    world.put_profile(in_turns(profile("base", 100, &[(UTC_OFFSET, "+02:00")])));
    world.release("base", 1);
    // Before the one that had its turn, and after it.
    world.in_the_north("Z", 4);
    world.in_the_north("b", 5);
    assert_eq!(world.wanted("Z"), ["/3/0/14=+02:00 base"]);
    assert!(world.wanted("b").is_empty());
    world.run(label("c", &[("site", "south")], &[]));
    assert_eq!(world.wanted("c"), ["/3/0/14=+01:00 base"]);
    assert_eq!(world.tally("base").waiting, 2);
    world.release("base", 5);
    assert_eq!(world.wanted("b"), ["/3/0/14=+02:00 base"]);
    assert!(world.wanted("c").is_empty());
    assert_eq!(world.tally("base").matched(), 3);
}

#[test]
fn a_device_that_is_not_registered_keeps_nobody_from_its_turn() {
    let mut world = World::with_profiles();
    world.in_the_north("a", 1);
    world.in_the_north("b", 2);
    world.put_profile(in_turns(profile("base", 100, &[(UTC_OFFSET, "+01:00")])));
    world.release("base", 2);
    assert_eq!(world.tally("base").pending, 2);
    world.run(Command::Deregister {
        namespace: Namespace::default(),
        id: id(1),
        identity: identity("a"),
    });
    assert_eq!(
        (
            world.tally("base").pending,
            world.tally("base").unregistered
        ),
        (1, 1)
    );
    world.register("a", 9);
    assert_eq!(
        (
            world.tally("base").pending,
            world.tally("base").unregistered
        ),
        (2, 0)
    );
    assert_eq!(world.obey("a"), ["write"]);
    assert_eq!(world.tally("base").in_sync, 1);
}

#[test]
fn a_rollout_that_is_paused_or_removed_holds_nobody_back() {
    let mut world = World::with_profiles();
    world.in_the_north("a", 1);
    world.put_profile(profile("base", 100, &[(UTC_OFFSET, "+01:00")]));
    world.obey("a");
    world.put_profile(Profile {
        activity: Activity::Paused,
        ..in_turns(profile("base", 100, &[(UTC_OFFSET, "+02:00")]))
    });
    assert!(world.is_spread("base"));
    assert_eq!(world.wanted("a"), ["/3/0/14=+01:00 base"]);
    world.put_profile(in_turns(profile("base", 100, &[(UTC_OFFSET, "+02:00")])));
    assert_eq!(world.wanted("a"), ["/3/0/14=+01:00 base"]);
    world.remove_profile("base");
    assert!(world.wanted("a").is_empty());
    assert_eq!(world.tally("base"), ProfileTally::default());
}

#[test]
fn one_that_is_refused_something_at_once_has_had_its_turn() {
    let mut world = World::with_profiles();
    let observed = Observed::Path(BATTERY);
    for (name, random) in [("a", 1), ("b", 2), ("c", 3)] {
        world.in_the_north(name, random);
        world.run(Command::HoldObservation {
            endpoint: endpoint(name),
            observed: observed.clone(),
            parameters: NotificationAttributes {
                pmin: Some(1).into(),
                ..NotificationAttributes::default()
            },
            holder: 7,
            lease_until: Timestamp::NEVER,
        });
    }
    world.put_profile(in_turns(Profile {
        observations: vec![ProfileObservation {
            observed,
            parameters: NotificationAttributes::default(),
        }],
        ..profile("base", 100, &[(UTC_OFFSET, "+01:00")])
    }));
    world.release("base", 1);
    assert_eq!(
        (world.tally("base").rejected, world.tally("base").waiting),
        (1, 2)
    );
}
