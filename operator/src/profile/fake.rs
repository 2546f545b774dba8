//! A state tier in memory that has profiles and groups, and no devices.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crd::Device;
use proto::drover::v1 as api;
use proto::drover::v1::device_groups_server::{DeviceGroups, DeviceGroupsServer};
use proto::drover::v1::device_profiles_server::{DeviceProfiles, DeviceProfilesServer};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::Context;
use crate::controller::References;
use crate::controller::rig::{self, ApiServer, Calls};

type Answer<T> = Result<Response<T>, Status>;

#[derive(Clone, Default)]
pub(super) struct FakeStateTier {
    profiles: Arc<Mutex<BTreeMap<String, api::DeviceProfile>>>,
    /// The one that is there.
    group: Arc<Mutex<String>>,
    calls: Calls,
}

/// A controller between a scripted API server and this.
pub(super) async fn start() -> (Arc<Context>, ApiServer, FakeStateTier) {
    let fake = FakeStateTier::default();
    let services = Server::builder()
        .add_service(DeviceProfilesServer::new(fake.clone()))
        .add_service(DeviceGroupsServer::new(fake.clone()));
    let (shared, api_server) = rig::shared(rig::state_tier(services).await);
    let devices = References::new(Arc::default(), |_: &Device| Vec::new());
    let context = Context::new(shared, Arc::new(devices));
    (Arc::new(context), api_server, fake)
}

impl FakeStateTier {
    /// What was asked for that changes something, so far.
    pub(super) fn calls(&self) -> Vec<String> {
        self.calls.all()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.profiles.lock().unwrap().keys().cloned().collect()
    }

    pub(super) fn have_group(&self, name: &str) {
        *self.group.lock().unwrap() = name.to_owned();
    }

    /// As if its devices had gone on.
    pub(super) fn have_counts(&self, name: &str, counts: api::ProfileCounts) {
        let mut profiles = self.profiles.lock().unwrap();
        let profile = profiles.get_mut(name).unwrap();
        profile.status.as_mut().unwrap().counts = Some(counts);
    }

    pub(super) fn put(&self, name: &str, description: &str) {
        let profile = api::DeviceProfile {
            name: name.to_owned(),
            description: description.to_owned(),
            etag: "e1".to_owned(),
            ..Default::default()
        };
        let mut profiles = self.profiles.lock().unwrap();
        profiles.insert(name.to_owned(), profile);
    }
}

#[tonic::async_trait]
impl DeviceProfiles for FakeStateTier {
    async fn put_device_profile(
        &self,
        request: Request<api::PutDeviceProfileRequest>,
    ) -> Answer<api::DeviceProfile> {
        let profile = request.get_ref().profile.clone().unwrap();
        self.calls.add_of("put", &request, &profile.name);
        if profile.priority == 13 {
            return Err(Status::invalid_argument("profile.priority: not like this"));
        }
        let mut profiles = self.profiles.lock().unwrap();
        let known = profiles.get(&profile.name);
        let status = known.and_then(|known| known.status.clone());
        let profile = api::DeviceProfile {
            etag: "e1".to_owned(),
            status: Some(api::ProfileStatus {
                revision: status.map_or(1, |status| status.revision + 1),
                applied: true,
                ..Default::default()
            }),
            ..profile
        };
        profiles.insert(profile.name.clone(), profile.clone());
        Ok(Response::new(profile))
    }

    async fn get_device_profile(
        &self,
        request: Request<api::GetDeviceProfileRequest>,
    ) -> Answer<api::DeviceProfile> {
        let profiles = self.profiles.lock().unwrap();
        let found = profiles.get(&request.get_ref().name).cloned();
        found
            .map(Response::new)
            .ok_or_else(|| Status::not_found("no such profile"))
    }

    async fn list_device_profiles(
        &self,
        _: Request<api::ListDeviceProfilesRequest>,
    ) -> Answer<api::ListDeviceProfilesResponse> {
        let profiles = self.profiles.lock().unwrap();
        Ok(Response::new(api::ListDeviceProfilesResponse {
            profiles: profiles.values().cloned().collect(),
        }))
    }

    async fn delete_device_profile(
        &self,
        request: Request<api::DeleteDeviceProfileRequest>,
    ) -> Answer<api::DeleteDeviceProfileResponse> {
        let name = &request.get_ref().name;
        self.calls.add_of("delete", &request, name);
        self.profiles.lock().unwrap().remove(name);
        Ok(Response::new(api::DeleteDeviceProfileResponse {}))
    }

    async fn list_profile_devices(
        &self,
        request: Request<api::ListProfileDevicesRequest>,
    ) -> Answer<api::ListProfileDevicesResponse> {
        let rejected = api::profile_device::State::Rejected;
        assert_eq!(request.get_ref().states, [i32::from(rejected)]);
        let device = api::ProfileDevice {
            endpoint: "meter-7".to_owned(),
            state: rejected.into(),
            path: "/3/0/14".to_owned(),
            coap_code: "4.05".to_owned(),
            ..Default::default()
        };
        Ok(Response::new(api::ListProfileDevicesResponse {
            devices: vec![device],
            ..Default::default()
        }))
    }
}

#[tonic::async_trait]
impl DeviceGroups for FakeStateTier {
    async fn get_device_group(
        &self,
        request: Request<api::GetDeviceGroupRequest>,
    ) -> Answer<api::DeviceGroup> {
        let name = request.into_inner().name;
        if *self.group.lock().unwrap() != name {
            return Err(Status::not_found("no such group"));
        }
        Ok(Response::new(api::DeviceGroup {
            name,
            ..Default::default()
        }))
    }

    async fn put_device_group(
        &self,
        _: Request<api::PutDeviceGroupRequest>,
    ) -> Answer<api::DeviceGroup> {
        Err(Status::unimplemented("profiles put no groups"))
    }

    async fn list_device_groups(
        &self,
        _: Request<api::ListDeviceGroupsRequest>,
    ) -> Answer<api::ListDeviceGroupsResponse> {
        Err(Status::unimplemented("profiles list no groups"))
    }

    async fn delete_device_group(
        &self,
        _: Request<api::DeleteDeviceGroupRequest>,
    ) -> Answer<api::DeleteDeviceGroupResponse> {
        Err(Status::unimplemented("profiles delete no groups"))
    }
}
