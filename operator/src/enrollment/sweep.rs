//! Deleting the policies of objects that are gone.

use crd::EnrollmentPolicy;
use device_state::Namespace;
use fleet_plan::enrollment::OWNER;

use super::Context;
use crate::controller::sweep::{Left, Sweep, is_left_behind, uids};
use crate::state_tier::CallError;

impl Sweep for Context {
    async fn sweep(&self, place: &str) -> Result<Left, CallError> {
        // The state tier has no policies where it can have none.
        let Ok(namespace) = Namespace::new(place) else {
            return Ok(Left::Nothing);
        };
        let state_tier = &self.shared.state_tier;
        // Policies first: whoever made one of them is among the objects afterwards, or is gone.
        let policies = state_tier.enrollment_policies(&namespace).await?;
        let uids = uids::<EnrollmentPolicy>(&self.shared);
        for stored in policies {
            let maker = OWNER.maker(&stored.policy.description);
            if !is_left_behind(maker, &uids) {
                continue;
            }
            // By its etag: an object of the same name may have taken it over meanwhile.
            state_tier
                .delete_enrollment_policy(&namespace, &stored)
                .await?;
            self.shared.changed("delete");
            tracing::info!(%namespace, policy = stored.policy.name, "the object is gone: its enrollment policy was deleted");
        }
        Ok(Left::Nothing)
    }
}

#[cfg(test)]
mod tests;
