//! What objects leave behind in the state tier.
//!
//! There is no finalizer, so that no deletion ever waits for this operator. What is in the state tier without its object
//! is looked for instead, by what it says of whose it is; what was made through the API says nothing of that kind and is
//! left alone. Objects may go while no operator works, so that all places are looked at when a sweep begins and with each
//! resync; those in which an object was seen to go are looked at until nothing is left of it. In a namespace that is held by
//! its annotation all of it waits.

use std::collections::{BTreeSet, HashSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use fleet_plan::APPLIED;
use k8s_openapi::api::core::v1::Namespace as KubernetesNamespace;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::runtime::reflector::Store;
use kube::runtime::reflector::store::Writer;
use node_runtime::{Condition, Drain};
use tokio::sync::Notify;

use super::{Control, Shared, jittered};
use crate::kubernetes::{Kind, Place, plural};
use crate::state_tier::CallError;

/// The place of what is in no namespace.
const CLUSTER: &str = "";

/// Namespaces in which something may be without its object. Bounded by the namespaces that there are.
#[derive(Default)]
pub(crate) struct Departures {
    places: Mutex<BTreeSet<String>>,
    added: Notify,
}

impl Departures {
    /// Notes that an object is gone.
    pub(crate) fn add_of<K: Kind>(&self, object: &K) {
        let place = object.namespace();
        self.add([place.unwrap_or_else(|| CLUSTER.to_owned())]);
    }

    fn add(&self, places: impl IntoIterator<Item = String>) {
        self.lock().extend(places);
        self.added.notify_one();
    }

    fn put_back(&self, place: String) {
        self.lock().insert(place);
    }

    pub(crate) fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a place is like after it was swept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    /// It comes to its end.
    Something,
}

/// What takes away what is without its object.
pub(crate) trait Sweep: Control {
    /// In one namespace; of what is in none, everywhere.
    fn sweep(&self, place: &str) -> impl Future<Output = Result<Left, CallError>> + Send;
}

/// Runs a controller, and takes away what is without its object, until the drain.
pub(crate) async fn control<S: Sweep>(
    context: Arc<S>,
    api: Api<S::Kind>,
    store: (Store<S::Kind>, Writer<S::Kind>),
    watching: Condition,
    drain: Drain,
) {
    tokio::select! {
        () = super::run(Arc::clone(&context), api, store, watching, drain) => {}
        () = run(&*context) => {}
    }
}

/// Never ends.
async fn run<S: Sweep>(context: &S) {
    let shared = context.shared();
    // Before all objects are listed, everything would be without one.
    shared.known.until_listed().await;
    shared.brake.until_known().await;
    let settings = shared.settings;
    let mut all_at = Instant::now();
    loop {
        if Instant::now() >= all_at {
            shared.departures.add(places(shared).await);
            all_at = Instant::now() + jittered(settings.resync);
        }
        for place in shared.departures.take() {
            if shared.brake.holds(&place) {
                shared.departures.put_back(place);
                continue;
            }
            match context.sweep(&place).await {
                Ok(Left::Nothing) => {}
                Ok(Left::Something) => shared.departures.put_back(place),
                Err(error) => {
                    let kind = plural::<S::Kind>();
                    tracing::warn!(kind, namespace = place, %error, "what deleted objects have left is still there");
                    shared.departures.put_back(place);
                }
            }
        }
        tokio::select! {
            () = shared.departures.added.notified() => {}
            () = shared.brake.until_changed() => {}
            () = tokio::time::sleep(jittered(settings.poll)) => {}
        }
    }
}

/// Those in which objects are seen, as far as one may know them.
async fn places<K: Kind>(shared: &Shared<K>) -> Vec<String> {
    if !<K::Scope as Place>::IS_NAMESPACED {
        return vec![CLUSTER.to_owned()];
    }
    if let Some(namespace) = &shared.namespace {
        return vec![namespace.clone()];
    }
    let api: Api<KubernetesNamespace> = Api::all(shared.client.clone());
    match api.list_metadata(&ListParams::default()).await {
        Ok(list) => list.iter().map(ResourceExt::name_any).collect(),
        Err(error) => {
            let kind = plural::<K>();
            tracing::warn!(kind, %error, "the namespaces cannot be listed: what objects have left that went while no \
                                          operator worked is looked for only where there are others");
            let objects = shared.known.all();
            objects.iter().filter_map(|one| one.namespace()).collect()
        }
    }
}

/// The uids of all objects of the kind, by which what is in the state tier knows them.
pub(crate) fn uids<K: Kind>(shared: &Shared<K>) -> HashSet<String> {
    let objects = shared.known.all();
    objects.iter().filter_map(|one| one.uid()).collect()
}

/// Whether what says that the object of the uid `maker` has made it is without that object. What `drover apply` has put is of
/// files, and stays.
pub(crate) fn is_left_behind(maker: Option<&str>, uids: &HashSet<String>) -> bool {
    maker.is_some_and(|uid| uid != APPLIED && !uids.contains(uid))
}
