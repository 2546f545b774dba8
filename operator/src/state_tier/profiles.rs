//! Profiles of devices.

use crd::failure_sample::FailureSample;
use device_state::Namespace;
use fleet_plan::profile::{Profile, Rejected, Stored};
use fleet_wire::profile::{asked, stored};
use fleet_wire::time;
use proto::drover::v1 as api;
use proto::drover::v1::device_profiles_client::DeviceProfilesClient;

use super::{CallError, StateTier, about, known};

impl StateTier {
    /// The profile of a name, if there is one.
    pub(crate) async fn profile(
        &self,
        namespace: &Namespace,
        name: &str,
    ) -> Result<Option<Stored>, CallError> {
        let request = api::GetDeviceProfileRequest {
            name: name.to_owned(),
        };
        let answer = self.call(|channel| {
            let request = about(namespace, request.clone());
            async move {
                DeviceProfilesClient::new(channel)
                    .get_device_profile(request)
                    .await
            }
        });
        Ok(known(answer.await)?.map(stored))
    }

    /// All profiles of a namespace.
    pub(crate) async fn profiles(&self, namespace: &Namespace) -> Result<Vec<Stored>, CallError> {
        let answer = self.call(|channel| {
            let request = about(namespace, api::ListDeviceProfilesRequest {});
            async move {
                DeviceProfilesClient::new(channel)
                    .list_device_profiles(request)
                    .await
            }
        });
        Ok(answer.await?.profiles.into_iter().map(stored).collect())
    }

    /// Puts a profile in the place of the one of its name, if that is as its etag says.
    pub(crate) async fn put_profile(
        &self,
        namespace: &Namespace,
        profile: &Profile,
    ) -> Result<Stored, CallError> {
        let request = api::PutDeviceProfileRequest {
            profile: Some(asked(profile.clone())),
            ..Default::default()
        };
        let answer = self.call(|channel| {
            let request = about(namespace, request.clone());
            async move {
                DeviceProfilesClient::new(channel)
                    .put_device_profile(request)
                    .await
            }
        });
        Ok(stored(answer.await?))
    }

    /// Deletes a profile that is as its etag says. One that is not there is deleted.
    pub(crate) async fn delete_profile(
        &self,
        namespace: &Namespace,
        profile: &Stored,
    ) -> Result<(), CallError> {
        let request = api::DeleteDeviceProfileRequest {
            name: profile.name.clone(),
            etag: profile.etag.clone(),
            ..Default::default()
        };
        let answer = self.call(|channel| {
            let request = about(namespace, request.clone());
            async move {
                DeviceProfilesClient::new(channel)
                    .delete_device_profile(request)
                    .await
            }
        });
        known(answer.await).map(drop)
    }

    /// Some of the devices that refused something of a profile.
    pub(crate) async fn rejected(
        &self,
        namespace: &Namespace,
        name: &str,
    ) -> Result<Vec<Rejected>, CallError> {
        let request = api::ListProfileDevicesRequest {
            name: name.to_owned(),
            page_size: u32::try_from(FailureSample::MAX).unwrap_or_default(),
            states: vec![api::profile_device::State::Rejected.into()],
            ..Default::default()
        };
        let answer = self.call(|channel| {
            let request = about(namespace, request.clone());
            async move {
                DeviceProfilesClient::new(channel)
                    .list_profile_devices(request)
                    .await
            }
        });
        let rejected = |device: api::ProfileDevice| Rejected {
            endpoint: device.endpoint,
            path: device.path,
            coap_code: device.coap_code,
            diagnostic: device.diagnostic,
            since: device.since.and_then(|since| time(since.seconds)),
        };
        Ok(answer.await?.devices.into_iter().map(rejected).collect())
    }
}
