//! The replicated rows on the disk: one RocksDB per shard. Everything that knows RocksDB is here.
//!
//! A shard keeps all tables in one column family, told apart by the first byte of the key ([`keys`]). One family means
//! one memtable: with the write-ahead log switched off (the Raft log is the log), rows and the position they were
//! applied at reach the disk in the same flush by construction, without RocksDB's multi-family atomic flush.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use device_state::ShardId;

use crate::corruption::Corruption;
use crate::fail_stop::FailStop;
use database::Database;
pub use rows_hash::RowsHash;
pub use snapshot::{Checkpoint, CheckpointFile, first_database, measure};
pub use tables::{ReadTables, WriteTables};

pub mod database;
pub mod keys;
mod rows_hash;
mod secrets;
mod snapshot;
mod tables;

/// Why the store cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("rocksdb failed")]
    RocksDb(#[from] rocksdb::Error),
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the checkpoint holds no applied position")]
    NoAppliedPosition,
}

impl StoreError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// What is wrong with the rows of `shard` in `dir`; `None` if the disk failed or is full.
    pub fn corruption(&self, shard: ShardId, dir: &Path) -> Option<Corruption> {
        let (file, reason) = match self {
            Self::RocksDb(error) if is_corruption(error) => (dir, error.to_string()),
            Self::Io { path, source, .. } if source.kind() == io::ErrorKind::InvalidData => {
                (path.as_path(), "it is malformed".to_owned())
            }
            Self::RocksDb(_) | Self::Io { .. } | Self::NoAppliedPosition => return None,
        };
        Some(Corruption {
            shard: Some(shard.0),
            file: file.to_owned(),
            offset: None,
            reason,
        })
    }
}

/// Whether RocksDB says that what it reads is not what it wrote.
fn is_corruption(error: &rocksdb::Error) -> bool {
    error.kind() == rocksdb::ErrorKind::Corruption
}

/// The rows of one shard.
#[derive(Debug)]
pub struct ShardStore {
    shard: ShardId,
    dir: PathBuf,
    options: database::SharedOptions,
    database: RwLock<Arc<Database>>,
    /// The newest checkpoint, kept for followers that fell behind.
    checkpoint: Mutex<Option<Arc<Checkpoint>>>,
    /// Held while a checkpoint is made.
    copying: Mutex<()>,
    fail_stop: FailStop,
}

impl ShardStore {
    /// Opens the rows in `dir`, which is created if need be.
    pub fn open(
        shard: ShardId,
        dir: &Path,
        options: database::SharedOptions,
        fail_stop: FailStop,
    ) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(StoreError::io("create", dir))?;
        let number = snapshot::current_database(dir)?;
        snapshot::remove_leftovers(dir, number)?;
        let database = Database::open(
            shard,
            &snapshot::database_path(dir, number),
            number,
            &options,
        )?;
        let checkpoint = snapshot::newest_checkpoint(dir)?;
        Ok(Self {
            shard,
            dir: dir.to_owned(),
            options,
            database: RwLock::new(Arc::new(database)),
            checkpoint: Mutex::new(checkpoint.map(Arc::new)),
            copying: Mutex::default(),
            fail_stop,
        })
    }

    /// The shard whose rows these are.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    fn database(&self) -> Arc<Database> {
        self.database
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Runs a query on the rows as they are at this moment.
    pub fn read<T>(&self, query: impl FnOnce(&ReadTables<'_>) -> T) -> T {
        let database = self.database();
        query(&ReadTables::new(&database, &self.fail_stop))
    }

    /// Starts a set of changes that become visible and durable together.
    pub fn write(&self) -> WriteTables {
        WriteTables::new(self.database(), self.fail_stop.clone())
    }

    /// Applies the changes together with the encoded position that they lead to.
    pub fn commit(&self, changes: WriteTables, applied: &[u8]) -> Result<(), StoreError> {
        changes.commit(applied)
    }

    /// The encoded position that the rows stand at; `None` for a fresh shard.
    pub fn applied(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.database().applied()?)
    }

    /// Ends the node because of an error of this store, and gives it to who called for it.
    pub fn failed(&self, what: &str, error: StoreError) -> io::Error {
        match error.corruption(self.shard, &self.dir) {
            Some(corruption) => self.fail_stop.corrupt(what, &corruption),
            None => self.fail_stop.fatal(what, &error),
        }
        io::Error::other(error)
    }

    /// Ends the node because its rows are not what they should be.
    pub fn corrupt(&self, what: &str, reason: String) {
        self.database().corrupt(&self.fail_stop, what, reason);
    }

    /// Flushes what is only in memory.
    pub fn flush(&self) -> Result<(), StoreError> {
        Ok(self.database().flush()?)
    }
}
