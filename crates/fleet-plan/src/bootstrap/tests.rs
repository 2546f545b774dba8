#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use device_state::{AccessRule, BootstrapSecurity};
use k8s_openapi::jiff::Timestamp;
use serde_yaml_ng::Value;

use super::*;

/// What users are shown.
const EXAMPLE: &str = include_str!("../../../../examples/resources/bootstrap-profile.yaml");
const SECURITY: &str = include_str!("../../../../examples/resources/security-profile-psk.yaml");
const UID: &str = "0f4a2c6e-7b1d-4c8e-9a53-1d2e3f405162";

/// The example with other fields in its spec.
fn with(fields: &str) -> BootstrapProfile {
    let mut object: Value = serde_yaml_ng::from_str(EXAMPLE).unwrap();
    let fields: serde_yaml_ng::Mapping = serde_yaml_ng::from_str(fields).unwrap();
    let spec = object["spec"].as_mapping_mut().unwrap();
    spec.extend(fields);
    let mut profile: BootstrapProfile = serde_yaml_ng::from_value(object).unwrap();
    profile.metadata.uid = Some(UID.to_owned());
    profile.metadata.generation = Some(1);
    profile
}

fn security(mode: &str) -> SecurityProfile {
    let mut profile: SecurityProfile = serde_yaml_ng::from_str(SECURITY).unwrap();
    profile.spec.mode = serde_yaml_ng::from_str(mode).unwrap();
    profile
}

fn planned_with(
    profile: &BootstrapProfile,
    security: &[SecurityProfile],
    before: Option<&str>,
    observed: &Observed,
) -> Plan {
    let around = Surroundings {
        namespace: &Namespace::new("acme").unwrap(),
        security,
        before,
    };
    let plan = plan(profile, &around, observed, &Time(Timestamp::UNIX_EPOCH));
    for one in &plan.status.conditions {
        crate::conditions::documented(BootstrapProfile::CONDITIONS, one);
    }
    plan
}

fn planned(profile: &BootstrapProfile, observed: &Observed) -> Plan {
    planned_with(profile, &[security("PSK")], None, observed)
}

fn put(plan: Plan) -> Stored {
    match plan.action {
        Some(Action::Put(stored)) => *stored,
        other => panic!("{other:?}: {:?}", plan.status.conditions),
    }
}

fn says(plan: &Plan, kind: &str) -> String {
    let mut conditions = plan.status.conditions.iter();
    let found = conditions.find(|one| one.type_ == kind).unwrap();
    format!("{}/{}", found.status, found.reason)
}

#[test]
fn each_field_of_the_example_is_carried_out() {
    let stored = put(planned(&with("{}"), &Observed::default()));
    let profile = &stored.profile;
    assert_eq!(profile.name, format!("meters-k8s-{UID}"));
    assert_eq!(profile.endpoint_prefix, "");
    let server = &profile.servers[0];
    assert_eq!(server.uri, "coaps://lwm2m.example.com:5684");
    assert_eq!(server.security, BootstrapSecurity::Psk);
    assert_eq!(server.lifetime.as_secs(), 86_400);
    assert_eq!(server.binding.to_string(), "UQ");
    assert_eq!(
        profile.access,
        [AccessRule {
            object: 3,
            instance: Some(0),
            rights: vec![(1, 0b111), (0, 0b1)],
            owner: 1,
        }]
    );
    let observed = Observed {
        stored: Some(stored),
        refused: None,
    };
    let plan = planned(&with("{}"), &observed);
    assert_eq!(plan.action, None);
    assert_eq!(says(&plan, "Ready"), "True/InForce");
}

#[test]
fn a_name_tells_who_has_made_the_profile() {
    let mut metadata = with("{}").metadata;
    metadata.name = Some("meters.of.every.model.and.make".to_owned());
    let name = name(&metadata);
    assert_eq!(name.len(), 64);
    assert_eq!(maker(&name), Some(UID));
    for by_hand in [
        "all",
        "meters-k8s-1",
        "meters-k8s-0f4a2c6e-7b1d-4c8e-9a53-1d2e3f40516X",
    ] {
        assert_eq!(maker(by_hand), None);
    }
}

#[test]
fn what_the_bootstrap_server_cannot_do_is_refused_by_its_field() {
    let account = "shortServerID: 1, uri: 'coap://a'";
    let accounts: Vec<String> = (1..=5)
        .map(|id| format!("{{shortServerID: {id}, uri: 'coap://a'}}"))
        .collect();
    let many = format!("{{servers: [{}]}}", accounts.join(", "));
    let named = format!("{{servers: [{{{account}, securityProfileRef: {{name: other}}}}]}}");
    for (fields, reason, begin) in [
        (
            "{selector: {matchLabels: {a: b}}}",
            "Unsupported",
            "spec.selector: ",
        ),
        ("{priority: 3}", "Unsupported", "spec.priority: "),
        ("{deleteAll: true}", "Unsupported", "spec.deleteAll: "),
        (many.as_str(), "Unsupported", "spec.servers: "),
        (
            named.as_str(),
            "ProfileNotFound",
            "spec.servers[0].securityProfileRef: there is no SecurityProfile other",
        ),
        (
            "{servers: [{shortServerID: 1, uri: 'coaps://a'}], acl: []}",
            "InvalidValue",
            "spec.servers[0].securityProfileRef: is missing",
        ),
    ] {
        let plan = planned(&with(fields), &Observed::default());
        assert_eq!(plan.action, None, "{fields}");
        assert_eq!(
            says(&plan, "Accepted"),
            format!("False/{reason}"),
            "{fields}"
        );
        assert_eq!(says(&plan, "Ready"), "False/NotAccepted");
        let message = &plan.status.conditions[0].message;
        assert!(message.starts_with(begin), "{message}");
    }
    // Every device of the namespace.
    put(planned(&with("{selector: {}}"), &Observed::default()));
}

#[test]
fn a_security_profile_says_how_devices_are_known() {
    let of = |mode: &str| planned_with(&with("{}"), &[security(mode)], None, &Observed::default());
    let stored = put(of("OSCORE"));
    assert_eq!(
        stored.profile.servers[0].security,
        BootstrapSecurity::Oscore
    );
    let plan = of("RawPublicKey");
    assert_eq!(says(&plan, "Accepted"), "False/Unsupported");
    let message = &plan.status.conditions[0].message;
    let begin =
        "spec.servers[0].securityProfileRef: the SecurityProfile psk: spec.mode: RawPublicKey: ";
    assert!(message.starts_with(begin), "{message}");
    let plan = planned_with(&with("{}"), &[], None, &Observed::default());
    assert_eq!(says(&plan, "Accepted"), "False/ProfileNotFound");
    assert_eq!(plan.pace, Pace::Waiting);
}

#[test]
fn the_first_name_counts_and_others_have_nothing() {
    let observed = Observed {
        stored: Some(put(planned(&with("{}"), &Observed::default()))),
        refused: None,
    };
    let security = [security("PSK")];
    let plan = planned_with(&with("{}"), &security, Some("all"), &observed);
    assert!(matches!(plan.action, Some(Action::Delete(_))));
    assert_eq!(says(&plan, "Accepted"), "False/IdentityConflict");
    let plan = planned_with(&with("{}"), &security, Some("all"), &Observed::default());
    assert_eq!((plan.action, plan.pace), (None, Pace::Waiting));
}

#[test]
fn what_the_state_tier_refuses_stands_in_the_status() {
    let observed = Observed {
        stored: None,
        refused: Some(Refusal {
            reason: Reason::InvalidValue,
            message: "not like this".to_owned(),
        }),
    };
    let plan = planned(&with("{}"), &observed);
    assert_eq!(says(&plan, "Accepted"), "False/InvalidValue");
    assert!(!is_accepted(&BootstrapProfile {
        status: Some(plan.status),
        ..with("{}")
    }));
}

#[test]
fn the_profile_of_a_file_is_told_from_those_of_objects_and_of_people() {
    let mut profile = with("{}");
    profile.metadata.uid = Some(APPLIED.to_owned());
    let named = name_of_file(&profile.metadata).unwrap();
    assert_eq!(named, "meters-drover-apply");
    assert_eq!(
        put(planned(&profile, &Observed::default())).profile.name,
        named
    );
    assert_eq!(applied(&named), Some("meters"));
    assert_eq!(maker(&named), None);
    assert_eq!(applied(&format!("meters-k8s-{UID}")), None);
    assert_eq!(applied("drover-apply"), None);
    for unfit in ["a.b", &"m".repeat(52)] {
        profile.metadata.name = Some(unfit.to_owned());
        let refused = name_of_file(&profile.metadata).unwrap_err();
        assert!(
            refused.message.contains("1 to 51 characters"),
            "{}",
            refused.message
        );
    }
}
