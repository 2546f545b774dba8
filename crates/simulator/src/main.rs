//! `drover-sim`: simulated LwM2M device fleets.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use simulator::args::{Bench, Cli, Task};

fn main() -> ExitCode {
    node_runtime::end("drover-sim", start())
}

fn start() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    // Only signals and progress live here; the fleet has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        match cli.task {
            Task::Run(run) => simulator::run(run).await,
            Task::Bench(Bench::Register(bench)) => simulator::bench_register(bench).await,
            Task::Bench(Bench::Read(bench)) => simulator::bench_read(bench).await,
            Task::Bench(Bench::Request(bench)) => simulator::bench_request(&bench),
            Task::Bench(Bench::Notify(bench)) => simulator::bench_notify(bench).await,
            Task::Bench(Bench::Commands(bench)) => simulator::bench_commands(bench).await,
        }
    })
}
