#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use proptest::prelude::*;

use super::*;
use crate::identity::Kind;
use crate::method::methods;

const POLICY: &str = r#"
roles:
  meter-reader:
  - resources: [devices, devices/resources]
    verbs: [get, list]
rules:
- users: ["alice@example.com"]
  role: admin
- groups: ["ops-*"]
  role: operator
- groups: [system:authenticated]
  role: viewer
- users: ["meter-*"]
  namespaces: [other]
  role: operator
- users: [reader]
  role: meter-reader
- users: [raw]
  resources: [devices/raw]
  verbs: ["*"]
"#;

fn allowed(policy: &Policy, name: &str, groups: &[&str], resource: &str, verb: Verb) -> bool {
    let identity = Identity::new(
        name,
        groups.iter().map(|group| (*group).to_owned()),
        Kind::Token,
    );
    may(policy, &identity, resource, verb)
}

fn may(policy: &Policy, identity: &Identity, resource: &str, verb: Verb) -> bool {
    let (_, permission) = methods()
        .find(|(_, permission)| permission.resource == resource)
        .unwrap();
    let permission = Permission { verb, ..permission };
    let attributes = Attributes {
        scope: permission.scope("default"),
        permission,
    };
    policy.allows(identity, &attributes)
}

#[test]
fn roles_give_what_they_say_and_nothing_else() {
    let policy = Policy::from_yaml(POLICY).unwrap();
    for (path, permission) in methods() {
        let Permission { resource, verb } = permission;
        let has = |name, groups: &[&str]| allowed(&policy, name, groups, resource, verb);
        assert!(has("alice@example.com", &[]), "{path}");
        let of_fleets = ["devicegroups", "deviceprofiles"].contains(&resource);
        let is_device = resource.starts_with("devices") || of_fleets;
        let of_campaigns = ["firmwarerollouts", "artefacts"].contains(&resource);
        let is_planned = of_campaigns && verb != Verb::Approve;
        let looks = !verb.is_change() && !["credentials", "backups"].contains(&resource);
        let works = is_device || is_planned || looks;
        assert_eq!(has("bob", &["ops-east"]), works, "{path}");
        assert_eq!(has("bob", &["ops"]), looks, "{path}");
        // Its rule is for another namespace.
        assert_eq!(has("meter-1", &[]), looks, "{path}");
        assert!(
            !may(&policy, &Identity::anonymous(), resource, verb),
            "{path}"
        );
    }
    assert!(allowed(&policy, "raw", &[], "devices/raw", Verb::Execute));
}

#[test]
fn roles_of_the_file_are_given_by_name() {
    let policy = "
roles: {meter-reader: [{resources: [devices], verbs: [get]}]}
rules: [{users: [reader], role: meter-reader}]";
    let policy = Policy::from_yaml(policy).unwrap();
    assert!(allowed(&policy, "reader", &[], "devices", Verb::Get));
    assert!(!allowed(&policy, "reader", &[], "devices", Verb::List));
    assert!(!allowed(
        &policy,
        "reader",
        &[],
        "devices/desired",
        Verb::Get
    ));
}

#[test]
fn a_policy_that_may_mean_something_else_is_refused() {
    for (text, said) in [
        ("rules: [{role: admin}]", "for nobody"),
        ("rules: [{users: [a]}]", "allows nothing"),
        (
            "rules: [{users: [a], resources: [devices]}]",
            "allows nothing",
        ),
        ("rules: [{users: [a], role: root}]", "not defined"),
        (
            "rules: [{users: [a], role: admin, verbs: [get]}]",
            "two rules",
        ),
        (
            "rules: [{users: [a], role: admin, namespace: [x]}]",
            "cannot be read",
        ),
        (
            "rules: [{users: [a], resources: [devices], verbs: [read]}]",
            "cannot be read",
        ),
        ("rules: [{users: ['a*b'], role: admin}]", "cannot be read"),
        (
            "roles: {admin: [{resources: [devices], verbs: [get]}]}",
            "built in",
        ),
    ] {
        let error = Policy::from_yaml(text).unwrap_err();
        assert!(error.to_string().contains(said), "{text}: {error}");
    }
}

#[test]
fn without_rules_nobody_may_do_anything() {
    let policy = Policy::from_yaml("rules: []").unwrap();
    assert!(!allowed(
        &policy,
        "alice",
        &["system:masters"],
        "devices",
        Verb::Get
    ));
}

proptest! {
    #[test]
    fn no_text_is_read_with_a_panic(text in "\\PC{0,200}") {
        let _refused = Policy::from_yaml(&text);
    }

    #[test]
    fn a_name_that_is_not_in_the_policy_has_no_rights(name in "[a-z:*/]{0,12}", groups in prop::collection::vec("[a-z*-]{0,8}", 0..4)) {
        let policy = Policy::from_yaml("rules: [{users: ['Q-*'], role: admin}, {groups: ['Q-*'], role: admin}]").unwrap();
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        for (_, permission) in methods() {
            prop_assert!(!allowed(&policy, &name, &groups, permission.resource, permission.verb));
        }
    }
}

#[test]
fn a_rule_for_namespaces_is_for_nothing_that_all_of_them_share() {
    let rules = "rules:\n\
        - {users: [tenant], namespaces: [acme, \"team-*\"], role: admin}\n\
        - {users: [everywhere], namespaces: [\"*\"], role: admin}\n\
        - {users: [unsaid], role: admin}";
    let policy = Policy::from_yaml(rules).unwrap();
    let may = |name: &str, namespace: &str| {
        let identity = Identity::new(name, [], Kind::Token);
        let mut shared = None;
        let mut own = None;
        for (_, permission) in methods() {
            let scope = permission.scope(namespace);
            let allowed = policy.allows(&identity, &Attributes { scope, permission });
            let seen = match scope {
                Scope::Cluster => &mut shared,
                Scope::Namespace(_) => &mut own,
            };
            // A role gives all or nothing here.
            assert_eq!(*seen.get_or_insert(allowed), allowed, "{name}");
        }
        (own.unwrap(), shared.unwrap())
    };
    assert_eq!(may("tenant", "acme"), (true, false));
    assert_eq!(may("tenant", "team-a"), (true, false));
    assert_eq!(may("tenant", "default"), (false, false));
    assert_eq!(may("everywhere", "acme"), (true, true));
    assert_eq!(may("unsaid", "default"), (true, true));
}
