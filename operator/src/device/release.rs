//! Taking back what objects that are gone have put into the state tier.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crd::Device;
use fleet_plan::device::{Matters, matters, owns_something};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::Notify;

use super::surroundings::surroundings;
use super::{Context, namespace, reconcile};
use crate::controller::{ReconcileError, jittered};

/// How long until a release that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Objects that are gone and had put something into the state tier, by namespace and endpoint name.
#[derive(Default)]
pub(super) struct Releases {
    waiting: Mutex<HashMap<(String, String), Arc<Device>>>,
    added: Notify,
}

impl Releases {
    /// Only objects that had put something there are kept.
    pub(super) fn add(&self, device: Arc<Device>) {
        if !owns_something(&device) {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(place(&device), device);
        self.added.notify_one();
    }

    fn take(&self) -> HashMap<(String, String), Arc<Device>> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts back what failed, unless a newer object with the same endpoint is gone since.
    fn put_back(&self, device: Arc<Device>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.entry(place(&device)).or_insert(device);
    }
}

fn place(device: &Device) -> (String, String) {
    let namespace = device.namespace().unwrap_or_default();
    (namespace, device.spec.endpoint_name.clone())
}

/// Never ends.
pub(super) async fn run(context: &Context) {
    let brake = &context.shared.brake;
    brake.until_known().await;
    loop {
        for ((namespace, endpoint), device) in context.releases.take() {
            if brake.holds(&namespace) {
                context.releases.put_back(device);
                continue;
            }
            if let Err(error) = release(context, &device).await {
                tracing::warn!(namespace, endpoint, %error, "what a deleted object has asked for is not withdrawn yet");
                context.releases.put_back(device);
            }
        }
        tokio::select! {
            () = context.releases.added.notified() => {}
            () = brake.until_changed() => {}
            () = tokio::time::sleep(jittered(RETRY)) => {}
        }
    }
}

async fn release(context: &Context, device: &Device) -> Result<(), ReconcileError> {
    let shared = &context.shared;
    let heir = context.index.heir(device, &shared.known);
    withdraw(device, heir.as_deref(), context).await?;
    let heir = heir.map(|heir| ObjectRef::from_obj(&*heir));
    shared.triggers.add(heir);
    Ok(())
}

/// Takes back what an object has asked for, but for what its heir wants.
pub(super) async fn withdraw(
    device: &Device,
    heir: Option<&Device>,
    context: &Context,
) -> Result<(), ReconcileError> {
    let state_tier = &context.shared.state_tier;
    let namespace = namespace(device)?;
    let endpoint = &device.spec.endpoint_name;
    // What it proves itself by stays with a device.
    let matters = Matters {
        credentials: false,
        ..matters(device, &[])
    };
    let observed = state_tier.observe(&namespace, endpoint, matters);
    let mut observed = observed.await?;
    // Of an heir whose profiles are not known yet nothing counts: it asks for it again.
    let around = match heir {
        Some(heir) => surroundings(heir, context).await?,
        None => None,
    };
    let heir = heir.zip(around.as_ref());
    for action in fleet_plan::device::release(device, &observed, heir) {
        let acted = state_tier.act(&namespace, endpoint, &action, &mut observed);
        acted.await?;
        reconcile::count(&action, context);
        tracing::info!(%namespace, endpoint, ?action, "the object goes: what it asked for is withdrawn");
    }
    Ok(())
}
