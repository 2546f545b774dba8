//! What of a node survives a loss of power: the log on a disk that knows what of it was synced, and rows that may be older.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use device_state::ShardId;
use openraft::storage::RaftLogStorage;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::fail_stop::FailStop;
use crate::raft::log_store::LogStore;
use crate::raft::log_store::crash::disk::{End, StruckDisk};
use crate::raft::log_store::writer::{Request, Writer};
use crate::store::ShardStore;
use crate::store::database::SharedOptions;

/// A segment of the log, so small that there are several.
const SEGMENT_BYTES: u32 = 20_000;

pub(crate) struct Volume {
    log: StruckDisk,
    folder: TempDir,
    rng: ChaCha8Rng,
}

/// What a start finds.
pub(crate) struct Opened {
    pub(crate) log: LogStore,
    pub(crate) stores: Vec<ShardStore>,
    /// Writes the log for as long as it is kept.
    pub(crate) writer: JoinSet<()>,
}

impl Volume {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            log: StruckDisk::default(),
            folder: in_memory(),
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// For what is not part of log and rows; it survives as it is.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn rows(&self, shard: u16) -> PathBuf {
        self.folder.path().join(format!("rows-{shard}"))
    }

    /// Reads what is there.
    pub(crate) async fn open(&mut self, shards: u16, fail_stop: &FailStop) -> Opened {
        let disk = Arc::new(self.log.clone());
        let (log, writer, requests) =
            LogStore::on(disk, shards, fail_stop.clone(), SEGMENT_BYTES).unwrap();
        let mut writers = JoinSet::new();
        writers.spawn(write(writer, requests, self.rng.random()));
        let options = SharedOptions::new(1 << 20, 1 << 20, shards);
        let mut stores = Vec::new();
        for shard in 0..shards {
            let dir = self.rows(shard);
            let state = log.group(shard).get_log_state().await.unwrap();
            // Rows are flushed now and then. While the log has everything, a loss of power may leave none.
            if state.last_purged_log_id.is_none() && dir.exists() && self.rng.random() {
                std::fs::remove_dir_all(&dir).unwrap();
            }
            let store = ShardStore::open(ShardId(shard), &dir, options.clone(), fail_stop.clone());
            stores.push(store.unwrap());
        }
        Opened {
            log,
            stores,
            writer: writers,
        }
    }

    /// Nothing more is written, until power is lost.
    pub(crate) fn strike(&self) {
        self.log.strike_in(1);
    }

    /// What was not synced is there in parts.
    pub(crate) fn lose_power(&mut self) {
        self.log.end(End::PowerLoss, &mut self.rng);
    }
}

/// A folder for which syncing costs nothing, if there is such a place: here the rows of a life that ended are the test's to
/// take away.
fn in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// The writer's thread as a task: a batch takes some time.
async fn write(mut writer: Writer, mut requests: mpsc::Receiver<Request>, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    while let Some(first) = requests.recv().await {
        sleep(Duration::from_millis(rng.random_range(0..4))).await;
        let mut batch = vec![first];
        while let Ok(next) = requests.try_recv() {
            batch.push(next);
        }
        if writer.write(batch).is_stop() {
            return;
        }
    }
}
