//! Withdrawing the desired sets of objects that are gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crd::Device;
use tokio::sync::Notify;

use super::Context;
use crate::controller::jittered;
use crate::state_tier::CallError;

/// How long until a release that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Objects that are gone and had put a desired set into the state tier, by endpoint name.
#[derive(Default)]
pub(super) struct Releases {
    waiting: Mutex<HashMap<String, Arc<Device>>>,
    added: Notify,
}

impl Releases {
    /// Only objects that had put something there are kept.
    pub(super) fn add(&self, device: Arc<Device>) {
        let owned = device
            .status
            .as_ref()
            .and_then(|status| status.desired_generation);
        if owned.is_none() {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(device.spec.endpoint_name.clone(), device);
        self.added.notify_one();
    }

    fn take(&self) -> HashMap<String, Arc<Device>> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts back what failed, unless a newer object with the same endpoint is gone since.
    fn put_back(&self, device: Arc<Device>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting
            .entry(device.spec.endpoint_name.clone())
            .or_insert(device);
    }
}

/// Never ends.
pub(super) async fn run(context: &Context) {
    loop {
        for (endpoint, device) in context.releases.take() {
            // Another object describes the device now and has taken the set over.
            if context.index.is_described(&endpoint) {
                continue;
            }
            if let Err(error) = release(context, &device).await {
                tracing::warn!(endpoint, %error, "the desired set of a deleted object is not withdrawn yet");
                context.releases.put_back(device);
            }
        }
        tokio::select! {
            () = context.releases.added.notified() => {}
            () = tokio::time::sleep(jittered(RETRY)) => {}
        }
    }
}

async fn release(context: &Context, device: &Device) -> Result<(), CallError> {
    let endpoint = &device.spec.endpoint_name;
    let observed = context.shared.state_tier.observe(endpoint).await?;
    if let Some(action) = fleet_plan::device::release(device, &observed) {
        context.shared.state_tier.act(&action).await?;
        context.shared.metrics.desired_sets.inc();
        tracing::info!(endpoint, "the object is gone: its desired set is withdrawn");
    }
    Ok(())
}
