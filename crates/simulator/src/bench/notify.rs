//! `drover-sim bench notify`: from a device by way of ingress, state tier and API to an observer.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, ensure};
use proto::drover::v1::{ObserveRequest, ObserveResponse};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::Streaming;

use crate::args::Notify;
use crate::bench::api::{all_registered, operations};
use crate::fleet::{Command, Fleet};
use crate::plan::Plan;
use crate::report;

const OBSERVED: &str = "/3303/0/5700";

/// Observes every device and counts what it notifies and what arrives; fails if nothing does.
pub async fn bench_notify(bench: Notify) -> Result<ExitCode> {
    let mut operations = operations(&bench.api).await?;
    let plan = Plan::for_notifications(&bench)?;
    let devices = plan.devices;
    let endpoints: Result<Vec<String>> = (0..devices).map(|at| plan.endpoint(at)).collect();
    let fleet = Fleet::start(plan, bench.fleet.threads)?;
    all_registered(&fleet, devices, bench.timeout).await?;
    let arrived = Arc::new(AtomicU64::new(0));
    let mut observers = JoinSet::new();
    for endpoint in endpoints? {
        let request = ObserveRequest {
            endpoint: endpoint.clone(),
            path: OBSERVED.to_owned(),
            ..Default::default()
        };
        let stream = operations.observe(request).await;
        let stream = stream.with_context(|| format!("cannot observe {endpoint}"))?;
        observers.spawn(count(stream.into_inner(), arrived.clone()));
    }
    let seen = || {
        (
            fleet.totals().notifications,
            arrived.load(Ordering::Relaxed),
        )
    };
    let (begun, before) = (Instant::now(), seen());
    tokio::time::sleep(bench.duration).await;
    let (elapsed, after) = (begun.elapsed(), seen());
    fleet.command(Command::Stop);
    fleet.join()?;
    let (sent, arrived) = (after.0 - before.0, after.1 - before.1);
    report::notifications(sent, arrived, elapsed);
    ensure!(arrived > 0, "no notification arrived");
    Ok(ExitCode::SUCCESS)
}

async fn count(mut observed: Streaming<ObserveResponse>, arrived: Arc<AtomicU64>) {
    // An observer that is cut off counts no more, which the result shows.
    while let Ok(Some(response)) = observed.message().await {
        arrived.fetch_add(response.values.len() as u64, Ordering::Relaxed);
    }
}
