//! The controller of `BootstrapProfile`.
//!
//! ```text
//! API server ─ watch ─▶ settle ─ ListBootstrapProfiles ───────▶ state tier
//!                             │  plan (fleet-plan)
//!                             ├─ PutBootstrapProfile, when the content differs
//!                             └─ status, when it differs (server-side apply)
//! ```
//!
//! Profiles whose objects are gone are deleted by [`sweep`], which knows them by their names. Devices keep the accounts that
//! they have.

#[cfg(test)]
mod fake;
mod reconcile;
mod sweep;

use crd::{BootstrapProfile, BootstrapProfileStatus};
use fleet_plan::bootstrap::is_accepted;
use kube::ResourceExt;
use kube::runtime::watcher::Event;
use prometheus_client::metrics::gauge::Gauge;

use crate::controller::{Control, ReconcileError, Settled, Shared, TakenIn};
use crate::metrics::Metrics;

/// What every reconciliation needs.
pub(crate) struct Context {
    shared: Shared<BootstrapProfile>,
}

impl Context {
    pub(crate) fn new(shared: Shared<BootstrapProfile>) -> Self {
        Self { shared }
    }

    /// Others of the namespace may count now, or not any more.
    fn concern(&self, profile: &BootstrapProfile) {
        let namespace = profile.namespace().unwrap_or_default();
        self.shared.trigger_in(&namespace);
    }
}

impl Control for Context {
    type Kind = BootstrapProfile;
    type Status = BootstrapProfileStatus;

    fn shared(&self) -> &Shared<BootstrapProfile> {
        &self.shared
    }

    fn gauge(metrics: &Metrics) -> &Gauge {
        &metrics.bootstrap_profiles
    }

    fn take_in(
        &self,
        _: &Event<BootstrapProfile>,
        taken: &TakenIn<BootstrapProfile>,
    ) -> Option<BootstrapProfile> {
        for profile in &taken.gone {
            self.concern(profile);
        }
        if let Some((profile, before)) = &taken.applied {
            let was_accepted = before.as_ref().is_some_and(|before| is_accepted(before));
            if was_accepted != is_accepted(profile) {
                self.concern(profile);
            }
        }
        taken.changed().cloned()
    }

    async fn settle(
        &self,
        profile: &BootstrapProfile,
    ) -> Result<Settled<BootstrapProfileStatus>, ReconcileError> {
        let plan = reconcile::carry_out(profile, self).await?;
        Ok(Settled::Decided {
            status: plan.status_change(profile).cloned(),
            again: self.shared.settings.until_next(plan.pace),
        })
    }
}
