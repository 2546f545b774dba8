//! One replica: what of it survives a loss of power, and what runs.

use std::sync::Arc;
use std::time::Duration;

use device_state::NodeId;
use node_runtime::Tasks;
use tokio::task::JoinSet;

use super::network::{SimNetwork, SimNode};
use super::until;
use super::volume::{Opened, Volume};
use crate::fail_stop::FailStop;
use crate::raft::group::{Group, GroupParts};
use crate::raft::proposals::{DiskGuard, ProposerConfig};
use crate::store::ShardStore;

/// Entries between two snapshots, and how many stay behind one.
const SNAPSHOT: u64 = 400;
const KEPT: u64 = 100;

pub(super) struct Replica {
    id: u64,
    network: SimNetwork,
    volume: Volume,
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
            volume: Volume::new(seed),
            running: None,
        }
    }

    /// Starts from what the disk has.
    pub(super) async fn start(&mut self) {
        let tasks = Tasks::new();
        // A disk that was struck stops the process; here the crash follows at once.
        let fail_stop = FailStop::hooked(|_| {});
        let Opened {
            log,
            mut stores,
            writer,
        } = self.volume.open(1, &fail_stop).await;
        let store = Arc::new(stores.remove(0));
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
            writer,
        });
    }

    /// Loses power.
    pub(super) async fn crash(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        self.volume.strike();
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
        self.volume.lose_power();
    }
}
