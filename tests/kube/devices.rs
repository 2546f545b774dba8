//! Devices by `Device` objects: labels, observations, whose they are, and what becomes of them.

mod named;

use serde_json::Value;
use tests::{Operator, Options, until, until_some};

use crate::gitops;
use crate::rig::{Rig, SOON};

#[test]
fn a_device_is_labelled_observed_and_forgotten_by_its_object() {
    let rig = Rig::of(&Options {
        devices: 2,
        ..Options::default()
    });
    let _operator = Operator::start(&rig.kubernetes, &rig.drover, "devices");
    let devices = rig.drover.devices();
    labels_and_observations_go_with_the_object(&rig, &devices[0]);
    a_known_device_is_not_taken_by_a_strict_object(&rig, &devices[0]);
    an_object_that_is_held_waits(&rig, &devices[0]);
    named::a_value_of_a_secret_is_written_and_shown_to_nobody(&rig, &devices[0]);
    named::a_profile_that_an_object_refers_to_is_brought_to_its_device(&rig, &devices[0]);
    named::a_device_that_never_comes_is_late(&rig);
    named::a_device_proves_itself_by_the_secret_that_its_object_names(&rig);
    an_object_instance_is_made_and_taken_away(&rig, &devices[0]);
    an_object_of_another_namespace_is_of_another_device(&rig, &devices[0]);
    a_deleted_object_resets_its_device(&rig, &devices[1]);
}

fn object(name: &str, namespace: &str, device: &str, spec: &str) -> String {
    format!(
        "apiVersion: drover.dev/v1alpha1\nkind: Device\nmetadata: {{name: {name}, namespace: {namespace}, \
         labels: {{ring: canary}}, annotations: {{drover.dev/allow-wipe: \"true\"}}}}\nspec:\n  endpointName: \
         {device}\n{spec}"
    )
}

fn labels(rig: &Rig, device: &str) -> Value {
    rig.drover.json(&["device", device])["labels"].clone()
}

/// What objects have asked to be observed.
fn observed(rig: &Rig, device: &str) -> Vec<String> {
    let listed = rig.drover.json(&["observations", "list", device]);
    let all = listed["observations"].as_array().cloned();
    let of = |one: &Value| format!("{} {}", one["paths"][0], one["parameters"]).replace('"', "");
    all.unwrap_or_default().iter().map(of).collect()
}

fn labels_and_observations_go_with_the_object(rig: &Rig, device: &str) {
    let spec = "  observations: [{path: /3303/0/5700, minimumPeriodSeconds: 1, maximumPeriodSeconds: 60}]\n";
    rig.apply(&object("pinned", "default", device, spec));
    rig.until("lwd/pinned", "Ready", "True", "InSync");
    rig.until_told("lwd/pinned", "Normal", "InSync");
    assert_eq!(labels(rig, device)["ring"], "canary");
    assert_eq!(observed(rig, device), ["/3303/0/5700 pmin=1&pmax=60"]);

    rig.kubectl(&["label", "lwd/pinned", "ring-", "site=berlin"]);
    until_some("the labels of the object", SOON, || {
        let labels = labels(rig, device);
        let is_so = labels["site"] == "berlin" && labels["ring"].is_null();
        if is_so { Ok(()) } else { Err(labels) }
    });
    rig.patch(
        "lwd/pinned",
        r#"{"observations": [{"path": "/3/0/9", "maximumPeriodSeconds": 30}]}"#,
    );
    until_some("the other observation", SOON, || {
        let observed = observed(rig, device);
        if observed == ["/3/0/9 pmax=30"] {
            Ok(())
        } else {
            Err(observed)
        }
    });

    rig.kubectl(&["delete", "lwd/pinned"]);
    until_some("nothing of the object", SOON, || {
        let left = (labels(rig, device), observed(rig, device));
        let is_gone = left.0["site"].is_null() && left.1.is_empty();
        if is_gone { Ok(()) } else { Err(left) }
    });
}

fn an_object_instance_is_made_and_taken_away(rig: &Rig, device: &str) {
    let lists = |instance: &str| {
        let shown = rig.drover.json(&["device", device]);
        let objects = shown["objects"].as_array().cloned().unwrap_or_default();
        objects.contains(&instance.into())
    };
    let made = "  instances: [{path: /3303/5}]\n";
    rig.apply(&object("sensors", "default", device, made));
    rig.until("lwd/sensors", "Ready", "True", "InSync");
    until("the instance", SOON, || lists("/3303/5"));
    rig.apply(&object(
        "sensors",
        "default",
        device,
        "  managementPolicy: ObserveOnly\n  instances: [{path: /3303/6}]\n",
    ));
    let drifted = rig.until("lwd/sensors", "Synced", "False", "Drifted");
    assert_eq!(drifted["status"]["resources"][0]["path"], "/3303/6");
    rig.apply(&object(
        "sensors",
        "default",
        device,
        "  instances: [{path: /3303/5, state: Absent}]\n",
    ));
    until("a device without the instance", SOON, || !lists("/3303/5"));
    rig.until("lwd/sensors", "Ready", "True", "InSync");
    rig.kubectl(&["delete", "lwd/sensors"]);
}

fn a_known_device_is_not_taken_by_a_strict_object(rig: &Rig, device: &str) {
    rig.apply(&object(
        "strict",
        "default",
        device,
        "  adoptionPolicy: FailIfExists\n",
    ));
    let why = rig.until_refused("lwd/strict", "AlreadyKnown");
    rig.until_told("lwd/strict", "Warning", "AlreadyKnown");
    assert!(why.contains("drover delete-device"), "{why}");
    assert!(labels(rig, device)["ring"].is_null());
    rig.kubectl(&["delete", "lwd/strict"]);
}

fn an_object_that_is_held_waits(rig: &Rig, device: &str) {
    let object = object(
        "held",
        "default",
        device,
        "  resources: [{path: /3/0/14, value: \"+05:00\"}]\n",
    );
    rig.apply(&object);
    rig.until("lwd/held", "Ready", "True", "InSync");
    rig.kubectl(&["annotate", "lwd/held", "drover.dev/paused=true"]);
    let held = rig.until("lwd/held", "Paused", "True", "PausedByAnnotation");
    gitops::expect(&held, "Suspended", "in progress");
    rig.patch(
        "lwd/held",
        r#"{"resources": [{"path": "/3/0/14", "value": "+06:00"}]}"#,
    );
    until_some("a look at the other value", SOON, || {
        let seen = rig.object("lwd/held");
        let mut conditions = seen["status"]["conditions"].as_array().unwrap().iter();
        let paused = conditions.find(|one| one["type"] == "Paused").unwrap();
        let is_seen = paused["observedGeneration"] == seen["metadata"]["generation"];
        if is_seen { Ok(()) } else { Err(seen) }
    });
    assert_eq!(rig.value(device, "/3/0/14"), "+05:00");

    // The namespace holds it from now on, and then nothing does.
    let namespace = ["annotate", "namespace", "default"];
    rig.kubectl(&[&namespace[..], &["drover.dev/paused=true"]].concat());
    rig.kubectl(&["annotate", "lwd/held", "drover.dev/paused-"]);
    rig.until("lwd/held", "Paused", "True", "PausedByNamespace");
    assert_eq!(rig.value(device, "/3/0/14"), "+05:00");
    rig.kubectl(&[&namespace[..], &["drover.dev/paused-"]].concat());
    rig.until("lwd/held", "Paused", "False", "NotPaused");
    until_some("the other value", SOON, || {
        let value = rig.value(device, "/3/0/14");
        if value == "+06:00" {
            Ok(())
        } else {
            Err(value)
        }
    });
    rig.kubectl(&["delete", "lwd/held"]);
}

/// A namespace is a tenant: the same name there is another device, which nobody has heard of.
fn an_object_of_another_namespace_is_of_another_device(rig: &Rig, device: &str) {
    rig.kubectl(&["create", "namespace", "acme"]);
    rig.apply(&object(
        "theirs",
        "acme",
        device,
        "  managementPolicy: Managed\n",
    ));
    let ready = "--for=condition=Registered=Unknown";
    rig.kubectl(&["wait", "lwd/theirs", "-n", "acme", ready, "--timeout=120s"]);
    until_some("the device of the other namespace", SOON, || {
        let shown = rig
            .drover
            .run(&["-n", "acme", "device", device, "-o", "json"]);
        let shown: Value = serde_json::from_str(&shown.stdout).unwrap_or_default();
        let labels = shown["labels"].clone();
        if labels["ring"] == "canary" {
            Ok(())
        } else {
            Err(labels)
        }
    });
    assert!(labels(rig, device)["ring"].is_null());
    rig.kubectl(&["delete", "lwd/theirs", "-n", "acme"]);
}

fn a_deleted_object_resets_its_device(rig: &Rig, device: &str) {
    let made_with = rig.value(device, "/3/0/14");
    assert!(!["", "+07:00"].contains(&made_with.as_str()));
    let spec = "  deletionPolicy: Wipe\n  resources: [{path: /3/0/14, value: \"+07:00\"}]\n";
    rig.apply(&object("wiped", "default", device, spec));
    rig.until("lwd/wiped", "Ready", "True", "InSync");
    assert_eq!(rig.value(device, "/3/0/14"), "+07:00");
    let held = rig.object("lwd/wiped");
    assert_eq!(held["metadata"]["finalizers"][0], "drover.dev/device");

    rig.kubectl(&["delete", "lwd/wiped", "--timeout=300s"]);
    until("the device as it was made, registered anew", SOON, || {
        rig.value(device, "/3/0/14") == made_with
    });
    assert!(labels(rig, device)["ring"].is_null());
}
