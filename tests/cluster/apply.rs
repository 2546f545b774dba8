//! What files declare, without Kubernetes.

use std::path::Path;

use serde_json::Value;
use tests::openssl::{Curve, KeyPair, digest};
use tests::{Drover, HttpPackageServer, Options, until_some};

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

/// An image that the cluster is to fetch, its key, and a rollout of it.
fn rollout(
    server: &HttpPackageServer,
    package: &Path,
    (key, signature): (&KeyPair, &str),
) -> String {
    let size = std::fs::metadata(package).unwrap().len();
    format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{name: firmware-keys}}
data: {{release.pem: {pem:?}}}
---
apiVersion: drover.dev/v1alpha1
kind: FirmwareImage
metadata: {{name: meters-2}}
spec:
  source: {{uri: '{uri}', fetchedBy: Cluster}}
  packageName: meters
  version: 2.0.0
  sizeBytes: {size}
  digest: '{digest}'
  signature:
    type: RawEd25519
    publicKeyRef: {{kind: ConfigMap, name: firmware-keys, key: release.pem}}
    value: {signature}
---
apiVersion: drover.dev/v1alpha1
kind: FirmwareRollout
metadata: {{name: meters-2}}
spec:
  imageRef: {{name: meters-2}}
  selector: {{}}
  transfer: {{mode: Push}}
  strategy:
    waves:
    - {{name: all, size: 100%, promotion: Automatic}}
",
        pem = key.pem(),
        uri = server.uri(),
        digest = digest(package),
    )
}

#[test]
fn an_image_is_fetched_and_checked_before_its_rollout_begins() {
    let drover = Drover::start(&Options {
        devices: 2,
        ..Options::default()
    });
    let folder = drover.scratch();
    let key = |name| KeyPair::make(folder, name, Curve::Ed25519);
    let (release, other) = (key("release"), key("other"));
    let (package, mut bytes) = (folder.join("package"), b"meters 2.0.0\n".to_vec());
    bytes.resize(400_000, 0x5a);
    std::fs::write(&package, &bytes).unwrap();
    let server = HttpPackageServer::start(&bytes);
    let signature = release.sign(&package);
    let file = folder.join("rollout.yaml");
    let run = |text: &str| {
        std::fs::write(&file, text).unwrap();
        drover.run(&["apply", "-f", file.to_str().unwrap()])
    };
    let right = rollout(&server, &package, (&release, &signature));
    let wrong_digest = right.replace(&digest(&package), &format!("sha256:{}", "01".repeat(32)));
    for (wrong, why) in [
        (
            rollout(&server, &package, (&other, &signature)),
            "signature",
        ),
        (wrong_digest, "digest"),
        (
            right.replace("sizeBytes: 400000", "sizeBytes: 7"),
            "not the 7 that",
        ),
    ] {
        let refused = run(&wrong);
        assert_eq!(refused.code, 4, "{refused:?}");
        assert!(refused.stderr.contains(why), "{why}: {refused:?}");
    }
    let none = drover.json(&["artefacts", "list"]);
    assert_eq!(none["artefacts"], Value::Array(Vec::new()), "{none}");
    let begun = drover.run(&["rollout", "get", "meters-2"]);
    assert_eq!(begun.code, 3, "{begun:?}");

    let applied = run(&right);
    assert_eq!(applied.code, 0, "{applied:?}");
    assert_eq!(
        applied.stdout,
        "firmwareimage.drover.dev/meters-2 created\nfirmwarerollout.drover.dev/meters-2 created\n"
    );
    let stored = drover.json(&["artefacts", "get", &digest(&package)]);
    assert_eq!(stored["title"], "meters 2.0.0", "{stored}");
    let served = server.served();
    // Devices were told of it: it is not fetched again.
    let again = run(&right);
    assert_eq!(
        again.stdout, "firmwarerollout.drover.dev/meters-2 unchanged\n",
        "{again:?}"
    );
    assert_eq!(server.served(), served);
    let ended = drover.run(&["rollout", "status", "meters-2", "--timeout", "240s"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    // Another rollout of the same bytes, which nobody has to have signed.
    let unsigned = right.split("  signature:").next().unwrap().to_owned();
    let unsigned = unsigned.split_once("---\n").unwrap().1.to_owned();
    let rollout = right.rsplit("---\n").next().unwrap();
    let rollout = rollout.replace(
        "metadata: {name: meters-2}",
        "metadata: {name: meters-2-again}",
    );
    let another = run(&format!("{unsigned}---\n{rollout}"));
    assert_eq!(
        another.stdout,
        "firmwareimage.drover.dev/meters-2 unchanged\nfirmwarerollout.drover.dev/meters-2-again created\n",
        "{another:?}"
    );
    assert_eq!(server.served(), served);
}
