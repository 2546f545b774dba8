//! What a node does about itself while it runs and when it stops.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use node_runtime::{Condition, Drain};
use proto::drover::v1::{
    artefacts_server, backups_server, bootstrap_server, campaigns_server, cluster_server,
    credentials_server, desired_state_server, device_groups_server, device_profiles_server,
    devices_server, diagnostics_server, enrollment_policies_server, object_models_server,
    observations_server, operations_server,
};
use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::fail_stop::FailStop;
use crate::node::Progress;
use crate::raft::group::Group;
use crate::raft::log_store::LogStore;
use crate::raft::proposals::DiskGuard;

/// How often readiness and free disk space are looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How long a stopping node waits for others to take its leaderships.
const HAND_OVER: Duration = Duration::from_secs(5);

/// What clients may ask the health of.
const SERVICES: [&str; 16] = [
    "",
    devices_server::SERVICE_NAME,
    operations_server::SERVICE_NAME,
    observations_server::SERVICE_NAME,
    desired_state_server::SERVICE_NAME,
    credentials_server::SERVICE_NAME,
    bootstrap_server::SERVICE_NAME,
    campaigns_server::SERVICE_NAME,
    artefacts_server::SERVICE_NAME,
    device_groups_server::SERVICE_NAME,
    device_profiles_server::SERVICE_NAME,
    enrollment_policies_server::SERVICE_NAME,
    object_models_server::SERVICE_NAME,
    diagnostics_server::SERVICE_NAME,
    cluster_server::SERVICE_NAME,
    backups_server::SERVICE_NAME,
];

pub(super) async fn watch_readiness(
    groups: Arc<Vec<Arc<Group>>>,
    fail_stop: FailStop,
    condition: Condition,
    health: HealthReporter,
    progress: watch::Sender<Progress>,
    drain: Drain,
) {
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            () = drain.started() => return tell(&health, ServingStatus::NotServing).await,
            _ = look.tick() => {}
        }
        let mut waiting = Vec::new();
        for group in groups.iter() {
            let status = group.status();
            if let Some(fatal) = status.fatal {
                fail_stop.fatal("a shard stopped", &io::Error::other(fatal));
            }
            if status.leader.is_none() || !group.is_caught_up() {
                waiting.push(group.shard().to_string());
            }
        }
        if waiting.is_empty() {
            condition.meet();
            tell(&health, ServingStatus::Serving).await;
            progress.send_replace(Progress::Ready);
        } else {
            tell(&health, ServingStatus::NotServing).await;
            condition.fail(format!(
                "shards without a leader or behind: {}",
                waiting.join(", ")
            ));
        }
    }
}

/// Tells of the node and of each of its services by name: all of them need the shards.
async fn tell(health: &HealthReporter, status: ServingStatus) {
    for name in SERVICES {
        health.set_service_status(name, status).await;
    }
}

pub(super) async fn watch_disk(disk: DiskGuard, dir: &Path, reserve: u64, drain: Drain) {
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            () = drain.started() => return,
            _ = look.tick() => {}
        }
        let Ok(stat) = rustix::fs::statvfs(dir) else {
            continue;
        };
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        match (free < reserve, disk.is_closed()) {
            (true, false) => {
                tracing::error!(
                    free,
                    reserve,
                    "the disk is nearly full: commands are refused"
                );
                disk.close();
            }
            (false, true) => {
                tracing::info!(free, "there is room on the disk again");
                disk.open();
            }
            (true, true) | (false, false) => {}
        }
    }
}

/// On the way out: others take the leaderships before this node stops answering.
pub(super) async fn hand_over(groups: Arc<Vec<Arc<Group>>>, drain: Drain) {
    drain.started().await;
    for group in groups.iter().filter(|group| group.leads()) {
        group.step_aside().await;
    }
    let gone = async {
        while groups
            .iter()
            .any(|group| group.leads() && !group.live_voters().is_empty())
        {
            tokio::time::sleep(LOOK / 5).await;
        }
    };
    if tokio::time::timeout(HAND_OVER, gone).await.is_err() {
        tracing::warn!("some leaderships were not taken over in time");
    }
}

pub(super) async fn close(groups: Arc<Vec<Arc<Group>>>, log: LogStore, drain: Drain) {
    drain.started().await;
    for group in groups.iter() {
        // A group that panicked before has nothing to shut down.
        drop(group.raft().shutdown().await);
    }
    if let Err(error) = log.close().await {
        tracing::error!(%error, "the log was not closed");
    }
    let flushed = tokio::task::spawn_blocking(move || {
        groups.iter().try_for_each(|group| group.store().flush())
    })
    .await;
    if let Ok(Err(error)) = flushed {
        tracing::error!(%error, "rows were not flushed; the next start applies the log again");
    }
}
