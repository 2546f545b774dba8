//! `drover-sim bench read`: callers of the public API.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use node_runtime::Signals;
use proto::drover::v1::ReadRequest;
use proto::drover::v1::operations_client::OperationsClient;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::args::Read;
use crate::bench::api::operations;
use crate::report;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What the callers saw.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// How long each answered read took.
    pub(crate) latencies: Vec<Duration>,
    /// How often a caller was told to come back later, and came back.
    pub(crate) held_back: u64,
    /// Reads that failed otherwise, by their code.
    pub(crate) failed: BTreeMap<String, u64>,
    /// Longest time in which a caller had no answer.
    pub(crate) longest_gap: Duration,
}

/// Each caller reads one device after another, as fast as it is answered; fails if a read failed.
pub async fn bench_read(bench: Read) -> anyhow::Result<ExitCode> {
    ensure!(bench.callers > 0, "callers must be at least 1");
    let mut signals = Signals::install().context("cannot take over signals")?;
    let operations = operations(&bench.api).await?;
    let begun = Instant::now();
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for number in 0..bench.callers {
        let caller = Caller {
            operations: operations.clone(),
            endpoints: bench.endpoints.clone(),
            path: bench.path.clone(),
            next: number,
            reads: bench.reads / bench.callers + usize::from(number < bench.reads % bench.callers),
            end: begun + bench.timeout,
            stop: stop.clone(),
        };
        callers.spawn(caller.run());
    }
    let mut calls = Calls::default();
    loop {
        tokio::select! {
            ended = callers.join_next() => match ended {
                Some(of_one) => calls.add(of_one.context("a caller panicked")?),
                None => break,
            },
            _ = signals.next() => stop.store(true, Ordering::Relaxed),
        }
    }
    calls.latencies.sort_unstable();
    report::read(&calls, begun.elapsed());
    let all = calls.failed.is_empty() && calls.latencies.len() == bench.reads;
    Ok(if all {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

struct Caller {
    operations: OperationsClient<Channel>,
    endpoints: Vec<String>,
    path: String,
    next: usize,
    reads: usize,
    end: Instant,
    stop: Arc<AtomicBool>,
}

impl Caller {
    async fn run(mut self) -> Calls {
        let mut calls = Calls::default();
        let mut answered = Instant::now();
        while calls.latencies.len() < self.reads {
            let begun = Instant::now();
            if begun >= self.end || self.stop.load(Ordering::Relaxed) {
                break;
            }
            match self.read().await {
                Ok(()) => calls.latencies.push(begun.elapsed()),
                Err(status) => {
                    let Some(pause) = held_back(&status) else {
                        *calls
                            .failed
                            .entry(format!("{:?}", status.code()))
                            .or_default() += 1;
                        continue;
                    };
                    calls.held_back += 1;
                    tokio::time::sleep(pause).await;
                    continue;
                }
            }
            calls.longest_gap = calls.longest_gap.max(answered.elapsed());
            answered = Instant::now();
        }
        calls
    }

    async fn read(&mut self) -> Result<(), Status> {
        let endpoint = self.endpoints[self.next % self.endpoints.len()].clone();
        self.next += 1;
        let mut request = Request::new(ReadRequest {
            endpoint,
            path: self.path.clone(),
            ..ReadRequest::default()
        });
        request.set_timeout(TIMEOUT);
        self.operations.read(request).await.map(|_| ())
    }
}

/// When to come back, if the API told it.
fn held_back(status: &Status) -> Option<Duration> {
    let details = status.get_details_retry_info()?;
    (status.code() == Code::ResourceExhausted)
        .then_some(details.retry_delay)
        .flatten()
}

impl Calls {
    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.held_back += other.held_back;
        for (code, count) in other.failed {
            *self.failed.entry(code).or_default() += count;
        }
        self.longest_gap = self.longest_gap.max(other.longest_gap);
    }
}
