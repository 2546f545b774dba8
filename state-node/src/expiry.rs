//! Proposes the passing of time: only a leader does, so that all replicas let the same things end.

use std::sync::Arc;
use std::time::Duration;

use device_state::{Command, Timestamp, query};
use node_runtime::{Drain, clock};
use tokio::time::Instant;

use crate::raft::group::Group;

/// How often a leader looks for what has ended.
const TICK: Duration = Duration::from_millis(500);
/// How long a new leader waits: what could not be renewed while there was none gets its chance. Leases of ingress nodes
/// last about as long, and all of them would end at once.
const SETTLE: Duration = Duration::from_secs(2);
/// Rows that one command lets end.
const LIMIT: u32 = 1_000;

/// Lets the rows of a shard end while this node leads it.
pub async fn run(group: Arc<Group>, drain: Drain) {
    let mut tick = tokio::time::interval(TICK);
    let mut leads_since = None;
    loop {
        tokio::select! {
            () = drain.started() => return,
            _ = tick.tick() => {}
        }
        if !group.leads() {
            leads_since = None;
            continue;
        }
        let since = *leads_since.get_or_insert_with(Instant::now);
        if since.elapsed() < SETTLE {
            continue;
        }
        while group.leads() && is_due(&group) {
            let command = Command::ExpireUpTo { limit: LIMIT };
            if let Err(error) = group.proposer().propose(None, command).await {
                tracing::debug!(shard = %group.shard(), %error, "nothing ended this time");
                break;
            }
        }
    }
}

fn is_due(group: &Group) -> bool {
    // The time that the proposal will be stamped with, so that what is due here is due there.
    let now = Timestamp(clock::now_ms()).max(group.events().leader_time());
    group
        .store()
        .read(|tables| query::next_expiry(tables))
        .is_some_and(|next| next <= now)
}
