//! A state tier in memory that has groups.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proto::drover::v1 as api;
use proto::drover::v1::device_group::Counts;
use proto::drover::v1::device_groups_server::{DeviceGroups, DeviceGroupsServer};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::Context;
use crate::controller::rig::{self, ApiServer, Calls};

type Answer<T> = Result<Response<T>, Status>;

#[derive(Clone, Default)]
pub(super) struct FakeStateTier {
    groups: Arc<Mutex<BTreeMap<String, api::DeviceGroup>>>,
    devices: Arc<Mutex<u64>>,
    calls: Calls,
}

/// A controller between a scripted API server and this.
pub(super) async fn start() -> (Arc<Context>, ApiServer, FakeStateTier) {
    let fake = FakeStateTier::default();
    let services = Server::builder().add_service(DeviceGroupsServer::new(fake.clone()));
    let (shared, api_server) = rig::shared(rig::state_tier(services).await);
    (Arc::new(Context::new(shared)), api_server, fake)
}

impl FakeStateTier {
    /// What was asked for that changes something, so far.
    pub(super) fn calls(&self) -> Vec<String> {
        self.calls.all()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.groups.lock().unwrap().keys().cloned().collect()
    }

    pub(super) fn have_devices(&self, devices: u64) {
        *self.devices.lock().unwrap() = devices;
    }

    pub(super) fn put(&self, name: &str, description: &str) {
        let group = api::DeviceGroup {
            name: name.to_owned(),
            description: description.to_owned(),
            etag: format!("etag of {description}"),
            ..Default::default()
        };
        self.groups.lock().unwrap().insert(name.to_owned(), group);
    }

    fn unchanged(&self, name: &str, etag: &str) -> Result<(), Status> {
        let groups = self.groups.lock().unwrap();
        match groups.get(name) {
            Some(group) if !etag.is_empty() && group.etag != etag => {
                Err(Status::aborted("it is another one now"))
            }
            _ => Ok(()),
        }
    }
}

#[tonic::async_trait]
impl DeviceGroups for FakeStateTier {
    async fn put_device_group(
        &self,
        request: Request<api::PutDeviceGroupRequest>,
    ) -> Answer<api::DeviceGroup> {
        let group = request.get_ref().group.clone().unwrap();
        self.calls.add_of("put", &request, &group.name);
        self.unchanged(&group.name, &group.etag)?;
        if group.filter.contains("refused") {
            return Err(Status::invalid_argument("group.filter: not like this"));
        }
        let group = api::DeviceGroup {
            etag: format!("etag of {}", group.description),
            ..group
        };
        let mut groups = self.groups.lock().unwrap();
        groups.insert(group.name.clone(), group.clone());
        Ok(Response::new(group))
    }

    async fn get_device_group(
        &self,
        request: Request<api::GetDeviceGroupRequest>,
    ) -> Answer<api::DeviceGroup> {
        let asked = request.get_ref();
        let groups = self.groups.lock().unwrap();
        let group = groups.get(&asked.name);
        let mut group = group
            .cloned()
            .ok_or_else(|| Status::not_found("no such group"))?;
        group.counts = asked.count.then(|| Counts {
            devices: *self.devices.lock().unwrap(),
            ..Default::default()
        });
        Ok(Response::new(group))
    }

    async fn list_device_groups(
        &self,
        _: Request<api::ListDeviceGroupsRequest>,
    ) -> Answer<api::ListDeviceGroupsResponse> {
        let groups = self.groups.lock().unwrap();
        Ok(Response::new(api::ListDeviceGroupsResponse {
            groups: groups.values().cloned().collect(),
        }))
    }

    async fn delete_device_group(
        &self,
        request: Request<api::DeleteDeviceGroupRequest>,
    ) -> Answer<api::DeleteDeviceGroupResponse> {
        let asked = request.get_ref();
        self.calls.add_of("delete", &request, &asked.name);
        self.unchanged(&asked.name, &asked.etag)?;
        self.groups.lock().unwrap().remove(&asked.name);
        Ok(Response::new(api::DeleteDeviceGroupResponse {}))
    }
}
