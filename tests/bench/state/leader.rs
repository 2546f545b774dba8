//! What a state node that dies without warning takes with it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use device_state::{SessionCid, ShardId};
use state_client::Client;
use tests::state_nodes::cluster;
use tests::until;
use tokio::task::JoinSet;

use super::nodes::{Nodes, SHARDS, cid_in, commit, count, read_session, store};
use super::{folder, load};
use crate::figure;

const ROUNDS: usize = 5;
/// Clients of each shard.
const CLIENTS: usize = 8;
/// How long they write before the node dies, and afterwards.
const BEFORE: Duration = Duration::from_secs(2);
const AFTER: Duration = Duration::from_secs(6);
const PATIENCE: Duration = Duration::from_secs(60);

/// What was acknowledged, and when.
type Ledger = Arc<Mutex<Vec<(Instant, SessionCid)>>>;

/// The node that leads most shards is killed while clients write to all of them.
pub(crate) fn loss() {
    eprintln!("state-leader: three state nodes, one of which is killed, {ROUNDS} times");
    let runtime = load::runtime();
    let mut nodes = Nodes::start(&folder(), 3);
    let client = runtime.block_on(nodes.connect());
    let (mut gaps, mut lost, mut acknowledged) = (Vec::new(), 0, 0);
    for round in 0..ROUNDS {
        let ledgers: Vec<Ledger> = (0..SHARDS).map(|_| Ledger::default()).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let mut writers = JoinSet::new();
        for (shard, ledger) in (0..SHARDS).map(ShardId).zip(&ledgers) {
            for _ in 0..CLIENTS {
                let writing = write(client.clone(), shard, ledger.clone(), stop.clone());
                writers.spawn_on(writing, runtime.handle());
            }
        }
        let index = leading(&nodes);
        pause(BEFORE);
        let killed = Instant::now();
        nodes.nodes[index].kill();
        pause(AFTER);
        stop.store(true, Ordering::Relaxed);
        runtime.block_on(writers.join_all());

        let gap = ledgers.iter().map(|ledger| longest(ledger, killed)).max();
        let gap = gap.unwrap_or_default();
        let seeds = nodes.seeds();
        nodes.nodes[index].start(&["--seeds", &seeds]);
        nodes.nodes[index].wait_until_ready();
        nodes.wait_until_spread();
        let all = ledgers.iter().flat_map(|ledger| {
            let ledger = ledger.lock().expect("no writer panicked");
            ledger.iter().map(|(_, cid)| *cid).collect::<Vec<_>>()
        });
        let all: Vec<SessionCid> = all.collect();
        let missing = runtime.block_on(missing(&client, &all));
        eprintln!(
            "  round {round}: no acknowledgement in some shard for {:.2} s, {missing} of {} lost",
            gap.as_secs_f64(),
            all.len()
        );
        gaps.push(gap.as_secs_f64());
        lost += missing;
        acknowledged += all.len();
    }
    eprintln!("  {lost} of {acknowledged} acknowledged writes lost");
    figure("leader-loss-longest", gaps.into_iter().fold(0.0, f64::max));
    figure("leader-loss-lost", lost as f64);
}

async fn write(client: Client, shard: ShardId, ledger: Ledger, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let cid = cid_in(shard, load::unique());
        commit(&client, shard, store(cid)).await;
        let mut ledger = ledger.lock().expect("no writer panicked");
        ledger.push((Instant::now(), cid));
    }
}

/// The longest time between two acknowledgements of a shard, from shortly before the node was killed.
fn longest(ledger: &Ledger, killed: Instant) -> Duration {
    let ledger = ledger.lock().expect("no writer panicked");
    let mut times: Vec<Instant> = ledger.iter().map(|(at, _)| *at).collect();
    times.sort_unstable();
    let gaps = times.windows(2).filter(|pair| pair[1] > killed);
    gaps.map(|pair| pair[1] - pair[0]).max().unwrap_or(AFTER)
}

/// How many of them are not stored.
async fn missing(client: &Client, all: &[SessionCid]) -> usize {
    let mut readers = JoinSet::new();
    for part in all.chunks(all.len().div_ceil(256).max(1)) {
        let (client, part) = (client.clone(), part.to_vec());
        readers.spawn(async move {
            let mut missing = 0;
            for cid in part {
                missing += usize::from(read_session(&client, cid).await.is_none());
            }
            missing
        });
    }
    readers.join_all().await.into_iter().sum()
}

/// The node that leads most shards.
fn leading(nodes: &Nodes) -> usize {
    let described = cluster(&nodes.apis());
    let all = described["nodes"].as_array().cloned().unwrap_or_default();
    let leads = |index: &usize| {
        let internal = nodes.nodes[*index].internal.as_str();
        let node = all.iter().find(|node| node["internal"] == internal);
        node.map_or(0, |node| count(node, "leads"))
    };
    (0..nodes.nodes.len())
        .max_by_key(leads)
        .expect("there are nodes")
}

fn pause(time: Duration) {
    let begun = Instant::now();
    until("a pause", PATIENCE, || begun.elapsed() >= time);
}
