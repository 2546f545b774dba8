#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;

/// Three files, the second of several chunks.
fn contents() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("000007.sst", vec![7; 1_000]),
        ("000008.sst", (0..700_000_u32).map(|at| at as u8).collect()),
        ("CURRENT", b"MANIFEST-000005\n".to_vec()),
    ]
}

fn manifest(meta: &[u8]) -> SnapshotManifest {
    let file = |(name, content): &(&str, Vec<u8>)| SnapshotFile {
        name: (*name).to_owned(),
        size: content.len() as u64,
        crc32: crc32fast::hash(content),
    };
    SnapshotManifest {
        group: 0,
        meta: meta.to_vec(),
        files: contents().iter().map(file).collect(),
    }
}

/// The messages that carry these files, and the end of the list.
fn messages(indices: &[usize]) -> Vec<Kind> {
    let (contents, described) = (contents(), manifest(b"").files);
    let mut messages = Vec::new();
    for index in indices {
        messages.push(Kind::File(described[*index].clone()));
        let chunks = contents[*index].1.chunks(CHUNK);
        messages.extend(chunks.map(|chunk| Kind::Data(Bytes::copy_from_slice(chunk))));
    }
    messages.push(Kind::File(SnapshotFile::default()));
    messages
}

async fn receive(slot: &Slot, messages: Vec<Kind>) -> Result<(), ReceiveError> {
    let chunks = messages
        .into_iter()
        .map(|kind| Ok(SnapshotChunk { kind: Some(kind) }));
    let mut slot = slot.lock().await.unwrap();
    receive_files(&mut futures::stream::iter(chunks), slot.as_mut().unwrap()).await
}

/// A fresh folder in `dir`, as the store makes them.
fn folder(dir: &TempDir) -> PathBuf {
    let path = dir.path().join(format!("incoming-{}", folders(dir)));
    fs::create_dir(&path).unwrap();
    path
}

fn folders(dir: &TempDir) -> usize {
    fs::read_dir(dir.path()).unwrap().count()
}

async fn offer(slot: &Slot, dir: &TempDir, meta: &[u8]) -> Vec<u32> {
    let wanted = slot.offer(manifest(meta), || Ok(folder(dir))).await;
    wanted.unwrap().files
}

async fn path(slot: &Slot) -> PathBuf {
    let slot = slot.lock().await.unwrap();
    slot.as_ref().unwrap().path().to_owned()
}

fn assert_complete(path: &Path) {
    for (name, content) in contents() {
        assert!(fs::read(path.join(name)).unwrap() == content, "{name}");
    }
}

#[tokio::test]
async fn a_broken_transfer_goes_on_with_what_is_missing() {
    let (dir, slot) = (tempfile::tempdir().unwrap(), Slot::default());
    assert_eq!(offer(&slot, &dir, b"meta").await, [0, 1, 2]);
    // In the middle of the second file.
    let broken = messages(&[0, 1, 2]).into_iter().take(4).collect();
    receive(&slot, broken).await.unwrap_err();
    assert_eq!(offer(&slot, &dir, b"meta").await, [1, 2]);
    // Neither what is there already nor an early end is taken.
    receive(&slot, messages(&[0])).await.unwrap_err();
    receive(&slot, messages(&[1])).await.unwrap_err();
    assert_eq!(offer(&slot, &dir, b"meta").await, [2]);
    receive(&slot, messages(&[2])).await.unwrap();
    assert_eq!(offer(&slot, &dir, b"meta").await, Vec::<u32>::new());
    assert_complete(&path(&slot).await);
    receive(&slot, messages(&[])).await.unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_fetched_again() {
    let (dir, slot) = (tempfile::tempdir().unwrap(), Slot::default());
    offer(&slot, &dir, b"meta").await;
    let mut damaged = messages(&[0, 1, 2]);
    damaged[1] = Kind::Data(Bytes::from(vec![8; 1_000]));
    let error = receive(&slot, damaged).await.unwrap_err();
    assert!(matches!(&error, ReceiveError::Damaged(name) if name == "000007.sst"));
    assert_eq!(offer(&slot, &dir, b"meta").await, [0, 1, 2]);
    let broken = messages(&[0, 1]).into_iter().take(5).collect();
    receive(&slot, broken).await.unwrap_err();
    assert_eq!(offer(&slot, &dir, b"meta").await, [1, 2]);
    // On the disk, between two attempts.
    fs::write(path(&slot).await.join("000007.sst"), vec![9; 1_000]).unwrap();
    assert_eq!(offer(&slot, &dir, b"meta").await, [0, 1, 2]);
    receive(&slot, messages(&[0, 1, 2])).await.unwrap();
    assert_complete(&path(&slot).await);
}

#[tokio::test]
async fn another_snapshot_takes_the_place_of_what_arrived() {
    let (dir, slot) = (tempfile::tempdir().unwrap(), Slot::default());
    offer(&slot, &dir, b"meta").await;
    let broken = messages(&[0, 1, 2]).into_iter().take(4).collect();
    receive(&slot, broken).await.unwrap_err();
    let before = path(&slot).await;
    assert_eq!(offer(&slot, &dir, b"newer").await, [0, 1, 2]);
    assert_eq!(folders(&dir), 1);
    assert!(before == path(&slot).await || !before.exists());
    let slot = slot.lock().await.unwrap();
    assert!(!slot.as_ref().unwrap().is(b"", b"newer"));
}

#[tokio::test]
async fn names_from_the_wire_stay_in_the_folder() {
    let (dir, slot) = (tempfile::tempdir().unwrap(), Slot::default());
    let long = "x".repeat(65);
    for name in ["../up", "a/b", "/abs", "..", ".hidden", "", "nul\0", &long] {
        let mut bad = manifest(b"meta");
        bad.files[1].name = name.to_owned();
        let refused = slot.offer(bad, || Ok(folder(&dir))).await;
        assert!(matches!(refused, Err(ReceiveError::Protocol(_))), "{name}");
    }
    let mut twice = manifest(b"meta");
    twice.files[1].name = twice.files[0].name.clone();
    let refused = slot.offer(twice, || Ok(folder(&dir))).await;
    assert!(matches!(refused, Err(ReceiveError::Protocol(_))));
    assert_eq!(folders(&dir), 0);

    offer(&slot, &dir, b"meta").await;
    let mut other = messages(&[0]);
    other[0] = Kind::File(SnapshotFile {
        name: "000009.sst".to_owned(),
        ..manifest(b"").files[0].clone()
    });
    let refused = receive(&slot, other).await;
    assert!(matches!(refused, Err(ReceiveError::Protocol(_))));
}
