//! Opens what a node has on its disk, and ends it if that is not what it wrote.

use device_state::ShardId;

use crate::config::Config;
use crate::fail_stop::FailStop;
use crate::node::NodeError;
use crate::raft::log_store::LogStore;
use crate::seal::Seal;
use crate::seal::canary::Check;
use crate::store::ShardStore;
use crate::store::database::SharedOptions;

/// The log of all shards, and the rows of each.
pub(super) struct Storage {
    pub(super) log: LogStore,
    pub(super) stores: Vec<ShardStore>,
}

/// Nothing runs on it yet: keys that do not open what is stored are found before anybody is served.
pub(super) fn open(
    config: &Config,
    seal: &Seal,
    fail_stop: &FailStop,
) -> Result<Storage, NodeError> {
    let keys = Check::begin(&config.data_dir, seal)?;
    let log = open_log(config, fail_stop)?;
    let options = SharedOptions::new(
        config.block_cache_bytes,
        config.write_buffer_bytes,
        config.shards,
    );
    let mut stores = Vec::with_capacity(usize::from(config.shards));
    for number in 0..config.shards {
        let store = open_store(ShardId(number), config, options.clone(), fail_stop)?;
        keys.shard(&store)?;
        stores.push(store);
    }
    keys.finish()?;
    Ok(Storage { log, stores })
}

fn open_log(config: &Config, fail_stop: &FailStop) -> Result<LogStore, NodeError> {
    let dir = config.data_dir.join("log");
    let opened = LogStore::open(&dir, config.shards, fail_stop.clone());
    opened.map_err(|error| {
        if let Some(corruption) = error.corruption() {
            fail_stop.corrupt("the log cannot be opened", &corruption);
        }
        NodeError::Log(error)
    })
}

fn open_store(
    shard: ShardId,
    config: &Config,
    options: SharedOptions,
    fail_stop: &FailStop,
) -> Result<ShardStore, NodeError> {
    let dir = config.data_dir.join("shards").join(shard.0.to_string());
    let opened = ShardStore::open(shard, &dir, options, fail_stop.clone());
    opened.map_err(|source| {
        if let Some(corruption) = source.corruption(shard, &dir) {
            fail_stop.corrupt("the rows of a shard cannot be opened", &corruption);
        }
        NodeError::Store { shard, source }
    })
}
