//! The controller of `EnrollmentPolicy`.
//!
//! ```text
//! API server ─ watch ─▶ settle ─ GetEnrollmentPolicy, SecurityProfile ──▶ state tier, API server
//!                        ▲    │  plan (fleet-plan)
//!   every minute or so, ─┘    ├─ PutEnrollmentPolicy, when the content differs
//!   a device registers        ├─ Device objects of those that are registered by it (materialize)
//!                             └─ status, when it differs (server-side apply)
//! ```
//!
//! Who registers is decided by the state tier, with the operator up or down. Policies whose objects are gone are deleted by
//! [`sweep`], which knows them by their description.

mod arrivals;
mod events;
#[cfg(test)]
mod fake;
mod materialize;
mod reconcile;
mod sweep;

use std::sync::Arc;

use crd::enrollment_policy::Materialize;
use crd::{EnrollmentPolicy, EnrollmentPolicyStatus};
use device_state::{Namespace, NamespaceError};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Semaphore;

use self::arrivals::Arrivals;
use crate::controller::{Control, ReconcileError, Settled, Shared, TakenIn};
use crate::device;
use crate::feed::{Audience, Depth, Feed};
use crate::metrics::Metrics;

/// Policies whose devices are listed at the same time: each list looks at every device of the namespace.
const LISTED_AT_ONCE: usize = 2;

/// What every reconciliation needs.
pub(crate) struct Context {
    shared: Shared<EnrollmentPolicy>,
    /// The objects that there are.
    devices: Arc<device::Context>,
    arrivals: Arrivals,
    listing: Semaphore,
    feed: Feed,
}

impl Context {
    pub(crate) fn new(
        shared: Shared<EnrollmentPolicy>,
        devices: Arc<device::Context>,
        feed: Feed,
    ) -> Self {
        Self {
            shared,
            devices,
            arrivals: Arrivals::default(),
            listing: Semaphore::new(LISTED_AT_ONCE),
            feed,
        }
    }

    /// Wants to be told of devices that register while a policy makes objects of them.
    fn follow(&self, taken: &TakenIn<EnrollmentPolicy>) {
        // The one that has gone may have had the same name.
        for gone in &taken.gone {
            self.leave(gone);
        }
        let Some((policy, _)) = &taken.applied else {
            return;
        };
        match policy.spec.materialize {
            Materialize::Never => self.leave(policy),
            Materialize::OnRegistration => {
                if taken.changed().is_some() {
                    self.arrivals.begin(ObjectRef::from_obj(policy));
                }
                if let Ok(namespace) = namespace(policy) {
                    self.feed
                        .want(Audience::Enrollment, &namespace, Depth::Arrivals);
                }
            }
        }
    }

    fn leave(&self, policy: &EnrollmentPolicy) {
        self.arrivals.end(&ObjectRef::from_obj(policy));
        if let Ok(namespace) = namespace(policy)
            && !self.arrivals.has_any(namespace.as_str())
        {
            self.feed.forgo(Audience::Enrollment, &namespace);
        }
    }
}

/// Whose devices a policy is about.
fn namespace(policy: &EnrollmentPolicy) -> Result<Namespace, NamespaceError> {
    Namespace::new(&policy.namespace().unwrap_or_default())
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

    fn take_in(
        &self,
        _: &Event<EnrollmentPolicy>,
        taken: &TakenIn<EnrollmentPolicy>,
    ) -> Option<EnrollmentPolicy> {
        self.follow(taken);
        taken.changed().cloned()
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
