//! What files declare, without Kubernetes.

use serde_json::Value;
use tests::{Drover, Options, until_some};

use crate::fleet::SOON;

const MODEL: &str = "../examples/resources/object-model.yaml";
const GROUP: &str = "../examples/resources/device-group.yaml";
const BOOTSTRAP: &str = "../examples/resources/bootstrap-profile.yaml";
const SECURITY: &str = "../examples/resources/security-profile-psk.yaml";

/// A profile of the devices of a group that has everybody in it.
const FLEET: &str = "
apiVersion: drover.dev/v1alpha1
kind: DeviceProfile
metadata: {name: all}
spec:
  groupRef: {name: everybody}
  resources:
  - {path: /3/0/14, value: \"OFFSET\"}
---
apiVersion: drover.dev/v1alpha1
kind: DeviceGroup
metadata: {name: everybody}
spec:
  filter: state = REGISTERED
";

fn apply(drover: &Drover, files: &[&str]) -> String {
    let files = files.iter().flat_map(|file| ["-f", file]);
    let arguments: Vec<&str> = ["apply"].into_iter().chain(files).collect();
    let applied = drover.run(&arguments);
    assert_eq!(applied.code, 0, "{applied:?}");
    applied.stdout
}

#[test]
fn groups_profiles_and_definitions_are_declared_in_files() {
    let drover = Drover::start(&Options {
        devices: 2,
        ..Options::default()
    });
    let devices = drover.devices();
    let fleet = drover.scratch().join("fleet.yaml");
    let declare = |offset: &str| {
        std::fs::write(&fleet, FLEET.replace("OFFSET", offset)).unwrap();
        apply(&drover, &[MODEL, GROUP, fleet.to_str().unwrap()])
    };
    let reported = |offset: &str| {
        for device in &devices {
            until_some("the value of the profile", SOON, || {
                let answer = drover.run(&["read", device, "/3/0/14", "-o", "json"]);
                if answer.stdout.contains(offset) {
                    Ok(())
                } else {
                    Err(answer)
                }
            });
        }
    };
    let told = |result: &str, of_profile: &str| {
        format!(
            "objectmodel.drover.dev/pump {result}\ndevicegroup.drover.dev/berlin-old {result}\n\
             devicegroup.drover.dev/everybody {result}\ndeviceprofile.drover.dev/all {of_profile}\n"
        )
    };
    assert_eq!(declare("+05:00"), told("created", "created"));
    reported("+05:00");
    assert_eq!(declare("+05:00"), told("unchanged", "unchanged"));
    assert_eq!(declare("+06:00"), told("unchanged", "configured"));
    reported("+06:00");
    let group = drover.json(&["groups", "get", "everybody"]);
    assert_eq!(group["devices"], Value::from(devices.len()), "{group}");
}

#[test]
fn what_people_or_kubernetes_have_made_is_left_alone() {
    let drover = Drover::start(&Options::default());
    let put = |description: &str| {
        let filter = "state = REGISTERED";
        let put = drover.run(&[
            "groups",
            "put",
            "berlin-old",
            "--filter",
            filter,
            "--description",
            description,
        ]);
        assert_eq!(put.code, 0, "{put:?}");
    };
    for (description, said) in [
        ("by hand", "no DeviceGroup has made"),
        (
            "devicegroups.drover.dev/4b1d",
            "kubectl edit devicegroup berlin-old",
        ),
    ] {
        put(description);
        let applied = drover.run(&["apply", "-f", GROUP]);
        assert_eq!(applied.code, 2, "{applied:?}");
        assert!(applied.stderr.contains(said), "{applied:?}");
        let group = drover.json(&["groups", "get", "berlin-old"]);
        assert_eq!(group["description"], description);
    }
}

#[test]
fn accounts_of_bootstraps_are_declared_in_files() {
    let drover = Drover::start(&Options {
        state_nodes: 1,
        ..Options::default()
    });
    let files = [BOOTSTRAP, SECURITY];
    let said = |result: &str| format!("bootstrapprofile.drover.dev/meters {result}\n");
    assert_eq!(apply(&drover, &files), said("created"));
    assert_eq!(apply(&drover, &files), said("unchanged"));
    let listed = drover.json(&["bootstrap", "list"]);
    let profile = &listed["profiles"][0];
    assert_eq!(profile["name"], "meters-drover-apply", "{listed}");
    let server = &profile["servers"][0];
    assert_eq!(server["uri"], "coaps://lwm2m.example.com:5684", "{listed}");
    assert_eq!(server["security"], "psk", "{listed}");

    let written = |from: &str, to: &str| {
        let text = std::fs::read_to_string(BOOTSTRAP).unwrap();
        let file = drover.scratch().join("bootstrap.yaml");
        std::fs::write(&file, text.replace(from, to)).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let longer = written("86400", "43200");
    assert_eq!(apply(&drover, &[&longer, SECURITY]), said("configured"));
    for (from, to, why) in [
        (
            "name: meters",
            "name: cars",
            "meters-drover-apply, of an earlier call",
        ),
        (
            "deleteAll: false",
            "deleteAll: true",
            "spec.deleteAll: accounts are replaced",
        ),
    ] {
        let file = written(from, to);
        let refused = drover.run(&["apply", "-f", &file, "-f", SECURITY]);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.stderr.contains(why), "{refused:?}");
    }
    let listed = drover.json(&["bootstrap", "list"]);
    assert_eq!(listed["profiles"].as_array().map(Vec::len), Some(1));
}

fn operation(name: &str, target: &str, action: &str) -> String {
    format!(
        "---
apiVersion: drover.dev/v1alpha1
kind: DeviceOperation
metadata: {{name: {name}}}
spec: {{{target}, action: {{{action}}}}}
"
    )
}

#[test]
fn what_a_file_asks_of_a_device_is_done_once() {
    let drover = Drover::start(&Options {
        state_nodes: 1,
        devices: 1,
        ..Options::default()
    });
    let devices = drover.devices();
    let [device] = devices.as_slice() else {
        panic!("{devices:?}");
    };
    let by_name = format!("endpointName: {device}");
    let declared = format!(
        "apiVersion: drover.dev/v1alpha1
kind: Device
metadata: {{name: pinned}}
spec: {{endpointName: {device}, resources: [{{path: /3/0/14, value: '+05:00'}}]}}
"
    );
    let file = drover.scratch().join("operations.yaml");
    let text = [
        declared,
        operation("reset", &by_name, "type: Execute, path: /3303/0/5605"),
        operation(
            "maker",
            "deviceRef: {name: pinned}",
            "type: Read, path: /3/0/0",
        ),
    ];
    std::fs::write(&file, text.concat()).unwrap();
    let file = file.to_str().unwrap();
    let first = drover.json(&["apply", "-f", file]);
    let operations = &first["operations"];
    assert_eq!(operations[0]["result"], "succeeded", "{first}");
    assert_eq!(
        operations[0]["message"],
        "executed: the device answered 2.04"
    );
    assert_eq!(operations[1]["endpoint"], device.as_str(), "{first}");
    assert_eq!(operations[1]["values"][0]["value"], "Drover", "{first}");
    let again = drover.json(&["apply", "-f", file]);
    assert_eq!(again["operations"], first["operations"]);
    let filter = "name = execute";
    let listed = drover.json(&["operations", "list", device, "--filter", filter]);
    assert_eq!(listed["operations"].as_array().map(Vec::len), Some(1));

    let many = operation(
        "reset-all",
        "selector: {}",
        "type: Execute, path: /3303/0/5605",
    );
    std::fs::write(drover.scratch().join("many.yaml"), many).unwrap();
    let many = drover.scratch().join("many.yaml");
    let refused = drover.run(&["apply", "-f", many.to_str().unwrap()]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.stderr.contains("drover exec ENDPOINT /3303/0/5605"),
        "{refused:?}"
    );

    // Nothing was asked of a device that is not there, and nobody asks it later.
    let absent = operation("absent", "endpointName: nobody", "type: Read, path: /3/0/0");
    std::fs::write(drover.scratch().join("absent.yaml"), absent).unwrap();
    let absent = drover.scratch().join("absent.yaml");
    let unheard = drover.run(&["apply", "-f", absent.to_str().unwrap(), "--timeout", "2s"]);
    assert_eq!(unheard.code, 4, "{unheard:?}");
    assert!(unheard.stdout.contains("absent unheard"), "{unheard:?}");
}
