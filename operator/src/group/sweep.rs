//! Deleting the groups of objects that are gone.

use crd::DeviceGroup;
use device_state::Namespace;
use fleet_plan::group::OWNER;

use super::Context;
use crate::controller::sweep::{Left, Sweep, is_left_behind, uids};
use crate::state_tier::CallError;

impl Sweep for Context {
    async fn sweep(&self, place: &str) -> Result<Left, CallError> {
        // The state tier has no groups where it can have none.
        let Ok(namespace) = Namespace::new(place) else {
            return Ok(Left::Nothing);
        };
        let state_tier = &self.shared.state_tier;
        // Groups first: whoever made one of them is among the objects afterwards, or is gone.
        let groups = state_tier.groups(&namespace).await?;
        let uids = uids::<DeviceGroup>(&self.shared);
        for group in groups {
            let maker = OWNER.maker(&group.description);
            if !is_left_behind(maker, &uids) {
                continue;
            }
            // By its etag: an object of the same name may have taken it over meanwhile.
            state_tier.delete_group(&namespace, &group).await?;
            self.shared.changed("delete");
            tracing::info!(%namespace, group = group.name, "the object is gone: its group was deleted");
        }
        Ok(Left::Nothing)
    }
}

#[cfg(test)]
mod tests;
