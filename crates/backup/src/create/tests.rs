//! Backups of a source that lies in memory.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::cell::{Cell, RefCell};
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::{Access, Catalog, CatalogError, Fault, fetch_shard, verify};

/// Two shards and their files.
struct Memory {
    shards: RefCell<Vec<Vec<(&'static str, Vec<u8>)>>>,
    /// Streams that still break after one byte.
    breaks: Cell<usize>,
    /// Checkpoints that still go before they are read.
    goes: Cell<usize>,
    released: Cell<usize>,
}

#[derive(Debug, thiserror::Error)]
enum Fails {
    #[error("the stream broke")]
    Broke,
    #[error("the checkpoint is gone")]
    Gone,
}

impl Memory {
    fn new() -> Self {
        let shard = |rows: &str| {
            vec![
                ("CURRENT", b"MANIFEST-000005\n".to_vec()),
                ("000012.sst", rows.as_bytes().to_vec()),
            ]
        };
        Self {
            shards: RefCell::new(vec![
                shard("rows of the first"),
                shard("rows of the second"),
            ]),
            breaks: Cell::default(),
            goes: Cell::default(),
            released: Cell::default(),
        }
    }

    fn add(&self, shard: usize, name: &'static str, content: &str) {
        self.shards.borrow_mut()[shard].push((name, content.as_bytes().to_vec()));
    }
}

fn take(left: &Cell<usize>) -> bool {
    let before = left.get();
    left.set(before.saturating_sub(1));
    before > 0
}

impl Source for Memory {
    type Error = Fails;

    async fn prepare(&self, shard: u16) -> Result<Prepared, Fails> {
        let shards = self.shards.borrow();
        let files = shards[usize::from(shard)]
            .iter()
            .map(|(name, content)| File {
                name: FileName::try_from((*name).to_owned()).unwrap(),
                size: content.len() as u64,
                sha256: Digest::of(content),
            });
        Ok(Prepared {
            checkpoint: shard.to_string(),
            cluster: Cluster {
                id: "c0ffee".to_owned(),
                name: "test".to_owned(),
            },
            shards: shards.len() as u16,
            software: "0.1.0".to_owned(),
            node: "1".to_owned(),
            revision: Position { term: 1, index: 7 },
            leader_time_ms: 1,
            files: files.collect(),
        })
    }

    async fn read(
        &self,
        checkpoint: &str,
        name: &FileName,
        offset: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, Fails>>, Fails> {
        if take(&self.goes) {
            return Err(Fails::Gone);
        }
        let shards = self.shards.borrow();
        let shard: usize = checkpoint.parse().unwrap();
        let found = shards[shard]
            .iter()
            .find(|(found, _)| *found == name.as_str());
        let rest = found.unwrap().1[offset as usize..].to_vec();
        let parts = if take(&self.breaks) {
            vec![Ok(Bytes::from(rest[..1].to_vec())), Err(Fails::Broke)]
        } else {
            vec![Ok(Bytes::from(rest))]
        };
        Ok(futures::stream::iter(parts).boxed())
    }

    async fn release(&self, _checkpoint: &str) {
        self.released.set(self.released.get() + 1);
    }

    fn recovery(error: &Fails) -> Recovery {
        match error {
            Fails::Broke => Recovery::Retry,
            Fails::Gone => Recovery::PrepareAgain,
        }
    }
}

fn folder() -> (TempDir, Target) {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::open(folder.path().to_str().unwrap(), Access::Create).unwrap();
    (folder, target)
}

async fn make(source: &Memory, target: &Target) -> Manifest {
    create(source, target, 2, &|_| {}).await.unwrap()
}

/// Bytes that a backup had to write.
async fn written(source: &Memory, target: &Target) -> u64 {
    let written = Cell::new(0);
    let note = |progress| {
        if let Progress::Written { bytes } = progress {
            written.set(written.get() + bytes);
        }
    };
    create(source, target, 2, &note).await.unwrap();
    written.get()
}

fn pool_file(folder: &TempDir, manifest: &Manifest, shard: usize, name: &str) -> PathBuf {
    let files = &manifest.shards[shard].files;
    let file = files
        .iter()
        .find(|file| file.name.as_str() == name)
        .unwrap();
    folder.path().join(layout::file(&file.sha256))
}

#[tokio::test]
async fn a_backup_is_listed_verified_and_brought_back() {
    let (_folder, target) = folder();
    let source = Memory::new();
    let made = make(&source, &target).await;
    assert_eq!(source.released.get(), 2);
    let listed = Catalog::new(&target).list().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].manifest.as_ref().unwrap(), &made);
    let verified = verify(&target, &made, 4, &|_| {}).await.unwrap();
    // The file that both shards have is there once.
    assert_eq!((verified.files, verified.problems), (3, Vec::new()));
    let back = tempfile::tempdir().unwrap();
    fetch_shard(&target, &made.shards[1], back.path())
        .await
        .unwrap();
    let rows = std::fs::read(back.path().join("000012.sst")).unwrap();
    assert_eq!(rows, b"rows of the second");
}

#[tokio::test]
async fn the_next_backup_writes_only_what_is_new() {
    let (_folder, target) = folder();
    let source = Memory::new();
    assert!(written(&source, &target).await > 30);
    assert_eq!(written(&source, &target).await, 0);
    source.add(1, "000013.sst", "more");
    assert_eq!(written(&source, &target).await, 4);
}

#[tokio::test]
async fn broken_streams_go_on_where_they_were() {
    let (_folder, target) = folder();
    let source = Memory::new();
    source.breaks.set(2);
    let made = make(&source, &target).await;
    let verified = verify(&target, &made, 4, &|_| {}).await.unwrap();
    assert_eq!(verified.problems, Vec::new());
}

#[tokio::test]
async fn a_checkpoint_that_goes_is_replaced() {
    let (_folder, target) = folder();
    let source = Memory::new();
    source.goes.set(2);
    make(&source, &target).await;
    assert_eq!(source.released.get(), 4);
}

#[tokio::test]
async fn files_go_with_the_last_backup_that_names_them() {
    let (folder, target) = folder();
    let source = Memory::new();
    let first = make(&source, &target).await;
    source.add(0, "000013.sst", "more");
    source.shards.borrow_mut()[0].remove(1);
    let second = make(&source, &target).await;
    let old = pool_file(&folder, &first, 0, "000012.sst");
    let shared = pool_file(&folder, &first, 1, "000012.sst");
    let catalog = Catalog::new(&target);
    let removed = catalog
        .delete(std::slice::from_ref(&first.id))
        .await
        .unwrap();
    assert_eq!((removed.files, removed.bytes), (1, 17));
    assert!(!old.exists() && shared.exists());
    let verified = verify(&target, &second, 4, &|_| {}).await.unwrap();
    assert_eq!(verified.problems, Vec::new());
    let again = catalog.delete(&[first.id]).await;
    assert!(matches!(again, Err(CatalogError::Unknown(_))), "{again:?}");
    let removed = catalog.prune(0).await.unwrap();
    assert_eq!((removed.backups, removed.files), (vec![second.id], 3));
    assert!(catalog.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn nothing_goes_while_a_backup_is_made() {
    let (folder, target) = folder();
    let source = Memory::new();
    let first = make(&source, &target).await;
    let other: BackupId = "20261130T174512Z-5f3a9c1e".parse().unwrap();
    let mark = layout::started(&other);
    target.write(&mark, Bytes::new()).await.unwrap();
    let catalog = Catalog::new(&target);
    let removed = catalog
        .delete(std::slice::from_ref(&first.id))
        .await
        .unwrap();
    assert_eq!((removed.files, removed.waits_for), (0, vec![other]));
    let file = pool_file(&folder, &first, 0, "000012.sst");
    assert!(file.exists());
    // The program that made the mark died two days ago.
    let mark = std::fs::File::options()
        .write(true)
        .open(folder.path().join(&mark))
        .unwrap();
    mark.set_modified(SystemTime::now() - Duration::from_secs(48 * 3_600))
        .unwrap();
    assert_eq!(catalog.prune(0).await.unwrap().files, 3);
    assert!(!file.exists());
}

#[tokio::test]
async fn nothing_goes_while_a_manifest_cannot_be_read() {
    let (folder, target) = folder();
    let source = Memory::new();
    let first = make(&source, &target).await;
    let second = make(&source, &target).await;
    let manifest = folder.path().join(layout::manifest(&first.id));
    std::fs::write(manifest, "{}").unwrap();
    let catalog = Catalog::new(&target);
    let refused = catalog.delete(&[second.id]).await;
    assert!(
        matches!(refused, Err(CatalogError::Manifest { .. })),
        "{refused:?}"
    );
    assert_eq!(catalog.list().await.unwrap().len(), 2);
    // The one that is damaged can be removed itself.
    catalog.delete(&[first.id]).await.unwrap();
}

#[tokio::test]
async fn damage_is_named() {
    let (folder, target) = folder();
    let source = Memory::new();
    let made = make(&source, &target).await;
    let file = pool_file(&folder, &made, 1, "000012.sst");
    let mut content = std::fs::read(&file).unwrap();
    content[3] ^= 1;
    std::fs::write(&file, &content).unwrap();
    let verified = verify(&target, &made, 4, &|_| {}).await.unwrap();
    let [problem] = verified.problems.as_slice() else {
        panic!("{verified:?}")
    };
    assert!(file.ends_with(&problem.object));
    assert_eq!((problem.shard, problem.fault), (1, Fault::Content));
    let back = tempfile::tempdir().unwrap();
    let fetched = fetch_shard(&target, &made.shards[1], back.path()).await;
    assert!(
        matches!(fetched, Err(crate::FetchError::Damaged { .. })),
        "{fetched:?}"
    );
    std::fs::remove_file(&file).unwrap();
    let verified = verify(&target, &made, 4, &|_| {}).await.unwrap();
    assert_eq!(verified.problems[0].fault, Fault::Missing);
    // A file that was cut short is written again by the next backup.
    std::fs::write(&file, "cut").unwrap();
    let verified = verify(&target, &made, 4, &|_| {}).await.unwrap();
    assert_eq!(verified.problems[0].fault, Fault::Size { found: 3 });
    let next = make(&source, &target).await;
    let verified = verify(&target, &next, 4, &|_| {}).await.unwrap();
    assert_eq!(verified.problems, Vec::new());
}
