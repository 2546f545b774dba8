//! The way to the API server.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use crd::Device;
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use node_runtime::Condition;

use crate::metrics::Metrics;

/// How often the definitions are looked for until they are there.
const DEFINITION_POLL: Duration = Duration::from_secs(2);

/// A client from the given kubeconfig, or from the surroundings.
pub(crate) async fn client(kubeconfig: Option<&Path>) -> anyhow::Result<Client> {
    let config = match kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?
        }
        None => Config::infer()
            .await
            .context("no kubeconfig and not in a pod")?,
    };
    Ok(Client::try_from(config)?)
}

/// All devices, or those of one namespace.
pub(crate) fn devices(client: Client, namespace: Option<&str>) -> Api<Device> {
    match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    }
}

/// Waits until the API server serves devices: an operator may be installed before its definitions.
pub(crate) async fn definitions_served(
    devices: &Api<Device>,
    metrics: &Metrics,
    ready: &Condition,
) {
    loop {
        match devices.list_metadata(&ListParams::default().limit(1)).await {
            Ok(_) => {
                metrics.crd_missing.set(0);
                return ready.meet();
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {
                metrics.crd_missing.set(1);
                tracing::warn!("devices.drover.dev is not installed; waiting for it");
                ready.fail("devices.drover.dev is not installed");
            }
            Err(error) => {
                tracing::warn!(%error, "the API server cannot be asked for devices");
                ready.fail("the API server cannot be asked for devices");
            }
        }
        tokio::time::sleep(DEFINITION_POLL).await;
    }
}
