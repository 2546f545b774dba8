//! A state tier in memory that knows one desired set.

use std::sync::{Arc, Mutex};

use proto::drover::v1 as api;
use proto::drover::v1::desired_state_server::{DesiredState, DesiredStateServer};
use proto::drover::v1::devices_server::{Devices, DevicesServer};
use tokio::sync::watch;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::controller::rig::{self, Calls};
use crate::state_tier::StateTier;

#[derive(Clone)]
pub(super) struct FakeStateTier {
    set: Arc<watch::Sender<api::DesiredResources>>,
    overtake: Arc<Mutex<Overtake>>,
    /// Changes of labels, and devices that were forgotten.
    calls: Calls,
}

#[derive(PartialEq)]
enum Overtake {
    No,
    Next,
}

pub(super) async fn start() -> (StateTier, FakeStateTier) {
    let fake = FakeStateTier {
        set: Arc::new(watch::channel(api::DesiredResources::default()).0),
        overtake: Arc::new(Mutex::new(Overtake::No)),
        calls: Calls::default(),
    };
    let services = Server::builder()
        .add_service(DevicesServer::new(fake.clone()))
        .add_service(DesiredStateServer::new(fake.clone()));
    (rig::state_tier(services).await, fake)
}

impl FakeStateTier {
    pub(super) fn store(&self, generation: u64, path: &str, text: &str) {
        let resources = vec![pending(path.to_owned(), text.to_owned(), generation)];
        self.set.send_replace(api::DesiredResources {
            generation,
            resources,
            ..Default::default()
        });
    }

    /// Generation and values.
    pub(super) fn desired(&self) -> (u64, Vec<(String, String)>) {
        let set = self.set.borrow();
        let values = set
            .resources
            .iter()
            .map(|one| (one.path.clone(), one.text.clone()));
        (set.generation, values.collect())
    }

    pub(super) fn calls(&self) -> Vec<String> {
        self.calls.all()
    }

    /// The next set meets one that somebody else has just stored.
    pub(super) fn overtake_next_set(&self) {
        *self.overtake.lock().unwrap() = Overtake::Next;
    }

    pub(super) async fn until_withdrawn(&self) {
        let mut changes = self.set.subscribe();
        changes.wait_for(|set| set.generation == 0).await.unwrap();
    }
}

fn pending(path: String, text: String, generation: u64) -> api::DesiredResource {
    let mut resource = api::DesiredResource {
        path,
        text,
        generation,
        ..api::DesiredResource::default()
    };
    resource.set_state(api::desired_resource::State::Pending);
    resource
}

#[tonic::async_trait]
impl DesiredState for FakeStateTier {
    async fn set_desired(
        &self,
        request: Request<api::SetDesiredRequest>,
    ) -> Result<Response<api::DesiredResources>, Status> {
        let request = request.into_inner();
        let overtaken = std::mem::replace(&mut *self.overtake.lock().unwrap(), Overtake::No);
        if overtaken == Overtake::Next {
            self.store(request.generation + 1, "/3/0/14", "theirs");
        }
        let stored = self.set.borrow().generation;
        let withdrawn = request.generation == 0 && request.resources.is_empty();
        if request.generation < stored && !withdrawn {
            return Err(Status::aborted(
                "a newer generation of the desired state is stored",
            ));
        }
        let resources = request.resources.into_iter();
        let resources = resources.map(|one| pending(one.path, one.text, request.generation));
        let set = api::DesiredResources {
            generation: request.generation,
            resources: resources.collect(),
            ..Default::default()
        };
        self.set.send_replace(set.clone());
        Ok(Response::new(set))
    }

    async fn get_desired(
        &self,
        _: Request<api::GetDesiredRequest>,
    ) -> Result<Response<api::DesiredResources>, Status> {
        Ok(Response::new(self.set.borrow().clone()))
    }
}

#[tonic::async_trait]
impl Devices for FakeStateTier {
    type WatchEventsStream = tokio_stream::Pending<Result<api::WatchEventsResponse, Status>>;

    async fn get_device(
        &self,
        _: Request<api::GetDeviceRequest>,
    ) -> Result<Response<api::Device>, Status> {
        Err(Status::not_found("no such device"))
    }

    async fn list_devices(
        &self,
        _: Request<api::ListDevicesRequest>,
    ) -> Result<Response<api::ListDevicesResponse>, Status> {
        Ok(Response::new(api::ListDevicesResponse::default()))
    }

    async fn update_device(
        &self,
        request: Request<api::UpdateDeviceRequest>,
    ) -> Result<Response<api::Device>, Status> {
        let asked = request.get_ref().clone();
        let device = asked.device.unwrap();
        let paths = asked.update_mask.unwrap().paths.join(",");
        let about = format!("{} {paths} {}", device.endpoint, asked.allow_missing);
        self.calls.add_of("UpdateDevice", &request, &about);
        Ok(Response::new(device))
    }

    async fn delete_device(
        &self,
        request: Request<api::DeleteDeviceRequest>,
    ) -> Result<Response<api::DeleteDeviceResponse>, Status> {
        let endpoint = request.get_ref().endpoint.clone();
        self.calls.add_of("DeleteDevice", &request, &endpoint);
        Ok(Response::new(api::DeleteDeviceResponse {}))
    }

    async fn watch_events(
        &self,
        _: Request<api::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        Ok(Response::new(tokio_stream::pending()))
    }
}
