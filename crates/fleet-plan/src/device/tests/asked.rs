//! Values of profiles and of Secrets.

use std::collections::BTreeMap;

use crd::desired_value::ValueSource;
use crd::reference::{ObjectReference, SecretKeyReference};
use crd::{DesiredResource, DeviceProfile};

use super::*;
use crate::secrets::Secret;

fn profile(name: &str, spec: &str) -> Arc<DeviceProfile> {
    let mut profile = DeviceProfile::new(name, serde_yaml_ng::from_str(spec).unwrap());
    profile.metadata.namespace = Some("acme".to_owned());
    Arc::new(profile)
}

fn referring(mut device: Device, names: &[&str]) -> Device {
    let reference = |name: &&str| ObjectReference {
        name: (*name).to_owned(),
    };
    device.spec.profile_refs = names.iter().map(reference).collect();
    device
}

fn among(profiles: &[Arc<DeviceProfile>], secrets: &[(&str, &[u8])]) -> Surroundings {
    let mut held: BTreeMap<String, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
    for (place, value) in secrets {
        let (name, key) = place.split_once('/').unwrap();
        let entries = held.entry(name.to_owned()).or_default();
        entries.insert(key.to_owned(), value.to_vec());
    }
    let secret = |(name, entries)| {
        let version = "1".to_owned();
        (name, Secret::Held { version, entries })
    };
    Surroundings {
        profiles: profiles.to_vec(),
        secrets: held.into_iter().map(secret).collect(),
        ..Surroundings::default()
    }
}

fn planned_among(device: &Device, around: &Surroundings, observed: &Observed) -> Plan {
    plan(device, around, observed, &at(1000))
}

/// A device whose resource has the value of the Secret k under the key a.
fn secretive(policy: ManagementPolicy, path: &str) -> Device {
    let mut device = device(policy, &[]);
    let secret_key_ref = SecretKeyReference {
        name: "k".to_owned(),
        key: "a".to_owned(),
    };
    device.spec.resources = vec![DesiredResource {
        path: path.to_owned(),
        value_from: Some(ValueSource { secret_key_ref }),
        ..DesiredResource::default()
    }];
    device
}

fn refused(plan: &Plan) -> (String, String) {
    assert_eq!(sent(plan), [""; 0]);
    for one in &plan.status.conditions {
        crate::conditions::documented(Device::CONDITIONS, one);
    }
    let conditions = conditions(plan);
    let mut conditions = conditions.split(' ');
    let accepted = conditions.find(|one| one.starts_with("Accepted="));
    let accepted = accepted.unwrap();
    (accepted.to_owned(), message(plan, "Accepted"))
}

#[test]
fn what_the_object_says_counts_before_later_profiles_and_these_before_earlier_ones() {
    let base = profile(
        "base",
        "{resources: [{path: /3/0/14, value: base}, {path: /3/0/15, value: base}, {path: /1/0/1, value: '60'}], \
         observations: [{path: /3/0/9, maximumPeriodSeconds: 60}, {path: /3/0, maximumPeriodSeconds: 5}]}",
    );
    let berlin = profile(
        "berlin",
        "{driftPolicy: Report, resources: [{path: /3/0/14, value: berlin}, {path: /3/0/15, value: berlin}], \
         observations: [{path: /3/0/9, maximumPeriodSeconds: 30}]}",
    );
    let device = referring(managed(&["/3/0/14=own"]), &["base", "berlin"]);
    let around = among(&[base, berlin], &[]);
    let plan = planned_among(&device, &around, &registered("U"));
    assert_eq!(
        sent(&plan),
        [
            "1 /1/0/1=60 /3/0/14=own /3/0/15=berlin",
            "+/3/0?pmax=5",
            "+/3/0/9?pmax=30"
        ]
    );
    let Action::SetDesired { resources, .. } = &plan.actions[0] else {
        panic!("{plan:?}");
    };
    let drifts: Vec<DriftPolicy> = resources.iter().map(|one| one.drift).collect();
    let (enforce, report) = (DriftPolicy::Enforce, DriftPolicy::Report);
    assert_eq!(drifts, [enforce, enforce, report]);
    // The other way round the other one counts.
    let device = referring(device, &["berlin", "base"]);
    let plan = planned_among(&device, &around, &registered("U"));
    assert_eq!(sent(&plan)[0], "1 /1/0/1=60 /3/0/14=own /3/0/15=base");
}

#[test]
fn instances_are_wanted_as_the_object_says_and_else_as_profiles_do() {
    let base = profile(
        "base",
        "{driftPolicy: Report, instances: [{path: /3311/0, state: Absent}, {path: /3311/1}], \
         resources: [{path: /3311/1/5850, value: 'true'}]}",
    );
    let mut device = referring(managed(&[]), &["base"]);
    device.spec.instances = serde_yaml_ng::from_str("[{path: /3311/0}]").unwrap();
    let plan = planned_among(&device, &among(&[base], &[]), &registered("U"));
    assert_eq!(
        sent(&plan),
        ["1 /3311/0=present /3311/1=present /3311/1/5850=1"]
    );
    let Action::SetDesired { resources, .. } = &plan.actions[0] else {
        panic!("{plan:?}");
    };
    let drifts: Vec<DriftPolicy> = resources.iter().map(|one| one.drift).collect();
    let (enforce, report) = (DriftPolicy::Enforce, DriftPolicy::Report);
    assert_eq!(drifts, [enforce, report, report]);
}

#[test]
fn what_is_only_observed_is_compared_with_the_instances_that_the_device_registered_with() {
    let mut device = device(ManagementPolicy::ObserveOnly, &[]);
    device.spec.instances =
        serde_yaml_ng::from_str("[{path: /3311/0}, {path: /3311/1, state: Absent}]").unwrap();
    let observed = Observed {
        instances: vec![Path::ObjectInstance(3311, 0), Path::ObjectInstance(3311, 1)],
        ..registered("U")
    };
    let plan = planned(&device, &observed);
    assert_eq!(sent(&plan), [""; 0]);
    assert!(conditions(&plan).contains("Synced=False/Drifted"));
    let drifted = &plan.status.resources[0];
    assert_eq!(drifted.path, "/3311/1");
}

#[test]
fn a_profile_that_is_not_there_is_named() {
    let device = referring(managed(&["/3/0/14=own"]), &["base"]);
    let plan = planned_among(&device, &among(&[], &[]), &registered("U"));
    let (accepted, why) = refused(&plan);
    assert_eq!(accepted, "Accepted=False/ProfileNotFound");
    assert!(why.contains("no DeviceProfile base"), "{why}");
}

#[test]
fn what_is_wrong_with_a_profile_is_said_with_its_name() {
    let device = referring(managed(&[]), &["base"]);
    let many: Vec<String> = (0..17).map(|id| format!("{{path: /3303/{id}}}")).collect();
    let many = format!("{{observations: [{}]}}", many.join(", "));
    for (spec, reason, said) in [
        (
            "{rollout: {maxConcurrent: 5}}",
            "Unsupported",
            "the DeviceProfile base: spec.rollout",
        ),
        (
            "{instances: [{path: /3311/0, state: Absent}], resources: [{path: /3311/0/5850, value: 'true'}]}",
            "InvalidValue",
            "/3311/0/5850 cannot be wanted below /3311/0, which is to be absent",
        ),
        (
            "{resources: [{path: /1/0/1, value: soon}]}",
            "InvalidValue",
            "/1/0/1 of the DeviceProfile base: ",
        ),
        (&many, "QuotaExceeded", "there are 17 observations"),
    ] {
        let around = among(&[profile("base", spec)], &[]);
        let (accepted, why) = refused(&planned_among(&device, &around, &registered("U")));
        assert_eq!(accepted, format!("Accepted=False/{reason}"));
        assert!(why.contains(said), "{why}");
    }
}

#[test]
fn while_a_profile_is_paused_nothing_changes() {
    let device = referring(managed(&["/3/0/14=own"]), &["base"]);
    let around = among(&[profile("base", "{paused: true}")], &[]);
    let plan = planned_among(&device, &around, &registered("U"));
    assert_eq!(sent(&plan), [""; 0]);
    assert!(conditions(&plan).ends_with("Ready=Unknown/Suspended"));
    assert!(message(&plan, "Ready").contains("the DeviceProfile base is paused"));
}

#[test]
fn a_value_of_a_secret_is_a_text_and_that_of_an_opaque_resource_its_bytes() {
    let managed = ManagementPolicy::Managed;
    for (path, bytes, text) in [
        ("/3/0/14", b"+02:00".as_slice(), "+02:00"),
        ("/1/0/1", b"0060", "60"),
        ("/5/0/0", b"\xff\x00", "/wA="),
        ("/5/0/0", b"AAAA", "QUFBQQ=="),
    ] {
        let device = secretive(managed, path);
        let plan = planned_among(&device, &among(&[], &[("k/a", bytes)]), &registered("U"));
        assert_eq!(sent(&plan), [format!("1 {path}={text}")]);
        assert!(!format!("{:?}", plan.actions).contains(text));
    }
}

#[test]
fn a_secret_that_cannot_be_used_is_named_and_its_value_is_not() {
    let managed = ManagementPolicy::Managed;
    for (path, secrets, reason, said) in [
        ("/3/0/14", &[][..], "SecretNotFound", "make it: kubectl"),
        (
            "/3/0/14",
            &[("k/b", b"hunter2".as_slice())],
            "SecretNotFound",
            "the Secret k, of which it takes the key a, has no such key",
        ),
        (
            "/3/0/14",
            &[("k/a", b"hunter2\xff")],
            "InvalidValue",
            "no UTF-8 text",
        ),
        (
            "/1/0/1",
            &[("k/a", b"hunter2")],
            "InvalidValue",
            "not a valid",
        ),
    ] {
        let device = secretive(managed, path);
        let plan = planned_among(&device, &among(&[], secrets), &registered("U"));
        let (accepted, why) = refused(&plan);
        assert_eq!(accepted, format!("Accepted=False/{reason}"));
        assert!(why.contains(said), "{why}");
        assert!(!format!("{plan:?}").contains("hunter2"));
    }
}

#[test]
fn what_a_device_tells_of_a_secret_is_not_shown() {
    let around = among(&[], &[("k/a", b"hunter2")]);
    let told = values(registered("U"), &["/3/0/14=hunter3"]);
    let observing = secretive(ManagementPolicy::ObserveOnly, "/3/0/14");
    let plan = planned_among(&observing, &around, &told);
    let listed = &plan.status.resources[0];
    assert_eq!(listed.observed_value.as_deref(), Some("(redacted)"));

    let managed = secretive(ManagementPolicy::Managed, "/3/0/14");
    let drifted = stored(told, 1, &["/3/0/14=hunter2!drifted"]);
    let plan = planned_among(&managed, &around, &drifted);
    let listed = &plan.status.resources[0];
    assert_eq!(listed.observed_value.as_deref(), Some("(redacted)"));

    let rejected = stored(registered("U"), 1, &["/3/0/14=hunter2!4.05"]);
    let plan = planned_among(&managed, &around, &rejected);
    let listed = &plan.status.resources[0];
    assert_eq!(
        (&listed.message, listed.coap_code.as_deref()),
        (&None, Some("4.05"))
    );
}

#[test]
fn another_value_of_a_secret_is_sent() {
    let device = secretive(ManagementPolicy::Managed, "/3/0/14");
    let stands = stored(registered("U"), 1, &["/3/0/14=old!in-sync"]);
    let old = planned_among(&device, &among(&[], &[("k/a", b"old")]), &stands);
    assert_eq!(sent(&old), [""; 0]);
    let new = planned_among(&device, &among(&[], &[("k/a", b"new")]), &stands);
    assert_eq!(sent(&new), ["2 /3/0/14=new"]);
}

#[test]
fn an_heir_keeps_what_its_profiles_want() {
    let gone = managed(&["/3/0/14=x"]);
    let stands = stored(registered("U"), 1, &["/3/0/14=x!in-sync"]);
    let gone = with_status(gone.clone(), &planned(&gone, &stands));
    let heir = referring(managed(&[]), &["base"]);
    let base = profile("base", "{resources: [{path: /3/0/14, value: x}]}");
    let around = among(&[base], &[]);
    assert_eq!(release(&gone, &stands, Some((&heir, &around))), []);
    let nothing = among(&[], &[]);
    assert_eq!(release(&gone, &stands, Some((&heir, &nothing))).len(), 1);
}

#[test]
fn what_is_to_be_read_is_named() {
    let device = referring(secretive(ManagementPolicy::Managed, "/3/0/14"), &["b", "a"]);
    let names: Vec<&str> = profiles(&device).collect();
    assert_eq!(names, ["b", "a"]);
    let spec = "{resources: [{path: /3/0/15, valueFrom: {secretKeyRef: {name: l, key: x}}}]}";
    let all = [profile("a", spec)];
    let secrets: Vec<&str> = named_secrets(&device, &all).into_iter().collect();
    assert_eq!(secrets, ["k", "l"]);
    assert!(!matters(&device, &all).observations);
    let reporting = profile("b", "{observations: [{path: /3/0/9}]}");
    assert!(matters(&device, &[reporting]).observations);
}
