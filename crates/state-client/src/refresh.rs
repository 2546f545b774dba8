//! Keeps the topology fresh.

use std::sync::Arc;
use std::time::Duration;

use proto::rpc::v1::DescribeClusterRequest;
use proto::rpc::v1::state_client::StateClient;
use tokio::time::{sleep, timeout};

use crate::client::Shared;
use crate::error::DescribeError;
use crate::link::Link;
use crate::topology::Topology;

/// Between two rounds, however often something seems wrong.
const SHORTEST: Duration = Duration::from_millis(50);

/// Asks one node after the other until one answers, every interval and whenever a call was led astray.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut turn = 0;
    loop {
        match describe_any(&shared, turn).await {
            Ok(topology) => shared.learn(topology),
            Err(error) => tracing::debug!(%error, "no state node describes the cluster"),
        }
        // The next round begins with another node: one that is cut off from the others would be believed for ever.
        turn += 1;
        sleep(SHORTEST).await;
        let idle = if shared.topology().is_some() {
            shared.config.refresh_interval
        } else {
            SHORTEST
        };
        let _elapsed = timeout(idle, shared.refresh.notified()).await;
    }
}

/// The answer of the first node that gives one, known nodes and seeds in turn.
pub(crate) async fn describe_any(shared: &Shared, turn: usize) -> Result<Topology, DescribeError> {
    let mut addresses = shared.addresses();
    let first = turn.checked_rem(addresses.len()).unwrap_or_default();
    addresses.rotate_left(first);
    let mut error = DescribeError::Unavailable;
    for address in addresses {
        let Ok(link) = shared.links.to(&address) else {
            continue;
        };
        match describe(&link, shared.config.describe_timeout).await {
            Ok(topology) => return Ok(topology),
            Err(failure) => error = failure,
        }
    }
    Err(error)
}

async fn describe(link: &Link, limit: Duration) -> Result<Topology, DescribeError> {
    let mut client = StateClient::new(link.channel.clone());
    match timeout(limit, client.describe_cluster(DescribeClusterRequest {})).await {
        Ok(Ok(response)) => {
            let topology = Topology::try_from(response.into_inner());
            topology.map_err(|error| DescribeError::Answer(error.into()))
        }
        Ok(Err(status)) if proto::asks_for_another_node(&status) => Err(DescribeError::Unavailable),
        Ok(Err(status)) => Err(DescribeError::Refused(Box::new(status))),
        Err(_) => Err(DescribeError::Deadline),
    }
}
