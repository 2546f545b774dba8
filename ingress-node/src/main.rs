//! UDP, DTLS and CoAP edge that owns device sessions.

mod config;
mod cookies;
mod definitions;
mod downlink_stream;
mod driver;
mod members;
mod metrics;
mod node;
mod packages;
mod tcp;
mod trust;
mod udp;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use node_runtime::admin::{self, Admin};
use node_runtime::{Readiness, Signals, Tasks, config as settings, telemetry};
use prometheus_client::registry::Registry;

use config::{Arguments, Config};
use metrics::Metrics;

fn main() -> ExitCode {
    node_runtime::end("drover-ingress", start())
}

fn start() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let config: Config = settings::load(
        &Config::default(),
        arguments.config.as_deref(),
        "DROVER_INGRESS",
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
    let mut registry = Registry::with_prefix("drover_ingress");
    let metrics = Metrics::register(&mut registry);
    let admin = Admin {
        metrics: Arc::new(registry),
        readiness: readiness.clone(),
        log_level,
    };
    let admin = admin::serve(config.admin_listen, admin, &tasks).await?;
    node::start(&config, metrics, &tasks, &readiness).await?;
    tracing::info!(coaps = %config.coaps_listen, coap = ?config.coap_listen, %admin, "serving devices");
    Ok(node_runtime::run(
        &tasks,
        &readiness,
        signals,
        Duration::from_secs(config.grace_seconds),
    )
    .await)
}
