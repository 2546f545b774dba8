#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;

use bytes::Bytes;
use device_state::ShardId;
use node_runtime::{Stage, Tasks};
use openraft::StorageError;
use openraft::storage::RaftLogStorageExt;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use super::*;
use crate::comparison::Hashes;
use crate::raft::state_machine::StateMachine;
use crate::raft::{LogData, log_id};
use crate::shard_events::ShardEvents;
use crate::store::ShardStore;
use crate::store::database::SharedOptions;

fn panicking() -> FailStop {
    FailStop::hooked(|what| panic!("{what}"))
}

struct Builder;

impl StoreBuilder<TypeConfig, GroupLogStore, StateMachine, TempDir> for Builder {
    async fn build(
        &self,
    ) -> Result<(TempDir, GroupLogStore, StateMachine), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().unwrap();
        let log = LogStore::open(&dir.path().join("log"), 2, panicking())
            .unwrap()
            .group(1);
        let options = SharedOptions::new(1 << 20, 1 << 20, 1);
        let store =
            ShardStore::open(ShardId(0), &dir.path().join("rows"), options, panicking()).unwrap();
        let events = Arc::new(ShardEvents::default());
        let drain = Tasks::new().drain(Stage::HandOver);
        let hashes = Arc::new(Hashes::new(Arc::default(), drain));
        let machine = StateMachine::open(Arc::new(store), events, hashes, panicking()).unwrap();
        Ok((dir, log, machine))
    }
}

#[test]
fn log_and_state_machine_keep_openrafts_contract() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(Suite::test_all(Builder)).unwrap();
}

fn entry(term: u64, index: u64, text: &str) -> Entry {
    let data = LogData(Bytes::copy_from_slice(text.as_bytes()));
    Entry {
        log_id: log_id(term, index),
        payload: openraft::EntryPayload::Normal(data),
    }
}

async fn append(log: &mut GroupLogStore, entries: impl IntoIterator<Item = Entry> + Send) {
    let entries: Vec<Entry> = entries.into_iter().collect();
    log.blocking_append(entries).await.unwrap();
}

async fn indices(log: &mut GroupLogStore) -> Vec<u64> {
    let entries = log.try_get_log_entries(..).await.unwrap();
    entries.iter().map(|entry| entry.log_id.index).collect()
}

/// The last segment file in `dir`.
fn last_segment(dir: &Path) -> PathBuf {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.pop().unwrap()
}

fn open(dir: &TempDir) -> Result<LogStore, OpenError> {
    LogStore::open(dir.path(), 2, panicking())
}

#[tokio::test]
async fn everything_synced_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).unwrap();
    let (mut first, mut second) = (store.group(0), store.group(1));
    let vote = Vote::new_committed(3, 42);
    first.save_vote(&vote).await.unwrap();
    append(&mut first, (1..=5).map(|index| entry(1, index, "first"))).await;
    append(&mut second, (7..=9).map(|index| entry(2, index, "second"))).await;
    first.truncate_after(Some(log_id(1, 3))).await.unwrap();
    append(&mut first, [entry(2, 4, "again")]).await;
    first.purge(log_id(1, 1)).await.unwrap();
    second.save_committed(Some(log_id(2, 8))).await.unwrap();
    store.close().await.unwrap();

    let store = open(&dir).unwrap();
    let (mut first, mut second) = (store.group(0), store.group(1));
    assert_eq!(first.read_vote().await.unwrap(), Some(vote));
    assert_eq!(indices(&mut first).await, [2, 3, 4]);
    let last = first.try_get_log_entries(4..5).await.unwrap();
    assert_eq!(last, [entry(2, 4, "again")]);
    assert_eq!(
        first.get_log_state().await.unwrap().last_purged_log_id,
        Some(log_id(1, 1))
    );
    assert_eq!(indices(&mut second).await, [7, 8, 9]);
    assert_eq!(second.read_committed().await.unwrap(), Some(log_id(2, 8)));
}

#[tokio::test]
async fn a_torn_end_is_cut_off_wherever_it_tears() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).unwrap();
    append(&mut store.group(0), [entry(1, 1, "synced")]).await;
    let synced = fs::metadata(last_segment(dir.path())).unwrap().len();
    append(
        &mut store.group(0),
        [entry(1, 2, "torn"), entry(1, 3, "torn")],
    )
    .await;
    let bytes = fs::read(last_segment(dir.path())).unwrap();
    store.close().await.unwrap();

    for length in synced..bytes.len() as u64 {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("0000000000.log"), &bytes[..length as usize]).unwrap();
        let store = open(&dir).unwrap();
        let found = indices(&mut store.group(0)).await;
        assert!(
            found == [1] || found == [1, 2],
            "cut at {length}: {found:?}"
        );
        // The log goes on where it was cut.
        let next = found.len() as u64 + 1;
        append(&mut store.group(0), [entry(2, next, "after")]).await;
        store.close().await.unwrap();
        let store = open(&dir).unwrap();
        assert_eq!(
            indices(&mut store.group(0)).await.last(),
            Some(&next),
            "cut at {length}"
        );
    }
}

#[tokio::test]
async fn a_page_that_did_not_reach_the_disk_is_a_torn_end_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).unwrap();
    append(&mut store.group(0), [entry(1, 1, "synced")]).await;
    let synced = fs::metadata(last_segment(dir.path())).unwrap().len();
    append(
        &mut store.group(0),
        [entry(1, 2, "lost"), entry(1, 3, "written")],
    )
    .await;
    let mut bytes = fs::read(last_segment(dir.path())).unwrap();
    store.close().await.unwrap();
    bytes[synced as usize..][..24].fill(0);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("0000000000.log"), bytes).unwrap();

    let store = open(&dir).unwrap();
    assert_eq!(indices(&mut store.group(0)).await, [1]);
}

/// Where `text` stands in a file.
fn position(path: &Path, text: &str) -> u64 {
    let bytes = fs::read(path).unwrap();
    let mut windows = bytes.windows(text.len());
    let at = windows.position(|window| window == text.as_bytes());
    at.unwrap() as u64
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

/// Bytes of an entry's record before its text: header, kind, group, term, index and the kind of payload.
const BEFORE_TEXT: u64 = 8 + 19 + 1;

#[tokio::test]
async fn damage_to_synced_data_refuses_to_start_and_tells_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).unwrap();
    append(&mut store.group(0), [entry(1, 1, "damaged")]).await;
    append(&mut store.group(1), [entry(1, 1, "synced last")]).await;
    store.close().await.unwrap();
    let path = last_segment(dir.path());
    let length = fs::metadata(&path).unwrap().len();

    // The batch that was synced last counts too, after an orderly end.
    for (text, group) in [("synced last", 1), ("damaged", 0)] {
        let at = position(&path, text);
        overwrite(&path, at, b"X");
        let error = open(&dir).unwrap_err();
        let corruption = error.corruption().unwrap();
        assert_eq!(corruption.shard, Some(group), "{error}");
        assert_eq!(corruption.file, path);
        assert_eq!(corruption.offset, Some(at - BEFORE_TEXT));
        assert_eq!(
            fs::metadata(&path).unwrap().len(),
            length,
            "nothing is cut off"
        );
    }
}

#[tokio::test]
async fn what_was_recovered_after_a_crash_counts_as_synced() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).unwrap();
    append(&mut store.group(0), [entry(1, 1, "alone")]).await;
    // Without the mark of an orderly end.
    let bytes = fs::read(last_segment(dir.path())).unwrap();
    store.close().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("0000000000.log");
    fs::write(&path, bytes).unwrap();
    drop(open(&dir).unwrap());
    overwrite(&path, position(&path, "alone"), b"X");
    assert!(matches!(open(&dir), Err(OpenError::Damaged { .. })));
}

#[tokio::test]
async fn a_missing_segment_refuses_to_start() {
    let dir = tempfile::tempdir().unwrap();
    for number in [0_u32, 2] {
        fs::write(
            dir.path().join(format!("{number:010}.log")),
            record::segment_header(number),
        )
        .unwrap();
    }
    assert!(matches!(
        open(&dir),
        Err(OpenError::MissingSegment { path }) if path.ends_with("0000000001.log")
    ));
}

#[tokio::test]
async fn segments_go_once_every_group_purged_past_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).unwrap();
    let (mut busy, mut quiet) = (store.group(0), store.group(1));
    quiet.save_vote(&Vote::new(9, 9)).await.unwrap();
    append(&mut quiet, [entry(1, 1, "quiet")]).await;
    let big = "x".repeat(1 << 20);
    for index in 1..=140 {
        append(&mut busy, [entry(1, index, &big)]).await;
    }
    assert_eq!(store.segments(), 3);
    busy.purge(log_id(1, 130)).await.unwrap();
    assert_eq!(
        store.segments(),
        3,
        "the quiet group still needs the first one"
    );
    assert_eq!(store.groups_in_oldest_segment(), [1]);
    quiet.purge(log_id(1, 1)).await.unwrap();
    store.close().await.unwrap();

    let store = open(&dir).unwrap();
    assert_eq!(store.segments(), 1);
    assert_eq!(
        indices(&mut store.group(0)).await,
        (131..=140).collect::<Vec<_>>()
    );
    let mut quiet = store.group(1);
    assert_eq!(quiet.read_vote().await.unwrap(), Some(Vote::new(9, 9)));
    assert_eq!(
        quiet.get_log_state().await.unwrap().last_log_id,
        Some(log_id(1, 1))
    );
}

#[tokio::test]
async fn entries_that_left_the_cache_are_read_from_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).unwrap();
    let mut log = store.group(0);
    for index in 1..=40 {
        append(
            &mut log,
            [entry(1, index, &format!("{index}-{}", "y".repeat(1 << 20)))],
        )
        .await;
    }
    let first = log.try_get_log_entries(1..3).await.unwrap();
    assert_eq!(first[1], entry(1, 2, &format!("2-{}", "y".repeat(1 << 20))));
    let limited = log.limited_get_log_entries(1, 41).await.unwrap();
    assert_eq!(limited.len(), 2, "a read for replication is bounded");
    let all: Vec<_> = log.entries_stream(1..=40).await.collect().await;
    assert_eq!(all.len(), 40);
    assert!(all.iter().all(Result::is_ok));
}

#[tokio::test]
async fn damage_is_found_when_an_entry_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let (found, stops) = sync_channel(4);
    let hook = FailStop::hooked(move |what| found.send(what.to_owned()).unwrap());
    let store = LogStore::open(dir.path(), 2, hook).unwrap();
    let mut log = store.group(1);
    for index in 1..=40 {
        let text = format!("{index:02}-{}", "y".repeat(1 << 20));
        append(&mut log, [entry(1, index, &text)]).await;
    }
    let path = last_segment(dir.path());
    let (first, second) = (position(&path, "01-y"), position(&path, "02-y"));
    // One bit of one entry; in the place of another, a sound record that is not its own.
    overwrite(&path, first + 7, b"Y");
    let bytes = fs::read(&path).unwrap();
    let third = position(&path, "03-y");
    let record = third - BEFORE_TEXT..third + 3 + (1 << 20);
    overwrite(
        &path,
        second - BEFORE_TEXT,
        &bytes[record.start as usize..record.end as usize],
    );

    for (index, at, reason) in [(1, first, "checksum"), (2, second, "another record")] {
        log.try_get_log_entries(index..=index).await.unwrap_err();
        let told = stops.try_recv().unwrap();
        let place = format!("{}, byte {}, shard 1", path.display(), at - BEFORE_TEXT);
        assert!(told.starts_with(&place) && told.contains(reason), "{told}");
    }
    assert_eq!(log.try_get_log_entries(4..6).await.unwrap().len(), 2);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(first).unwrap();
    log.try_get_log_entries(5..6).await.unwrap_err();
    assert!(stops.try_recv().unwrap().contains("ends before"));
}
