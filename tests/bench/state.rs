//! The state tier against etcd: three nodes each, on one machine and one disk, in turn.
//!
//! What is put is what an ingress node stores of a DTLS session: one command that is committed and synchronised by two nodes
//! at least before it is acknowledged. etcd is given a value of the same length. Its clients speak to the member that leads,
//! so that it passes nothing on.

mod etcd;
mod leader;
mod load;
mod million;
mod nodes;
mod replica;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use device_state::SessionCid;
use futures::FutureExt;
use futures::future::join_all;
use prost::Message;
use state_client::Client;
use tests::{cpu_seconds, until};
use tokio::runtime::Runtime;

use self::etcd::{Connection, Etcd};
pub(crate) use self::leader::loss;
use self::load::{Load, Operation, Round};
pub(crate) use self::million::million;
use self::nodes::Nodes;
pub(crate) use self::replica::snapshot;
use crate::{figure, middle};

/// Each way, in turn.
const ROUNDS: usize = 3;
/// Clients share so many connections to each node: as many as there are ingress nodes in a cluster.
const CONNECTIONS: usize = 8;
/// Puts of one batch; etcd takes 128 operations in one transaction unless it is told otherwise.
const BATCH: usize = 64;
/// Clients that put batches.
const BATCHING: usize = 16;
/// Keys that are read.
const KEYS: u64 = 20_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// What is compared.
struct Comparison {
    runtime: Runtime,
    nodes: Nodes,
    etcd: Etcd,
    clients: Arc<Vec<Client>>,
    connections: Arc<Vec<Connection>>,
}

/// Where all data lies: in `DROVER_BENCH_DATA`, or below cargo's target folder, which is on a disk.
fn folder() -> PathBuf {
    let folder = std::env::var_os("DROVER_BENCH_DATA");
    folder.map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from)
}

/// What one `fdatasync` of a few kilobytes takes there, in milliseconds: the median. All else rests on it.
fn tell_disk(folder: &Path) {
    let mut file = tempfile::NamedTempFile::new_in(folder).expect("a temporary file");
    let took = (0..200).map(|_| {
        let begun = Instant::now();
        let written = file.write_all(&[1; 4_096]);
        written
            .and_then(|()| file.as_file().sync_data())
            .expect("a disk that takes 4 KiB");
        begun.elapsed().as_secs_f64() * 1e3
    });
    let median = middle(took.collect());
    eprintln!("  the disk synchronises 4 KiB within {median:.3} ms");
}

pub(crate) fn puts() {
    eprintln!("state-puts: three state nodes and three members of etcd");
    let both = Comparison::start();
    for clients in [64, 512] {
        let ours = both.clients.clone();
        let ours: Operation = Arc::new(move |client, number| {
            let ours = ours.clone();
            async move { put(&ours[client % CONNECTIONS], number).await }.boxed()
        });
        let theirs = both.connections.clone();
        let theirs: Operation = Arc::new(move |client, number| {
            let theirs = theirs.clone();
            async move {
                theirs[client % CONNECTIONS]
                    .put(key(number), value(number))
                    .await;
            }
            .boxed()
        });
        both.compare(&format!("puts-{clients}"), clients, 1, ours, theirs);
    }
    let ours = both.clients.clone();
    let ours: Operation = Arc::new(move |client, number| {
        let ours = ours.clone();
        let puts = async move {
            let client = &ours[client % CONNECTIONS];
            join_all(batch(number).map(|number| put(client, number))).await;
        };
        puts.boxed()
    });
    let theirs = both.connections.clone();
    let theirs: Operation = Arc::new(move |client, number| {
        let theirs = theirs.clone();
        let pairs = batch(number).map(|number| (key(number), value(number)));
        let pairs = pairs.collect();
        async move { theirs[client % CONNECTIONS].put_all(pairs).await }.boxed()
    });
    both.compare("puts-batched", BATCHING, BATCH, ours, theirs);
}

pub(crate) fn reads() {
    eprintln!("state-reads: three state nodes and three members of etcd, {KEYS} keys");
    let both = Comparison::start();
    both.fill();
    for clients in [64, 512] {
        let ours = both.clients.clone();
        let ours: Operation = Arc::new(move |client, number| {
            let ours = ours.clone();
            let read = async move {
                let client = &ours[client % CONNECTIONS];
                let found = nodes::read_session(client, stored(drawn(number))).await;
                assert!(found.is_some(), "a state node has lost a session");
            };
            read.boxed()
        });
        let theirs = both.connections.clone();
        let theirs: Operation = Arc::new(move |client, number| {
            let theirs = theirs.clone();
            let read = async move {
                let client = &theirs[client % CONNECTIONS];
                let found = client.range(key_of(stored(drawn(number)))).await;
                assert!(found.is_some(), "etcd has lost a key");
            };
            read.boxed()
        });
        both.compare(&format!("state-reads-{clients}"), clients, 1, ours, theirs);
    }
}

impl Comparison {
    fn start() -> Self {
        let runtime = load::runtime();
        tell_disk(&folder());
        let nodes = Nodes::start(&folder(), 3);
        let etcd = Etcd::start(nodes.site.path());
        let leader = etcd.leader(&runtime);
        let clients = runtime.block_on(join_all((0..CONNECTIONS).map(|_| nodes.connect())));
        let connections =
            runtime.block_on(async { (0..CONNECTIONS).map(|_| etcd::connect(&leader)).collect() });
        Self {
            runtime,
            nodes,
            etcd,
            clients: Arc::new(clients),
            connections: Arc::new(connections),
        }
    }

    /// Stores the keys that are read, in both.
    fn fill(&self) {
        let (ours, theirs) = (self.clients.clone(), self.connections.clone());
        let operation: Operation = Arc::new(move |client, number| {
            let (ours, theirs) = (ours.clone(), theirs.clone());
            let both = async move {
                let cid = stored(number);
                nodes::commit(&ours[client % CONNECTIONS], cid.shard(), nodes::store(cid)).await;
                theirs[client % CONNECTIONS]
                    .put(key_of(cid), value_of(cid))
                    .await;
            };
            both.boxed()
        });
        let load = Load {
            clients: 256,
            weight: 1,
            operation,
        };
        self.runtime.block_on(load::all(&load, 0..KEYS));
    }

    /// Rounds of one and the other, in turn. The ratio is that of neighbours, so that what disturbs both does not count.
    fn compare(
        &self,
        name: &str,
        clients: usize,
        weight: usize,
        ours: Operation,
        theirs: Operation,
    ) {
        let measure = |whose: &str, operation: &Operation, pids: &[u32]| {
            self.wait_until_quiet();
            let load = Load {
                clients,
                weight,
                operation: operation.clone(),
            };
            let before = spent(pids);
            let round = self.runtime.block_on(load::round(&load));
            // The warm-up as well; it is as long for both.
            let nodes = (spent(pids) - before) / load::ROUND.as_secs_f64();
            eprintln!(
                "  {name}, {whose}: {:.0}/s, p50 {:.2} ms, p99 {:.2} ms; {:.1} us of the generator each, {:.2} processors",
                round.per_second, round.p50, round.p99, round.generator, nodes
            );
            round
        };
        let pairs = (0..ROUNDS).map(|_| {
            let ours = measure("state nodes", &ours, &self.nodes.pids());
            (ours, measure("etcd", &theirs, &self.etcd.pids()))
        });
        let pairs: Vec<(Round, Round)> = pairs.collect();
        let all = |of: fn(&(Round, Round)) -> f64| middle(pairs.iter().map(of).collect());
        figure(name, all(|(ours, _)| ours.per_second));
        figure(
            &format!("{name}-etcd"),
            all(|(_, theirs)| theirs.per_second),
        );
        figure(
            &format!("{name}-times"),
            all(|(ours, theirs)| ours.per_second / theirs.per_second),
        );
        figure(&format!("{name}-p99"), all(|(ours, _)| ours.p99));
        figure(&format!("{name}-etcd-p99"), all(|(_, theirs)| theirs.p99));
    }

    /// Waits until neither works off what it took before.
    fn wait_until_quiet(&self) {
        let pids = [self.nodes.pids(), self.etcd.pids()].concat();
        let mut before = spent(&pids);
        until("two clusters at rest", PATIENCE, || {
            let looked = Instant::now();
            until("a moment", PATIENCE, || looked.elapsed().as_millis() >= 500);
            let now = spent(&pids);
            let work = now - std::mem::replace(&mut before, now);
            work / looked.elapsed().as_secs_f64() < 0.3
        });
    }
}

fn spent(pids: &[u32]) -> f64 {
    let seconds = pids.iter().map(|pid| cpu_seconds(*pid));
    seconds.map(|spent| spent.expect("the process runs")).sum()
}

async fn put(client: &Client, number: u64) {
    let cid = nodes::cid(number);
    nodes::commit(client, cid.shard(), nodes::store(cid)).await;
}

/// Numbers of a batch that no other operation has.
fn batch(number: u64) -> impl Iterator<Item = u64> + Clone {
    let first = (1 << 32) + number * BATCH as u64;
    first..first + BATCH as u64
}

/// Keys that are there when reads begin.
fn stored(number: u64) -> SessionCid {
    nodes::cid((1 << 39) + number)
}

/// One of the keys, in no order.
fn drawn(number: u64) -> u64 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % KEYS
}

fn key(number: u64) -> Vec<u8> {
    key_of(nodes::cid(number))
}

fn key_of(cid: SessionCid) -> Vec<u8> {
    cid.0.to_vec()
}

fn value(number: u64) -> Vec<u8> {
    value_of(nodes::cid(number))
}

/// What a state node stores under the key, but for the seal.
fn value_of(cid: SessionCid) -> Vec<u8> {
    proto::storage::v1::Session::from(nodes::session(cid)).encode_to_vec()
}
