//! A state tier in memory that knows campaigns and moves none of them.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proto::drover::v1 as api;
use proto::drover::v1::campaigns_server::{Campaigns, CampaignsServer};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::controller::rig::{self, Calls};
use crate::state_tier::StateTier;

type Answer<T> = Result<Response<T>, Status>;

#[derive(Clone, Default)]
pub(super) struct FakeStateTier {
    /// By namespace and name.
    campaigns: Arc<Mutex<BTreeMap<(String, String), api::Campaign>>>,
    calls: Calls,
}

pub(super) async fn start() -> (StateTier, FakeStateTier) {
    let fake = FakeStateTier::default();
    let services = Server::builder().add_service(CampaignsServer::new(fake.clone()));
    (rig::state_tier(services).await, fake)
}

impl FakeStateTier {
    /// What was asked for that changes something, so far.
    pub(super) fn calls(&self) -> Vec<String> {
        self.calls.all()
    }

    pub(super) fn names(&self) -> Vec<String> {
        let campaigns = self.campaigns.lock().unwrap();
        campaigns.keys().map(|(_, name)| name.clone()).collect()
    }

    /// As if the planner had gone on.
    pub(super) fn change(&self, name: &str, change: impl FnOnce(&mut api::Campaign)) {
        let mut campaigns = self.campaigns.lock().unwrap();
        change(
            campaigns
                .get_mut(&("acme".to_owned(), name.to_owned()))
                .unwrap(),
        );
    }

    pub(super) fn put(&self, name: &str, owner: &str, state: api::campaign::State) {
        let image = api::CampaignImage {
            name: "a".to_owned(),
            version: "1".to_owned(),
            uri: "coap://a/b".to_owned(),
            ..Default::default()
        };
        let campaign = api::Campaign {
            name: name.to_owned(),
            owner: owner.to_owned(),
            id: "c-7".to_owned(),
            state: state.into(),
            plan: Some(api::CampaignPlan {
                image: Some(image),
                ..Default::default()
            }),
            ..Default::default()
        };
        let place = ("acme".to_owned(), name.to_owned());
        self.campaigns.lock().unwrap().insert(place, campaign);
    }

    fn asked<T>(&self, call: &str, request: &Request<T>, name: &str) -> (String, String) {
        let namespace = self.calls.add_of(call, request, name);
        (namespace, name.to_owned())
    }

    fn with(
        &self,
        place: &(String, String),
        change: impl FnOnce(&mut api::Campaign),
    ) -> Answer<api::Campaign> {
        let mut campaigns = self.campaigns.lock().unwrap();
        let campaign = campaigns.get_mut(place);
        let campaign = campaign.ok_or_else(|| Status::not_found("no such campaign"))?;
        change(campaign);
        Ok(Response::new(campaign.clone()))
    }
}

fn namespace<T>(request: &Request<T>) -> String {
    let namespace = request.metadata().get("drover-namespace").unwrap();
    namespace.to_str().unwrap().to_owned()
}

#[tonic::async_trait]
impl Campaigns for FakeStateTier {
    async fn create_campaign(
        &self,
        request: Request<api::CreateCampaignRequest>,
    ) -> Answer<api::Campaign> {
        let asked = request.get_ref().campaign.clone().unwrap();
        let place = self.asked("create", &request, &asked.name);
        let mut campaigns = self.campaigns.lock().unwrap();
        if campaigns.contains_key(&place) {
            return Err(Status::already_exists("there is one"));
        }
        if asked.owner.ends_with("refused") {
            return Err(Status::invalid_argument("campaign.plan: not like this"));
        }
        let campaign = api::Campaign {
            id: "c-1f".to_owned(),
            state: api::campaign::State::Enrolling.into(),
            ..asked
        };
        campaigns.insert(place, campaign.clone());
        Ok(Response::new(campaign))
    }

    async fn get_campaign(
        &self,
        request: Request<api::GetCampaignRequest>,
    ) -> Answer<api::Campaign> {
        let place = (namespace(&request), request.get_ref().name.clone());
        self.with(&place, |_| {})
    }

    async fn list_campaigns(
        &self,
        request: Request<api::ListCampaignsRequest>,
    ) -> Answer<api::ListCampaignsResponse> {
        let namespace = namespace(&request);
        let campaigns = self.campaigns.lock().unwrap();
        let here = campaigns.iter().filter(|((of, _), _)| *of == namespace);
        Ok(Response::new(api::ListCampaignsResponse {
            campaigns: here.map(|(_, campaign)| campaign.clone()).collect(),
        }))
    }

    async fn pause_campaign(
        &self,
        request: Request<api::PauseCampaignRequest>,
    ) -> Answer<api::Campaign> {
        let asked = request.get_ref();
        let call = if asked.resume { "resume" } else { "pause" };
        let place = self.asked(call, &request, &asked.name);
        self.with(&place, |campaign| campaign.paused = !asked.resume)
    }

    async fn approve_campaign(
        &self,
        request: Request<api::ApproveCampaignRequest>,
    ) -> Answer<api::Campaign> {
        let asked = request.get_ref();
        let place = self.asked("approve", &request, &asked.name);
        self.with(&place, |campaign| {
            campaign.approved_through.clone_from(&asked.through);
        })
    }

    async fn abort_campaign(
        &self,
        request: Request<api::AbortCampaignRequest>,
    ) -> Answer<api::Campaign> {
        let place = self.asked("abort", &request, &request.get_ref().name);
        self.with(&place, |campaign| {
            campaign.set_state(api::campaign::State::Aborting);
        })
    }

    async fn delete_campaign(
        &self,
        request: Request<api::DeleteCampaignRequest>,
    ) -> Answer<api::DeleteCampaignResponse> {
        let place = self.asked("delete", &request, &request.get_ref().name);
        self.campaigns.lock().unwrap().remove(&place);
        Ok(Response::new(api::DeleteCampaignResponse {}))
    }

    async fn list_campaign_devices(
        &self,
        _: Request<api::ListCampaignDevicesRequest>,
    ) -> Answer<api::ListCampaignDevicesResponse> {
        Err(Status::unimplemented("the operator lists no devices"))
    }
}
