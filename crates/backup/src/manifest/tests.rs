#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

const ID: &str = "20261130T174512Z-5f3a9c1e";

fn id() -> BackupId {
    ID.parse().unwrap()
}

fn file(name: &str, content: &[u8]) -> File {
    File {
        name: FileName::try_from(name.to_owned()).unwrap(),
        size: content.len() as u64,
        sha256: Digest::of(content),
    }
}

fn manifest() -> Manifest {
    let shard = |shard| Shard {
        shard,
        node: "00000000000000a1".to_owned(),
        revision: Position { term: 3, index: 42 },
        leader_time_ms: 1_796_060_711_900,
        files: vec![
            file("CURRENT", b"MANIFEST-000005\n"),
            file("000012.sst", b"rows"),
        ],
    };
    Manifest {
        format: FORMAT,
        id: id(),
        cluster: Cluster {
            id: "c0ffee".to_owned(),
            name: "drover".to_owned(),
        },
        software: "0.1.0".to_owned(),
        started: SystemTime::UNIX_EPOCH + Duration::from_millis(1_796_060_712_000),
        finished: SystemTime::UNIX_EPOCH + Duration::from_millis(1_796_060_713_500),
        shards: vec![shard(0), shard(1)],
    }
}

/// An envelope around anything, with the right checksum.
fn sealed(manifest: &Value) -> Vec<u8> {
    let text = manifest.to_string();
    let sha256 = Digest::of(text.as_bytes());
    format!(r#"{{"sha256":"{sha256}","manifest":{text}}}"#).into_bytes()
}

/// What becomes of the manifest with one thing changed.
fn changed(change: impl FnOnce(&mut Value)) -> Result<Manifest, ManifestError> {
    let mut value = serde_json::to_value(manifest()).unwrap();
    change(&mut value);
    Manifest::decode(&id(), &sealed(&value))
}

/// Backups stay for years: these bytes are read by every later release.
#[test]
fn the_form_of_a_manifest_stays() {
    let golden = include_bytes!("golden.json");
    assert_eq!(Manifest::decode(&id(), golden).unwrap(), manifest());
    assert_eq!(
        String::from_utf8(manifest().encode().unwrap()).unwrap(),
        String::from_utf8_lossy(golden)
    );
}

#[test]
fn a_damaged_manifest_is_not_believed() {
    let bytes = manifest().encode().unwrap();
    for at in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert!(Manifest::decode(&id(), &damaged).is_err(), "byte {at}");
        assert!(
            Manifest::decode(&id(), &bytes[..at]).is_err(),
            "cut at {at}"
        );
    }
}

#[test]
fn a_later_form_is_refused_by_its_number() {
    let later = sealed(&json!({"format": 2, "anything": "else"}));
    let refused = Manifest::decode(&id(), &later);
    assert!(
        matches!(refused, Err(ManifestError::Format(2))),
        "{refused:?}"
    );
}

#[test]
fn a_manifest_is_good_for_its_own_backup_only() {
    let other = "20261130T174512Z-00000000".parse().unwrap();
    let refused = Manifest::decode(&other, &manifest().encode().unwrap());
    assert!(
        matches!(refused, Err(ManifestError::OtherBackup(_))),
        "{refused:?}"
    );
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in ["../../etc/passwd", "/etc/passwd", "..", "a/b", ""] {
        let refused = changed(|value| value["shards"][0]["files"][1]["name"] = json!(name));
        assert!(matches!(refused, Err(ManifestError::Json(_))), "{name}");
    }
    let refused = changed(|value| value["shards"][0]["files"][1]["sha256"] = json!("../x"));
    assert!(matches!(refused, Err(ManifestError::Json(_))));
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let refused = changed(|value| value["shards"][0]["files"][1]["size"] = json!(u64::MAX));
    assert!(
        matches!(refused, Err(ManifestError::Sizes { shard: 0 })),
        "{refused:?}"
    );
    let refused = changed(|value| value["shards"][1]["files"][1]["size"] = json!(-1));
    assert!(
        matches!(refused, Err(ManifestError::Json(_))),
        "{refused:?}"
    );
}

#[test]
fn every_shard_is_there_once_and_can_be_opened() {
    let refused = changed(|value| value["shards"] = json!([]));
    assert!(
        matches!(refused, Err(ManifestError::Shards(0))),
        "{refused:?}"
    );
    let refused = changed(|value| value["shards"][1]["shard"] = json!(0));
    assert!(
        matches!(refused, Err(ManifestError::Order { .. })),
        "{refused:?}"
    );
    let refused = changed(|value| value["shards"][0]["files"][1]["name"] = json!("CURRENT"));
    assert!(
        matches!(refused, Err(ManifestError::Repeated { .. })),
        "{refused:?}"
    );
    let refused = changed(|value| value["shards"][1]["files"][0]["name"] = json!("000013.sst"));
    assert!(
        matches!(refused, Err(ManifestError::NoCurrent { shard: 1 })),
        "{refused:?}"
    );
    let refused = changed(|value| {
        value["shards"][0].as_object_mut().unwrap().remove("files");
    });
    assert!(
        matches!(refused, Err(ManifestError::Json(_))),
        "{refused:?}"
    );
}

#[test]
fn what_a_later_release_adds_to_this_form_is_passed_over() {
    let read = changed(|value| value["featureLevel"] = json!(7));
    assert_eq!(read.unwrap(), manifest());
}
