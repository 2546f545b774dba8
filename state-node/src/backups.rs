//! Checkpoints that backups are being made of: each is kept for a while after its last use, and there are few at a time.
//!
//! A checkpoint costs no space when it is made, but keeps files that the shard itself would have removed by now.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use device_state::{NodeId, ShardId};
use node_runtime::{Drain, random};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::store::Checkpoint;

/// How long a checkpoint outlives its last use.
pub const LEASE: Duration = Duration::from_secs(300);
/// Checkpoints at a time; a backup has one for each shard that it reads now.
const MAX_HELD: usize = 16;
/// Files that are being read at a time.
const MAX_READERS: usize = 64;
/// How often leases are looked at.
const LOOK: Duration = Duration::from_secs(5);
const BUFFER: usize = 256 << 10;

/// Names a checkpoint in the whole cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CheckpointId {
    pub node: NodeId,
    number: u64,
}

impl std::fmt::Display for CheckpointId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}-{:016x}", self.node, self.number)
    }
}

impl CheckpointId {
    /// Reads what [`Self::fmt`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (node, number) = text.split_once('-')?;
        let part = |hex: &str| {
            u64::from_str_radix(hex, 16)
                .ok()
                .filter(|_| hex.len() == 16)
        };
        Some(Self {
            node: NodeId(part(node)?),
            number: part(number)?,
        })
    }
}

/// A file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    pub size: u64,
    pub sha256: [u8; 32],
}

/// Why there is no checkpoint, or no file of it.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    #[error("too many backups are being made")]
    TooMany,
    #[error("the checkpoint is gone, or never was")]
    Gone,
    #[error("the checkpoint has no such file")]
    NoFile,
    #[error("the checkpoint cannot be read")]
    Read(#[from] io::Error),
}

/// The checkpoints of a node.
#[derive(Debug)]
pub struct Backups {
    node: NodeId,
    held: Mutex<HashMap<CheckpointId, Held>>,
    /// What was measured before, because table files never change.
    measured: Mutex<HashMap<ShardId, Measurements>>,
    places: Arc<Semaphore>,
    readers: Arc<Semaphore>,
}

#[derive(Debug)]
struct Held {
    checkpoint: Checkpoint,
    files: BTreeMap<String, Measured>,
    until: Instant,
    _place: OwnedSemaphorePermit,
}

/// The table files of a shard's database.
#[derive(Clone, Debug, Default)]
struct Measurements {
    database: u64,
    files: HashMap<String, Measured>,
}

/// The place of a checkpoint that is about to be made.
#[derive(Debug)]
pub struct Place(OwnedSemaphorePermit);

/// A file that is being read.
#[derive(Debug)]
pub struct Reading {
    pub path: PathBuf,
    pub id: CheckpointId,
    _reader: OwnedSemaphorePermit,
}

impl Backups {
    /// None yet, at `node`.
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            held: Mutex::default(),
            measured: Mutex::default(),
            places: Arc::new(Semaphore::new(MAX_HELD)),
            readers: Arc::new(Semaphore::new(MAX_READERS)),
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<CheckpointId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a checkpoint.
    pub fn place(&self) -> Result<Place, HoldError> {
        let place = self.places.clone().try_acquire_owned();
        place.map(Place).map_err(|_| HoldError::TooMany)
    }

    /// Measures the files of a checkpoint and keeps it. Blocks: what was not measured before is read.
    pub fn hold(
        &self,
        shard: ShardId,
        checkpoint: Checkpoint,
        place: Place,
    ) -> Result<(CheckpointId, BTreeMap<String, Measured>), HoldError> {
        let known = self.measurements().get(&shard).cloned().unwrap_or_default();
        let database = checkpoint.database();
        let known = if known.database == database {
            known.files
        } else {
            HashMap::new()
        };
        let files = measure_all(checkpoint.path(), &known)?;
        let tables = files.iter().filter(|(name, _)| is_table(name));
        let tables = tables.map(|(name, file)| (name.clone(), file.clone()));
        self.measurements().insert(
            shard,
            Measurements {
                database,
                files: tables.collect(),
            },
        );
        let id = CheckpointId {
            node: self.node,
            number: random::random_u64(),
        };
        let held = Held {
            checkpoint,
            files: files.clone(),
            until: Instant::now() + LEASE,
            _place: place.0,
        };
        self.held().insert(id, held);
        Ok((id, files))
    }

    fn measurements(&self) -> MutexGuard<'_, HashMap<ShardId, Measurements>> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a file of a checkpoint lies.
    pub fn read(&self, id: CheckpointId, name: &str) -> Result<Reading, HoldError> {
        let reader = self.readers.clone().try_acquire_owned();
        let reader = reader.map_err(|_| HoldError::TooMany)?;
        let mut held = self.held();
        let held = held.get_mut(&id).ok_or(HoldError::Gone)?;
        held.until = Instant::now() + LEASE;
        // Only what was measured: a name that leads elsewhere is none of the checkpoint's.
        let (name, _) = held.files.get_key_value(name).ok_or(HoldError::NoFile)?;
        Ok(Reading {
            path: held.checkpoint.path().join(name),
            id,
            _reader: reader,
        })
    }

    /// The checkpoint is in use.
    pub fn renew(&self, id: CheckpointId) {
        if let Some(held) = self.held().get_mut(&id) {
            held.until = Instant::now() + LEASE;
        }
    }

    /// Lets a checkpoint go.
    pub fn release(&self, id: CheckpointId) {
        // Its folder is removed after the lock is let go.
        let _gone = self.held().remove(&id);
    }

    /// Lets go what nobody uses any more, until the drain starts, and everything then.
    pub async fn run(self: Arc<Self>, drain: Drain) {
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                () = drain.started() => break,
                now = look.tick() => self.end_leases(now),
            }
        }
        self.held().clear();
    }

    fn end_leases(&self, now: Instant) {
        let ended: Vec<(CheckpointId, Held)> = self
            .held()
            .extract_if(|_, held| held.until <= now)
            .collect();
        for (id, _) in &ended {
            tracing::info!(checkpoint = %id, "a checkpoint for a backup was not read any more");
        }
    }
}

fn is_table(name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "sst")
}

fn measure_all(
    folder: &Path,
    known: &HashMap<String, Measured>,
) -> io::Result<BTreeMap<String, Measured>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().into_string();
        let name = name.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let size = entry.metadata()?.len();
        let measured = match known.get(&name) {
            Some(known) if known.size == size => known.clone(),
            _ => measure(&entry.path())?,
        };
        files.insert(name, measured);
    }
    Ok(files)
}

fn measure(path: &Path) -> io::Result<Measured> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            let sha256 = hasher.finalize().into();
            return Ok(Measured { size, sha256 });
        }
        size += read as u64;
        hasher.update(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests;
