//! The controller of `DeviceGroup`.
//!
//! ```text
//! API server ─ watch ─▶ settle ─ GetDeviceGroup ──────────────▶ state tier
//!                        ▲    │  plan (fleet-plan)
//!   every minute or so ──┘    ├─ PutDeviceGroup, when the content differs; then GetDeviceGroup with its counts
//!                             └─ status, when it differs (server-side apply)
//! ```
//!
//! Who is in a group is looked up by the state tier whenever it matters, with the operator up or down. Groups whose objects
//! are gone are deleted by [`sweep`], which knows them by their description.

#[cfg(test)]
mod fake;
mod reconcile;
mod sweep;

use crd::{DeviceGroup, DeviceGroupStatus};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Semaphore;

use crate::controller::{Control, ReconcileError, Settled, Shared};
use crate::metrics::Metrics;

/// Groups whose devices are counted at the same time: each count looks at every device of the namespace.
const COUNTED_AT_ONCE: usize = 2;

/// What every reconciliation needs.
pub(crate) struct Context {
    shared: Shared<DeviceGroup>,
    counting: Semaphore,
}

impl Context {
    pub(crate) fn new(shared: Shared<DeviceGroup>) -> Self {
        Self {
            shared,
            counting: Semaphore::new(COUNTED_AT_ONCE),
        }
    }
}

impl Control for Context {
    type Kind = DeviceGroup;
    type Status = DeviceGroupStatus;

    fn shared(&self) -> &Shared<DeviceGroup> {
        &self.shared
    }

    fn gauge(metrics: &Metrics) -> &Gauge {
        &metrics.groups
    }

    async fn settle(
        &self,
        group: &DeviceGroup,
    ) -> Result<Settled<DeviceGroupStatus>, ReconcileError> {
        let plan = reconcile::carry_out(group, self).await?;
        Ok(Settled::Decided {
            status: plan.status_change(group).cloned(),
            again: self.shared.settings.until_next(plan.pace),
        })
    }
}
