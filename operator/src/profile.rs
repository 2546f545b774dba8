//! The controller of `DeviceProfile`.
//!
//! ```text
//! API server ─ watch ─▶ settle ─ GetDeviceProfile ────────────▶ state tier
//!                        ▲    │  plan (fleet-plan)
//!   while devices are ───┘    ├─ PutDeviceProfile, when the object or the profile changed
//!   pending, and now and then ├─ ListProfileDevices, of those that refused something
//!                             └─ status, when it differs (server-side apply)
//! ```
//!
//! Devices whose objects refer to a profile are looked at when it changes, and it is when a Secret does that it takes a value
//! from. Profiles are carried out by the state tier, with the operator up or down. Those whose objects are gone are deleted by
//! [`sweep`], which knows them by their description.

#[cfg(test)]
mod fake;
mod reconcile;
mod sweep;

use std::sync::Arc;

use crd::{Device, DeviceProfile, DeviceProfileStatus};
use kube::ResourceExt;
use kube::runtime::watcher::Event;
use prometheus_client::metrics::gauge::Gauge;

use crate::controller::{Control, Named, ReconcileError, References, Settled, Shared, TakenIn};
use crate::metrics::Metrics;

/// What every reconciliation needs.
pub(crate) struct Context {
    shared: Shared<DeviceProfile>,
    references: Arc<References<DeviceProfile>>,
    devices: Arc<References<Device>>,
}

impl Context {
    /// `devices` are those that may refer to profiles.
    pub(crate) fn new(shared: Shared<DeviceProfile>, devices: Arc<References<Device>>) -> Self {
        let references = References::new(Arc::clone(&shared.triggers), named);
        Self {
            shared,
            references: Arc::new(references),
            devices,
        }
    }

    /// Which objects name what.
    pub(crate) fn references(&self) -> &Arc<References<DeviceProfile>> {
        &self.references
    }

    /// Devices that refer to the profile are to be looked at.
    fn concern(&self, profile: &DeviceProfile) {
        let namespace = profile.namespace().unwrap_or_default();
        self.devices
            .touch(&namespace, Named::Profile(profile.name_any()));
    }
}

/// What an object names.
pub(crate) fn named(profile: &DeviceProfile) -> Vec<Named> {
    let secrets = fleet_plan::secrets::of_profile(profile).into_iter();
    secrets.map(|name| Named::Secret(name.to_owned())).collect()
}

impl Control for Context {
    type Kind = DeviceProfile;
    type Status = DeviceProfileStatus;

    fn shared(&self) -> &Shared<DeviceProfile> {
        &self.shared
    }

    fn gauge(metrics: &Metrics) -> &Gauge {
        &metrics.profiles
    }

    fn take_in(
        &self,
        event: &Event<DeviceProfile>,
        taken: &TakenIn<DeviceProfile>,
    ) -> Option<DeviceProfile> {
        self.references.take_in(taken);
        for gone in &taken.gone {
            self.concern(gone);
        }
        match event {
            // Only now the store has them.
            Event::InitDone => self.devices.touch_all(),
            Event::Apply(_) => {
                if let Some(profile) = taken.changed() {
                    self.concern(profile);
                }
            }
            Event::Init | Event::InitApply(_) | Event::Delete(_) => {}
        }
        taken.changed().cloned()
    }

    async fn settle(
        &self,
        profile: &DeviceProfile,
    ) -> Result<Settled<DeviceProfileStatus>, ReconcileError> {
        let plan = reconcile::carry_out(profile, self).await?;
        Ok(Settled::Decided {
            status: plan.status_change(profile).cloned(),
            again: self.shared.settings.until_next(plan.pace),
        })
    }
}
