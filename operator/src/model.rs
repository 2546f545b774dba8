//! The controller of `ObjectModel`.
//!
//! ```text
//! API server ─ watch ─▶ settle ─ GetObjectModel ──────────────▶ state tier
//!                             │  plan (fleet-plan)
//!                             ├─ PutObjectModels, when the content differs
//!                             └─ status, when it differs (server-side apply)
//! ```
//!
//! Definitions are of all namespaces, and so are the objects. Those whose objects are gone are deleted by [`sweep`], which
//! knows them by their description.

#[cfg(test)]
mod fake;
mod reconcile;
mod sweep;

use crd::{ObjectModel, ObjectModelStatus};
use prometheus_client::metrics::gauge::Gauge;

use crate::controller::{Control, ReconcileError, Settled, Shared};
use crate::metrics::Metrics;

/// What every reconciliation needs.
pub(crate) struct Context {
    shared: Shared<ObjectModel>,
}

impl Context {
    pub(crate) fn new(shared: Shared<ObjectModel>) -> Self {
        Self { shared }
    }
}

impl Control for Context {
    type Kind = ObjectModel;
    type Status = ObjectModelStatus;

    fn shared(&self) -> &Shared<ObjectModel> {
        &self.shared
    }

    fn gauge(metrics: &Metrics) -> &Gauge {
        &metrics.object_models
    }

    async fn settle(
        &self,
        model: &ObjectModel,
    ) -> Result<Settled<ObjectModelStatus>, ReconcileError> {
        let plan = reconcile::carry_out(model, self).await?;
        Ok(Settled::Decided {
            status: plan.status_change(model).cloned(),
            again: self.shared.settings.until_next(plan.pace),
        })
    }
}
