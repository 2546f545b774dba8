//! Secrets that objects take values from.
//!
//! ```text
//! API server ─ watch, metadata only ─▶ Watch ─▶ References ─▶ Devices and DeviceProfiles are looked at
//!            ◀─ get, by name ───────── read ◀── a look at one of them
//! ```
//!
//! A value is read when it is needed, goes to the state tier, and is kept nowhere here.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crd::{Device, DeviceProfile};
use fleet_plan::secrets::{Secret, Secrets};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret as KubernetesSecret;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Error, Event, watcher};
use kube::{Client, ResourceExt};
use node_runtime::{Condition, Drain};

use crate::brake::is_denied;
use crate::controller::{Named, ReconcileError, References, Shared};
use crate::kubernetes::{Kind, objects};

/// How long until Secrets that may not be watched are asked for again, and those who name any are looked at.
const DENIED: Duration = Duration::from_secs(60);
/// The server ends a watch after this many seconds; shorter than what load balancers cut off.
const WATCH_SECONDS: u32 = 200;
/// The type of Secrets with the token of a ServiceAccount.
const SERVICE_ACCOUNT_TOKEN: &str = "kubernetes.io/service-account-token";

/// The Secrets of these names, as a plan takes them.
pub(crate) async fn read<K: Kind>(
    shared: &Shared<K>,
    namespace: &str,
    names: impl IntoIterator<Item = &str>,
) -> Result<Secrets, ReconcileError> {
    let mut found = Vec::new();
    for name in names {
        let secret = match shared.read::<KubernetesSecret>(Some(namespace), name).await {
            Ok(secret) => secret.map(held),
            Err(error) if error.is_forbidden() => Some(Secret::Withheld {
                why: "the operator may not get it",
            }),
            Err(error) => return Err(error),
        };
        found.extend(secret.map(|secret| (name.to_owned(), secret)));
    }
    Ok(found.into_iter().collect())
}

fn held(secret: KubernetesSecret) -> Secret {
    // Kubernetes makes it, for itself alone.
    if secret.type_.as_deref() == Some(SERVICE_ACCOUNT_TOKEN) {
        return Secret::Withheld {
            why: "the token of a ServiceAccount is given to nobody else",
        };
    }
    let entries = secret.data.unwrap_or_default().into_iter();
    let entries: BTreeMap<String, Vec<u8>> = entries.map(|(key, value)| (key, value.0)).collect();
    Secret::Held {
        version: secret.metadata.resource_version.unwrap_or_default(),
        entries,
    }
}

/// Whom changes of Secrets concern.
pub(crate) struct Concerned {
    pub(crate) devices: Arc<References<Device>>,
    pub(crate) profiles: Arc<References<DeviceProfile>>,
}

impl Concerned {
    /// A Secret is another one now. Values of profiles are those of the devices that refer to them, too.
    fn by(&self, namespace: &str, name: &str) {
        let secret = || Named::Secret(name.to_owned());
        self.devices.touch(namespace, secret());
        for profile in self.profiles.touch(namespace, secret()) {
            self.devices.touch(namespace, Named::Profile(profile));
        }
    }

    fn all(&self) {
        self.devices.touch_all();
        self.profiles.touch_all();
    }
}

/// Watches Secrets, by their metadata alone, until the drain.
pub(crate) async fn watch(
    client: Client,
    only: Option<String>,
    concerned: Concerned,
    watching: Condition,
    drain: Drain,
) {
    watching.fail("listing secrets");
    let watch = async {
        let mut said = false;
        loop {
            let error = see(&client, only.as_deref(), &concerned, &watching).await;
            if !std::mem::replace(&mut said, true) {
                tracing::warn!(
                    %error,
                    "changes of Secrets are seen late, by looking every minute at what names one: the operator needs the \
                     verbs list and watch on secrets"
                );
            }
            watching.meet();
            tokio::time::sleep(DENIED).await;
            concerned.all();
        }
    };
    tokio::select! {
        () = watch => {}
        () = drain.started() => {}
    }
}

/// Passes on what there is to see, until it may not be seen.
async fn see(
    client: &Client,
    only: Option<&str>,
    concerned: &Concerned,
    watching: &Condition,
) -> Error {
    let api: Api<PartialObjectMeta<KubernetesSecret>> = objects(client.clone(), only);
    let config = Config::default().timeout(WATCH_SECONDS);
    let mut events = pin!(watcher(api, config).default_backoff());
    loop {
        match events.next().await {
            Some(Ok(event)) => take_in(&event, concerned, watching),
            Some(Err(error)) if is_denied(&error) => return error,
            Some(Err(error)) => tracing::warn!(%error, "the watch of secrets broke"),
            // It never ends by itself.
            None => std::future::pending().await,
        }
    }
}

fn take_in(
    event: &Event<PartialObjectMeta<KubernetesSecret>>,
    concerned: &Concerned,
    watching: &Condition,
) {
    match event {
        Event::Init | Event::InitApply(_) => {}
        // What has happened before nobody tells.
        Event::InitDone => {
            watching.meet();
            concerned.all();
        }
        Event::Apply(secret) | Event::Delete(secret) => {
            concerned.by(&secret.namespace().unwrap_or_default(), &secret.name_any());
        }
    }
}

#[cfg(test)]
mod tests;
