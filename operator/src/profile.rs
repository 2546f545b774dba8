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
//! Profiles are carried out by the state tier, with the operator up or down. Those whose objects are gone are deleted by
//! [`sweep`], which knows them by their description.

#[cfg(test)]
mod fake;
mod reconcile;
mod sweep;

use crd::{DeviceProfile, DeviceProfileStatus};
use prometheus_client::metrics::gauge::Gauge;

use crate::controller::{Control, ReconcileError, Settled, Shared};
use crate::metrics::Metrics;

/// What every reconciliation needs.
pub(crate) struct Context {
    shared: Shared<DeviceProfile>,
}

impl Context {
    pub(crate) fn new(shared: Shared<DeviceProfile>) -> Self {
        Self { shared }
    }
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
