//! Waiting until the shards have done what was decided, with a line of progress whenever something moves.

use std::time::Duration;

use proto::drover::v1::cluster_node::Role;
use proto::drover::v1::{ClusterNode, ClusterStatus};

use crate::api::Api;
use crate::command::cluster::survey;
use crate::failure::Failure;
use crate::output::note;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The node is what it is to be, in every shard.
    Member,
    /// No shard has the node.
    Gone,
    LeadsNothing,
    LeadsItsShare,
}

/// How far it is: shards that are done, of all.
fn progress(waiting: Waiting, cluster: &ClusterStatus, node: &ClusterNode) -> (usize, usize) {
    let shards = &cluster.shards;
    let id = &node.id;
    let done = match waiting {
        Waiting::Member if node.role() == Role::Learner => shards
            .iter()
            .filter(|shard| shard.learners.contains(id))
            .count(),
        Waiting::Member => node.votes as usize,
        Waiting::Gone => shards
            .iter()
            .filter(|shard| !shard.voters.contains(id) && !shard.learners.contains(id))
            .count(),
        Waiting::LeadsNothing => shards.len() - (node.leads as usize).min(shards.len()),
        Waiting::LeadsItsShare => return ((node.leads as usize).min(1), 1),
    };
    (done, shards.len())
}

/// Looks until it is done. The wait ends with `--timeout` after the last step that was seen.
pub(super) async fn until(
    api: &Api,
    node: ClusterNode,
    waiting: Waiting,
) -> Result<ClusterNode, Failure> {
    let mut told = None;
    let mut moved = tokio::time::Instant::now();
    loop {
        // A node whose leader just changed may not answer at once.
        let cluster = survey(api).await;
        if let Ok(cluster) = &cluster {
            let found = cluster.nodes.iter().find(|found| found.id == node.id);
            let seen = found.cloned().unwrap_or_else(|| node.clone());
            let at = progress(waiting, cluster, &seen);
            if at.0 >= at.1 {
                return Ok(seen);
            }
            if told != Some(at) {
                note(&format!("{}: {} of {} shards", node.id, at.0, at.1));
                (told, moved) = (Some(at), tokio::time::Instant::now());
            }
        }
        if moved.elapsed() > api.timeout() {
            return Err(match cluster {
                Err(failure) => failure,
                Ok(_) => Failure::Other(anyhow::anyhow!(
                    "nothing has moved for {:?}: it goes on by itself; `drover cluster` shows how far it is, \
                     --timeout waits longer",
                    api.timeout()
                )),
            });
        }
        tokio::time::sleep(LOOK).await;
    }
}
