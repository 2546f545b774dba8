//! Kubernetes controller: turns custom resources into desired state in the state tier and mirrors
//! what became of it as status.
//!
//! It keeps nothing of its own: every decision is made by `fleet-plan` from what the API server
//! and the state tier say at that moment. With the operator down, what was declared stays in force.

mod announcer;
mod bootstrap;
mod brake;
mod config;
mod controller;
mod definitions;
mod device;
mod enrollment;
mod feed;
mod group;
mod image;
mod kubernetes;
mod lease;
mod metrics;
mod model;
mod node;
mod operation;
mod profile;
mod rollout;
mod secrets;
mod state_tier;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use node_runtime::{Readiness, Signals, Tasks, admin, config as settings, telemetry};
use prometheus_client::registry::Registry;

use config::{Arguments, Command, Config};
use metrics::Metrics;

fn main() -> ExitCode {
    node_runtime::end("drover-operator", start())
}

fn start() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(Command::Crd { output }) = &arguments.command {
        definitions::print(output.as_deref())?;
        return Ok(ExitCode::SUCCESS);
    }
    let config: Config = settings::load(
        &Config::default(),
        arguments.config.as_deref(),
        "DROVER_OPERATOR",
        &arguments.overrides,
    )?;
    if arguments.print_config {
        use std::io::Write;
        std::io::stdout().write_all(settings::render(&config)?.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(serve(config))
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let log_level = telemetry::init(&config.log)?;
    let signals = Signals::install()?;
    let (tasks, readiness) = (Tasks::new(), Readiness::new());
    let mut registry = Registry::with_prefix("drover_operator");
    let metrics = Metrics::register(&mut registry);
    let endpoint = admin::Admin {
        metrics: registry.into(),
        readiness: readiness.clone(),
        log_level,
    };
    let address = admin::serve(config.admin_listen, endpoint, &tasks).await?;
    tracing::info!(admin = %address, api = ?config.api, "starting");
    let grace = Duration::from_secs(config.grace_seconds);
    node::start(config, metrics, &tasks, &readiness).await?;
    Ok(node_runtime::run(&tasks, &readiness, signals, grace).await)
}
