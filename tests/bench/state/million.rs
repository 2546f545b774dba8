//! A cluster with a million registered devices.

use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use state_client::Client;
use tests::resident_bytes;

use super::load::{self, Load, Operation};
use super::nodes::{Nodes, commit, register};
use super::{CONNECTIONS, folder};
use crate::{figure, middle};

const DEVICES: u64 = 1_000_000;
const FEW: u64 = 10_000;
/// Devices that register while it is measured.
const MEASURED: u64 = 20_000;
const ROUNDS: u64 = 3;
const CLIENTS: usize = 512;

pub(crate) fn million() {
    eprintln!("state-million: three state nodes");
    let runtime = load::runtime();
    let mut nodes = Nodes::start(folder(), 3);
    let clients: Vec<Client> = runtime.block_on(async {
        futures::future::join_all((0..CONNECTIONS).map(|_| nodes.connect())).await
    });
    let clients = Arc::new(clients);
    let operation: Operation = Arc::new(move |client, number| {
        let clients = clients.clone();
        let registering = async move {
            let (shard, command) = register(number);
            commit(&clients[client % CONNECTIONS], shard, command).await;
        };
        registering.boxed()
    });
    let load = Load {
        clients: CLIENTS,
        weight: 1,
        operation,
    };
    let registered = |numbers: std::ops::Range<u64>| {
        let devices = (numbers.end - numbers.start) as f64;
        devices / runtime.block_on(load::all(&load, numbers)).as_secs_f64()
    };
    // Of the whole machine: both are measured alike.
    let rate = |from: u64| {
        let rounds = (0..ROUNDS).map(|round| from + round * MEASURED);
        middle(
            rounds
                .map(|from| registered(from..from + MEASURED))
                .collect(),
        )
    };

    registered(0..FEW);
    let few = rate(FEW);
    let loaded = registered(FEW + ROUNDS * MEASURED..DEVICES);
    let many = rate(DEVICES);
    eprintln!(
        "  {few:.0} registrations/s at {FEW} devices, {loaded:.0}/s on average, {many:.0}/s at {DEVICES}"
    );
    figure("registrations-few", few);
    figure("registrations-million", many);
    figure("registration-cost-million", few / many);

    let resident = nodes.pids().into_iter().map(resident_bytes);
    let resident: Vec<u64> = resident
        .map(|bytes| bytes.expect("the node runs"))
        .collect();
    eprintln!("  resident: {resident:?} bytes");
    let most = resident.into_iter().max().unwrap_or(0);
    figure("state-memory-million", most as f64);
    for node in &nodes.nodes {
        eprintln!("  {} bytes on the disk", bytes_below(node.volume()));
    }

    nodes.nodes[2].stop();
    let seconds = seconds_to_start(&mut nodes, 2);
    figure("restart-million", seconds);
    nodes.nodes[1].kill();
    let seconds = seconds_to_start(&mut nodes, 1);
    figure("restart-million-killed", seconds);
    let resident = nodes.pids().into_iter().map(resident_bytes);
    let resident: Vec<u64> = resident
        .map(|bytes| bytes.expect("the node runs"))
        .collect();
    eprintln!("  resident after the restarts: {resident:?} bytes");
}

/// Until a node is ready and is behind in no shard.
fn seconds_to_start(nodes: &mut Nodes, index: usize) -> f64 {
    let seeds = nodes.seeds();
    let begun = Instant::now();
    nodes.nodes[index].start(&["--seeds", &seeds]);
    nodes.nodes[index].wait_until_ready();
    let ready = begun.elapsed().as_secs_f64();
    nodes.wait_until_current();
    let seconds = begun.elapsed().as_secs_f64();
    eprintln!("  ready after {ready:.2} s, behind in no shard after {seconds:.2} s");
    nodes.wait_until_spread();
    seconds
}

/// Bytes of all files below a folder.
pub(super) fn bytes_below(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes_below(&entry.path()),
        Ok(found) => found.len(),
        // Compaction removes files at any time.
        Err(_) => 0,
    });
    bytes.sum()
}
