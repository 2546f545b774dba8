//! Checkpoints of a shard: making one, keeping the newest, and installing one from another node.
//!
//! A shard's folder holds `db-<n>` (the live database; `CURRENT` names which), `checkpoint-<n>` (the newest checkpoint),
//! `backup-<n>` (one that a backup is made of) and, while one arrives, `incoming-<n>`. Installing makes a new `db-<n+1>` from hard links and then moves `CURRENT`:
//! a crash at any point leaves either the old database or the new one.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};

use rocksdb::{DB, Options};

use crate::store::database::Database;
use crate::store::{ShardStore, StoreError, keys};

const CURRENT: &str = "CURRENT";
const DATABASE: &str = "db-";
const CHECKPOINT: &str = "checkpoint-";
const BACKUP: &str = "backup-";
const INCOMING: &str = "incoming-";
const PARTIAL: &str = "partial-";
/// Bytes of a file that are measured at a time.
const MEASURE: usize = 256 << 10;

/// A folder with a complete copy of a shard's rows. The shard's newest one stays on the disk; every other one goes with
/// its last user.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    /// The encoded position that the rows stand at.
    applied: Vec<u8>,
    /// Which database of the shard it is a copy of.
    database: u64,
    kept: AtomicBool,
    /// Measured when somebody asks for the first time: that reads all of it.
    files: OnceLock<Arc<Vec<CheckpointFile>>>,
}

/// Whether a checkpoint's folder outlives its users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Yes,
    No,
}

/// A file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointFile {
    pub name: String,
    pub size: u64,
    pub crc32: u32,
}

impl Checkpoint {
    fn new(path: PathBuf, applied: Vec<u8>, kept: Kept, database: u64) -> Self {
        Self {
            path,
            applied,
            database,
            kept: AtomicBool::new(kept == Kept::Yes),
            files: OnceLock::new(),
        }
    }

    /// What the folder holds, by name.
    pub fn files(&self) -> Result<Arc<Vec<CheckpointFile>>, StoreError> {
        if let Some(files) = self.files.get() {
            return Ok(files.clone());
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(StoreError::io("list", &self.path))? {
            let path = entry.map_err(StoreError::io("list", &self.path))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.map(str::to_owned).ok_or(ErrorKind::InvalidData);
            let name = name
                .map_err(std::io::Error::from)
                .map_err(StoreError::io("name", &path))?;
            let (size, crc32) = measure(&path).map_err(StoreError::io("read", &path))?;
            files.push(CheckpointFile { name, size, crc32 });
        }
        files.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(self.files.get_or_init(|| Arc::new(files)).clone())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The encoded position that the rows stand at. It may lie behind what was applied when the checkpoint was asked
    /// for, never behind what was applied when it was begun.
    pub fn applied(&self) -> &[u8] {
        &self.applied
    }

    /// Which database of the shard it is a copy of. Table files of one database that have the same name are the same.
    pub fn database(&self) -> u64 {
        self.database
    }

    /// Takes charge of a folder that was received.
    pub fn received(path: PathBuf) -> Result<Self, StoreError> {
        let applied = read_applied(&path)?.ok_or(StoreError::NoAppliedPosition)?;
        Ok(Self::new(path, applied, Kept::No, 0))
    }
}

/// Size and checksum of a file.
pub fn measure(path: &Path) -> std::io::Result<(u64, u32)> {
    let mut file = File::open(path)?;
    let mut hasher = crc32fast::Hasher::new();
    let mut size = 0;
    let mut buffer = vec![0; MEASURE];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((size, hasher.finalize()));
        }
        size += read as u64;
        hasher.update(&buffer[..read]);
    }
}

impl Drop for Checkpoint {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Acquire) && self.path.exists() {
            remove(&self.path);
        }
    }
}

impl ShardStore {
    /// Makes a checkpoint of the rows and keeps it in place of the one before.
    pub fn make_checkpoint(&self) -> Result<Arc<Checkpoint>, StoreError> {
        let checkpoint = Arc::new(self.copy_rows(CHECKPOINT)?);
        checkpoint.kept.store(true, Ordering::Release);
        self.keep(checkpoint.clone());
        Ok(checkpoint)
    }

    /// Makes a checkpoint of the rows that goes with its last user.
    pub fn make_backup(&self) -> Result<Checkpoint, StoreError> {
        self.copy_rows(BACKUP)
    }

    fn copy_rows(&self, prefix: &str) -> Result<Checkpoint, StoreError> {
        // Two at a time would take the same number.
        let _one = self.copying.lock().unwrap_or_else(PoisonError::into_inner);
        let number = next_number(&self.dir)?;
        let partial = self.dir.join(format!("{PARTIAL}{number}"));
        let database = self.database();
        database.flush()?;
        rocksdb::checkpoint::Checkpoint::new(&database.db)?.create_checkpoint(&partial)?;
        // A shard to which nothing was applied yet has no record.
        let applied = read_applied(&partial)?.unwrap_or_default();
        let path = self.dir.join(format!("{prefix}{number}"));
        fs::rename(&partial, &path).map_err(StoreError::io("rename", &partial))?;
        sync_dir(&self.dir)?;
        Ok(Checkpoint::new(path, applied, Kept::No, database.number))
    }

    /// The newest checkpoint, if there is one.
    pub fn checkpoint(&self) -> Option<Arc<Checkpoint>> {
        self.checkpoint
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn keep(&self, checkpoint: Arc<Checkpoint>) {
        let before = self
            .checkpoint
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(checkpoint);
        if let Some(before) = before {
            before.kept.store(false, Ordering::Release);
        }
    }

    /// A fresh folder to receive a checkpoint in.
    pub fn incoming_dir(&self) -> Result<PathBuf, StoreError> {
        let path = self
            .dir
            .join(format!("{INCOMING}{}", next_number(&self.dir)?));
        fs::create_dir(&path).map_err(StoreError::io("create", &path))?;
        Ok(path)
    }

    /// Replaces all rows with those of `checkpoint` and keeps a checkpoint of them.
    pub fn install(&self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let number = next_number(&self.dir)?;
        let path = database_path(&self.dir, number);
        link_dir(&checkpoint.path, &path)?;
        let database = Database::open(self.shard, &path, number, &self.options)?;
        write_current(&self.dir, number)?;
        let before = {
            let mut current = self
                .database
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, Arc::new(database))
        };
        tracing::info!(shard = %self.shard, from = before.number, to = number, "installed a snapshot");
        before.replaced();
        drop(before);
        self.make_checkpoint()?;
        Ok(())
    }
}

/// The folder of the first database of a shard.
pub fn first_database(dir: &Path) -> PathBuf {
    database_path(dir, 0)
}

/// The folder of database `number`.
pub(super) fn database_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{DATABASE}{number}"))
}

/// The number of the live database; 0 for a fresh shard.
pub(super) fn current_database(dir: &Path) -> Result<u64, StoreError> {
    let path = dir.join(CURRENT);
    if !path.exists() {
        write_current(dir, 0)?;
        return Ok(0);
    }
    let text = fs::read_to_string(&path).map_err(StoreError::io("read", &path))?;
    let invalid = |_| std::io::Error::from(ErrorKind::InvalidData);
    text.trim()
        .parse()
        .map_err(invalid)
        .map_err(StoreError::io("parse", &path))
}

fn write_current(dir: &Path, number: u64) -> Result<(), StoreError> {
    let temporary = dir.join("CURRENT.new");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        writeln!(file, "{number}")?;
        file.sync_all()?;
        fs::rename(&temporary, dir.join(CURRENT))
    };
    write().map_err(StoreError::io("write", &temporary))?;
    sync_dir(dir)
}

/// Removes what a crash left behind: replaced databases, half-made and half-received checkpoints.
pub(super) fn remove_leftovers(dir: &Path, current: u64) -> Result<(), StoreError> {
    let newest = numbers(dir, CHECKPOINT)?.into_iter().max();
    for (prefix, kept) in [
        (DATABASE, Some(current)),
        (CHECKPOINT, newest),
        (BACKUP, None),
        (INCOMING, None),
        (PARTIAL, None),
    ] {
        for number in numbers(dir, prefix)?
            .into_iter()
            .filter(|number| Some(*number) != kept)
        {
            remove(&dir.join(format!("{prefix}{number}")));
        }
    }
    Ok(())
}

/// The checkpoint that an earlier process kept.
pub(super) fn newest_checkpoint(dir: &Path) -> Result<Option<Checkpoint>, StoreError> {
    let Some(number) = numbers(dir, CHECKPOINT)?.into_iter().max() else {
        return Ok(None);
    };
    let path = dir.join(format!("{CHECKPOINT}{number}"));
    let applied = read_applied(&path)?.unwrap_or_default();
    Ok(Some(Checkpoint::new(path, applied, Kept::Yes, 0)))
}

fn read_applied(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let db = DB::open_for_read_only(&Options::default(), path, false)?;
    Ok(db.get(keys::APPLIED)?)
}

/// One more than any number that a folder of the shard carries.
fn next_number(dir: &Path) -> Result<u64, StoreError> {
    let mut highest = 0;
    for prefix in [DATABASE, CHECKPOINT, BACKUP, INCOMING, PARTIAL] {
        highest = numbers(dir, prefix)?
            .into_iter()
            .max()
            .unwrap_or(0)
            .max(highest);
    }
    Ok(highest + 1)
}

fn numbers(dir: &Path, prefix: &str) -> Result<Vec<u64>, StoreError> {
    let entries = fs::read_dir(dir).map_err(StoreError::io("list", dir))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names
        .filter_map(|name| name.strip_prefix(prefix)?.parse().ok())
        .collect())
}

/// Makes a second folder of the same files. Table files never change, so links do; the rest is small and is copied.
fn link_dir(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::create_dir(to).map_err(StoreError::io("create", to))?;
    for entry in fs::read_dir(from).map_err(StoreError::io("list", from))? {
        let source = entry.map_err(StoreError::io("list", from))?.path();
        let Some(name) = source.file_name() else {
            continue;
        };
        let target = to.join(name);
        if source
            .extension()
            .is_some_and(|extension| extension == "sst")
        {
            fs::hard_link(&source, &target).map_err(StoreError::io("link", &source))?;
        } else {
            fs::copy(&source, &target).map_err(StoreError::io("copy", &source))?;
            File::open(&target)
                .and_then(|file| file.sync_all())
                .map_err(StoreError::io("sync", &target))?;
        }
    }
    sync_dir(to)
}

fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir)
        .and_then(|file| file.sync_all())
        .map_err(StoreError::io("sync", dir))
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path) {
        tracing::warn!(%error, path = %path.display(), "a folder that is no longer needed stays");
    }
}
