//! Proposes the passing of time: only a leader does, so that all replicas let the same things end.

use std::sync::Arc;
use std::time::Duration;

use device_state::{Command, Timestamp, query};
use node_runtime::{Drain, clock};

use crate::raft::group::Group;

/// How often a leader looks for what has ended.
const TICK: Duration = Duration::from_millis(500);
/// Rows that one command lets end.
const LIMIT: u32 = 1_000;

/// Lets the rows of a shard end while this node leads it.
pub async fn run(group: Arc<Group>, drain: Drain) {
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            () = drain.started() => return,
            _ = tick.tick() => {}
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
