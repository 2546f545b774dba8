//! A cluster with a million registered devices.

use std::collections::HashMap;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use proto::drover::v1::campaigns_client::CampaignsClient;
use proto::drover::v1::{
    Campaign, CampaignImage, CampaignPlan, CreateCampaignRequest, GetCampaignRequest,
};
use state_client::Client;
use tests::resident_bytes;

use super::load::{self, Load, Operation};
use super::nodes::{Nodes, commit, register};
use super::{CONNECTIONS, folder, spent};
use crate::{figure, middle};

const DEVICES: u64 = 1_000_000;
const FEW: u64 = 10_000;
/// Devices that register while it is measured.
const MEASURED: u64 = 20_000;
const ROUNDS: u64 = 3;
const CLIENTS: usize = 512;

/// How fast devices registered, and what one cost all nodes: that does not depend on who else uses the machine.
#[derive(Clone, Copy)]
struct Registered {
    per_second: f64,
    microseconds: f64,
}

pub(crate) fn million() {
    eprintln!("state-million: three state nodes");
    let runtime = load::runtime();
    let mut nodes = Nodes::start(&folder(), 3);
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
    let registered = |numbers: Range<u64>| {
        let devices = (numbers.end - numbers.start) as f64;
        let before = spent(&nodes.pids());
        let took = runtime.block_on(load::all(&load, numbers));
        Registered {
            per_second: devices / took.as_secs_f64(),
            microseconds: (spent(&nodes.pids()) - before) * 1e6 / devices,
        }
    };
    let measured = |from: u64| {
        let rounds = (0..ROUNDS).map(|round| from + round * MEASURED);
        let rounds = rounds.map(|from| registered(from..from + MEASURED));
        let rounds: Vec<Registered> = rounds.collect();
        let all = |of: fn(&Registered) -> f64| middle(rounds.iter().map(of).collect());
        Registered {
            per_second: all(|round| round.per_second),
            microseconds: all(|round| round.microseconds),
        }
    };

    registered(0..FEW);
    let few = measured(FEW);
    let loaded = registered(FEW + ROUNDS * MEASURED..DEVICES);
    let many = measured(DEVICES);
    for (what, of) in [
        ("at 10,000 devices", few),
        ("from there on", loaded),
        ("at 1,000,000", many),
    ] {
        eprintln!(
            "  {what}: {:.0} registrations/s, {:.0} us of the nodes' processors each",
            of.per_second, of.microseconds
        );
    }
    figure("registrations-few", few.per_second);
    figure("registrations-million", many.per_second);
    figure(
        "registration-cost-million",
        many.microseconds / few.microseconds,
    );

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

    let seconds = runtime.block_on(seconds_to_begin(&nodes.nodes[0].api));
    figure("campaign-start-million", seconds);

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

/// Until every device was asked whether it takes part in a campaign, and the first ones have their turn.
async fn seconds_to_begin(api: &str) -> f64 {
    let mut campaigns = CampaignsClient::connect(format!("http://{api}"))
        .await
        .expect("the node serves");
    let plan = CampaignPlan {
        image: Some(CampaignImage {
            name: "app".to_owned(),
            version: "2.0".to_owned(),
            uri: "coap://images/app".to_owned(),
            ..Default::default()
        }),
        max_unavailable: "100".to_owned(),
        ..Default::default()
    };
    let request = CreateCampaignRequest {
        campaign: Some(Campaign {
            name: "everybody".to_owned(),
            plan: Some(plan),
            ..Default::default()
        }),
        ..Default::default()
    };
    let begun = Instant::now();
    let created = campaigns.create_campaign(request).await;
    created.expect("the campaign is sound");
    loop {
        let name = "everybody".to_owned();
        let told = campaigns.get_campaign(GetCampaignRequest { name }).await;
        let told = told.expect("the campaign is there").into_inner();
        if told.counts.is_some_and(|counts| counts.scheduled > 0) {
            let seconds = begun.elapsed().as_secs_f64();
            eprintln!(
                "  a campaign of {} devices began after {seconds:.2} s",
                told.members
            );
            return seconds;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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

/// Bytes of all files below a folder. What has several names there counts once.
pub(super) fn bytes_below(folder: &Path) -> u64 {
    let mut files = HashMap::new();
    find_files(folder, &mut files);
    files.into_values().sum()
}

fn find_files(folder: &Path, files: &mut HashMap<u64, u64>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(found) if found.is_dir() => find_files(&entry.path(), files),
            Ok(found) => drop(files.insert(found.ino(), found.len())),
            // Compaction removes files at any time.
            Err(_) => {}
        }
    }
}
