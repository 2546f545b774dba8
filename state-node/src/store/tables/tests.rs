#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};

use device_state::{DeviceName, MemoryTables, Revision, ShardId, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::store::ShardStore;
use crate::store::database::SharedOptions;

#[derive(Clone, Debug)]
enum Step {
    Put(Row),
    Delete(RowKey),
    Scan(RowKey, RowKey, usize),
    Commit,
}

fn endpoint(number: u8) -> DeviceName {
    DeviceName::parse(&format!("ep{number}")).unwrap()
}

fn generation_key(number: u8) -> RowKey {
    RowKey::DesiredGeneration(endpoint(number))
}

fn step() -> impl Strategy<Value = Step> {
    let row = (0_u8..20, any::<u64>()).prop_map(|(number, generation)| {
        Step::Put(Row::DesiredGeneration {
            endpoint: endpoint(number),
            generation,
        })
    });
    prop_oneof![
        4 => row,
        2 => (0_u8..20).prop_map(|number| Step::Delete(generation_key(number))),
        2 => (0_u8..20, 0_u8..20, 0_usize..12)
            .prop_map(|(from, to, limit)| Step::Scan(generation_key(from), generation_key(to), limit)),
        1 => Just(Step::Commit),
    ]
}

fn store(dir: &Path) -> ShardStore {
    let options = SharedOptions::new(1 << 20, 1 << 20, 1);
    ShardStore::open(
        ShardId(0),
        dir,
        options,
        FailStop::hooked(|what| panic!("{what}")),
    )
    .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn rows_on_the_disk_read_like_rows_in_memory(steps in proptest::collection::vec(step(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let mut memory = MemoryTables::new();
        let mut changes = store.write();
        for step in steps {
            match step {
                Step::Put(row) => {
                    memory.put(row.clone());
                    changes.put(row);
                }
                Step::Delete(key) => {
                    memory.delete(&key);
                    changes.delete(&key);
                }
                Step::Scan(from, to, limit) if from < to => {
                    prop_assert_eq!(changes.scan(&from, &to, limit), memory.scan(&from, &to, limit));
                }
                Step::Scan(..) => {}
                Step::Commit => store.commit(std::mem::replace(&mut changes, store.write()), b"position").unwrap(),
            }
        }
        for number in 0..20 {
            let key = generation_key(number);
            prop_assert_eq!(changes.get(&key), memory.get(&key));
        }
        store.commit(changes, b"position").unwrap();
        let (from, to) = (generation_key(0), RowKey::DesiredGeneration(DeviceName::parse("eq").unwrap()));
        let stored = store.read(|tables| tables.scan(&from, &to, usize::MAX));
        prop_assert_eq!(stored, memory.scan(&from, &to, usize::MAX));
    }
}

#[test]
fn rows_and_position_survive_a_restart_after_a_flush() {
    let dir = tempfile::tempdir().unwrap();
    let first = store(dir.path());
    let mut changes = first.write();
    changes.put(Row::DesiredGeneration {
        endpoint: endpoint(1),
        generation: 7,
    });
    first.commit(changes, b"position").unwrap();
    first.flush().unwrap();
    drop(first);

    let second = store(dir.path());
    assert_eq!(second.applied().unwrap().as_deref(), Some(&b"position"[..]));
    let row = second.read(|tables| tables.get(&generation_key(1)));
    assert_eq!(
        row,
        Some(Row::DesiredGeneration {
            endpoint: endpoint(1),
            generation: 7
        })
    );
}

#[test]
fn an_installed_checkpoint_replaces_everything_and_outlives_a_restart() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (source, target) = (store(from.path()), store(to.path()));
    for (store, number) in [(&source, 1), (&target, 2)] {
        let mut changes = store.write();
        changes.put(Row::DesiredGeneration {
            endpoint: endpoint(number),
            generation: 1,
        });
        store
            .commit(changes, format!("position {number}").as_bytes())
            .unwrap();
    }
    let checkpoint = source.make_checkpoint().unwrap();
    target.install(&checkpoint).unwrap();
    assert_eq!(target.checkpoint().unwrap().applied(), b"position 1");
    drop(target);

    let target = store(to.path());
    assert_eq!(
        target.applied().unwrap().as_deref(),
        Some(&b"position 1"[..])
    );
    assert!(
        target
            .read(|tables| tables.get(&generation_key(1)))
            .is_some()
    );
    assert!(
        target
            .read(|tables| tables.get(&generation_key(2)))
            .is_none()
    );
    assert_eq!(target.checkpoint().unwrap().applied(), b"position 1");
}

#[test]
fn a_read_sees_one_moment() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    store.read(|tables| {
        let mut changes = store.write();
        changes.put(Row::DesiredGeneration {
            endpoint: endpoint(1),
            generation: 7,
        });
        store.commit(changes, b"position").unwrap();
        assert_eq!(tables.get(&generation_key(1)), None);
    });
    let feed = RowKey::Feed(Revision(1), 0);
    assert!(
        store
            .read(|tables| tables.get(&generation_key(1)).is_some() && tables.get(&feed).is_none())
    );
    let expiry = RowKey::Expiry(
        Timestamp(0),
        device_state::table::Expiring::Registration(endpoint(1)),
    );
    assert_eq!(store.read(|tables| tables.get(&expiry)), None);
}

/// A store of shard 3, and what it says when it ends the node.
fn watched(dir: &Path) -> (Result<ShardStore, StoreError>, Receiver<String>) {
    let (sender, told) = sync_channel(8);
    let hook = FailStop::hooked(move |what| sender.send(what.to_owned()).unwrap());
    let options = SharedOptions::new(1 << 20, 1 << 20, 1);
    (ShardStore::open(ShardId(3), dir, options, hook), told)
}

/// Flips bytes in every table file of the first database, in the blocks of rows at the beginning.
fn damage(dir: &Path) {
    let files = fs::read_dir(dir.join("db-0")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let mut damaged = 0;
    for file in files.filter(|file| file.extension().is_some_and(|name| name == "sst")) {
        let mut bytes = fs::read(&file).unwrap();
        bytes.iter_mut().take(64).for_each(|byte| *byte ^= 0x55);
        fs::write(&file, bytes).unwrap();
        damaged += 1;
    }
    assert!(damaged > 0);
}

#[test]
fn damaged_rows_are_corruption_when_they_are_opened_or_read() {
    let dir = tempfile::tempdir().unwrap();
    let (first, _told) = watched(dir.path());
    let first = first.unwrap();
    let mut changes = first.write();
    for number in 0..200 {
        changes.put(Row::DesiredGeneration {
            endpoint: endpoint(number),
            generation: 7,
        });
    }
    first.commit(changes, b"position").unwrap();
    first.flush().unwrap();
    drop(first);
    damage(dir.path());

    let (second, told) = watched(dir.path());
    let second = second.unwrap();
    let error = second.applied().unwrap_err();
    let corruption = error.corruption(ShardId(3), dir.path()).unwrap();
    assert!(corruption.reason.contains("checksum"), "{corruption}");
    second.read(|tables| tables.get(&generation_key(1)));
    let stop = told.try_recv().unwrap();
    assert!(stop.contains("db-0, shard 3: Corruption"), "{stop}");

    let table = fs::read_dir(dir.path().join("db-0")).unwrap();
    let mut table = table.map(|entry| entry.unwrap().path());
    let table = table.find(|file| file.extension().is_some_and(|name| name == "sst"));
    drop(second);
    fs::write(table.unwrap(), "short").unwrap();
    let error = watched(dir.path()).0.unwrap_err();
    assert!(
        error.corruption(ShardId(3), dir.path()).is_some(),
        "{error:?}"
    );
}

#[test]
fn a_row_that_does_not_decode_is_corruption_and_a_failing_disk_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (store, told) = watched(dir.path());
    let store = store.unwrap();
    let key = keys::encode(&generation_key(1));
    store.database().db.put(&key, b"no row").unwrap();
    assert_eq!(store.read(|tables| tables.get(&generation_key(1))), None);
    let stop = told.try_recv().unwrap();
    assert!(stop.contains(&hex::encode(&key)), "{stop}");
    let full = StoreError::Io {
        action: "write",
        path: dir.path().to_owned(),
        source: std::io::ErrorKind::StorageFull.into(),
    };
    assert_eq!(full.corruption(ShardId(3), dir.path()), None);
    store.failed("a disk is full", full);
    assert_eq!(told.try_recv().unwrap(), "a disk is full");
}
