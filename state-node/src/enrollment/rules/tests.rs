#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::collections::BTreeMap;

use device_state::Namespace;

use super::*;

fn policy(name: &str, priority: u32, pattern: &str, prefix: &str) -> EnrollmentPolicy {
    EnrollmentPolicy {
        namespace: Namespace::default(),
        name: name.to_owned(),
        description: String::new(),
        priority,
        criteria: EnrollmentCriteria {
            endpoint_pattern: pattern.to_owned(),
            psk_identity_prefix: prefix.to_owned(),
        },
        action: EnrollmentAction::Admit,
        proof: None,
        labels: BTreeMap::new(),
        max_devices: None,
        registrations_per_second: None,
    }
}

fn decided(policies: &[EnrollmentPolicy], endpoint: &str, identity: &SecurityIdentity) -> String {
    let rules = Rules::new(policies.to_vec(), None);
    let endpoint = DeviceName::parse(endpoint).unwrap();
    let policy = rules.about(&endpoint, identity);
    policy.map(|policy| policy.name.clone()).unwrap_or_default()
}

fn psk(identity: &str) -> SecurityIdentity {
    SecurityIdentity::Credential(CredentialId::PskIdentity(identity.as_bytes().to_vec()))
}

#[test]
fn the_highest_priority_decides_then_the_first_name() {
    let policies = [
        policy("all", 0, "", ""),
        policy("berlin", 5, "meter-.*", ""),
        policy("cologne", 5, "meter-.*", ""),
        policy("first", 9, "meter-1", ""),
    ];
    let nobody = SecurityIdentity::Unauthenticated;
    assert_eq!(decided(&policies, "meter-1", &nobody), "first");
    assert_eq!(decided(&policies, "meter-2", &nobody), "berlin");
    assert_eq!(decided(&policies, "pump-1", &nobody), "all");
    assert_eq!(decided(&[], "pump-1", &nobody), "");
}

#[test]
fn a_pattern_is_for_the_whole_name() {
    let nobody = SecurityIdentity::Unauthenticated;
    for pattern in ["meter-1|pump-1", "^meter-1|pump-1$", "(?i)METER-1|pump-1"] {
        let policies = [policy("these", 0, pattern, "")];
        assert_eq!(decided(&policies, "meter-1", &nobody), "these", "{pattern}");
        assert_eq!(decided(&policies, "meter-12", &nobody), "", "{pattern}");
        assert_eq!(decided(&policies, "a-pump-1", &nobody), "", "{pattern}");
    }
}

#[test]
fn a_prefix_is_of_an_identity_that_was_proved() {
    let policies = [policy("acme", 0, "meter-.*", "acme-")];
    assert_eq!(decided(&policies, "meter-1", &psk("acme-1")), "acme");
    assert_eq!(decided(&policies, "meter-1", &psk("other-1")), "");
    assert_eq!(decided(&policies, "pump-1", &psk("acme-1")), "");
    let nobody = SecurityIdentity::Unauthenticated;
    assert_eq!(decided(&policies, "meter-1", &nobody), "");
    let key = SecurityIdentity::Credential(CredentialId::OscoreId(b"acme-1".to_vec()));
    assert_eq!(decided(&policies, "meter-1", &key), "");
}

#[test]
fn what_is_no_pattern_is_told() {
    let check = |pattern: &str| check_pattern(&policy("any", 0, pattern, "").criteria);
    assert!(check("meter-[0-9]{3}").is_ok() && check("").is_ok());
    let unclosed = check("meter-(").unwrap_err().to_string();
    assert!(unclosed.contains("unclosed group"), "{unclosed}");
    // It would be one if something were put around it.
    assert!(check("a)(b").is_err());
    let large = check("(\\pL{1000}){1000}").unwrap_err().to_string();
    assert!(large.contains("size limit"), "{large}");
}

#[test]
fn what_cannot_be_read_any_more_lets_nobody_in() {
    let nobody = SecurityIdentity::Unauthenticated;
    let admits = policy("admits", 9, "meter-(", "");
    let denies = EnrollmentPolicy {
        action: EnrollmentAction::Deny,
        ..policy("denies", 5, "meter-(", "")
    };
    let policies = [admits, denies, policy("all", 0, "", "")];
    assert_eq!(decided(&policies, "meter-1", &nobody), "denies");
}

#[test]
fn patterns_are_made_once() {
    let before = Rules::new(vec![policy("a", 0, "meter-.*", "")], None);
    let kept = before.pattern_of(&policy("b", 0, "meter-.*", "x").criteria);
    assert!(kept.is_some());
    assert!(
        before
            .pattern_of(&policy("b", 0, "pump-.*", "").criteria)
            .is_none()
    );
}
