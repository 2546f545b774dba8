//! Wires the parts: the lease first, the controllers behind it.

use std::sync::Arc;
use std::time::Duration;

use node_runtime::files::Reloading;
use node_runtime::{Condition, Drain, Readiness, Stage, Tasks};
use tokio::sync::oneshot;

use crate::config::Config;
use crate::device::{self, Context, Settings};
use crate::lease::{Lease, Terms};
use crate::metrics::Metrics;
use crate::state_tier::{Credentials, StateTier};
use crate::{kubernetes, lease};

/// Starts every task. A replica without the lease is ready too: it waits to take over.
pub(crate) async fn start(
    config: Config,
    metrics: Metrics,
    tasks: &Tasks,
    readiness: &Readiness,
) -> anyhow::Result<()> {
    let client = kubernetes::client(config.kubeconfig.as_deref()).await?;
    let every = Duration::from_secs(config.reload_seconds.max(1));
    let reloading = Reloading::new(tasks, every);
    let credentials = Credentials::new(&config, &reloading)?;
    let state_tier = StateTier::new(&config.api, &credentials)?;
    let (leading, lead) = oneshot::channel();
    if config.leader_election {
        let namespace = config.lease_namespace.clone();
        let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
        let terms = Terms::new(Duration::from_secs(u64::from(config.lease_seconds)));
        let lease = Lease::new(client.clone(), &namespace, &config.lease_name, terms);
        let metrics = metrics.clone();
        tasks.spawn_service("lease", Stage::HandOver, |drain| {
            lease::hold(lease, leading, metrics, drain)
        });
    } else {
        metrics.leader.set(1);
        // The receiver lives in this function.
        let _ = leading.send(());
    }
    let context = Arc::new(Context::new(
        client.clone(),
        state_tier,
        metrics.clone(),
        Settings::from(&config),
    ));
    let devices = kubernetes::devices(client, config.namespace.as_deref());
    let served = readiness.condition("definitions");
    let watching = readiness.condition("device-watch");
    let controller = |drain| run_devices(context, devices, lead, [served, watching], drain);
    tasks.spawn_service("devices", Stage::Intake, controller);
    Ok(())
}

async fn run_devices(
    context: Arc<Context>,
    devices: kube::Api<crd::Device>,
    lead: oneshot::Receiver<()>,
    [served, watching]: [Condition; 2],
    drain: Drain,
) {
    let wait = async {
        kubernetes::definitions_served(&devices, &context.metrics, &served).await;
        // Standing by is a healthy state.
        watching.meet();
        lead.await
    };
    tokio::select! {
        led = wait => {
            if led.is_ok() {
                device::run(context, devices, watching, drain).await;
            }
        }
        () = drain.started() => {}
    }
}
