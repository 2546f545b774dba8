//! `drover dev`: a whole cluster on this machine, as real processes on loopback.
//!
//! 1. A directory: locked, with the cluster key, the devices' keys and the ports of an earlier run.
//! 2. State nodes, until every one says that it is ready.
//! 3. Ingress nodes and bootstrap nodes, until every one says that it is ready.
//! 4. The devices' keys, through the public API; then the simulator, until every device is registered.
//! 5. `endpoints.json`, in one step: whoever waits for it finds everything ready.
//! 6. Until a signal: a process that ends is reported and not started again.
//! 7. Simulator, ingress nodes and state nodes are stopped, in this order.

mod home;
mod layout;
mod process;
mod programs;
mod ready;
mod secure;
mod simulated;
mod start;
mod summary;
mod tls;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use device_state::Namespace;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::arguments::Global;
use crate::dev::home::Home;
use crate::dev::layout::Layout;
use crate::dev::process::Processes;
use crate::dev::programs::Programs;
use crate::failure::Failure;
use crate::output::{self, note};

/// What `drover dev` takes. Counts that are not given are those of the directory, or the defaults.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Starts drover-state, drover-ingress and drover-sim, which are looked for next to this program and
then in PATH. Once everything is ready, DIR/endpoints.json says where everything listens, and the
other commands find it with --dir DIR or DROVER_DIR=DIR. Logs are in DIR/logs. A directory that is
given is kept: started again, the cluster goes on with its data at the same ports. Without
one, a temporary directory is used and removed at the end.

Examples:
  drover dev
  drover dev --dir .drover --devices 100         then, in another terminal: drover devices
  drover dev --state-nodes 1 --ingress-nodes 1 --devices 0 --coap")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own on the command line"
)]
pub(crate) struct Options {
    /// State nodes [default: 3].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) state_nodes: Option<u8>,
    /// Ingress nodes [default: 2].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) ingress_nodes: Option<u8>,
    /// Bootstrap nodes [default: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=9))]
    pub(crate) bootstrap_nodes: Option<u8>,
    /// Worker threads of each ingress node.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) ingress_workers: u8,
    /// TOML file with further settings of all ingress nodes: drover-ingress --print-config shows them.
    #[arg(long, value_name = "FILE")]
    pub(crate) ingress_config: Option<PathBuf>,
    /// The same for all bootstrap nodes.
    #[arg(long, value_name = "FILE")]
    pub(crate) bootstrap_config: Option<PathBuf>,
    /// Simulated devices; they connect over DTLS with pre-shared keys.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    pub(crate) devices: u16,
    /// Serve CoAP without security, too.
    #[arg(long)]
    pub(crate) coap: bool,
    /// Serve CoAP over TCP without security, too.
    #[arg(long)]
    pub(crate) tcp: bool,
    /// Serve CoAP over TLS, too, with a certificate for localhost that is made for it: devices check it by
    /// DIR/tls/certificate.pem, and need none themselves. Goes before what --ingress-config says of TLS.
    #[arg(long)]
    pub(crate) tls: bool,
    /// Ask for a certificate or a token: makes an authority, certificates of the nodes and of an administrator, a key for
    /// tokens and a policy in DIR/access, once. The other commands show that certificate with --dir DIR.
    #[arg(long)]
    pub(crate) secure: bool,
    /// Port of the public API of the first state node; a free one unless it is given.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) api_port: Option<u16>,
    /// CoAPS port of the first ingress node; a free one unless it is given.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) coaps_port: Option<u16>,
    /// CoAP port of the first ingress node, with --coap; a free one unless it is given.
    #[arg(long, value_name = "PORT", requires = "coap", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) coap_port: Option<u16>,
    /// Longest wait for each part of the cluster to become ready.
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = humantime::parse_duration)]
    pub(crate) start_timeout: Duration,
    /// Of the devices: `--namespace`, which all commands have.
    #[arg(skip)]
    pub(crate) namespace: Namespace,
}

/// Ctrl-C and SIGTERM.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    fn install() -> anyhow::Result<Self> {
        let install = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: install(SignalKind::interrupt())?,
            terminate: install(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Runs the cluster until a signal.
pub(crate) async fn run(options: Options, global: &Global) -> Result<(), Failure> {
    let options = Options {
        namespace: global.proof.namespace().clone(),
        ..options
    };
    let mut interrupts = Interrupts::install()?;
    let programs = Programs::find(options.devices > 0)?;
    let home = Home::open(global.dir.as_deref())?;
    let layout = Layout::of(&home, &options)?;
    let mut processes = Processes::new(home.logs());
    let outcome = tokio::select! {
        started = start::start(&programs, &home, &layout, &options, &mut processes) => started.map(Some),
        () = interrupts.next() => Ok(None),
    };
    let outcome = match outcome {
        Ok(Some(endpoints)) => {
            let shown = output::write(&summary::text(&endpoints, &home, &options));
            stay(&mut processes, &mut interrupts).await;
            shown
        }
        Ok(None) => Ok(()),
        Err(failure) => Err(failure),
    };
    stop(&mut processes, &mut interrupts).await;
    home.close(&outcome)?;
    outcome
}

/// Until a signal, tells what ends by itself.
async fn stay(processes: &mut Processes, interrupts: &mut Interrupts) {
    loop {
        tokio::select! {
            () = interrupts.next() => return,
            ended = processes.next_end() => note(&format!("warning: {}", ended.report())),
        }
    }
}

async fn stop(processes: &mut Processes, interrupts: &mut Interrupts) {
    if processes.is_empty() {
        return;
    }
    note("stopping; Ctrl-C again stops at once");
    let interrupted = tokio::select! {
        () = processes.stop() => false,
        () = interrupts.next() => true,
    };
    if interrupted {
        processes.kill().await;
    }
}
