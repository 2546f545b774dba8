//! `drover-sim bench commands`: durable writes, from their acceptance to devices that were asleep.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use node_runtime::Signals;
use proto::drover::v1::operations_client::OperationsClient;
use proto::drover::v1::value::Kind;
use proto::drover::v1::{Delivery, PathValue, Value, WriteRequest, delivery};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::transport::Channel;

use crate::args::Commands;
use crate::bench::api::{all_registered, operations, until};
use crate::fleet::{Command, Fleet};
use crate::plan::Plan;
use crate::report;

const TEXT: &str = "/3/0/14";
const PACKAGE: &str = "/5/0/0";
/// What is accepted may wait so long for its device.
const DEADLINE: Duration = Duration::from_hours(1);

/// Queues the writes, wakes the devices if they sleep, and waits until all are there; fails if one is not.
pub async fn bench_commands(bench: Commands) -> Result<ExitCode> {
    let mut signals = Signals::install().context("cannot take over signals")?;
    let operations = operations(&bench.api).await?;
    let plan = Plan::for_commands(&bench)?;
    let devices = plan.devices;
    let endpoints: Result<Vec<String>> = (0..devices).map(|at| plan.endpoint(at)).collect();
    let fleet = Fleet::start(plan, bench.fleet.threads)?;
    all_registered(&fleet, devices, bench.timeout).await?;
    if let Some(asleep) = bench.asleep {
        tokio::time::sleep(asleep).await;
    }
    let begun = Instant::now();
    enqueue(&bench, &operations, &endpoints?).await?;
    let accepting = begun.elapsed();
    let all = devices * bench.commands;
    let written = || fleet.totals().written as usize;
    if bench.stay {
        report::commands(all, accepting, 0, None);
        signals.next().await;
        fleet.command(Command::Stop);
        fleet.join()?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut since = begun;
    if bench.asleep.is_some() {
        fleet.command(Command::Wake);
        since = Instant::now();
    }
    until(bench.timeout, || written() >= all).await;
    let delivered = written();
    report::commands(all, accepting, delivered, Some(since.elapsed()));
    fleet.command(Command::Stop);
    fleet.join()?;
    Ok(if delivered >= all {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Has all writes accepted, each device's in order.
async fn enqueue(
    bench: &Commands,
    operations: &OperationsClient<Channel>,
    endpoints: &[String],
) -> Result<()> {
    let mut callers = JoinSet::new();
    let share = endpoints.len().div_ceil(bench.concurrency);
    for share in endpoints.chunks(share) {
        let caller = Caller {
            operations: operations.clone(),
            endpoints: share.to_vec(),
            commands: bench.commands,
            package: bench.bytes.map(|bytes| vec![0x5a; bytes]),
        };
        callers.spawn(caller.run());
    }
    while let Some(ended) = callers.join_next().await {
        ended.context("a caller panicked")??;
    }
    Ok(())
}

/// One of those who write.
struct Caller {
    operations: OperationsClient<Channel>,
    endpoints: Vec<String>,
    commands: usize,
    package: Option<Vec<u8>>,
}

impl Caller {
    async fn run(mut self) -> Result<()> {
        for number in 0..self.commands {
            for endpoint in self.endpoints.clone() {
                let request = self.request(endpoint, number);
                self.operations.write(request).await.context("a write")?;
            }
        }
        Ok(())
    }

    fn request(&self, endpoint: String, number: usize) -> WriteRequest {
        let (path, kind) = match &self.package {
            Some(package) => (PACKAGE, Kind::Opaque(package.clone())),
            None => (TEXT, Kind::String(number.to_string())),
        };
        WriteRequest {
            endpoint,
            path: path.to_owned(),
            values: vec![PathValue {
                path: path.to_owned(),
                value: Some(Value { kind: Some(kind) }),
            }],
            delivery: Some(Delivery {
                deadline: prost_types::Duration::try_from(DEADLINE).ok(),
                wait: delivery::Wait::UntilAccepted.into(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }
}
