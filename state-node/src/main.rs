//! `drover-state`: a Raft replica of the device state and its gRPC API.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use node_runtime::{Readiness, Signals, Stage, Tasks, config, telemetry};
use state_node::config::{Arguments, Config, ENV_PREFIX, Overrides, Restore, Subcommand};
use state_node::{node, rebuild, restore};
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    node_runtime::end("drover-state", start())
}

fn start() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    match &arguments.command {
        Some(Subcommand::Rebuild(asked)) => {
            let text = rebuild::by_hand(asked)?;
            std::io::stdout().write_all(text.as_bytes())?;
            return Ok(if asked.yes {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
        Some(Subcommand::Restore(restore)) => {
            let config = load(restore.config.as_deref(), &restore.overrides)?;
            return runtime()?.block_on(run_restore(&config, restore));
        }
        None => {}
    }
    let config = load(arguments.config.as_deref(), &arguments.overrides)?;
    if arguments.print_config {
        let text = config::render(&config).context("cannot print the configuration")?;
        std::io::stdout().write_all(text.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = runtime()?;
    let exit = runtime.block_on(run(config));
    // Blocking reads that nobody waits for any more must not delay the exit.
    runtime.shutdown_background();
    exit
}

fn load(file: Option<&Path>, overrides: &Overrides) -> anyhow::Result<Config> {
    config::load(&Config::default(), file, ENV_PREFIX, overrides)
        .context("cannot read the configuration")
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}

async fn run_restore(config: &Config, asked: &Restore) -> anyhow::Result<ExitCode> {
    telemetry::init(&config.log).context("cannot start logging")?;
    let done = restore::restore(config, &asked.from, &asked.backup)
        .await
        .context("nothing is restored")?;
    std::io::stdout().write_all(done.to_string().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

async fn run(config: Config) -> anyhow::Result<ExitCode> {
    let log_level = telemetry::init(&config.log).context("cannot start logging")?;
    let signals = Signals::install().context("cannot watch signals")?;
    let (tasks, readiness) = (Tasks::new(), Readiness::new());
    let grace = config.grace;
    let node = node::start(config, &tasks, &readiness, log_level)
        .await
        .context("cannot start the node")?;
    tasks.spawn_job("announcement", Stage::Intake, |drain| async move {
        tokio::select! {
            () = drain.started() => {}
            () = node.ready() => {
                let line = format!(
                    "drover-state ready api={} internal={} admin={} node={}\n",
                    node.api, node.internal, node.admin, node.id
                );
                // Nobody may be reading.
                drop(std::io::stdout().write_all(line.as_bytes()));
            }
        }
    });
    Ok(node_runtime::run(&tasks, &readiness, signals, grace).await)
}
