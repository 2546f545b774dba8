//! Labels, observations, and whose device it is.

use crd::AdoptionPolicy;
use crd::desired_observation::DesiredObservation;
use lwm2m::NotificationAttributes;

use super::*;

fn labelled(mut device: Device, labels: &[(&str, &str)]) -> Device {
    let labels = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    device.metadata.labels = Some(labels.collect());
    device
}

fn with_labels(mut observed: Observed, labels: &[(&str, &str)]) -> Observed {
    let labels = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    observed.labels = labels.collect();
    observed
}

fn observing(mut device: Device, paths: &[(&str, i64)]) -> Device {
    let one = |(path, pmax): &(&str, i64)| DesiredObservation {
        path: (*path).to_owned(),
        minimum_period_seconds: None,
        maximum_period_seconds: Some(*pmax),
        greater_than: None,
        less_than: None,
        step: None,
    };
    device.spec.observations = paths.iter().map(one).collect();
    device
}

fn observation(path: &str, query: &str, declared: bool, has_others: bool) -> StoredObservation {
    StoredObservation {
        path: path.parse().unwrap(),
        parameters: NotificationAttributes::parse_query(&[query]).unwrap(),
        declared,
        has_others,
    }
}

fn with_observations(mut observed: Observed, observations: &[StoredObservation]) -> Observed {
    observed.observations = observations.to_vec();
    observed
}

#[test]
fn labels_of_the_object_become_those_of_the_device_and_others_stay() {
    let given = [
        ("site", "berlin"),
        ("app.kubernetes.io/name", "x"),
        ("k8s.io/y", "z"),
        ("drover.dev/enrollment-policy", "meters"),
    ];
    let device = labelled(managed(&[]), &given);
    let observed = with_labels(registered("U"), &[("ring", "canary"), ("site", "paris")]);
    let first = planned(&device, &observed);
    assert_eq!(sent(&first), ["site=berlin"]);
    assert_eq!(first.status.labels, ["site"]);

    let stands = with_labels(registered("U"), &[("ring", "canary"), ("site", "berlin")]);
    let device = with_status(device, &first);
    assert_eq!(sent(&planned(&device, &stands)), [""; 0]);

    let left: Vec<String> = release(&device, &stands, None).iter().map(said).collect();
    assert_eq!(left, ["site-"]);
    // Who has said the same before keeps it.
    let later = planned(&labelled(managed(&[]), &given), &stands);
    assert!(later.status.labels.is_empty());

    // One that looks like a reserved domain and is none.
    let device = labelled(device, &[("notk8s.io/a", "b")]);
    assert_eq!(sent(&planned(&device, &stands)), ["notk8s.io/a=b site-"]);
}

#[test]
fn more_labels_than_a_device_can_have_are_refused() {
    let names: Vec<String> = (0..=DeviceStatus::MAX_LABELS)
        .map(|one| format!("l{one}"))
        .collect();
    let labels: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let plan = planned(
        &labelled(managed(&["/3/0/14=+02:00"]), &labels),
        &registered("U"),
    );
    assert_eq!(sent(&plan), [""; 0]);
    assert!(message(&plan, "Accepted").starts_with("metadata.labels: "));
}

#[test]
fn observations_are_asked_for_once_changed_and_taken_back() {
    let device = observing(managed(&[]), &[("/3303/0/5700", 60), ("/3/0", 300)]);
    let first = planned(&device, &registered("U"));
    assert_eq!(sent(&first), ["+/3/0?pmax=300", "+/3303/0/5700?pmax=60"]);
    assert_eq!(first.status.observations, ["/3/0", "/3303/0/5700"]);

    let stands = with_observations(
        registered("U"),
        &[
            observation("/3/0", "pmax=300", true, false),
            observation("/3303/0/5700", "pmax=60", true, true),
        ],
    );
    let device = with_status(device, &first);
    let plan = planned(&device, &stands);
    assert_eq!(sent(&plan), [""; 0]);
    assert!(conditions(&plan).contains("Ready=True/InSync"));

    let changed = observing(device.clone(), &[("/3/0", 30)]);
    assert_eq!(
        sent(&planned(&changed, &stands)),
        ["-/3303/0/5700", "+/3/0?pmax=30"]
    );
    let left: Vec<String> = release(&device, &stands, None).iter().map(said).collect();
    assert_eq!(left, ["-/3/0", "-/3303/0/5700"]);
}

#[test]
fn an_observation_that_others_make_otherwise_is_told_and_not_asked_for() {
    let device = observing(managed(&[]), &[("/3303/0/5700", 60)]);
    let theirs = observation("/3303/0/5700", "pmax=10", false, true);
    let plan = planned(&device, &with_observations(registered("U"), &[theirs]));
    assert_eq!(sent(&plan), [""; 0]);
    assert!(conditions(&plan).contains("Ready=False/ObservedOtherwise"));
    assert!(message(&plan, "Synced").contains("/3303/0/5700"));

    // The same parameters are no hindrance: both hold it.
    let theirs = observation("/3303/0/5700", "pmax=60", false, true);
    let plan = planned(&device, &with_observations(registered("U"), &[theirs]));
    assert_eq!(sent(&plan), ["+/3303/0/5700?pmax=60"]);
}

#[test]
fn an_observation_of_others_is_not_taken_back() {
    let first = planned(&observing(managed(&[]), &[("/3/0", 300)]), &registered("U"));
    let device = with_status(managed(&[]), &first);
    let theirs = observation("/3/0", "pmax=300", false, true);
    let plan = planned(&device, &with_observations(registered("U"), &[theirs]));
    assert_eq!(sent(&plan), [""; 0]);
    assert!(plan.status.observations.is_empty());
}

#[test]
fn attributes_that_no_device_can_take_are_refused() {
    let mut device = observing(managed(&[]), &[("/3303/0/5700", 60)]);
    device.spec.observations[0].greater_than = Some("1".to_owned());
    device.spec.observations[0].less_than = Some("2".to_owned());
    let refusal = planned(&device, &registered("U"));
    assert_eq!(sent(&refusal), [""; 0]);
    assert!(message(&refusal, "Accepted").contains("lt is not below gt"));
    device.spec.observations[0].less_than = None;
    device.spec.observations[0].path = "/3303/0".to_owned();
    let refusal = planned(&device, &registered("U"));
    assert!(message(&refusal, "Accepted").contains("needs the path of a resource"));
}

#[test]
fn what_the_state_tier_refuses_is_told() {
    let device = labelled(managed(&[]), &[("site", "berlin")]);
    let observed = Observed {
        refused: Some(Refusal {
            reason: Reason::QuotaExceeded,
            message: "the state tier refused it: 64 labels".to_owned(),
        }),
        ..registered("U")
    };
    let plan = planned(&device, &observed);
    assert!(conditions(&plan).contains("Accepted=False/QuotaExceeded"));
    // Who deletes the object wants the labels gone that are there.
    assert_eq!(sent(&plan), [""; 0]);
}

#[test]
fn what_an_object_puts_there_is_claimed_before() {
    let device = labelled(managed(&[]), &[("site", "berlin")]);
    let device = observing(device, &[("/3/0", 300)]);
    let first = planned(&device, &registered("U"));
    let claimed = claim(&device, &first).unwrap();
    assert_eq!((claimed.labels.len(), claimed.observations.len()), (1, 1));
    // Nothing is there yet.
    assert!(conditions(&first).contains("Synced=False/Pending Ready=False/Applying"));
    let device = with_status(
        device,
        &Plan {
            actions: Vec::new(),
            status: claimed,
            until_deadline: None,
        },
    );
    let second = planned(&device, &registered("U"));
    assert_eq!(sent(&second), ["site=berlin", "+/3/0?pmax=300"]);
    assert_eq!(claim(&device, &second), None);

    // What goes is claimed until it is gone.
    let stands = with_labels(registered("U"), &[("site", "berlin")]);
    let renamed = observing(labelled(device, &[("place", "berlin")]), &[("/3/0", 300)]);
    let plan = planned(&renamed, &stands);
    assert_eq!(plan.status.labels, ["place"]);
    assert_eq!(claim(&renamed, &plan).unwrap().labels, ["place", "site"]);
    // Values alone are found by their generation.
    let device = managed(&["/3/0/14=+02:00"]);
    assert_eq!(claim(&device, &planned(&device, &registered("U"))), None);
}

#[test]
fn an_heir_keeps_what_it_wants() {
    let gone = observing(
        labelled(
            managed(&["/3/0/14=+02:00"]),
            &[("site", "berlin"), ("ring", "a")],
        ),
        &[("/3/0", 300), ("/1/0", 300)],
    );
    let gone = with_status(gone.clone(), &planned(&gone, &registered("U")));
    let stands = stored(registered("U"), 1, &["/3/0/14=+02:00!in-sync"]);
    let stands = with_labels(stands, &[("site", "berlin"), ("ring", "a")]);
    let stands = with_observations(
        stands,
        &[
            observation("/3/0", "pmax=300", true, false),
            observation("/1/0", "pmax=300", true, false),
        ],
    );
    let said_of = |heir: Option<&Device>| -> Vec<String> {
        let around = Surroundings::default();
        let heir = heir.map(|heir| (heir, &around));
        release(&gone, &stands, heir).iter().map(said).collect()
    };
    assert_eq!(said_of(None), ["0", "ring- site-", "-/1/0", "-/3/0"]);
    let heir = observing(
        labelled(managed(&[]), &[("site", "paris")]),
        &[("/3/0", 60)],
    );
    assert_eq!(said_of(Some(&heir)), ["0", "ring-", "-/1/0"]);
    assert_eq!(
        said_of(Some(&managed(&["/3/0/15=UTC"]))),
        ["ring- site-", "-/1/0", "-/3/0"]
    );
    // One that has no effect wants nothing.
    let mut idle = heir.clone();
    idle.spec.management_policy = ManagementPolicy::Suspended;
    assert_eq!(said_of(Some(&idle)), said_of(None));
}

#[test]
fn a_strict_object_takes_no_device_that_is_known_before_it() {
    let mut device = managed(&["/3/0/14=+02:00"]);
    device.spec.adoption_policy = AdoptionPolicy::FailIfExists;
    let known = Observed {
        is_known: true,
        ..registered("U")
    };
    let refused = planned(&device, &known);
    assert_eq!(sent(&refused), [""; 0]);
    assert!(conditions(&refused).contains("Accepted=False/AlreadyKnown"));
    assert_eq!(refused.status.registration, None);
    // It stays so, until the device is forgotten.
    let device = with_status(device, &refused);
    assert!(conditions(&planned(&device, &known)).contains("Accepted=False/AlreadyKnown"));
    let taken = planned(&device, &Observed::default());
    assert!(conditions(&taken).contains("Accepted=True/Accepted"));
    // What it has made known itself is its own.
    let device = with_status(device, &taken);
    assert!(conditions(&planned(&device, &known)).contains("Accepted=True/Accepted"));
}

#[test]
fn a_strict_object_knows_the_device_that_it_makes_known() {
    let mut device = labelled(managed(&["/3/0/14=+02:00"]), &[("site", "berlin")]);
    device.spec.adoption_policy = AdoptionPolicy::FailIfExists;
    let claimed = claim(&device, &planned(&device, &Observed::default())).unwrap();
    let device = with_status(
        device,
        &Plan {
            actions: Vec::new(),
            status: claimed,
            until_deadline: None,
        },
    );
    let half_done = Observed {
        is_known: true,
        ..Observed::default()
    };
    let plan = planned(&device, &half_done);
    assert!(conditions(&plan).contains("Accepted=True/Accepted"));
    assert_eq!(plan.actions.len(), 2);
}
