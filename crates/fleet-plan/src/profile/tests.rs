#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use device_state::campaign::{Share, Window};
use device_state::selection::DeviceFilter;
use k8s_openapi::jiff::Timestamp;
use serde_yaml_ng::Value;

use super::*;
use crate::secrets::Secret;

/// What users are shown.
const EXAMPLE: &str = include_str!("../../../../examples/resources/device-profile.yaml");

fn at(second: i64) -> Time {
    Time(Timestamp::from_second(second).unwrap())
}

/// The example with other fields in its spec.
fn with(fields: &str) -> DeviceProfile {
    let mut object: Value = serde_yaml_ng::from_str(EXAMPLE).unwrap();
    let fields: serde_yaml_ng::Mapping = serde_yaml_ng::from_str(fields).unwrap();
    let spec = object["spec"].as_mapping_mut().unwrap();
    for (field, value) in fields {
        if value.is_null() {
            spec.remove(&field);
        } else {
            spec.insert(field, value);
        }
    }
    let mut profile: DeviceProfile = serde_yaml_ng::from_value(object).unwrap();
    profile.metadata.uid = Some("uid-1".to_owned());
    profile.metadata.generation = Some(1);
    profile
}

/// Only the language: which fields there are is for `proto` to say.
fn read_filter(text: &str) -> Result<DeviceFilter, String> {
    filter::parse(text).map_err(|error| error.to_string())?;
    Ok(DeviceFilter::everything())
}

fn planned(profile: &DeviceProfile, observed: &Observed) -> Plan {
    plan(profile, observed, read_filter, &at(100))
}

fn stored(counts: Counts) -> Stored {
    Stored {
        name: "m200".to_owned(),
        description: "deviceprofiles.drover.dev/uid-1".to_owned(),
        etag: "e1".to_owned(),
        revision: 7,
        applied: true,
        hold: None,
        counts,
        overlaps: Vec::new(),
    }
}

/// As if it had just been put.
fn put(stored: Stored) -> Observed {
    Observed {
        stored: Some(stored),
        was_put: true,
        ..Observed::default()
    }
}

fn says(plan: &Plan, kind: &str) -> String {
    let mut conditions = plan.status.conditions.iter();
    let found = conditions.find(|one| one.type_ == kind).unwrap();
    format!("{}/{}", found.status, found.reason)
}

#[test]
fn each_field_of_the_example_is_carried_out() {
    let profile = planned(&with("{}"), &Observed::default()).put.unwrap();
    assert_eq!(profile.name, "m200");
    assert_eq!(profile.description, "deviceprofiles.drover.dev/uid-1");
    assert_eq!(profile.filter, r#"labels.model = "m200""#);
    assert_eq!((profile.priority, profile.paused), (100, false));
    let resources = profile.resources.iter();
    let resources: Vec<_> = resources
        .map(|one| (one.path.as_str(), one.text.as_str(), one.drift_policy))
        .collect();
    assert_eq!(
        resources,
        [
            ("/3/0/14", "+02:00", DriftPolicy::Enforce),
            ("/1/0/1", "86400", DriftPolicy::InitOnly)
        ]
    );
    let observations = profile.observations.iter();
    let observations: Vec<_> = observations
        .map(|one| (one.path.as_str(), one.parameters.as_str()))
        .collect();
    assert_eq!(
        observations,
        [("/3303/0/5700", "pmin=60&pmax=3600&gt=40&st=0.5")]
    );
    assert_eq!(profile.objects, [3303]);
    assert_eq!(profile.minimum_version, "1.1");
}

#[test]
fn a_rollout_is_put_as_the_state_tier_knows_it() {
    let fields = "{rollout: {maxConcurrent: 2%, failureThreshold: 3, windows: \
                  [{days: [Saturday], startTime: '22:00', endTime: '04:00', timeZone: Europe/Berlin}]}}";
    let put = planned(&with(fields), &Observed::default()).put.unwrap();
    let expected = ProfileRollout {
        max_concurrent: Share::Millionths(20_000),
        failure_threshold: Some(Share::Devices(3)),
        windows: vec![Window {
            days: 1 << 5,
            start: 22 * 60,
            end: 4 * 60,
            time_zone: "Europe/Berlin".to_owned(),
        }],
    };
    assert_eq!(put.rollout, Some(expected));
}

#[test]
fn what_holds_a_rollout_is_told_and_looked_at_now_and_then() {
    let counts = Counts {
        matched: 5,
        in_sync: 2,
        waiting: 3,
        ..Counts::default()
    };
    let held = |hold| Stored {
        applied: false,
        hold,
        ..stored(counts)
    };
    let told = |hold| planned(&with("{}"), &put(held(hold)));
    let goes_on = told(None);
    assert_eq!(says(&goes_on, "Progressing"), "True/Applying");
    assert_eq!(goes_on.pace, Pace::Running);
    let counted = &goes_on.status.conditions[1].message;
    assert!(counted.contains("3 waiting for their turn"), "{counted}");
    let outside = told(Some(Hold::Window));
    assert_eq!(says(&outside, "Progressing"), "False/OutsideWindow");
    assert_eq!(says(&outside, "Paused"), "False/NotPaused");
    assert_eq!(says(&outside, "Ready"), "False/Applying");
    assert_eq!(outside.pace, Pace::Counting);
    let stopped = told(Some(Hold::Failures));
    assert_eq!(
        says(&stopped, "Progressing"),
        "False/FailureThresholdExceeded"
    );
    assert_eq!(says(&stopped, "Paused"), "True/FailureThresholdExceeded");
    assert_eq!(stopped.status.counts.unwrap().waiting, 3);
}

#[test]
fn instances_are_put_with_the_policy_of_the_profile() {
    let fields = "{instances: [{path: /3311/0}, {path: /3311/1, state: Absent}], driftPolicy: Report, \
                  resources: [{path: /3311/0/5850, value: 'true'}]}";
    let put = planned(&with(fields), &Observed::default()).put.unwrap();
    let resources = put.resources.iter();
    let resources: Vec<_> = resources
        .map(|one| (&*one.path, &*one.text, one.presence, one.drift_policy))
        .collect();
    let report = DriftPolicy::Report;
    assert_eq!(
        resources,
        [
            ("/3311/0/5850", "1", None, report),
            ("/3311/0", "", Some(Presence::Present), report),
            ("/3311/1", "", Some(Presence::Absent), report),
        ]
    );
}

#[test]
fn a_profile_is_put_again_when_the_object_or_the_profile_changed() {
    let mut profile = with("{}");
    let first = planned(&profile, &put(stored(Counts::default())));
    assert_eq!(first.put, None);
    profile.status = Some(first.status);
    let observed = |stored| Observed {
        stored: Some(stored),
        ..Observed::default()
    };
    let same = planned(&profile, &observed(stored(Counts::default())));
    assert_eq!((&same.put, same.status_change(&profile)), (&None, None));

    // Somebody has changed it.
    let changed = Stored {
        revision: 8,
        ..stored(Counts::default())
    };
    let etag = planned(&profile, &observed(changed)).put.unwrap().etag;
    assert_eq!(etag, "e1");
    // The object was changed.
    profile.metadata.generation = Some(2);
    let plan = planned(&profile, &observed(stored(Counts::default())));
    assert!(plan.put.is_some());
    // Another object of the same name.
    profile.metadata.generation = Some(1);
    profile.metadata.uid = Some("uid-2".to_owned());
    let plan = planned(&profile, &observed(stored(Counts::default())));
    let description = plan.put.unwrap().description;
    assert_eq!(description, "deviceprofiles.drover.dev/uid-2");
}

#[test]
fn conditions_say_how_far_the_devices_are() {
    let of = |counts: Counts, spec: &str| planned(&with(spec), &put(stored(counts)));
    let all =
        |plan: &Plan| ["Progressing", "Degraded", "Paused", "Ready"].map(|one| says(plan, one));
    let in_sync = Counts {
        matched: 3,
        in_sync: 2,
        unsupported: 1,
        ..Counts::default()
    };
    let plan = of(in_sync, "{}");
    assert_eq!(
        all(&plan),
        [
            "False/InSync",
            "False/AsExpected",
            "False/NotPaused",
            "True/InSync"
        ]
    );
    assert_eq!(plan.pace, Pace::Counting);
    assert_eq!(plan.status.state_revision.as_deref(), Some("7"));
    assert_eq!(plan.status.counts.unwrap().unsupported, 1);

    let pending = Counts {
        matched: 3,
        pending: 3,
        ..Counts::default()
    };
    let plan = of(pending, "{}");
    assert_eq!(
        all(&plan),
        [
            "True/Applying",
            "False/AsExpected",
            "False/NotPaused",
            "False/Applying"
        ]
    );
    assert_eq!(plan.pace, Pace::Running);
    let plan = of(pending, "{paused: true}");
    assert_eq!(
        all(&plan),
        [
            "False/Suspended",
            "False/AsExpected",
            "True/UserPaused",
            "Unknown/Suspended"
        ]
    );
    assert_eq!(plan.pace, Pace::Counting);

    let drifted = Counts {
        matched: 1,
        drifted: 1,
        ..Counts::default()
    };
    let plan = of(drifted, "{}");
    assert_eq!(
        all(&plan),
        [
            "False/InSync",
            "True/Drifted",
            "False/NotPaused",
            "False/Drifted"
        ]
    );
}

#[test]
fn devices_that_refuse_are_named() {
    let counts = Counts {
        matched: 20,
        rejected: 20,
        ..Counts::default()
    };
    let rejected = |number| Rejected {
        endpoint: format!("meter-{number}"),
        path: "/3/0/14".to_owned(),
        coap_code: "4.05".to_owned(),
        diagnostic: String::new(),
        since: Some(at(9)),
    };
    let mut observed = put(stored(counts));
    assert!(planned(&with("{}"), &observed).wants_rejected);
    observed.rejected = (0..12).map(rejected).collect();
    let plan = planned(&with("{}"), &observed);
    assert_eq!(says(&plan, "Degraded"), "True/WriteRejected");
    assert_eq!(says(&plan, "Ready"), "False/WriteRejected");
    let samples = &plan.status.failure_samples;
    assert_eq!(samples.len(), 10);
    assert_eq!(samples[0].endpoint_name, "meter-0");
    assert_eq!(samples[0].reason, "RefusedWith405");
}

#[test]
fn other_profiles_with_the_same_paths_are_named() {
    let overlap = |wins| Overlap {
        profile: "other".to_owned(),
        path: "/3/0/14".to_owned(),
        wins,
    };
    let mut one = stored(Counts {
        matched: 2,
        superseded: 2,
        ..Counts::default()
    });
    one.overlaps = vec![overlap(true)];
    let plan = planned(&with("{}"), &put(one.clone()));
    assert_eq!(says(&plan, "Degraded"), "True/Conflicts");
    assert_eq!(plan.status.conflicts_with[0].name, "other");
    // The devices may be others.
    one.counts.superseded = 0;
    let plan = planned(&with("{}"), &put(one));
    assert_eq!(says(&plan, "Degraded"), "False/AsExpected");
    assert_eq!(plan.status.conflicts_with.len(), 1);
}

#[test]
fn a_group_is_waited_for() {
    let profile = with("{selector: null, groupRef: {name: berlin-old}}");
    let plan = planned(&profile, &Observed::default());
    assert_eq!(says(&plan, "Accepted"), "False/GroupNotFound");
    assert_eq!((plan.put, plan.pace), (None, Pace::Waiting));
    let there = Observed {
        has_group: true,
        ..Observed::default()
    };
    let put = planned(&profile, &there).put.unwrap();
    assert_eq!(
        (put.filter.as_str(), put.group.as_str()),
        ("", "berlin-old")
    );
    // No group can have that name.
    let profile = with("{selector: null, groupRef: {name: berlin.old}}");
    assert_eq!(group(&profile), None);
}

#[test]
fn what_profiles_cannot_do_is_refused_by_its_field() {
    let secret = "{resources: [{path: /3/0/14, valueFrom: {secretKeyRef: {name: a, key: b}}}]}";
    let many: Vec<String> = (0..17).map(|id| format!("{{path: /3303/{id}}}")).collect();
    let many = format!("{{observations: [{}]}}", many.join(", "));
    for (fields, reason, begin) in [
        (
            secret,
            "SecretNotFound",
            "spec.resources: /3/0/14: the Secret a, of which it takes the key b, is not there",
        ),
        (
            "{instances: [{path: /3/0}]}",
            "InvalidValue",
            "spec.instances: /3/0 cannot be declared",
        ),
        (
            "{instances: [{path: /3/1, state: Absent}]}",
            "InvalidValue",
            "spec.instances: /3/1 cannot be declared",
        ),
        (
            "{instances: [{path: /3311/0, state: Absent}], resources: [{path: /3311/0/5850, value: 'true'}]}",
            "InvalidValue",
            "spec.instances: /3311/0 is to be absent, and /3311/0/5850 below it is to have a value",
        ),
        (
            "{rollout: {windows: [{startTime: '22:00', endTime: '04:00', timeZone: Device}]}}",
            "Unsupported",
            "spec.rollout.windows[0].timeZone: ",
        ),
        (
            "{rollout: {maxConcurrent: '5 %'}}",
            "InvalidValue",
            "spec.rollout.maxConcurrent: ",
        ),
        (many.as_str(), "Unsupported", "spec.observations: "),
        (
            "{resources: [{path: /3/0/9, value: '5'}]}",
            "InvalidValue",
            "spec.resources: /3/0/9: ",
        ),
        (
            "{resources: [{path: /1/0/1, value: soon}]}",
            "InvalidValue",
            "spec.resources: /1/0/1: ",
        ),
    ] {
        let plan = planned(&with(fields), &Observed::default());
        assert_eq!(plan.put, None, "{fields}");
        assert_eq!(
            says(&plan, "Accepted"),
            format!("False/{reason}"),
            "{fields}"
        );
        let message = &plan.status.conditions[0].message;
        assert!(message.starts_with(begin), "{message}");
        let waits = reason == "SecretNotFound";
        let pace = if waits { Pace::Waiting } else { Pace::Resting };
        assert_eq!(plan.pace, pace);
        for one in &plan.status.conditions {
            crate::conditions::documented(DeviceProfile::CONDITIONS, one);
        }
    }
}

fn secrets(version: &str, value: &str) -> Secrets {
    let held = Secret::Held {
        version: version.to_owned(),
        entries: [("b".to_owned(), value.as_bytes().to_vec())].into(),
    };
    [("a".to_owned(), held)].into_iter().collect()
}

#[test]
fn a_value_of_a_secret_is_put_again_when_the_secret_is_another() {
    let mut profile =
        with("{resources: [{path: /3/0/14, valueFrom: {secretKeyRef: {name: a, key: b}}}]}");
    let mut observed = Observed {
        secrets: secrets("1", "hunter2"),
        ..put(stored(Counts::default()))
    };
    let first = planned(&profile, &observed);
    assert_eq!(first.status.secrets[0].resource_version, "1");
    assert!(!format!("{first:?}").contains("hunter2"));
    profile.status = Some(first.status);
    observed.was_put = false;
    assert_eq!(planned(&profile, &observed).put, None);
    observed.secrets = secrets("2", "hunter3");
    let again = planned(&profile, &observed);
    assert!(!format!("{again:?}").contains("hunter3"));
    assert_eq!(again.put.unwrap().resources[0].text, "hunter3");

    // A device may repeat in its refusal what it was given.
    observed.was_put = true;
    observed.rejected = vec![Rejected {
        endpoint: "meter-1".to_owned(),
        path: "/3/0/14".to_owned(),
        coap_code: "4.00".to_owned(),
        diagnostic: "hunter3 is too short".to_owned(),
        since: None,
    }];
    let told = planned(&profile, &observed);
    assert_eq!(told.status.failure_samples[0].message, None);
}

#[test]
fn a_profile_that_selects_nobody_is_checked_and_not_put() {
    let profile = with("{selector: null}");
    let plan = planned(&profile, &Observed::default());
    assert_eq!((&plan.put, &plan.delete), (&None, &None));
    assert_eq!(says(&plan, "Ready"), "True/Accepted");
    for one in &plan.status.conditions {
        crate::conditions::documented(DeviceProfile::CONDITIONS, one);
    }
    // It selected somebody before.
    let plan = planned(&profile, &put(stored(Counts::default())));
    assert_eq!(plan.delete.unwrap().etag, "e1");
    let mut by_hand = stored(Counts::default());
    by_hand.description = "by hand".to_owned();
    assert_eq!(planned(&profile, &put(by_hand)).delete, None);
    let wrong = with("{selector: null, resources: [{path: /1/0/1, value: soon}]}");
    let plan = planned(&wrong, &Observed::default());
    assert_eq!(says(&plan, "Accepted"), "False/InvalidValue");
}

#[test]
fn what_only_the_state_tier_may_know_is_for_it_to_decide() {
    let profile = with("{resources: [{path: /26241/0/1, value: '1.50'}]}");
    let put = planned(&profile, &Observed::default()).put.unwrap();
    assert_eq!(put.resources[0].text, "1.50");
    let observed = Observed {
        refused: Some(Refusal {
            reason: Reason::InvalidValue,
            message: "the resource has no type".to_owned(),
        }),
        ..Observed::default()
    };
    let plan = planned(&profile, &observed);
    assert_eq!(says(&plan, "Accepted"), "False/UnknownObjectModel");
    assert_eq!(plan.pace, Pace::Waiting);
    let plan = planned(&with("{}"), &observed);
    assert_eq!(says(&plan, "Accepted"), "False/InvalidValue");
}

#[test]
fn a_profile_that_people_have_made_is_left_alone() {
    let observed = Observed {
        stored: Some(Stored {
            description: "by hand".to_owned(),
            ..stored(Counts::default())
        }),
        ..Observed::default()
    };
    let plan = planned(&with("{}"), &observed);
    assert_eq!(plan.put, None);
    assert_eq!(says(&plan, "Accepted"), "False/IdentityConflict");
}

#[test]
fn every_condition_is_one_of_the_documented() {
    let counts = |rejected, drifted, superseded| Counts {
        matched: 5,
        rejected,
        drifted,
        superseded,
        ..Counts::default()
    };
    let mut conflicting = stored(counts(0, 0, 1));
    conflicting.overlaps = vec![Overlap {
        profile: "other".to_owned(),
        path: "/3/0/14".to_owned(),
        wins: true,
    }];
    for stored in [
        stored(counts(1, 0, 0)),
        stored(counts(0, 1, 0)),
        stored(counts(0, 0, 0)),
        conflicting,
    ] {
        for spec in ["{}", "{paused: true}"] {
            for applied in [true, false] {
                for hold in [None, Some(Hold::Window), Some(Hold::Failures)] {
                    let stored = Stored {
                        applied,
                        hold,
                        ..stored.clone()
                    };
                    for one in planned(&with(spec), &put(stored)).status.conditions {
                        crate::conditions::documented(DeviceProfile::CONDITIONS, &one);
                    }
                }
            }
        }
    }
}
