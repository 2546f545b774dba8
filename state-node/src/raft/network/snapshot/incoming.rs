//! A snapshot that arrives in pieces: which files it has, and which of them are there.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proto::rpc::v1::{SnapshotFile, SnapshotManifest, SnapshotWanted};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::raft::network::snapshot::ReceiveError;
use crate::seal::fingerprint;
use crate::store::{CheckpointFile, StoreError, measure};

/// Files of one checkpoint; more are refused.
const MAX_FILES: usize = 100_000;
/// Longer names are refused; RocksDB's are short.
const MAX_NAME: usize = 64;
/// How long an offer waits for the end of a stream that broke without a word.
const PATIENCE: Duration = Duration::from_secs(15);

/// Room for one snapshot of one shard. What arrived stays there until it is installed or another one is offered.
#[derive(Clone, Debug, Default)]
pub struct Slot(Arc<Mutex<Option<Incoming>>>);

impl Slot {
    /// The room, for one at a time.
    pub async fn lock(&self) -> Result<OwnedMutexGuard<Option<Incoming>>, ReceiveError> {
        let locked = tokio::time::timeout(PATIENCE, self.0.clone().lock_owned()).await;
        locked.map_err(|_| ReceiveError::Busy)
    }

    /// Takes an offer, in place of another one, and says what is missing of it. `fresh` makes a folder.
    pub async fn offer(
        &self,
        manifest: SnapshotManifest,
        fresh: impl FnOnce() -> Result<PathBuf, StoreError>,
    ) -> Result<SnapshotWanted, ReceiveError> {
        let files = checked(manifest.files)?;
        let id = id_of(&manifest.meta, &files);
        let mut slot = self.lock().await?;
        let kept = slot.take().filter(|incoming| incoming.id == id);
        let incoming = match kept {
            Some(kept) => kept.checked().await?,
            None => Incoming {
                id: id.clone(),
                meta: manifest.meta,
                folder: Folder(fresh()?),
                files: Arc::new(files),
                there: BTreeSet::new(),
            },
        };
        let incoming = slot.insert(incoming);
        Ok(SnapshotWanted {
            snapshot: id,
            files: incoming.missing().map(|index| index as u32).collect(),
        })
    }
}

/// A snapshot that was offered, and what is there of it.
#[derive(Debug)]
pub struct Incoming {
    id: Vec<u8>,
    meta: Vec<u8>,
    folder: Folder,
    files: Arc<Vec<CheckpointFile>>,
    /// Indices of the files that arrived whole and were checked.
    there: BTreeSet<usize>,
}

/// The folder that a snapshot arrives in; goes with it. An installed database has links of its own, and what stays after
/// a crash is removed at the next start.
#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

impl Incoming {
    /// Whether this is the snapshot with that id and description.
    pub fn is(&self, id: &[u8], meta: &[u8]) -> bool {
        self.id == id && self.meta == meta
    }

    /// Where it arrives.
    pub fn path(&self) -> &Path {
        &self.folder.0
    }

    fn missing(&self) -> impl Iterator<Item = usize> {
        (0..self.files.len()).filter(|index| !self.there.contains(index))
    }

    /// Without the files that are no longer what they were when they arrived.
    async fn checked(mut self) -> Result<Self, ReceiveError> {
        let (dir, files) = (self.folder.0.clone(), self.files.clone());
        let there = std::mem::take(&mut self.there);
        let sound = move || {
            let sound = |index: &usize| {
                let Some(file) = files.get(*index) else {
                    return false;
                };
                measure(&dir.join(&file.name)).is_ok_and(|found| found == (file.size, file.crc32))
            };
            there.into_iter().filter(sound).collect()
        };
        self.there = tokio::task::spawn_blocking(sound)
            .await
            .map_err(std::io::Error::other)?;
        Ok(self)
    }

    /// Begins to take a file, which must be one of those that are missing, as it was offered.
    pub(super) async fn begin(&self, file: &SnapshotFile) -> Result<Arriving, ReceiveError> {
        let offered = self.missing().find_map(|index| {
            let offered = self.files.get(index)?;
            let same = offered.name == file.name
                && offered.size == file.size
                && offered.crc32 == file.crc32;
            same.then(|| (index, offered.clone()))
        });
        let (index, file) = offered.ok_or(ReceiveError::Protocol("a file that is not missing"))?;
        // Half of it may be there from an earlier stream.
        let target = File::create(self.folder.0.join(&file.name)).await?;
        Ok(Arriving {
            index,
            left: file.size,
            file,
            target,
            hasher: crc32fast::Hasher::new(),
        })
    }

    /// A file arrived whole.
    pub(super) fn keep(&mut self, arrived: Arrived) {
        self.there.insert(arrived.0);
    }

    /// Checks that nothing is missing, and makes the names durable.
    pub(super) async fn complete(&self) -> Result<(), ReceiveError> {
        if self.missing().next().is_some() {
            return Err(ReceiveError::Protocol("files are missing"));
        }
        File::open(&self.folder.0).await?.sync_all().await?;
        Ok(())
    }
}

/// A file on its way.
#[derive(Debug)]
pub(super) struct Arriving {
    index: usize,
    file: CheckpointFile,
    target: File,
    hasher: crc32fast::Hasher,
    left: u64,
}

/// A file that is there.
#[derive(Debug)]
pub(super) struct Arrived(usize);

impl Arriving {
    /// Bytes that are still to come.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    pub(super) async fn write(&mut self, data: &[u8]) -> Result<(), ReceiveError> {
        self.left = self
            .left
            .checked_sub(data.len() as u64)
            .ok_or(ReceiveError::Protocol("a file is too long"))?;
        self.hasher.update(data);
        self.target.write_all(data).await?;
        Ok(())
    }

    pub(super) async fn finish(mut self) -> Result<Arrived, ReceiveError> {
        self.target.flush().await?;
        self.target.sync_all().await?;
        if self.hasher.finalize() != self.file.crc32 {
            return Err(ReceiveError::Damaged(self.file.name));
        }
        Ok(Arrived(self.index))
    }
}

/// The files of an offer. Names come from the wire: each must be one plain name, so that nothing is written outside the
/// folder, and be there once.
fn checked(files: Vec<SnapshotFile>) -> Result<Vec<CheckpointFile>, ReceiveError> {
    if files.len() > MAX_FILES {
        return Err(ReceiveError::Protocol("too many files"));
    }
    let mut names = HashSet::with_capacity(files.len());
    let mut checked = Vec::with_capacity(files.len());
    for SnapshotFile { name, size, crc32 } in files {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty()
            || name.len() > MAX_NAME
            || name.starts_with('.')
            || !name.bytes().all(plain)
        {
            return Err(ReceiveError::Protocol("a file name that is none"));
        }
        if !names.insert(name.clone()) {
            return Err(ReceiveError::Protocol("a file that is listed twice"));
        }
        checked.push(CheckpointFile { name, size, crc32 });
    }
    Ok(checked)
}

/// Stands for this snapshot with these files.
fn id_of(meta: &[u8], files: &[CheckpointFile]) -> Vec<u8> {
    let figures: Vec<_> = files
        .iter()
        .map(|file| (file.size.to_be_bytes(), file.crc32.to_be_bytes()))
        .collect();
    let mut parts: Vec<&[u8]> = vec![meta];
    for (file, (size, crc32)) in files.iter().zip(&figures) {
        parts.extend([file.name.as_bytes(), size, crc32]);
    }
    let (high, low) = fingerprint(&parts);
    [high.to_be_bytes(), low.to_be_bytes()].concat()
}
