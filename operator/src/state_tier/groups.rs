//! Groups of devices.

use std::time::Duration;

use device_state::Namespace;
use fleet_plan::group::{Counts, Stored};
use fleet_wire::group::{asked, stored};
use proto::drover::v1 as api;
use proto::drover::v1::device_groups_client::DeviceGroupsClient;

use super::{CallError, StateTier, about, known};

/// Every device of a group is looked at, which takes seconds for a million.
const COUNT_TIMEOUT: Duration = Duration::from_secs(60);

impl StateTier {
    /// The group of a name, if there is one.
    pub(crate) async fn group(
        &self,
        namespace: &Namespace,
        name: &str,
    ) -> Result<Option<Stored>, CallError> {
        let request = api::GetDeviceGroupRequest {
            name: name.to_owned(),
            count: false,
        };
        let answer = self.call(|channel| {
            let request = about(namespace, request.clone());
            async move {
                DeviceGroupsClient::new(channel)
                    .get_device_group(request)
                    .await
            }
        });
        Ok(known(answer.await)?.map(stored))
    }

    /// How many devices are in a group that is there.
    pub(crate) async fn count_group(
        &self,
        namespace: &Namespace,
        name: &str,
    ) -> Result<Counts, CallError> {
        let request = api::GetDeviceGroupRequest {
            name: name.to_owned(),
            count: true,
        };
        let answer = self.call_for(COUNT_TIMEOUT, |channel| {
            let request = about(namespace, request.clone());
            async move {
                DeviceGroupsClient::new(channel)
                    .get_device_group(request)
                    .await
            }
        });
        let counted = answer.await?.counts.unwrap_or_default();
        let versions = counted.firmware_versions.into_iter();
        Ok(Counts {
            devices: counted.devices,
            registered: counted.registered,
            asleep: counted.asleep,
            versions: versions.map(|one| (one.version, one.devices)).collect(),
        })
    }

    /// All groups of a namespace.
    pub(crate) async fn groups(&self, namespace: &Namespace) -> Result<Vec<Stored>, CallError> {
        let answer = self.call(|channel| {
            let request = about(namespace, api::ListDeviceGroupsRequest {});
            async move {
                DeviceGroupsClient::new(channel)
                    .list_device_groups(request)
                    .await
            }
        });
        Ok(answer.await?.groups.into_iter().map(stored).collect())
    }

    /// Puts a group in the place of the one of its name, if that is as its etag says.
    pub(crate) async fn put_group(
        &self,
        namespace: &Namespace,
        group: &Stored,
    ) -> Result<Stored, CallError> {
        let request = api::PutDeviceGroupRequest {
            group: Some(asked(group.clone())),
            ..Default::default()
        };
        let answer = self.call(|channel| {
            let request = about(namespace, request.clone());
            async move {
                DeviceGroupsClient::new(channel)
                    .put_device_group(request)
                    .await
            }
        });
        Ok(stored(answer.await?))
    }

    /// Deletes a group that is as its etag says. One that is not there is deleted.
    pub(crate) async fn delete_group(
        &self,
        namespace: &Namespace,
        group: &Stored,
    ) -> Result<(), CallError> {
        let request = api::DeleteDeviceGroupRequest {
            name: group.name.clone(),
            etag: group.etag.clone(),
            ..Default::default()
        };
        let answer = self.call(|channel| {
            let request = about(namespace, request.clone());
            async move {
                DeviceGroupsClient::new(channel)
                    .delete_device_group(request)
                    .await
            }
        });
        known(answer.await).map(drop)
    }
}
