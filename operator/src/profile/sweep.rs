//! Deleting the profiles of objects that are gone.

use crd::DeviceProfile;
use device_state::Namespace;
use fleet_plan::profile::OWNER;

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
        let profiles = state_tier.profiles(&namespace).await?;
        let uids = uids::<DeviceProfile>(&self.shared);
        for profile in profiles {
            let maker = OWNER.maker(&profile.description);
            if !is_left_behind(maker, &uids) {
                continue;
            }
            // By its etag: an object of the same name may have taken it over meanwhile.
            state_tier.delete_profile(&namespace, &profile).await?;
            self.shared.changed("delete");
            tracing::info!(%namespace, profile = profile.name, "the object is gone: its profile was deleted");
        }
        Ok(Left::Nothing)
    }
}

#[cfg(test)]
mod tests;
