//! The controller of `EnrollmentPolicy`.
//!
//! ```text
//! API server ─ watch ─▶ settle ─ GetEnrollmentPolicy, SecurityProfile ──▶ state tier, API server
//!                        ▲    │  plan (fleet-plan)
//!   every minute or so ──┘    ├─ PutEnrollmentPolicy, when the content differs
//!                             └─ status, when it differs (server-side apply)
//! ```
//!
//! Who registers is decided by the state tier, with the operator up or down. Policies whose objects are gone are deleted by
//! [`sweep`], which knows them by their description.

#[cfg(test)]
mod fake;
mod reconcile;
mod sweep;

use crd::{EnrollmentPolicy, EnrollmentPolicyStatus};
use prometheus_client::metrics::gauge::Gauge;

use crate::controller::{Control, ReconcileError, Settled, Shared};
use crate::metrics::Metrics;

/// What every reconciliation needs.
pub(crate) struct Context {
    shared: Shared<EnrollmentPolicy>,
}

impl Context {
    pub(crate) const fn new(shared: Shared<EnrollmentPolicy>) -> Self {
        Self { shared }
    }
}

impl Control for Context {
    type Kind = EnrollmentPolicy;
    type Status = EnrollmentPolicyStatus;

    fn shared(&self) -> &Shared<EnrollmentPolicy> {
        &self.shared
    }

    fn gauge(metrics: &Metrics) -> &Gauge {
        &metrics.enrollment_policies
    }

    async fn settle(
        &self,
        policy: &EnrollmentPolicy,
    ) -> Result<Settled<EnrollmentPolicyStatus>, ReconcileError> {
        let plan = reconcile::carry_out(policy, self).await?;
        Ok(Settled::Decided {
            status: plan.status_change(policy).cloned(),
            again: self.shared.settings.until_next(plan.pace),
        })
    }
}
