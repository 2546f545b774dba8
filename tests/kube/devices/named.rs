//! What objects name, and how long what they ask for may take.

use std::process::Command;

use serde_json::Value;
use tests::{Program, binary, until_some};

use super::object;
use crate::gitops;
use crate::rig::{Rig, SOON};

fn until_value(rig: &Rig, device: &str, path: &str, value: &str) {
    until_some(&format!("{path} is {value}"), SOON, || {
        let found = rig.value(device, path);
        if found == value { Ok(()) } else { Err(found) }
    });
}

/// What Kubernetes keeps of an object, and tells about it.
fn shown(rig: &Rig, of: &str) -> String {
    let object = rig.object(of).to_string();
    format!("{object}{}", rig.kubectl(&["describe", of]))
}

pub(super) fn a_value_of_a_secret_is_written_and_shown_to_nobody(rig: &Rig, device: &str) {
    let spec =
        "  resources: [{path: /3/0/15, valueFrom: {secretKeyRef: {name: zones, key: zone}}}]\n";
    rig.apply(&object("secretive", "default", device, spec));
    let why = rig.until_refused("lwd/secretive", "SecretNotFound");
    assert!(why.contains("zones") && why.contains("zone"), "{why}");

    let create = ["create", "secret", "generic", "zones"];
    let literal = ["--from-literal=other=x"];
    rig.kubectl(&[&create[..], &literal].concat());
    let patch = |value: &str| {
        let patch = format!(r#"{{"stringData": {{"zone": "{value}"}}}}"#);
        rig.kubectl(&["patch", "secret/zones", "--type=merge", "-p", &patch]);
    };
    patch("Europe/Secret");
    rig.until("lwd/secretive", "Ready", "True", "InSync");
    until_value(rig, device, "/3/0/15", "Europe/Secret");
    patch("Asia/Secret");
    until_value(rig, device, "/3/0/15", "Asia/Secret");
    let shown = shown(rig, "lwd/secretive");
    assert!(!shown.contains("/Secret"), "{shown}");

    rig.kubectl(&["delete", "secret/zones"]);
    rig.until_refused("lwd/secretive", "SecretNotFound");
    assert_eq!(rig.value(device, "/3/0/15"), "Asia/Secret");
    rig.kubectl(&["delete", "lwd/secretive"]);
}

fn profile(name: &str, zone: &str, offset: &str) -> String {
    format!(
        "apiVersion: drover.dev/v1alpha1\nkind: DeviceProfile\nmetadata: {{name: {name}, namespace: default}}\nspec:\n  \
         resources: [{{path: /3/0/14, value: \"{offset}\"}}, {{path: /3/0/15, value: {zone}}}]\n"
    )
}

pub(super) fn a_profile_that_an_object_refers_to_is_brought_to_its_device(rig: &Rig, device: &str) {
    let spec = "  profileRefs: [{name: base}, {name: berlin}]\n  resources: [{path: /3/0/14, value: \"+01:00\"}]\n";
    rig.apply(&object("referring", "default", device, spec));
    let why = rig.until_refused("lwd/referring", "ProfileNotFound");
    assert!(why.contains("DeviceProfile berlin"), "{why}");
    rig.apply(&profile("base", "UTC", "+03:00"));
    rig.apply(&profile("berlin", "Europe/Berlin", "+04:00"));
    rig.until("lwp/berlin", "Ready", "True", "Accepted");
    rig.until("lwd/referring", "Ready", "True", "InSync");
    assert_eq!(rig.value(device, "/3/0/15"), "Europe/Berlin");
    assert_eq!(rig.value(device, "/3/0/14"), "+01:00");
    // It selects nobody, and is in the state tier for nobody.
    let listed = rig.drover.json(&["profiles", "list"]).to_string();
    assert!(!listed.contains("berlin"), "{listed}");

    rig.apply(&profile("berlin", "Europe/Paris", "+04:00"));
    until_value(rig, device, "/3/0/15", "Europe/Paris");
    rig.patch("lwd/referring", r#"{"profileRefs": [{"name": "base"}]}"#);
    until_value(rig, device, "/3/0/15", "UTC");
    rig.kubectl(&["delete", "lwd/referring"]);
    rig.kubectl(&["delete", "lwp/base", "lwp/berlin"]);
}

pub(super) fn a_device_that_never_comes_is_late(rig: &Rig) {
    let spec =
        "  delivery: {deadlineSeconds: 5}\n  resources: [{path: /3/0/14, value: \"+01:00\"}]\n";
    rig.apply(&object("late", "default", "never-made", spec));
    let late = rig.until("lwd/late", "Ready", "False", "DeadlineExceeded");
    let mut conditions = late["status"]["conditions"].as_array().unwrap().iter();
    let ready = conditions.find(|one| one["type"] == "Ready").unwrap();
    gitops::expect(&late, "Degraded", "failed");
    let since = late["status"]["outstanding"]["sinceTime"].as_str().unwrap();
    let message = ready["message"].as_str().unwrap();
    assert!(
        message.contains("/3/0/14") && message.contains(since),
        "{message}"
    );
    rig.until_told("lwd/late", "Warning", "DeadlineExceeded");
    rig.kubectl(&["delete", "lwd/late"]);
}

/// What a device of the rig proves itself by, as the state tier lists it.
fn identities(rig: &Rig, endpoint: &str) -> Vec<String> {
    let listed = rig
        .drover
        .json(&["credentials", "list", "--endpoint", endpoint]);
    let all = listed["credentials"].as_array().cloned();
    let identity = |one: &Value| one["identity"].as_str().unwrap_or_default().to_owned();
    all.unwrap_or_default().iter().map(identity).collect()
}

fn until_identities(rig: &Rig, endpoint: &str, expected: &[&str]) {
    let what = format!("{endpoint} has {expected:?}");
    until_some(&what, SOON, || {
        let found = identities(rig, endpoint);
        if found == expected {
            Ok(())
        } else {
            Err(found)
        }
    });
}

pub(super) fn a_device_proves_itself_by_the_secret_that_its_object_names(rig: &Rig) {
    const ENDPOINT: &str = "keyed-000000";
    const KEY: &str = "000102030405060708090a0b0c0d0e0f";
    let spec = "  credentialSecretRef: {name: meter-psk}\n";
    rig.apply(&object("keyed", "default", ENDPOINT, spec));
    let why = rig.until_refused("lwd/keyed", "SecretNotFound");
    assert!(why.contains("create secret generic meter-psk"), "{why}");
    let key = format!("--from-literal=key.hex={KEY}");
    let create = ["create", "secret", "generic", "meter-psk"];
    rig.kubectl(&[&create[..], &["--type=drover.dev/psk", &key]].concat());
    rig.until("lwd/keyed", "Accepted", "True", "Accepted");
    until_identities(rig, ENDPOINT, &[ENDPOINT]);

    let keys = rig.drover.scratch().join("keyed.csv");
    std::fs::write(&keys, format!("{ENDPOINT},{ENDPOINT},{KEY}\n")).unwrap();
    let server = format!("coaps://{}", rig.drover.endpoint("/ingress/0/coaps"));
    let mut command = Command::new(binary("drover-sim"));
    command.args(["run", "--server", &server, "--devices", "1", "--psk-file"]);
    command.arg(&keys);
    let device = Program::start(&mut command, &rig.drover.scratch().join("keyed")).unwrap();
    let seen = rig.until("lwd/keyed", "Registered", "True", "Registered");
    assert_eq!(seen["status"]["registration"]["transport"], "DTLS");
    drop(device);

    // An identity is one device's.
    let other = object("thief", "default", "keyed-thief", spec);
    let identity = format!(r#"{{"stringData": {{"identity": "{ENDPOINT}"}}}}"#);
    let patch = |of: &str, patch: &str| rig.kubectl(&["patch", of, "--type=merge", "-p", patch]);
    patch("secret/meter-psk", &identity);
    rig.apply(&other);
    let why = rig.until_refused("lwd/thief", "CredentialTaken");
    assert!(why.contains("another endpoint has this identity"), "{why}");
    until_identities(rig, ENDPOINT, &[ENDPOINT]);
    rig.kubectl(&["delete", "lwd/thief"]);

    // What follows takes the place of what was there.
    patch(
        "secret/meter-psk",
        r#"{"stringData": {"identity": "second"}}"#,
    );
    until_identities(rig, ENDPOINT, &["second"]);
    let shown = shown(rig, "lwd/keyed");
    assert!(!shown.contains(KEY) && shown.contains("second"), "{shown}");
    patch("lwd/keyed", r#"{"spec": {"credentialSecretRef": null}}"#);
    until_identities(rig, ENDPOINT, &[]);

    // With the device it goes, too.
    let deregister = r#"{"spec": {"credentialSecretRef": {"name": "meter-psk"}, "deletionPolicy": "Deregister"}}"#;
    patch("lwd/keyed", deregister);
    until_identities(rig, ENDPOINT, &["second"]);
    until_some("a status that tells of it", SOON, || {
        let seen = rig.object("lwd/keyed");
        let told = &seen["status"]["credentials"][0];
        let is_known = told["identity"] == "second" && told["etag"].is_string();
        if is_known { Ok(()) } else { Err(seen) }
    });
    // As it may in the end of a namespace.
    rig.kubectl(&["delete", "secret/meter-psk"]);
    rig.until_refused("lwd/keyed", "SecretNotFound");
    rig.kubectl(&["delete", "lwd/keyed"]);
    until_identities(rig, ENDPOINT, &[]);
}
