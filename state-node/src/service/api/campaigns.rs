//! `drover.v1.Campaigns`.

use device_state::campaign::{Campaign, Plan};
use device_state::query::{self, LedgerQuery};
use device_state::{Command, FeatureLevel, Namespace, Rejection, ShardId};
use proto::convert::public::{InNamespace, campaign_device, checked_name, phases};
use proto::drover::v1 as public;
use proto::drover::v1::campaigns_server::Campaigns;
use tonic::{Request, Response, Status};

use crate::campaigns;
use crate::router::COMMON;
use crate::service::api::devices::after_name;
use crate::service::api::token::PageToken;
use crate::service::api::{Api, page_size, tenant, terms};
use crate::service::state::Origin;
use crate::service::status;

/// Devices that are looked at for one page, over all shards.
const MAX_EXAMINED: usize = 50_000;
/// Devices that are looked at between two breaths: others use this thread too.
const CHUNK: usize = 1_000;

#[tonic::async_trait]
impl Campaigns for Api {
    async fn create_campaign(
        &self,
        request: Request<public::CreateCampaignRequest>,
    ) -> Result<Response<public::Campaign>, Status> {
        let mut asked = tenant(request)?;
        let terms = terms(&asked)?;
        if let Some(campaign) = &mut asked.request.campaign
            && let Some(plan) = &mut campaign.plan
        {
            plan.filter = self.filter_of(&asked.namespace, &plan.group, &plan.filter)?;
        }
        let campaign = Campaign::try_from(asked).map_err(|error| status::convert(&error))?;
        check(&campaign)?;
        let rehearsal = terms.is_rehearsal();
        if !rehearsal {
            // They may be stored in between.
            self.packages_are_there(&campaign).await?;
        }
        let command = Command::PutCampaign {
            campaign: Box::new(campaign.clone()),
        };
        let needs = command.needs();
        if needs >= FeatureLevel::CAMPAIGN_HEALTH {
            // Of every shard: each takes part.
            self.all_know(needs).await?;
        }
        self.commit_on(COMMON, &terms, command).await?;
        if rehearsal {
            return Ok(Response::new(self.told(campaign)));
        }
        self.campaign(&campaign.namespace, &campaign.name).await
    }

    async fn get_campaign(
        &self,
        request: Request<public::GetCampaignRequest>,
    ) -> Result<Response<public::Campaign>, Status> {
        let InNamespace { namespace, request } = tenant(request)?;
        self.campaign(&namespace, &request.name).await
    }

    async fn list_campaigns(
        &self,
        request: Request<public::ListCampaignsRequest>,
    ) -> Result<Response<public::ListCampaignsResponse>, Status> {
        let namespace = tenant(request)?.namespace;
        let group = self.router().common_group();
        let campaigns = group
            .store()
            .read(|tables| query::campaigns(tables, Some(&namespace)));
        let campaigns = campaigns.into_iter().map(|campaign| self.told(campaign));
        Ok(Response::new(public::ListCampaignsResponse {
            campaigns: campaigns.collect(),
        }))
    }

    async fn pause_campaign(
        &self,
        request: Request<public::PauseCampaignRequest>,
    ) -> Result<Response<public::Campaign>, Status> {
        let asked = tenant(request)?;
        let terms = terms(&asked)?;
        let place = (asked.namespace.clone(), asked.request.name.clone());
        let closes = !asked.request.resume && !terms.is_rehearsal();
        let command = Command::try_from(asked).map_err(|error| status::convert(&error))?;
        self.commit_on(COMMON, &terms, command).await?;
        let campaign = self.stored(&place.0, &place.1).await?;
        if closes {
            self.close(&campaign).await?;
        }
        Ok(Response::new(self.told(campaign)))
    }

    async fn approve_campaign(
        &self,
        request: Request<public::ApproveCampaignRequest>,
    ) -> Result<Response<public::Campaign>, Status> {
        let asked = tenant(request)?;
        let terms = terms(&asked)?;
        let mut asked = asked;
        let place = (asked.namespace.clone(), asked.request.name.clone());
        if asked.request.through.is_empty() {
            let campaign = self.stored(&place.0, &place.1).await?;
            let next = campaigns::next_to_approve(&campaign);
            if next.is_none() && campaign.is_ending() {
                return Err(status::rejection(Rejection::CampaignEnded));
            }
            asked.request.through =
                next.ok_or_else(|| status::field("through", &"is empty, and no wave is left"))?;
        }
        let command = Command::try_from(asked).map_err(|error| status::convert(&error))?;
        self.commit_on(COMMON, &terms, command).await?;
        self.campaign(&place.0, &place.1).await
    }

    async fn abort_campaign(
        &self,
        request: Request<public::AbortCampaignRequest>,
    ) -> Result<Response<public::Campaign>, Status> {
        let asked = tenant(request)?;
        let terms = terms(&asked)?;
        let place = (asked.namespace.clone(), asked.request.name.clone());
        let command = Command::try_from(asked).map_err(|error| status::convert(&error))?;
        self.commit_on(COMMON, &terms, command).await?;
        let campaign = self.stored(&place.0, &place.1).await?;
        if !terms.is_rehearsal() {
            self.close(&campaign).await?;
        }
        Ok(Response::new(self.told(campaign)))
    }

    async fn delete_campaign(
        &self,
        request: Request<public::DeleteCampaignRequest>,
    ) -> Result<Response<public::DeleteCampaignResponse>, Status> {
        let asked = tenant(request)?;
        let terms = terms(&asked)?;
        let command = Command::try_from(asked).map_err(|error| status::convert(&error))?;
        self.commit_on(COMMON, &terms, command).await?;
        Ok(Response::new(public::DeleteCampaignResponse {}))
    }

    async fn list_campaign_devices(
        &self,
        request: Request<public::ListCampaignDevicesRequest>,
    ) -> Result<Response<public::ListCampaignDevicesResponse>, Status> {
        let InNamespace { namespace, request } = tenant(request)?;
        let campaign = self.stored(&namespace, &request.name).await?;
        self.ledger(&namespace, &campaign, request)
            .await
            .map(Response::new)
    }
}

impl Api {
    /// From now on no further device begins. What was said holds also if this fails; then a device may still begin that was
    /// planned before.
    async fn close(&self, campaign: &Campaign) -> Result<(), Status> {
        let told = campaigns::fence(self.router(), campaign).await;
        told.map_err(|error| status::propose(&error))
    }

    /// The campaign as its shard's leader knows it now.
    async fn stored(&self, namespace: &Namespace, name: &str) -> Result<Campaign, Status> {
        checked_name("name", name).map_err(|error| status::convert(&error))?;
        self.state
            .describe_campaign(namespace, name, Origin::Caller)
            .await
    }

    async fn campaign(
        &self,
        namespace: &Namespace,
        name: &str,
    ) -> Result<Response<public::Campaign>, Status> {
        let campaign = self.stored(namespace, name).await?;
        Ok(Response::new(self.told(campaign)))
    }

    /// With what this node's replicas of the shards have counted.
    fn told(&self, campaign: Campaign) -> public::Campaign {
        campaigns::standing(self.router(), campaign).into()
    }

    async fn ledger(
        &self,
        namespace: &Namespace,
        campaign: &Campaign,
        request: public::ListCampaignDevicesRequest,
    ) -> Result<public::ListCampaignDevicesResponse, Status> {
        let phase = phases(&request.phases).map_err(|error| status::convert(&error))?;
        let wave = wave_number(&campaign.plan, &request.wave)?;
        let question = format!("{}\0{:?}\0{}", campaign.id, request.phases, request.wave);
        let mut page = PageToken::of_request(
            &self.signer,
            &request.page_token,
            &namespace.qualify(&question),
            self.cluster_id(),
        )?;
        let size = page_size(request.page_size);
        let (mut devices, mut examined) = (Vec::new(), 0);
        while let Some(group) = self.router().group(ShardId(page.shard)) {
            let after = page
                .after
                .take()
                .map(|after| after_name(&after))
                .transpose()?;
            let asked = LedgerQuery {
                campaign: campaign.id,
                after: after.as_ref(),
                limit: size - devices.len(),
                examine: CHUNK,
            };
            let found = group.store().read(|tables| {
                query::select_ledger(tables, &asked, |ledger| {
                    phase(ledger.phase) && wave.is_none_or(|wave| ledger.wave == Some(wave))
                })
            });
            examined += CHUNK;
            let shown = found.devices.iter();
            devices.extend(shown.map(|ledger| campaign_device(ledger, &campaign.plan.waves)));
            match found.next {
                Some(last) => page.after = Some(last.stored().as_bytes().to_vec()),
                None => page.shard += 1,
            }
            if devices.len() >= size || examined >= MAX_EXAMINED {
                break;
            }
            tokio::task::yield_now().await;
        }
        Ok(public::ListCampaignDevicesResponse {
            devices,
            next_page_token: self.next_token(&page),
        })
    }
}

fn check(campaign: &Campaign) -> Result<(), Status> {
    campaign::check(&campaign.plan).map_err(|error| {
        status::field(&format!("campaign.plan.{}", error.field), &error.problem)
    })?;
    let approved = &campaign.control.approved_through;
    if !approved.is_empty() && campaign.plan.wave(approved).is_none() {
        return Err(status::field(
            "campaign.approved_through",
            &"names no wave of the plan",
        ));
    }
    Ok(())
}

/// The place of a wave that a caller names.
fn wave_number(plan: &Plan, name: &str) -> Result<Option<u8>, Status> {
    if name.is_empty() {
        return Ok(None);
    }
    let place = plan.wave(name).and_then(|place| u8::try_from(place).ok());
    place
        .map(Some)
        .ok_or_else(|| status::field("wave", &"is no wave of the campaign"))
}
