//! Deleting the definitions of objects that are gone.

use fleet_plan::model::maker;

use super::Context;
use crate::controller::sweep::{Left, Sweep, is_left_behind, uids};
use crate::state_tier::CallError;

impl Sweep for Context {
    async fn sweep(&self, place: &str) -> Result<Left, CallError> {
        let state_tier = &self.shared.state_tier;
        // Definitions first: whoever made one of them is among the objects afterwards, or is gone.
        let mut added = Vec::new();
        for id in state_tier.defined().await? {
            added.extend(state_tier.versions(id).await?);
        }
        let uids = uids(&self.shared);
        for model in added {
            if !is_left_behind(maker(&model), &uids) {
                continue;
            }
            state_tier.delete_model(model.id, model.version).await?;
            self.shared.changed("delete");
            // One of the same id and version may wait for it, or has just taken it over.
            self.shared.trigger_in(place);
            tracing::info!(object = model.id, version = %model.version, "the object is gone: its definition was deleted");
        }
        Ok(Left::Nothing)
    }
}

#[cfg(test)]
mod tests;
