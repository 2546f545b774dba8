//! The emergency brake: the annotation drover.dev/paused, on an object or on its namespace.
//!
//! Namespaces are watched, by their metadata alone. Before they are listed once nothing is reconciled: an operator that starts
//! must not go on with what somebody has stopped. If it may not see them it says so, and only objects are held by themselves.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use fleet_plan::pause::{Pause, is_paused};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Error, Event, watcher};
use kube::{Client, ResourceExt};
use node_runtime::{Condition, Drain};
use tokio::sync::watch;

use crate::kubernetes::Kind;

/// How long until namespaces that may not be seen are asked for again.
const DENIED: Duration = Duration::from_secs(60);
/// The server ends a watch after this many seconds; shorter than what load balancers cut off.
const WATCH_SECONDS: u32 = 200;

/// The namespaces that are held; `None` before they are known. Bounded by the namespaces that there are.
type Held = Option<Arc<BTreeSet<String>>>;

/// Says what is held; clones say the same.
#[derive(Clone)]
pub(crate) struct Brake {
    held: watch::Receiver<Held>,
}

impl Brake {
    /// It says what the watch has seen.
    pub(crate) fn new() -> (Self, Namespaces) {
        let (known, held) = watch::channel(None);
        let namespaces = Namespaces {
            known,
            held: BTreeSet::new(),
            listed: BTreeSet::new(),
        };
        (Self { held }, namespaces)
    }

    /// What holds an object.
    pub(crate) fn pause<K: Kind>(&self, object: &K) -> Option<Pause> {
        let metadata = object.meta();
        if is_paused(metadata) {
            return Some(Pause::Object);
        }
        let namespace = metadata.namespace.as_deref()?;
        self.holds(namespace).then_some(Pause::Namespace)
    }

    /// Whether all of a namespace is held.
    pub(crate) fn holds(&self, namespace: &str) -> bool {
        let held = self.held.borrow();
        held.as_ref().is_some_and(|held| held.contains(namespace))
    }

    /// Until it is known which namespaces are held.
    pub(crate) async fn until_known(&self) {
        let mut held = self.held.clone();
        // The sender is dropped while the node ends only.
        drop(held.wait_for(Option::is_some).await);
    }

    /// Until other namespaces are held than now.
    pub(crate) async fn until_changed(&self) {
        let mut held = self.held.clone();
        held.mark_unchanged();
        if held.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Tells of each namespace that is held from now on, or is not any more. Never ends.
    pub(crate) async fn follow(&self, tell: impl Fn(&str)) {
        let mut held = self.held.clone();
        let mut before = held.borrow_and_update().clone().unwrap_or_default();
        while held.changed().await.is_ok() {
            let now = held.borrow_and_update().clone().unwrap_or_default();
            for namespace in before.symmetric_difference(&now) {
                tell(namespace);
            }
            before = now;
        }
        std::future::pending::<()>().await;
    }
}

/// Watches what holds namespaces.
pub(crate) struct Namespaces {
    known: watch::Sender<Held>,
    held: BTreeSet<String>,
    /// Those that are held, by what a list under way has shown so far.
    listed: BTreeSet<String>,
}

impl Namespaces {
    /// Watches the namespace that is named, or all, until the drain.
    pub(crate) async fn watch(
        mut self,
        client: Client,
        only: Option<String>,
        watching: Condition,
        drain: Drain,
    ) {
        watching.fail("listing namespaces");
        let watch = async {
            let mut said = false;
            loop {
                let error = self.see(&client, only.as_deref(), &watching).await;
                if !std::mem::replace(&mut said, true) {
                    tracing::warn!(
                        %error,
                        "the annotation {} of a Namespace may be seen late, or not at all: the operator needs the verbs list and \
                         watch on namespaces",
                        crd::PAUSED
                    );
                }
                // What is held stays so: nobody has seen that it is not any more.
                self.publish();
                watching.meet();
                tokio::time::sleep(DENIED).await;
            }
        };
        tokio::select! {
            () = watch => {}
            () = drain.started() => {}
        }
    }

    /// Takes in what there is to see, until it may not be seen. A list that may be had without a watch is seen each time.
    async fn see(&mut self, client: &Client, only: Option<&str>, watching: &Condition) -> Error {
        let api: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
        let mut config = Config::default().timeout(WATCH_SECONDS);
        if let Some(name) = only {
            config = config.fields(&format!("metadata.name={name}"));
        }
        let mut events = pin!(watcher(api, config).default_backoff());
        loop {
            match events.next().await {
                Some(Ok(event)) => self.take_in(&event, watching),
                Some(Err(error)) if is_denied(&error) => return error,
                Some(Err(error)) => tracing::warn!(%error, "the watch of namespaces broke"),
                // It never ends by itself.
                None => std::future::pending().await,
            }
        }
    }

    fn take_in(&mut self, event: &Event<PartialObjectMeta<Namespace>>, watching: &Condition) {
        match event {
            Event::Init => return self.listed.clear(),
            Event::InitApply(namespace) => {
                if is_paused(&namespace.metadata) {
                    self.listed.insert(namespace.name_any());
                }
                return;
            }
            Event::InitDone => {
                self.held = std::mem::take(&mut self.listed);
                watching.meet();
            }
            Event::Apply(namespace) if is_paused(&namespace.metadata) => {
                self.held.insert(namespace.name_any());
            }
            Event::Apply(namespace) | Event::Delete(namespace) => {
                self.held.remove(&namespace.name_any());
            }
        }
        self.publish();
    }

    fn publish(&self) {
        self.known.send_if_modified(|known| {
            let is_same = known.as_ref().is_some_and(|known| **known == self.held);
            if !is_same {
                *known = Some(Arc::new(self.held.clone()));
            }
            !is_same
        });
    }

    /// As if the watch had seen these, and no others, to be held.
    #[cfg(test)]
    pub(crate) fn hold(&mut self, namespaces: &[&str]) {
        self.held = namespaces.iter().map(|one| (*one).to_owned()).collect();
        self.publish();
    }
}

/// Whether something may not be watched.
pub(crate) fn is_denied(error: &Error) -> bool {
    match error {
        Error::InitialListFailed(error)
        | Error::WatchStartFailed(error)
        | Error::WatchFailed(error) => {
            matches!(error, kube::Error::Api(status) if status.code == 403)
        }
        Error::WatchError(status) => status.code == 403,
        Error::NoResourceVersion => false,
    }
}

#[cfg(test)]
mod tests;
