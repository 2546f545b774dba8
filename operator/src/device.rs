//! The controller of `Device`.
//!
//! ```text
//! API server ─ watch ─▶ index ──▶ settle ─ GetDevice, GetDesired ─▶ state tier
//!                         ▲      ▲  │  plan (fleet-plan)
//! state tier ─ feed ──────┤      │  ├─ SetDesired, when the content differs
//! profile, Secret changes ┘      │  ├─ labels and observations, likewise
//! what the object names ─────────┘  └─ status, when it differs (server-side apply)
//! ```
//!
//! With the deletion policy `Retain` there is no finalizer, so that no deletion waits for this
//! operator. When a deletion is seen, what the object had put into the state tier is withdrawn; the
//! values stay on the device. A deletion while no operator works leaves all in force until a
//! `Device` with the same endpoint name is made or it is replaced through the API. The other
//! policies hold their objects by a [finalizer](farewell).

mod events;
mod farewell;
mod index;
mod reconcile;
mod release;
mod surroundings;

use std::sync::Arc;
use std::time::Duration;

use crd::{Device, DeviceProfile, DeviceStatus};
use device_state::{Namespace, NamespaceError};
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::controller::Action;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::Event;
use node_runtime::{Condition, Drain};
use prometheus_client::metrics::gauge::Gauge;

use crate::controller::{
    self, Control, Named, ReconcileError, References, Settled, Shared, TakenIn, in_time,
};
use crate::feed::{Audience, Feed, Sight};
use crate::metrics::Metrics;
use index::Index;
use reconcile::Outcome;
use release::Releases;

/// After a status was written that only says what is about to be done.
const AT_ONCE: Duration = Duration::from_millis(50);

/// What every reconciliation needs.
pub(crate) struct Context {
    shared: Shared<Device>,
    index: Index,
    references: Arc<References<Device>>,
    profiles: Store<DeviceProfile>,
    releases: Releases,
    feed: Feed,
}

impl Context {
    /// `profiles` has those that objects may refer to.
    pub(crate) fn new(shared: Shared<Device>, feed: Feed, profiles: Store<DeviceProfile>) -> Self {
        let references = References::new(Arc::clone(&shared.triggers), named);
        Self {
            shared,
            index: Index::default(),
            references: Arc::new(references),
            profiles,
            releases: Releases::default(),
            feed,
        }
    }

    /// Which objects name what.
    pub(crate) fn references(&self) -> &Arc<References<Device>> {
        &self.references
    }

    /// Whether which objects there are is known.
    pub(crate) fn are_listed(&self) -> bool {
        self.shared.known.is_listed()
    }

    /// Whether an object describes the device of an endpoint.
    pub(crate) fn has_object(&self, namespace: &str, endpoint: &str) -> bool {
        self.index.describes(namespace, endpoint)
    }

    /// Whether all objects that do are being deleted.
    pub(crate) fn is_leaving(&self, namespace: &str, endpoint: &str) -> bool {
        let known = &self.shared.known;
        let objects = self.index.describing(namespace, endpoint, known);
        let mut objects = objects.iter();
        objects.all(|one| one.metadata.deletion_timestamp.is_some())
    }

    /// How many objects are so.
    pub(crate) fn count(&self, is_so: impl Fn(&Device) -> bool) -> usize {
        self.shared.known.count(is_so)
    }

    /// Wants the events that the objects need which there are now.
    fn want(&self, taken: &TakenIn<Device>) {
        let gone = taken.gone.iter().filter_map(|gone| namespace(gone).ok());
        for left in gone.filter(|left| !self.index.has_any(left.as_str())) {
            self.feed.forgo(Audience::Devices, &left);
        }
        let applied = taken.applied.as_ref().map(|(device, _)| device);
        if let Some((device, Ok(namespace))) = applied.map(|device| (device, namespace(device))) {
            let depth = events::depth(device);
            self.feed.want(Audience::Devices, &namespace, depth);
        }
    }

    /// How long until an object is looked at again that has this status.
    fn until_next(&self, namespace: &Namespace, status: &DeviceStatus) -> Duration {
        let settings = self.shared.settings;
        match self.feed.sight(namespace) {
            Sight::Untold if events::is_waiting(Some(status)) => settings.recount,
            Sight::Told | Sight::Untold => settings.resync,
        }
    }
}

/// What an object names.
pub(crate) fn named(device: &Device) -> Vec<Named> {
    let secrets = fleet_plan::secrets::of_device(device).into_iter();
    let secrets = secrets.map(|name| Named::Secret(name.to_owned()));
    let profiles = fleet_plan::device::profiles(device);
    let profiles = profiles.map(|name| Named::Profile(name.to_owned()));
    secrets.chain(profiles).collect()
}

/// Where the device of an object is in the state tier.
fn namespace(device: &Device) -> Result<Namespace, NamespaceError> {
    Namespace::new(&device.namespace().unwrap_or_default())
}

impl Control for Context {
    type Kind = Device;
    type Status = DeviceStatus;

    fn shared(&self) -> &Shared<Device> {
        &self.shared
    }

    fn gauge(metrics: &Metrics) -> &Gauge {
        &metrics.devices
    }

    fn take_in(&self, _: &Event<Device>, taken: &TakenIn<Device>) -> Option<Device> {
        for device in &taken.gone {
            self.releases.add(Arc::clone(device));
        }
        self.shared.triggers.add(self.index.take_in(taken));
        self.references.take_in(taken);
        self.want(taken);
        taken.changed().or_else(|| remarked(taken)).cloned()
    }

    async fn part(&self, seen: &Device, device: &Device) -> Result<Action, ReconcileError> {
        farewell::part(seen, device, self).await
    }

    async fn settle(&self, device: &Device) -> Result<Settled<DeviceStatus>, ReconcileError> {
        let shared = &self.shared;
        match reconcile::carry_out(device, self).await? {
            Outcome::Hold => {
                farewell::turn(device, self).await?;
                // The watch is about to show the object as it is then; or it has changed meanwhile, which may not be shown.
                Ok(Settled::NotYet(shared.settings.poll))
            }
            Outcome::Claim(status) => Ok(Settled::Decided {
                status: Some(status),
                again: AT_ONCE,
            }),
            // The watch of the profiles has all objects looked at that refer to one, once they are listed.
            Outcome::NotListed => Ok(Settled::NotYet(shared.settings.wait)),
            Outcome::Settled(plan) => {
                let next = self.until_next(&namespace(device)?, &plan.status);
                let deadline = plan.until_deadline.map(in_time);
                Ok(Settled::Decided {
                    status: plan.status_change(device).cloned(),
                    again: deadline.map_or(next, |deadline| deadline.min(next)),
                })
            }
        }
    }
}

/// The object, if something changed beside its spec that says what is to be done.
fn remarked(taken: &TakenIn<Device>) -> Option<&Device> {
    let (device, before) = taken.applied.as_ref()?;
    let before = before.as_deref()?;
    let says_the_same = before.metadata.labels == device.metadata.labels
        && before.metadata.finalizers == device.metadata.finalizers
        && before.annotations().get(Device::ALLOW_WIPE)
            == device.annotations().get(Device::ALLOW_WIPE);
    (!says_the_same).then_some(device)
}

/// Runs until the drain.
pub(crate) async fn run(
    context: Arc<Context>,
    devices: Api<Device>,
    watching: Condition,
    drain: Drain,
) {
    let store = reflector::store();
    tokio::select! {
        () = controller::run(Arc::clone(&context), devices, store, watching, drain) => {}
        () = release::run(&context) => {}
    }
}
