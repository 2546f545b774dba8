//! Ending the campaigns of objects that are gone.

use std::collections::HashSet;

use crd::FirmwareRollout;
use device_state::Namespace;
use device_state::campaign::{Campaign, CampaignState};
use fleet_plan::rollout::OWNER_PREFIX;

use super::Context;
use crate::controller::sweep::{Left, Sweep, uids};
use crate::metrics::CallLabel;
use crate::state_tier::CallError;

impl Sweep for Context {
    async fn sweep(&self, place: &str) -> Result<Left, CallError> {
        // The state tier has no campaigns where it can have none.
        let Ok(namespace) = Namespace::new(place) else {
            return Ok(Left::Nothing);
        };
        // Campaigns first: whoever made one of them is among the objects afterwards, or is gone.
        let campaigns = self.shared.state_tier.campaigns(&namespace).await?;
        let uids = uids::<FirmwareRollout>(&self.shared);
        let mut left = Left::Nothing;
        for campaign in campaigns.iter().filter(|one| is_orphan(one, &uids)) {
            left = Left::Something;
            end(self, &namespace, campaign).await?;
        }
        Ok(left)
    }
}

/// Whether an object has made the campaign that is no more.
fn is_orphan(campaign: &Campaign, uids: &HashSet<String>) -> bool {
    let maker = campaign.owner.strip_prefix(OWNER_PREFIX);
    maker.is_some_and(|uid| !uids.contains(uid))
}

async fn end(
    context: &Context,
    namespace: &Namespace,
    campaign: &Campaign,
) -> Result<(), CallError> {
    let name = &campaign.name;
    let state_tier = &context.shared.state_tier;
    let call = match campaign.course.state {
        CampaignState::Aborting => return Ok(()),
        state if state.is_final() => "delete",
        _ => "abort",
    };
    if call == "delete" {
        state_tier.delete_campaign(namespace, name).await?;
        // One of the same name may wait for it.
        context.shared.trigger_in(namespace.as_str());
    } else {
        state_tier.abort(namespace, name).await?;
    }
    let label = CallLabel { call };
    context
        .shared
        .metrics
        .campaign_calls
        .get_or_create(&label)
        .inc();
    tracing::info!(%namespace, campaign = name, call, "the object is gone: its campaign was told");
    Ok(())
}

#[cfg(test)]
mod tests;
