//! Campaigns, each call in the namespace that it is about.

use device_state::campaign::Campaign;
use device_state::{Namespace, Timestamp};
use fleet_plan::rollout::{Action, Sample, Seen};
use proto::convert::public::{heard_campaign, heard_counts};
use proto::drover::v1 as api;
use proto::drover::v1::campaigns_client::CampaignsClient;

use super::{AnswerError, CallError, StateTier, about, known};

impl StateTier {
    /// A campaign and how far it is; `None` if there is none of this name.
    pub(crate) async fn campaign(
        &self,
        namespace: &Namespace,
        name: &str,
    ) -> Result<Option<Seen>, CallError> {
        let request = api::GetCampaignRequest {
            name: name.to_owned(),
        };
        let answer = self.call(|channel| {
            let request = about(namespace, request.clone());
            async move { CampaignsClient::new(channel).get_campaign(request).await }
        });
        let told = known(answer.await)?;
        Ok(told.map(|told| seen(namespace, told)).transpose()?)
    }

    /// All campaigns of a namespace.
    pub(crate) async fn campaigns(
        &self,
        namespace: &Namespace,
    ) -> Result<Vec<Campaign>, CallError> {
        let answer = self.call(|channel| {
            let request = about(namespace, api::ListCampaignsRequest {});
            async move { CampaignsClient::new(channel).list_campaigns(request).await }
        });
        let told = answer.await?.campaigns.into_iter();
        let heard = told.map(|told| heard_campaign(namespace, told).map_err(AnswerError::from));
        Ok(heard.collect::<Result<_, _>>()?)
    }

    /// Does to the campaign of a name what is to be done, and returns it as it is afterwards.
    pub(crate) async fn steer(
        &self,
        (namespace, name): (&Namespace, &str),
        action: &Action,
    ) -> Result<Seen, CallError> {
        let name = || name.to_owned();
        let told = match action {
            Action::Create(campaign) => {
                let request = api::CreateCampaignRequest::from((**campaign).clone());
                self.call(|channel| {
                    let request = about(namespace, request.clone());
                    async move { CampaignsClient::new(channel).create_campaign(request).await }
                })
                .await?
            }
            Action::Pause | Action::Resume => {
                let request = api::PauseCampaignRequest {
                    name: name(),
                    resume: *action == Action::Resume,
                    ..Default::default()
                };
                self.call(|channel| {
                    let request = about(namespace, request.clone());
                    async move { CampaignsClient::new(channel).pause_campaign(request).await }
                })
                .await?
            }
            Action::Approve(wave) => {
                let request = api::ApproveCampaignRequest {
                    name: name(),
                    through: wave.clone(),
                    ..Default::default()
                };
                self.call(|channel| {
                    let request = about(namespace, request.clone());
                    async move {
                        CampaignsClient::new(channel)
                            .approve_campaign(request)
                            .await
                    }
                })
                .await?
            }
            Action::Abort => return self.abort(namespace, &name()).await,
        };
        Ok(seen(namespace, told)?)
    }

    /// Ends a campaign for good.
    pub(crate) async fn abort(&self, namespace: &Namespace, name: &str) -> Result<Seen, CallError> {
        let request = api::AbortCampaignRequest {
            name: name.to_owned(),
            ..Default::default()
        };
        let answer = self.call(|channel| {
            let request = about(namespace, request.clone());
            async move { CampaignsClient::new(channel).abort_campaign(request).await }
        });
        Ok(seen(namespace, answer.await?)?)
    }

    /// Deletes a campaign that has ended. One that is not there is deleted.
    pub(crate) async fn delete_campaign(
        &self,
        namespace: &Namespace,
        name: &str,
    ) -> Result<(), CallError> {
        let request = api::DeleteCampaignRequest {
            name: name.to_owned(),
            ..Default::default()
        };
        let answer = self.call(|channel| {
            let request = about(namespace, request.clone());
            async move { CampaignsClient::new(channel).delete_campaign(request).await }
        });
        known(answer.await).map(drop)
    }
}

fn seen(namespace: &Namespace, told: api::Campaign) -> Result<Seen, AnswerError> {
    let counted =
        |counts: Option<&api::CampaignCounts>| counts.map(heard_counts).unwrap_or_default();
    let waves = told.waves.iter();
    let failures = told.failures.iter();
    let samples = told.failure_samples.iter();
    Ok(Seen {
        reason: told.reason.clone(),
        counts: counted(told.counts.as_ref()),
        waves: waves.map(|wave| counted(wave.counts.as_ref())).collect(),
        failures: failures
            .map(|one| (one.reason.clone(), one.devices))
            .collect(),
        samples: samples
            .map(|one| Sample {
                endpoint: one.endpoint.clone(),
                reason: one.reason.clone(),
                at: one.phase_time.as_ref().and_then(timestamp),
            })
            .collect(),
        window: told.window_time.as_ref().and_then(timestamp),
        campaign: heard_campaign(namespace, told)?,
    })
}

fn timestamp(time: &prost_types::Timestamp) -> Option<Timestamp> {
    let seconds = u64::try_from(time.seconds).ok()?;
    let millis = u64::try_from(time.nanos).ok()? / 1_000_000;
    Some(Timestamp(seconds.checked_mul(1_000)?.checked_add(millis)?))
}
