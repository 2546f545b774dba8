//! What files declare, without Kubernetes.

use serde_json::Value;
use tests::{Drover, Options, until_some};

use crate::fleet::SOON;

const MODEL: &str = "../examples/resources/object-model.yaml";
const GROUP: &str = "../examples/resources/device-group.yaml";

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
