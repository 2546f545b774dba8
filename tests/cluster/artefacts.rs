//! Packages of the cluster, and devices that fetch them from their ingress node.

use sha2::{Digest, Sha256};
use tests::{Drover, Options};

/// A device takes about ten seconds, most of which is its reboot; when a notification is lost, a minute more.
const PATIENCE: &str = "240s";

/// Of many blocks, and of several parts. Its first line is what a simulated device reads of it.
fn package(version: &str) -> Vec<u8> {
    let mut package = format!("meters {version}\n").into_bytes();
    package.extend((0..200_000_u32).map(|byte| (byte * 7 / 5) as u8));
    package
}

fn done(drover: &Drover, arguments: &[&str]) -> String {
    let answer = drover.run(arguments);
    assert_eq!(answer.code, 0, "{arguments:?}: {answer:?}");
    answer.stdout
}

#[test]
fn a_package_is_pushed_to_devices_while_a_state_node_is_killed() {
    let drover = Drover::start(&Options {
        devices: 4,
        ingress_nodes: 2,
        ..Options::default()
    });
    let file = drover.scratch().join("meters-2.0.0.bin");
    std::fs::write(&file, package("2.0.0")).unwrap();
    let create = ["rollout", "create", "pushed", "--version", "2.0.0"];
    let elsewhere = [&create[..], &["--uri", "coap://h/1", "--push"]].concat();
    let refused = drover.run(&elsewhere);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("image.uri"), "{refused:?}");
    let create = [
        &create[..],
        &["--package", file.to_str().unwrap(), "--push"],
    ]
    .concat();
    done(&drover, &create);
    // Its leaderships go to others, which begin again what it was about.
    drover.kill_state_node(drover.leading_state_node());
    done(
        &drover,
        &["rollout", "status", "pushed", "--timeout", PATIENCE],
    );
    let campaign = drover.json(&["rollout", "get", "pushed"]);
    assert_eq!(campaign["counts"]["succeeded"], 4, "{campaign}");
    for device in drover.devices() {
        let read = drover.json(&["read", &device, "/5/0/1"]);
        // Nothing was offered to be fetched.
        assert_eq!(read["values"][0]["value"], "", "{read}");
        let read = drover.json(&["read", &device, "/3/0/3"]);
        assert_eq!(read["values"][0]["value"], "2.0.0", "{read}");
    }
}

#[test]
fn a_package_is_stored_once_and_devices_fetch_it_from_where_they_are() {
    let drover = Drover::start(&Options {
        devices: 3,
        ingress_nodes: 2,
        ..Options::default()
    });
    let file = drover.scratch().join("meters-2.0.0.bin");
    std::fs::write(&file, package("2.0.0")).unwrap();
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(package("2.0.0"))));
    let file = file.to_str().unwrap();

    let wrong = format!("sha256:{}", "0".repeat(64));
    let refused = drover.run(&["artefacts", "put", file, "--digest", &wrong]);
    assert_eq!(refused.code, 2, "{refused:?}");
    let none = drover.json(&["artefacts", "list"]);
    assert_eq!(none["artefacts"], serde_json::json!([]), "{none}");
    let uri = format!("drover:{digest}");
    let create = ["rollout", "create", "meters-2", "--version", "2.0.0"];
    let missing = drover.run(&[&create[..], &["--uri", &uri]].concat());
    assert!(missing.stderr.contains("UNKNOWN_ARTEFACT"), "{missing:?}");

    let stored = drover.json(&["artefacts", "put", file]);
    assert_eq!(stored["digest"], digest.as_str(), "{stored}");
    assert_eq!(stored["title"], "meters-2.0.0.bin", "{stored}");
    let again = drover.json(&["artefacts", "put", file, "--title", "another"]);
    assert_eq!(again, stored);
    let listed = drover.json(&["artefacts", "list"]);
    assert_eq!(listed["artefacts"], serde_json::json!([stored]));

    done(&drover, &[&create[..], &["--package", file]].concat());
    let in_use = drover.run(&["artefacts", "remove", &digest]);
    assert!(in_use.stderr.contains("ARTEFACT_IN_USE"), "{in_use:?}");
    done(
        &drover,
        &["rollout", "status", "meters-2", "--timeout", PATIENCE],
    );
    let campaign = drover.json(&["rollout", "get", "meters-2"]);
    assert_eq!(campaign["counts"]["succeeded"], 3, "{campaign}");
    for device in drover.devices() {
        let read = drover.json(&["read", &device, "/3/0/3"]);
        assert_eq!(read["values"][0]["value"], "2.0.0", "{read}");
    }
    let desired = format!("/5/0/1={uri}");
    done(
        &drover,
        &[
            "profiles",
            "put",
            "new",
            "-l",
            "kind=none",
            "--set",
            &desired,
        ],
    );
    let in_use = drover.run(&["artefacts", "remove", &digest]);
    assert!(in_use.stderr.contains("the profile new"), "{in_use:?}");
    done(&drover, &["profiles", "remove", "new"]);
    done(&drover, &["artefacts", "remove", &digest]);
    let gone = drover.run(&["artefacts", "get", &digest]);
    assert_eq!(gone.code, 3, "{gone:?}");
}
