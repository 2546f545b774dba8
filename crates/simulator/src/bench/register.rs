//! `drover-sim bench register`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use node_runtime::Signals;

use crate::args::Register;
use crate::fleet::{Command, Fleet};
use crate::plan::Plan;
use crate::report;

/// How often to look whether the measurement has ended.
const PERIOD: Duration = Duration::from_millis(5);

/// Registers every device once and reports how fast that was; fails if a device did not register.
pub async fn bench_register(bench: Register) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::install().context("cannot take over signals")?;
    let fleet = Fleet::start(Plan::for_bench(&bench)?, bench.fleet.threads)?;
    let ended = async {
        while !fleet.is_finished() {
            tokio::time::sleep(PERIOD).await;
        }
    };
    tokio::select! {
        () = ended => {}
        _ = signals.next() => fleet.command(Command::Stop),
    }
    let summary = fleet.join()?;
    report::registered(&summary);
    Ok(if summary.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
