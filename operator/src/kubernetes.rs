//! The way to the API server.

use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Resource};
use node_runtime::Condition;
use prometheus_client::metrics::gauge::Gauge;
use serde::de::DeserializeOwned;

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

/// Whether the objects of a kind are in namespaces.
pub(crate) trait Place: Sized + 'static {
    const IS_NAMESPACED: bool;

    fn objects<K>(client: Client, namespace: Option<&str>) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = Self>;
}

impl Place for NamespaceResourceScope {
    const IS_NAMESPACED: bool = true;

    fn objects<K>(client: Client, namespace: Option<&str>) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = Self>,
    {
        match namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        }
    }
}

impl Place for ClusterResourceScope {
    const IS_NAMESPACED: bool = false;

    fn objects<K>(client: Client, _: Option<&str>) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = Self>,
    {
        Api::all(client)
    }
}

/// A kind of this operator.
pub(crate) trait Kind:
    Resource<DynamicType = (), Scope: Place> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope: Place>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

/// The name of a kind in URLs, such as `devices`.
pub(crate) fn plural<K: Kind>() -> String {
    K::plural(&()).into_owned()
}

/// All objects of a kind, or those of one namespace.
pub(crate) fn objects<K: Kind>(client: Client, namespace: Option<&str>) -> Api<K> {
    <K::Scope as Place>::objects::<K>(client, namespace)
}

/// Waits until the API server serves the kind: an operator may be installed before its definitions.
pub(crate) async fn definition_served<K: Kind>(
    objects: &Api<K>,
    missing: &Gauge,
    ready: &Condition,
) {
    let kind = plural::<K>();
    loop {
        match objects.list_metadata(&ListParams::default().limit(1)).await {
            Ok(_) => {
                missing.set(0);
                return ready.meet();
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {
                missing.set(1);
                tracing::warn!("{kind}.drover.dev is not installed; waiting for it");
                ready.fail(format!("{kind}.drover.dev is not installed"));
            }
            Err(error) => {
                tracing::warn!(%error, "the API server cannot be asked for {kind}");
                ready.fail(format!("the API server cannot be asked for {kind}"));
            }
        }
        tokio::time::sleep(DEFINITION_POLL).await;
    }
}
