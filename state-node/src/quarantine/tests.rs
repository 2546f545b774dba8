#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use tempfile::TempDir;

use super::*;
use crate::corruption::{self, Corruption};

/// A node's folder with something in it, of the cluster "c".
fn data(node: u64) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), node);
    dir
}

fn fill(dir: &Path, node: u64) {
    let mut identity = IdentityFile::open(dir, 8, NodeId(node)).unwrap();
    identity
        .update(|identity| identity.cluster_id = Some("c".to_owned()))
        .unwrap();
    fs::create_dir_all(dir.join("log")).unwrap();
    fs::write(dir.join("log/0000000000.log"), format!("of {node}")).unwrap();
    fs::create_dir_all(dir.join("shards/0")).unwrap();
    mark(dir);
}

fn mark(dir: &Path) {
    let corruption = Corruption {
        shard: None,
        file: dir.join("log/0000000000.log"),
        offset: Some(16),
        reason: "a test".to_owned(),
    };
    corruption::mark(dir, &corruption).unwrap();
}

fn begin(dir: &Path, haste: Haste, now: SystemTime) -> Result<PathBuf, QuarantineError> {
    let progress = progress(dir, haste, now)?;
    set_aside(dir, progress, NodeId(9), now)
}

fn identity_of(dir: &Path) -> (NodeId, Option<String>) {
    let (node, identity) = identity::read(&dir.join(identity::FILE)).unwrap();
    (node, identity.cluster_id)
}

#[test]
fn all_data_is_set_aside_and_the_node_is_another_one() {
    let dir = data(7);
    fs::write(dir.path().join("somebody-elses"), "").unwrap();
    let now = SystemTime::now();
    let aside = begin(dir.path(), Haste::AfterPause, now).unwrap();
    assert_eq!(aside, dir.path().join("quarantine-1"));
    for name in ["log/0000000000.log", "shards/0", "CORRUPT"] {
        assert!(aside.join(name).exists(), "{name}");
        assert!(!dir.path().join(name).exists(), "{name}");
    }
    assert_eq!(identity_of(&aside).0, NodeId(7));
    assert_eq!(identity_of(dir.path()), (NodeId(9), Some("c".to_owned())));
    assert!(dir.path().join("somebody-elses").exists());
    assert!(newest(dir.path()).is_some());
}

#[test]
fn a_crash_anywhere_in_between_is_completed_by_the_next_start() {
    let steps: [&[&str]; 3] = [&[], &["IDENTITY"], &["IDENTITY", "log"]];
    for moved in steps {
        let dir = data(7);
        let begun = dir.path().join("quarantine-1");
        fs::create_dir(&begun).unwrap();
        for name in moved {
            fs::rename(dir.path().join(name), begun.join(name)).unwrap();
        }
        let now = SystemTime::now();
        let found = progress(dir.path(), Haste::AfterPause, now).unwrap();
        assert_eq!(found, Progress::Begun(begun.clone()));
        set_aside(dir.path(), found, NodeId(9), now).unwrap();
        assert_eq!(identity_of(&begun).0, NodeId(7), "{moved:?}");
        assert_eq!(identity_of(dir.path()).0, NodeId(9), "{moved:?}");
        assert!(begun.join("log/0000000000.log").exists(), "{moved:?}");
        assert!(!dir.path().join("log").exists(), "{moved:?}");
    }
    // After the new identity was written, and before the mark moved.
    let dir = data(7);
    begin(dir.path(), Haste::AfterPause, SystemTime::now()).unwrap();
    fs::rename(
        dir.path().join("quarantine-1/CORRUPT"),
        dir.path().join(MARKER),
    )
    .unwrap();
    let found = progress(dir.path(), Haste::AfterPause, SystemTime::now()).unwrap();
    set_aside(dir.path(), found, NodeId(11), SystemTime::now()).unwrap();
    assert_eq!(identity_of(dir.path()).0, NodeId(9));
    assert_eq!(identity_of(&dir.path().join("quarantine-1")).0, NodeId(7));
}

#[test]
fn within_an_hour_it_is_done_again_only_if_told_and_one_quarantine_is_kept() {
    let dir = data(7);
    let first = SystemTime::now();
    begin(dir.path(), Haste::AfterPause, first).unwrap();
    fill(dir.path(), 9);
    let soon = first + PAUSE / 2;
    let refused = begin(dir.path(), Haste::AfterPause, soon);
    assert!(matches!(refused, Err(QuarantineError::TooSoon { .. })));
    // A clock that was set back proves nothing.
    let refused = begin(dir.path(), Haste::AfterPause, first - PAUSE * 2);
    assert!(matches!(refused, Err(QuarantineError::TooSoon { .. })));
    assert!(dir.path().join("log").exists(), "nothing was moved");

    let second = begin(dir.path(), Haste::AtOnce, soon).unwrap();
    assert_eq!(second, dir.path().join("quarantine-2"));
    assert!(!dir.path().join("quarantine-1").exists());
    fill(dir.path(), 9);
    let third = begin(dir.path(), Haste::AfterPause, soon + PAUSE).unwrap();
    assert_eq!(third, dir.path().join("quarantine-3"));
    assert_eq!(numbers(dir.path()).unwrap(), [3]);
}
