//! A new replica, which gets all rows as a snapshot.

use std::sync::Arc;
use std::time::Instant;

use device_state::{Command, DesiredValue, ShardId};
use futures::FutureExt;
use lwm2m::{Path, Value};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tests::until;

use super::load::{self, Load, Operation};
use super::million::bytes_below;
use super::nodes::{Nodes, PATIENCE, SHARDS, commit, device};
use super::{folder, spent};
use crate::figure;

/// Devices with something desired.
const DEVICES: u64 = 65_000;
/// Bytes of it, which do not compress.
const BYTES: usize = 8_192;
/// It is replaced so often: what the log holds of it is then more than the log keeps, and a new replica needs the rows.
const TIMES: u64 = 4;
const CLIENTS: usize = 64;

/// One node with a gigabyte of rows or more gets a second one.
pub(crate) fn snapshot() {
    eprintln!("state-snapshot: one state node with {DEVICES} devices, and another");
    let runtime = load::runtime();
    let mut nodes = Nodes::start(&folder(), 1);
    let client = runtime.block_on(nodes.connect());
    let operation: Operation = Arc::new(move |_, number| {
        let client = client.clone();
        let desiring = async move {
            let (shard, command) = desire(number);
            commit(&client, shard, command).await;
        };
        desiring.boxed()
    });
    let load = Load {
        clients: CLIENTS,
        weight: 1,
        operation,
    };
    let took = runtime.block_on(load::all(&load, 0..TIMES * DEVICES));
    let log = nodes.nodes[0].volume().join("log");
    eprintln!(
        "  loaded within {:.0} s, log of {} bytes",
        took.as_secs_f64(),
        bytes_below(&log)
    );
    // Until the log is freed and rows are compacted.
    let pid = [nodes.nodes[0].pid()];
    let (mut looked, mut before) = (Instant::now(), spent(&pid));
    until("a node at rest", PATIENCE, || {
        if looked.elapsed().as_secs() < 12 {
            return false;
        }
        let now = spent(&pid);
        let work = now - std::mem::replace(&mut before, now);
        let share = work
            / std::mem::replace(&mut looked, Instant::now())
                .elapsed()
                .as_secs_f64();
        share < 0.1
    });
    eprintln!("  log of {} bytes when at rest", bytes_below(&log));

    let mut new = nodes.site.node("new");
    let seeds = nodes.seeds();
    let begun = Instant::now();
    new.start(&["--start", "join", "--seeds", &seeds]);
    nodes.nodes.push(new);
    nodes.wait_until_current();
    let seconds = begun.elapsed().as_secs_f64();
    let rows = bytes_below(&nodes.nodes[1].volume().join("shards"));
    eprintln!("  {rows} bytes of rows within {seconds:.2} s");
    let sent = nodes.nodes[0]
        .output()
        .matches("sending a snapshot")
        .count();
    assert!(
        sent >= usize::from(SHARDS),
        "only {sent} snapshots were sent"
    );
    figure("snapshot-gigabyte", seconds * 1e9 / rows as f64);
}

fn desire(number: u64) -> (ShardId, Command) {
    let endpoint = device(number % DEVICES);
    let shard = ShardId::of_endpoint(&endpoint, SHARDS);
    let mut bytes = vec![0; BYTES];
    ChaCha8Rng::seed_from_u64(number).fill_bytes(&mut bytes);
    let command = Command::SetDesired {
        endpoint,
        generation: number / DEVICES + 1,
        resources: vec![DesiredValue::initial(
            Path::Resource(9, 0, 2),
            Value::Opaque(bytes),
        )],
    };
    (shard, command)
}
