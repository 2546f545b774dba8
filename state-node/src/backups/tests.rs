#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use super::*;
use crate::fail_stop::FailStop;
use crate::store::ShardStore;
use crate::store::database::SharedOptions;

const SHARD: ShardId = ShardId(0);

fn store(folder: &Path) -> ShardStore {
    let options = SharedOptions::new(1 << 20, 1 << 20, 1);
    ShardStore::open(SHARD, folder, options, FailStop::exit(folder)).unwrap()
}

fn hold(backups: &Backups, store: &ShardStore) -> (CheckpointId, BTreeMap<String, Measured>) {
    store.commit(store.write(), b"position").unwrap();
    let place = backups.place().unwrap();
    backups
        .hold(SHARD, store.make_backup().unwrap(), place)
        .unwrap()
}

#[test]
fn an_id_reads_back() {
    let id = CheckpointId {
        node: NodeId(7),
        number: 9,
    };
    assert_eq!(CheckpointId::parse(&id.to_string()), Some(id));
    for text in [
        "",
        "7-9",
        "0000000000000007",
        "../../x",
        "0000000000000007-+00000000000009",
    ] {
        assert_eq!(CheckpointId::parse(text), None, "{text}");
    }
}

#[tokio::test]
async fn a_checkpoint_lasts_as_long_as_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let backups = Backups::new(NodeId(1));
    let (id, files) = hold(&backups, &store);
    let path = backups.read(id, "CURRENT").unwrap().path;
    assert_eq!(
        std::fs::metadata(&path).unwrap().len(),
        files["CURRENT"].size
    );
    let missing = backups.read(id, "../CURRENT");
    assert!(matches!(missing, Err(HoldError::NoFile)), "{missing:?}");
    let first_end = Instant::now() + LEASE;
    backups.renew(id);
    backups.end_leases(first_end - Duration::from_secs(1));
    assert!(path.exists());
    backups.end_leases(Instant::now() + LEASE);
    assert!(!path.exists());
    let gone = backups.read(id, "CURRENT");
    assert!(matches!(gone, Err(HoldError::Gone)), "{gone:?}");
}

#[tokio::test]
async fn there_are_few_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let backups = Backups::new(NodeId(1));
    let (first, _) = hold(&backups, &store);
    let places: Vec<Place> = (1..MAX_HELD).map(|_| backups.place().unwrap()).collect();
    assert!(matches!(backups.place(), Err(HoldError::TooMany)));
    backups.release(first);
    assert!(backups.place().is_ok());
    drop(places);
}

#[tokio::test]
async fn table_files_are_the_same_in_the_next_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let backups = Backups::new(NodeId(1));
    let tables = |files: BTreeMap<String, Measured>| {
        let tables = files.into_iter().filter(|(name, _)| is_table(name));
        tables.collect::<BTreeMap<_, _>>()
    };
    let first = tables(hold(&backups, &store).1);
    let second = tables(hold(&backups, &store).1);
    assert!(!first.is_empty() && second.len() > first.len());
    assert!(
        first
            .iter()
            .all(|(name, file)| second.get(name) == Some(file))
    );
    // Without what was measured before.
    let fresh = Backups::new(NodeId(1));
    let third = tables(hold(&fresh, &store).1);
    assert!(
        second
            .iter()
            .all(|(name, file)| third.get(name) == Some(file))
    );
}

#[test]
fn what_a_crash_left_behind_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let first = store(folder.path());
    let path = first.make_backup().unwrap().path().to_owned();
    drop(first);
    std::fs::create_dir_all(&path).unwrap();
    let second = store(folder.path());
    assert!(!path.exists());
    drop(second);
}
