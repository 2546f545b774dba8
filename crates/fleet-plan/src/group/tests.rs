#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use device_state::selection::DeviceFilter;
use k8s_openapi::jiff::Timestamp;

use super::*;

/// What users are shown.
const EXAMPLE: &str = include_str!("../../../../examples/resources/device-group.yaml");

fn at(second: i64) -> Time {
    Time(Timestamp::from_second(second).unwrap())
}

fn example() -> DeviceGroup {
    let mut group: DeviceGroup = serde_yaml_ng::from_str(EXAMPLE).unwrap();
    group.metadata.uid = Some("uid-1".to_owned());
    group.metadata.generation = Some(1);
    group
}

fn with(spec: &str) -> DeviceGroup {
    let mut group = example();
    group.spec = serde_yaml_ng::from_str(spec).unwrap();
    group
}

/// Only the language: which fields there are is for `proto` to say.
fn read_filter(text: &str) -> Result<DeviceFilter, String> {
    filter::parse(text).map_err(|error| error.to_string())?;
    Ok(DeviceFilter::everything())
}

fn planned(group: &DeviceGroup, observed: &Observed, second: i64) -> Plan {
    plan(group, observed, read_filter, &at(second))
}

/// As if what is to be put had been put.
fn held(group: &DeviceGroup, counts: Counts) -> Observed {
    let put = planned(group, &Observed::default(), 1).put.unwrap();
    Observed {
        stored: Some(put),
        counts: Some(counts),
        refused: None,
    }
}

fn counts(versions: &[(&str, u64)]) -> Counts {
    Counts {
        devices: 10,
        registered: 7,
        asleep: 2,
        versions: versions
            .iter()
            .map(|(version, devices)| ((*version).to_owned(), *devices))
            .collect(),
    }
}

fn says(plan: &Plan, kind: &str) -> String {
    let mut conditions = plan.status.conditions.iter();
    let found = conditions.find(|one| one.type_ == kind).unwrap();
    format!("{}/{}", found.status, found.reason)
}

#[test]
fn selector_and_filter_are_one_filter() {
    let plan = planned(&example(), &Observed::default(), 1);
    let put = plan.put.unwrap();
    assert_eq!(put.name, "berlin-old");
    assert_eq!(
        put.filter,
        r#"labels.model = "m200" AND (labels.site = "berlin-1" OR labels.site = "berlin-3") AND state = "REGISTERED""#
    );
    assert_eq!(put.description, "devicegroups.drover.dev/uid-1");
    assert!(!plan.is_in_force);
    assert_eq!(
        planned(&with("{selector: {}}"), &Observed::default(), 1)
            .put
            .unwrap()
            .filter,
        ""
    );
}

#[test]
fn what_was_counted_is_told_and_the_time_alone_is_no_news() {
    let mut group = example();
    let observed = held(
        &group,
        counts(&[("2.0", 5), ("other", 1), ("1.0", 1), ("", 3)]),
    );
    let first = planned(&group, &observed, 100);
    assert!(first.is_in_force && first.put.is_none());
    assert_eq!(says(&first, "Ready"), "True/Evaluated");
    let status = first.status_change(&group).unwrap().clone();
    assert_eq!((status.devices, status.registered), (Some(10), Some(7)));
    assert_eq!((status.asleep, status.unreachable), (Some(2), Some(3)));
    let versions = status.firmware_versions.iter();
    let versions: Vec<_> = versions
        .map(|one| (one.version.as_str(), one.devices))
        .collect();
    assert_eq!(versions, [("2.0", 5), ("other", 4), ("1.0", 1)]);
    assert_eq!(status.last_evaluation_time, Some(at(100)));

    group.status = Some(status);
    let again = planned(&group, &observed, 200);
    assert_eq!(again.status_change(&group), None);
    let fewer = Observed {
        counts: Some(Counts {
            registered: 6,
            ..observed.counts.clone().unwrap()
        }),
        ..observed
    };
    let changed = planned(&group, &fewer, 300);
    let status = changed.status_change(&group).unwrap();
    assert_eq!(status.last_evaluation_time, Some(at(300)));
    // Conditions have not changed.
    assert_eq!(status.conditions[0].last_transition_time, at(100));
}

#[test]
fn a_change_replaces_what_was_put_and_nothing_that_changed_meanwhile() {
    let group = example();
    let mut observed = held(&group, counts(&[]));
    observed.stored.as_mut().unwrap().etag = "e1".to_owned();
    let changed = with("{filter: state = EXPIRED}");
    let put = planned(&changed, &observed, 1).put.unwrap();
    assert_eq!(put.etag, "e1");
    // Of an object of the same name that was there before.
    let mut again = example();
    again.metadata.uid = Some("uid-2".to_owned());
    let put = planned(&again, &observed, 1).put.unwrap();
    assert_eq!(put.description, "devicegroups.drover.dev/uid-2");
}

#[test]
fn a_group_that_people_have_made_is_left_alone() {
    let observed = Observed {
        stored: Some(Stored {
            name: "berlin-old".to_owned(),
            description: "to be updated".to_owned(),
            ..Stored::default()
        }),
        ..Observed::default()
    };
    let plan = planned(&example(), &observed, 1);
    assert_eq!(plan.put, None);
    assert_eq!(says(&plan, "Accepted"), "False/IdentityConflict");
    assert_eq!(plan.pace, Pace::Waiting);
}

#[test]
fn what_cannot_be_is_refused_by_its_field() {
    let mut dotted = example();
    dotted.metadata.name = Some("berlin.old".to_owned());
    for (group, reason, begin) in [
        (with("{filter: 'a = '}"), "InvalidFilter", "spec.filter: "),
        (dotted, "InvalidValue", "metadata.name: "),
    ] {
        let plan = planned(&group, &Observed::default(), 1);
        assert_eq!(plan.put, None);
        assert_eq!(says(&plan, "Accepted"), format!("False/{reason}"));
        assert_eq!(says(&plan, "Ready"), format!("False/{reason}"));
        let message = &plan.status.conditions[0].message;
        assert!(message.starts_with(begin), "{message}");
        assert_eq!(plan.pace, Pace::Resting);
    }
}

#[test]
fn what_the_state_tier_refuses_stands_in_the_status() {
    let observed = Observed {
        refused: Some(Refusal {
            reason: Reason::QuotaExceeded,
            message: "too many groups".to_owned(),
        }),
        ..Observed::default()
    };
    let plan = planned(&example(), &observed, 1);
    assert_eq!(says(&plan, "Accepted"), "False/QuotaExceeded");
    assert_eq!((plan.put, plan.pace), (None, Pace::Waiting));
}

#[test]
fn every_condition_is_one_of_the_documented() {
    let group = example();
    let plans = [
        planned(&group, &Observed::default(), 1),
        planned(&group, &held(&group, counts(&[])), 1),
        planned(&with("{filter: 'a = '}"), &Observed::default(), 1),
    ];
    for one in plans.iter().flat_map(|plan| &plan.status.conditions) {
        crate::conditions::documented(DeviceGroup::CONDITIONS, one);
    }
}
