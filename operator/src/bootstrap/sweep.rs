//! Deleting the bootstrap profiles of objects that are gone.

use device_state::Namespace;
use fleet_plan::bootstrap::maker;

use super::Context;
use crate::controller::sweep::{Left, Sweep, is_left_behind, uids};
use crate::state_tier::CallError;

impl Sweep for Context {
    async fn sweep(&self, place: &str) -> Result<Left, CallError> {
        // The state tier has no profiles where it can have none.
        let Ok(namespace) = Namespace::new(place) else {
            return Ok(Left::Nothing);
        };
        let state_tier = &self.shared.state_tier;
        // Profiles first: whoever made one of them is among the objects afterwards, or is gone.
        let profiles = state_tier.bootstrap_profiles(&namespace).await?;
        let uids = uids(&self.shared);
        for stored in profiles {
            let name = &stored.profile.name;
            if !is_left_behind(maker(name), &uids) {
                continue;
            }
            state_tier
                .delete_bootstrap_profile(&namespace, &stored)
                .await?;
            self.shared.changed("delete");
            tracing::info!(%namespace, profile = name, "the object is gone: its bootstrap profile was deleted");
        }
        Ok(Left::Nothing)
    }
}

#[cfg(test)]
mod tests;
