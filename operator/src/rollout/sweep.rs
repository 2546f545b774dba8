//! Ending the campaigns of objects that are gone.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use device_state::Namespace;
use device_state::campaign::{Campaign, CampaignState};
use fleet_plan::rollout::OWNER_PREFIX;
use k8s_openapi::api::core::v1::Namespace as KubernetesNamespace;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::runtime::reflector::ObjectRef;
use tokio::sync::Notify;

use super::Context;
use crate::controller::jittered;
use crate::metrics::CallLabel;
use crate::state_tier::CallError;

/// Namespaces in which a campaign may be without its object. Bounded by the namespaces that there are.
#[derive(Default)]
pub(super) struct Departures {
    namespaces: Mutex<BTreeSet<String>>,
    added: Notify,
}

impl Departures {
    pub(super) fn add(&self, namespaces: impl IntoIterator<Item = String>) {
        let mut waiting = self.lock();
        waiting.extend(namespaces);
        self.added.notify_one();
    }

    fn put_back(&self, namespace: String) {
        self.lock().insert(namespace);
    }

    fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.namespaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a namespace is like after it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    /// A campaign comes to its end.
    Something,
}

/// Never ends. All namespaces are looked at when it begins and with each resync, since objects may go while no operator
/// works; those in which an object has gone are looked at until nothing is left of it.
pub(super) async fn run(context: &Context) {
    // Before all objects are listed, every campaign would be without one. The writer lives as long as the controller.
    if context.rollouts.wait_until_ready().await.is_err() {
        return std::future::pending().await;
    }
    let settings = context.shared.settings;
    let mut all_at = Instant::now();
    loop {
        if Instant::now() >= all_at {
            context.departures.add(namespaces(context).await);
            all_at = Instant::now() + jittered(settings.resync);
        }
        for namespace in context.departures.take() {
            match sweep(context, &namespace).await {
                Ok(Left::Nothing) => {}
                Ok(Left::Something) => context.departures.put_back(namespace),
                Err(error) => {
                    tracing::warn!(namespace, %error, "campaigns of deleted objects are not ended yet");
                    context.departures.put_back(namespace);
                }
            }
        }
        tokio::select! {
            () = context.departures.added.notified() => {}
            () = tokio::time::sleep(jittered(settings.poll)) => {}
        }
    }
}

/// Those in which objects are seen, as far as one may know them.
async fn namespaces(context: &Context) -> Vec<String> {
    if let Some(namespace) = &context.namespace {
        return vec![namespace.clone()];
    }
    let api: Api<KubernetesNamespace> = Api::all(context.shared.client.clone());
    match api.list_metadata(&ListParams::default()).await {
        Ok(list) => list.iter().map(ResourceExt::name_any).collect(),
        Err(error) => {
            tracing::warn!(%error, "the namespaces cannot be listed: campaigns whose objects went while no operator \
                                    worked are looked for only where there are rollouts");
            let rollouts = context.known.all();
            rollouts.iter().filter_map(|one| one.namespace()).collect()
        }
    }
}

async fn sweep(context: &Context, name: &str) -> Result<Left, CallError> {
    // The state tier has no campaigns where it can have none.
    let Ok(namespace) = Namespace::new(name) else {
        return Ok(Left::Nothing);
    };
    // Campaigns first: whoever made one of them is among the objects afterwards, or is gone.
    let campaigns = context.shared.state_tier.campaigns(&namespace).await?;
    let rollouts = context.known.all();
    let uids: HashSet<String> = rollouts.iter().filter_map(|one| one.uid()).collect();
    let mut left = Left::Nothing;
    for campaign in campaigns.iter().filter(|one| is_orphan(one, &uids)) {
        left = Left::Something;
        end(context, &namespace, campaign).await?;
    }
    Ok(left)
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
        let rollouts = context.known.all();
        let here = rollouts
            .iter()
            .filter(|one| one.namespace().as_deref() == Some(namespace.as_str()));
        let here = here.map(|one| ObjectRef::from_obj(&**one));
        context.shared.triggers.add(here);
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
