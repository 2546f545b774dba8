//! `FirmwareRollout`: a campaign, with what its image says.

use crd::{DeviceGroup, FirmwareImage, FirmwareRollout, FirmwareRolloutStatus, Reason};
use device_state::Namespace;
use device_state::campaign::{Campaign, Tally};
use fleet_plan::rollout::{Action, Observed, Seen, Surroundings, campaign_name, compile};
use proto::convert::public::heard_campaign;
use proto::drover::v1::{
    self as public, AbortCampaignRequest, ApproveCampaignRequest, CreateCampaignRequest,
    GetCampaignRequest, PauseCampaignRequest,
};
use tonic::Code;

use super::{Applied, AppliedRollout, declared};
use crate::api::Api;
use crate::failure::Failure;
use crate::time;

/// The owner of campaigns that this command has made.
const OWNER: &str = "drover apply";

/// What is to be done for a rollout.
pub(super) struct Planned<'a> {
    rollout: &'a FirmwareRollout,
    campaign: String,
    actions: Vec<Action>,
}

/// Observes and plans for one rollout.
pub(super) async fn plan<'a>(
    api: &Api,
    namespace: &Namespace,
    rollout: &'a FirmwareRollout,
    (images, groups): (&[FirmwareImage], &[DeviceGroup]),
) -> Result<Planned<'a>, Failure> {
    let refused = |why: &str| refused(rollout, why);
    let spec = &rollout.spec;
    let campaign = campaign_name(rollout).map_err(|refusal| refused(&refusal.message))?;
    let observed = Observed {
        campaign: stored(api, namespace, &campaign).await?,
        ..Observed::default()
    };
    let image = |name: &str| {
        let mut images = images.iter();
        images.find(|image| image.metadata.name.as_deref() == Some(name))
    };
    let (named, rollback) = (&spec.image_ref.name, spec.rollback.as_ref());
    if image(named).is_none() {
        return Err(refused(&format!(
            "spec.imageRef: the FirmwareImage {named} is not in this call"
        )));
    }
    let around = Surroundings {
        namespace,
        owner: OWNER,
        image: image(named),
        rollback_image: rollback.and_then(|rollback| image(&rollback.image_ref.name)),
        group: groups.iter().find(|group| {
            let named = spec.group_ref.as_ref();
            named.is_some_and(|named| group.metadata.name.as_ref() == Some(&named.name))
        }),
        read_filter: declared::read_filter,
    };
    // What stands of it is what the state tier says, not what the file may have been saved with.
    let mut asked = rollout.clone();
    asked.status = Some(FirmwareRolloutStatus::default());
    let planned = fleet_plan::rollout::plan(&asked, &around, &observed, &time::kubernetes());
    if let Some(refusal) = &planned.refusal {
        return Err(refused(&refusal.message));
    }
    if let Some(seen) = &observed.campaign {
        is_of(&seen.campaign, rollout, &around).map_err(|why| refused(&why))?;
    }
    Ok(Planned {
        rollout,
        campaign,
        actions: planned.actions,
    })
}

impl Planned<'_> {
    /// Whether devices are about to be told of the image.
    pub(super) fn begins_with(&self, image: &FirmwareImage) -> bool {
        let spec = &self.rollout.spec;
        let rollback = spec.rollback.as_ref().map(|rollback| &rollback.image_ref);
        let mut named = [Some(&spec.image_ref), rollback].into_iter().flatten();
        let is_named = named.any(|one| image.metadata.name.as_ref() == Some(&one.name));
        let mut actions = self.actions.iter();
        is_named && actions.any(|action| matches!(action, Action::Create(_)))
    }

    /// Does it.
    pub(super) async fn carry_out(self, api: &Api) -> Result<AppliedRollout, Failure> {
        let mut result = Applied::Unchanged;
        for action in &self.actions {
            result = act(api, &self.campaign, action).await?;
        }
        Ok(AppliedRollout {
            name: self.rollout.metadata.name.clone().unwrap_or_default(),
            campaign: self.campaign,
            result,
        })
    }
}

fn refused(rollout: &FirmwareRollout, why: &str) -> Failure {
    let name = rollout.metadata.name.as_deref().unwrap_or_default();
    Failure::usage(format!("{name}: {why}"), "nothing was changed")
}

/// Whether the campaign is what the files say: nothing keeps them from being changed.
fn is_of(
    made: &Campaign,
    rollout: &FirmwareRollout,
    around: &Surroundings<'_>,
) -> Result<(), String> {
    let plan = match compile(rollout, around) {
        Ok(asked) => asked.plan,
        // It is paused instead.
        Err(refusal) if refusal.reason == Reason::Yanked => return Ok(()),
        Err(refusal) => return Err(refusal.message),
    };
    if plan == made.plan {
        return Ok(());
    }
    let name = &made.name;
    Err(format!(
        "the campaign {name} was made of something else, and its plan cannot be changed; give the object another \
         name, or delete the campaign by `drover rollout delete {name}`"
    ))
}

async fn stored(api: &Api, namespace: &Namespace, name: &str) -> Result<Option<Seen>, Failure> {
    let request = api.request(GetCampaignRequest {
        name: name.to_owned(),
    });
    let told = match api.campaigns().get_campaign(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) if status.code() == Code::NotFound => return Ok(None),
        Err(status) => {
            return Err(Failure::call(format!("look at the campaign {name}"))(
                status,
            ));
        }
    };
    Ok(Some(seen(namespace, told)?))
}

/// Nobody is shown how many devices are where.
fn seen(namespace: &Namespace, told: public::Campaign) -> Result<Seen, Failure> {
    let reason = told.reason.clone();
    let campaign = heard_campaign(namespace, told).map_err(anyhow::Error::from)?;
    Ok(Seen {
        reason,
        counts: Tally::default(),
        waves: Vec::new(),
        failures: Vec::new(),
        samples: Vec::new(),
        window: None,
        campaign,
    })
}

async fn act(api: &Api, campaign: &str, action: &Action) -> Result<Applied, Failure> {
    let name = campaign.to_owned();
    let failed = |what: &str| Failure::call(format!("{what} the campaign {campaign}"));
    let mut campaigns = api.campaigns();
    match action {
        Action::Create(asked) => {
            let request = CreateCampaignRequest::from((**asked).clone());
            let answer = campaigns.create_campaign(api.request(request)).await;
            answer.map_err(failed("make"))?;
            return Ok(Applied::Created);
        }
        Action::Pause | Action::Resume => {
            let request = PauseCampaignRequest {
                name,
                resume: *action == Action::Resume,
                ..Default::default()
            };
            let answer = campaigns.pause_campaign(api.request(request)).await;
            answer.map_err(failed("pause or resume"))?;
        }
        Action::Approve(wave) => {
            let request = ApproveCampaignRequest {
                name,
                through: wave.clone(),
                ..Default::default()
            };
            let answer = campaigns.approve_campaign(api.request(request)).await;
            answer.map_err(failed("approve"))?;
        }
        Action::Abort => {
            let request = AbortCampaignRequest {
                name,
                ..Default::default()
            };
            let answer = campaigns.abort_campaign(api.request(request)).await;
            answer.map_err(failed("abort"))?;
        }
    }
    Ok(Applied::Configured)
}
