#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use device_state::{EnrollmentAction, EnrollmentProof, Namespace};
use k8s_openapi::jiff::Timestamp;

use super::*;

/// What users are shown.
const EXAMPLE: &str = include_str!("../../../../examples/resources/enrollment-policy.yaml");
const SECURITY: &str = include_str!("../../../../examples/resources/security-profile-psk.yaml");

fn at(second: i64) -> Time {
    Time(Timestamp::from_second(second).unwrap())
}

fn example() -> EnrollmentPolicy {
    let mut policy: EnrollmentPolicy = serde_yaml_ng::from_str(EXAMPLE).unwrap();
    policy.metadata.uid = Some("uid-1".to_owned());
    policy.metadata.generation = Some(1);
    policy
}

fn with(change: impl FnOnce(&mut EnrollmentPolicy)) -> EnrollmentPolicy {
    let mut policy = example();
    change(&mut policy);
    policy
}

fn security() -> SecurityProfile {
    serde_yaml_ng::from_str(SECURITY).unwrap()
}

fn planned(policy: &EnrollmentPolicy, observed: &Observed) -> Plan {
    let (namespace, security) = (Namespace::default(), security());
    let around = Surroundings {
        namespace: &namespace,
        security: Some(&security),
    };
    plan(policy, &around, observed, &at(1))
}

/// As if what is to be put had been put.
fn held(policy: &EnrollmentPolicy, counts: Counts) -> Observed {
    let put = planned(policy, &Observed::default()).put.unwrap();
    Observed {
        stored: Some((put, counts)),
        refused: None,
        materialized: None,
    }
}

fn registered(admitted: u64, quarantined: u64) -> Counts {
    Counts {
        registered: EnrollmentTally {
            admitted,
            quarantined,
        },
        denied: 3,
    }
}

fn says(plan: &Plan, kind: &str) -> String {
    let mut conditions = plan.status.conditions.iter();
    let found = conditions.find(|one| one.type_ == kind).unwrap();
    format!("{}/{}", found.status, found.reason)
}

#[test]
fn a_spec_becomes_the_policy_of_its_name() {
    let plan = planned(&example(), &Observed::default());
    let put = plan.put.as_ref().unwrap();
    let policy = &put.policy;
    assert_eq!(policy.name, "meters");
    assert_eq!(policy.description, "enrollmentpolicies.drover.dev/uid-1");
    assert_eq!(policy.priority, 10);
    assert_eq!(policy.criteria.endpoint_pattern, "^urn:imei:35[0-9]{13}$");
    assert_eq!(policy.criteria.psk_identity_prefix, "acme-");
    assert_eq!(policy.action, EnrollmentAction::Admit);
    assert_eq!(policy.proof, Some(EnrollmentProof::Psk));
    assert_eq!(policy.labels.len(), 1);
    assert_eq!(policy.max_devices, Some(2_000_000));
    assert_eq!(policy.registrations_per_second, Some(500));
    assert_eq!(says(&plan, "Accepted"), "True/Accepted");
    assert_eq!(says(&plan, "Ready"), "False/Applying");
}

#[test]
fn what_stands_is_told_and_not_put_again() {
    let observed = held(&example(), registered(5, 2));
    let plan = planned(&example(), &observed);
    assert_eq!(plan.put, None);
    assert_eq!(says(&plan, "Ready"), "True/InForce");
    let status = &plan.status;
    let told = (status.admitted, status.quarantined, status.denied);
    assert_eq!(told, (Some(5), Some(2), Some(3)));
    // Nothing is written twice.
    let known = with(|policy| policy.status = Some(plan.status.clone()));
    assert_eq!(planned(&known, &observed).status_change(&known), None);
    // Nor when nothing but further devices were refused.
    let mut refused = observed;
    refused.stored.as_mut().unwrap().1.denied = 99;
    assert_eq!(planned(&known, &refused).status_change(&known), None);
}

#[test]
fn a_policy_with_as_many_devices_as_it_may_have_is_not_ready() {
    let policy = with(|policy| {
        policy.spec.limits.as_mut().unwrap().maximum_devices = Some(7);
    });
    let plan = planned(&policy, &held(&policy, registered(5, 2)));
    assert_eq!(says(&plan, "Ready"), "False/QuotaExceeded");
    let plan = planned(&policy, &held(&policy, registered(5, 1)));
    assert_eq!(says(&plan, "Ready"), "True/InForce");
}

#[test]
fn what_has_changed_replaces_what_is_there() {
    let mut observed = held(&example(), registered(0, 0));
    observed.stored.as_mut().unwrap().0.etag = "e1".to_owned();
    let changed = with(|policy| policy.spec.priority = 11);
    let put = planned(&changed, &observed).put.unwrap();
    assert_eq!((put.policy.priority, put.etag.as_str()), (11, "e1"));
}

#[test]
fn a_policy_that_people_have_made_is_left_alone() {
    let mut observed = held(&example(), registered(0, 0));
    observed.stored.as_mut().unwrap().0.policy.description = "by hand".to_owned();
    let plan = planned(&example(), &observed);
    assert_eq!(plan.put, None);
    assert_eq!(says(&plan, "Accepted"), "False/IdentityConflict");
    assert_eq!(plan.pace, Pace::Waiting);
}

#[test]
fn what_cannot_be_followed_is_told_with_its_field() {
    let no_profile = |policy: &EnrollmentPolicy| {
        let namespace = Namespace::default();
        let around = Surroundings {
            namespace: &namespace,
            security: None,
        };
        plan(policy, &around, &Observed::default(), &at(1))
    };
    let plan = no_profile(&example());
    assert_eq!(says(&plan, "Accepted"), "False/ProfileNotFound");
    assert_eq!(says(&plan, "Ready"), "False/NotAccepted");

    let of_an_authority = with(|policy| {
        policy.spec.criteria = serde_yaml_ng::from_str(
            "{certificateAuthorityRef: {kind: ConfigMap, name: ca, key: ca.crt}}",
        )
        .unwrap();
    });
    let plan = planned(&of_an_authority, &Observed::default());
    assert_eq!(says(&plan, "Accepted"), "False/Unsupported");

    let label = |policy: &mut EnrollmentPolicy| {
        policy
            .spec
            .labels
            .insert("no key!".to_owned(), "x".to_owned());
    };
    let plan = planned(&with(label), &Observed::default());
    assert_eq!(says(&plan, "Accepted"), "False/InvalidValue");

    let refused = Observed {
        refused: Some(Refusal {
            reason: Reason::InvalidPattern,
            message: "unclosed group".to_owned(),
        }),
        ..Observed::default()
    };
    let plan = planned(&example(), &refused);
    assert_eq!(says(&plan, "Accepted"), "False/InvalidPattern");
}
