//! Bootstrap profiles.

use device_state::Namespace;
use fleet_plan::bootstrap::Stored;
use fleet_wire::bootstrap::{asked, stored};
use proto::drover::v1 as api;
use proto::drover::v1::bootstrap_client::BootstrapClient;

use super::{CallError, StateTier, about, known};

impl StateTier {
    /// All bootstrap profiles of a namespace.
    pub(crate) async fn bootstrap_profiles(
        &self,
        namespace: &Namespace,
    ) -> Result<Vec<Stored>, CallError> {
        let answer = self.call(|channel| {
            let request = about(namespace, api::ListBootstrapProfilesRequest {});
            async move {
                BootstrapClient::new(channel)
                    .list_bootstrap_profiles(request)
                    .await
            }
        });
        let told = answer.await?.profiles.into_iter();
        let heard = told.map(|told| stored(namespace, told));
        Ok(heard.collect::<Result<_, _>>()?)
    }

    /// Puts a bootstrap profile in the place of the one of its name, if that is as its etag says.
    pub(crate) async fn put_bootstrap_profile(
        &self,
        namespace: &Namespace,
        profile: &Stored,
    ) -> Result<Stored, CallError> {
        let request = api::PutBootstrapProfileRequest {
            profile: Some(asked(profile)),
            ..Default::default()
        };
        let answer = self.call(|channel| {
            let request = about(namespace, request.clone());
            async move {
                BootstrapClient::new(channel)
                    .put_bootstrap_profile(request)
                    .await
            }
        });
        Ok(stored(namespace, answer.await?)?)
    }

    /// Deletes a bootstrap profile that is as its etag says. One that is not there is deleted.
    pub(crate) async fn delete_bootstrap_profile(
        &self,
        namespace: &Namespace,
        profile: &Stored,
    ) -> Result<(), CallError> {
        let request = api::DeleteBootstrapProfileRequest {
            name: profile.profile.name.clone(),
            etag: profile.etag.clone(),
            ..Default::default()
        };
        let answer = self.call(|channel| {
            let request = about(namespace, request.clone());
            async move {
                BootstrapClient::new(channel)
                    .delete_bootstrap_profile(request)
                    .await
            }
        });
        known(answer.await).map(drop)
    }
}
