//! One replica: what of it survives a loss of power, and what runs.

use std::sync::Arc;
use std::time::Duration;

use device_state::{NodeId, ShardId};
use node_runtime::Tasks;
use openraft::storage::RaftLogStorage;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::network::{SimNetwork, SimNode};
use super::until;
use crate::fail_stop::FailStop;
use crate::raft::group::{Group, GroupParts};
use crate::raft::log_store::LogStore;
use crate::raft::log_store::crash::disk::{End, StruckDisk};
use crate::raft::log_store::writer::{Request, Writer};
use crate::raft::proposals::{DiskGuard, ProposerConfig};
use crate::store::ShardStore;
use crate::store::database::SharedOptions;

/// A segment of the log, so small that there are several.
const SEGMENT_BYTES: u32 = 20_000;
/// Entries between two snapshots, and how many stay behind one.
const SNAPSHOT: u64 = 400;
const KEPT: u64 = 100;

pub(super) struct Replica {
    id: u64,
    network: SimNetwork,
    rng: ChaCha8Rng,
    log: StruckDisk,
    rows: TempDir,
    running: Option<Running>,
}

struct Running {
    tasks: Tasks,
    store: Arc<ShardStore>,
    writer: JoinSet<()>,
}

impl Replica {
    pub(super) fn new(id: u64, network: SimNetwork, seed: u64) -> Self {
        Self {
            id,
            network,
            rng: ChaCha8Rng::seed_from_u64(seed),
            log: StruckDisk::default(),
            rows: in_memory(),
            running: None,
        }
    }

    /// Starts from what the disk has.
    pub(super) async fn start(&mut self) {
        let tasks = Tasks::new();
        // A disk that was struck stops the process; here the crash follows at once.
        let fail_stop = FailStop::hooked(|_| {});
        let (log, writer, requests) = LogStore::on(
            Arc::new(self.log.clone()),
            1,
            fail_stop.clone(),
            SEGMENT_BYTES,
        )
        .unwrap();
        let mut writers = JoinSet::new();
        writers.spawn(write(writer, requests, self.rng.random()));
        let dir = self.rows.path().join("rows");
        let state = log.group(0).get_log_state().await.unwrap();
        // Rows are flushed now and then. While the log has everything, a loss of power may leave none.
        if state.last_purged_log_id.is_none() && dir.exists() && self.rng.random() {
            std::fs::remove_dir_all(&dir).unwrap();
        }
        let options = SharedOptions::new(1 << 20, 1 << 20, 1);
        let store = ShardStore::open(ShardId(0), &dir, options, fail_stop.clone());
        let store = Arc::new(store.unwrap());
        let config = openraft::Config {
            snapshot_policy: openraft::SnapshotPolicy::LogsSinceLast(SNAPSHOT),
            max_in_snapshot_log_to_keep: KEPT,
            replication_lag_threshold: SNAPSHOT,
            ..openraft::Config::clone(&crate::raft::config("simulation").unwrap())
        };
        let parts = GroupParts {
            node: NodeId(self.id),
            config: Arc::new(config),
            log: log.group(0),
            network: SimNode {
                network: self.network.clone(),
                id: self.id,
            },
            store: store.clone(),
            proposer: ProposerConfig {
                disk: DiskGuard::default(),
            },
            pace: Arc::default(),
            feed_buffer_bytes: 1 << 20,
            fail_stop,
        };
        let group = Group::start(parts, &tasks).await.unwrap();
        self.network.attach(self.id, Arc::new(group));
        self.running = Some(Running {
            tasks,
            store,
            writer: writers,
        });
    }

    /// Loses power.
    pub(super) async fn crash(&mut self, rng: &mut ChaCha8Rng) {
        let Some(running) = self.running.take() else {
            return;
        };
        self.log.strike_in(1);
        let group = self.network.detach(self.id);
        if let Some(group) = &group {
            // It may have stopped by itself when its disk was struck.
            let _stopped = group.raft().shutdown().await;
        }
        drop(group);
        running
            .tasks
            .shut_down(Duration::from_secs(1), std::future::pending())
            .await;
        let Running {
            store, mut writer, ..
        } = running;
        writer.shutdown().await;
        until("nobody uses the rows any more", || {
            Arc::strong_count(&store) == 1
        })
        .await;
        drop(store);
        self.log.end(End::PowerLoss, rng);
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
