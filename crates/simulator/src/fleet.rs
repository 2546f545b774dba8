//! A running fleet.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use mio::Waker;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::plan::Plan;
use crate::shard::{Found, Shard, Shared};
use crate::stats::{Stats, Totals};

/// File descriptors for everything but the sockets of devices.
const SPARE_DESCRIPTORS: u64 = 64;

/// What a fleet is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Go on.
    Run,
    /// Every device sends an Update at once.
    Wake,
    /// Deregister every device, then stop; gives up after five seconds without an answer.
    Deregister,
    /// Stop at once.
    Stop,
}

impl Command {
    pub(crate) const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Run,
            1 => Self::Wake,
            2 => Self::Deregister,
            _ => Self::Stop,
        }
    }
}

/// Devices on threads of their own.
#[derive(Debug)]
pub struct Fleet {
    shared: Arc<Shared>,
    wakers: Vec<Waker>,
    threads: Vec<JoinHandle<std::io::Result<Found>>>,
}

/// What became of a fleet.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The counts at its end.
    pub totals: Totals,
    /// Devices whose first registration failed, or did not end in time.
    pub failed: u64,
    /// From the first start to the end of the last first registration.
    pub elapsed: Duration,
    /// From start to registration of each device that did register, shortest first.
    pub latencies: Vec<Duration>,
}

impl Fleet {
    /// Makes all devices and begins.
    pub fn start(plan: Plan, threads: usize) -> anyhow::Result<Self> {
        let threads = threads.clamp(1, plan.devices);
        make_room(plan.devices)?;
        let shared = Arc::new(Shared {
            stats: Stats::default(),
            command: AtomicU8::new(Command::Run as u8),
            ready: Barrier::new(threads),
        });
        let plan = Arc::new(plan);
        let (made, results) = mpsc::sync_channel(threads);
        let mut handles = Vec::new();
        for from in 0..threads {
            let (plan, shared, made) = (plan.clone(), shared.clone(), made.clone());
            let (go, gate) = mpsc::sync_channel(1);
            let body = move || {
                let (shard, waker) = match Shard::new(plan, shared, from, threads) {
                    Ok(parts) => parts,
                    Err(error) => {
                        // The receiver is there until every shard has reported.
                        let _ = made.send(Err(error));
                        return Ok(Found::default());
                    }
                };
                let _ = made.send(Ok(waker));
                // Without the others there is nothing to begin.
                match gate.recv() {
                    Ok(()) => shard.run(),
                    Err(_) => Ok(Found::default()),
                }
            };
            let name = format!("shard-{from}");
            let handle = std::thread::Builder::new().name(name).spawn(body)?;
            handles.push((handle, go));
        }
        drop(made);
        // Each shard keeps its sender for as long as it runs, so the channel does not end by itself.
        let wakers = results
            .iter()
            .take(threads)
            .collect::<anyhow::Result<Vec<_>>>()?;
        let threads = handles
            .into_iter()
            .map(|(handle, go): (_, mpsc::SyncSender<()>)| {
                let _ = go.send(());
                handle
            });
        Ok(Self {
            threads: threads.collect(),
            shared,
            wakers,
        })
    }

    /// Tells the fleet something.
    pub fn command(&self, command: Command) {
        self.shared.command.store(command as u8, Ordering::Relaxed);
        for waker in &self.wakers {
            // A shard that cannot be woken has ended.
            let _ = waker.wake();
        }
    }

    /// The counts of this moment.
    pub fn totals(&self) -> Totals {
        self.shared.stats.totals()
    }

    /// Whether every shard has ended.
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Waits for the end.
    pub fn join(self) -> anyhow::Result<Summary> {
        let mut summary = Summary::default();
        let mut span = None;
        for thread in self.threads {
            let found = thread.join().ok().context("a shard panicked")?;
            let found = found.context("a shard failed")?;
            summary.failed += found.failed;
            summary.latencies.extend(found.latencies);
            span = match (span, found.span) {
                (Some((first, last)), Some((from, to))) => Some((from.min(first), to.max(last))),
                (span, found) => span.or(found),
            };
        }
        summary.latencies.sort_unstable();
        summary.elapsed = span.map(|(first, last)| last - first).unwrap_or_default();
        summary.totals = self.shared.stats.totals();
        Ok(summary)
    }
}

impl Summary {
    /// The latency that so many percent of the devices did not exceed; `None` without any.
    pub fn percentile(&self, percent: usize) -> Option<Duration> {
        percentile(&self.latencies, percent)
    }
}

/// The value that so many percent of `sorted` do not exceed; `None` without any.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let last = sorted.len().checked_sub(1)?;
    let index = (last * percent.min(100)).div_ceil(100);
    sorted.get(index).copied()
}

/// Raises the limit of open files as far as the devices need.
pub(crate) fn make_room(devices: usize) -> anyhow::Result<()> {
    let needed = devices as u64 + SPARE_DESCRIPTORS;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let allowed = limit.maximum.is_none_or(|maximum| maximum >= needed);
    ensure!(
        allowed,
        "{devices} devices need {needed} open files, the limit is {}",
        limit.maximum.unwrap_or_default()
    );
    let raised = Rlimit {
        current: Some(needed),
        ..limit
    };
    setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measured_values() {
        let summary = Summary {
            latencies: (1..=100).map(Duration::from_millis).collect(),
            ..Summary::default()
        };
        assert_eq!(summary.percentile(0), Some(Duration::from_millis(1)));
        assert_eq!(summary.percentile(50), Some(Duration::from_millis(51)));
        assert_eq!(summary.percentile(99), Some(Duration::from_millis(100)));
        assert_eq!(Summary::default().percentile(50), None);
    }
}
