//! Clients that do one thing after the other, and how fast they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tests::cpu_seconds;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// What comes first and does not count.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long a round is measured.
pub(crate) const ROUND: Duration = Duration::from_secs(5);

/// Something that a client does again and again. The number is never the same twice.
pub(crate) type Operation = Arc<dyn Fn(usize, u64) -> BoxFuture<'static, ()> + Send + Sync>;

/// Who does what.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) clients: usize,
    /// What one operation counts as.
    pub(crate) weight: usize,
    pub(crate) operation: Operation,
}

/// What a round of them came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub(crate) per_second: f64,
    /// Of an operation, in milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Processor time of this process for each of what was counted, in microseconds.
    pub(crate) generator: f64,
}

/// The same for everybody who is measured.
pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Numbers for operations, unique in this process.
pub(crate) fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Runs a round.
pub(crate) async fn round(load: &Load) -> Round {
    let begun = Instant::now() + WARM_UP;
    let ends = begun + ROUND;
    let own = || cpu_seconds(std::process::id()).expect("this process runs");
    let mut clients = JoinSet::new();
    for client in 0..load.clients {
        let operation = load.operation.clone();
        clients.spawn(async move {
            let mut microseconds = Vec::<u32>::new();
            loop {
                let sent = Instant::now();
                if sent >= ends {
                    return microseconds;
                }
                operation(client, unique()).await;
                let answered = Instant::now();
                if answered >= begun && answered < ends {
                    microseconds.push((answered - sent).as_micros() as u32);
                }
            }
        });
    }
    tokio::time::sleep_until(begun.into()).await;
    let before = own();
    tokio::time::sleep_until(ends.into()).await;
    let spent = own() - before;
    let mut all: Vec<u32> = clients.join_all().await.into_iter().flatten().collect();
    assert!(!all.is_empty(), "nothing was done");
    all.sort_unstable();
    let done = (all.len() * load.weight) as f64;
    let at = |share: usize| f64::from(all[(all.len() - 1) * share / 100]) / 1_000.0;
    Round {
        per_second: done / ROUND.as_secs_f64(),
        p50: at(50),
        p99: at(99),
        generator: spent * 1e6 / done,
    }
}

/// Does `count` operations as fast as so many clients can; how long that took.
pub(crate) async fn all(load: &Load, numbers: std::ops::Range<u64>) -> Duration {
    let begun = Instant::now();
    let next = Arc::new(AtomicU64::new(numbers.start));
    let mut clients = JoinSet::new();
    for client in 0..load.clients {
        let (operation, next, end) = (load.operation.clone(), next.clone(), numbers.end);
        clients.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    return;
                }
                operation(client, number).await;
            }
        });
    }
    clients.join_all().await;
    begun.elapsed()
}
