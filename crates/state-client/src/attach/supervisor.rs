//! One stream to every state node, as they come and go.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::{AbortHandle, JoinSet};

use super::stream::{self, Attachment};
use crate::client::{Client, Shared};

/// Starts and ends streams as the topology names nodes, until nobody takes operations any more. Holds the client so
/// that the topology stays fresh.
pub(super) async fn run(shared: Arc<Shared>, _client: Client, attachment: Attachment) {
    let mut routes = shared.routes.subscribe();
    let mut streams: HashMap<String, AbortHandle> = HashMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let topology = routes.borrow_and_update().topology.clone();
        if let Some(topology) = topology {
            let listed =
                |address: &String| topology.nodes.iter().any(|node| node.internal == *address);
            streams.retain(|address, task| {
                let keep = listed(address);
                if !keep {
                    task.abort();
                }
                keep
            });
            for node in &topology.nodes {
                if streams.contains_key(&node.internal) {
                    continue;
                }
                let Ok(link) = shared.links.to(&node.internal) else {
                    continue;
                };
                let task = stream::keep(attachment.clone(), link, shared.config.connect_timeout);
                streams.insert(node.internal.clone(), tasks.spawn(task));
            }
        }
        while tasks.try_join_next().is_some() {}
        tokio::select! {
            changed = routes.changed() => if changed.is_err() { return },
            () = attachment.down.closed() => return,
        }
    }
}
