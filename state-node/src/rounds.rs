//! Work that goes on in rounds, on the leader of the common shard.

use std::sync::Arc;
use std::time::Duration;

use device_state::FeatureLevel;
use node_runtime::Drain;

use crate::router::Router;

/// Between two rounds.
const TICK: Duration = Duration::from_millis(500);

/// Does `round` again and again, while this node leads the common shard and all replicas understand `level`.
pub async fn run<R>(
    router: Arc<Router>,
    level: FeatureLevel,
    drain: Drain,
    round: impl Fn(Arc<Router>) -> R,
) where
    R: Future<Output = ()>,
{
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = drain.started() => return,
            _ = tick.tick() => {}
        }
        let group = router.common_group();
        if !group.leads() || group.feature_level() < level {
            continue;
        }
        tokio::select! {
            () = drain.started() => return,
            () = round(Arc::clone(&router)) => {}
        }
    }
}
