//! `drover-sim run`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use node_runtime::Signals;

use crate::args::Run;
use crate::fleet::{Command, Fleet};
use crate::plan::Plan;
use crate::report;
use crate::stats::Totals;

/// How often to look whether the fleet has ended.
const JOIN_PERIOD: Duration = Duration::from_millis(20);

/// Runs a fleet until a signal, or for its duration; a second signal ends it at once.
pub async fn run(run: Run) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::install().context("cannot take over signals")?;
    let fleet = Fleet::start(Plan::for_run(&run)?, run.fleet.threads)?;
    let began = Instant::now();
    let end = async {
        match run.duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    report::head(run.output);
    tokio::select! {
        _ = signals.next() => {}
        () = end => {}
        () = show_progress(&run, &fleet, began) => {}
    }
    fleet.command(if run.deregister {
        Command::Deregister
    } else {
        Command::Stop
    });
    let ended = async {
        while !fleet.is_finished() {
            tokio::time::sleep(JOIN_PERIOD).await;
        }
    };
    tokio::select! {
        () = ended => {}
        _ = signals.next() => fleet.command(Command::Stop),
    }
    report::summary(run.output, began.elapsed(), &fleet.join()?);
    Ok(ExitCode::SUCCESS)
}

/// Ends only if the fleet does.
async fn show_progress(run: &Run, fleet: &Fleet, began: Instant) {
    let mut last = (began, Totals::default());
    while !fleet.is_finished() {
        tokio::time::sleep(run.progress).await;
        let (now, totals) = (Instant::now(), fleet.totals());
        let seconds = (now - last.0).as_secs_f64();
        let registrations = totals.registrations.saturating_sub(last.1.registrations);
        let per_second = registrations as f64 / seconds.max(0.001);
        report::progress(run.output, now - began, &totals, per_second);
        last = (now, totals);
    }
}
