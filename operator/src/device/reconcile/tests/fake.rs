//! A state tier in memory that knows one desired set.

use std::sync::{Arc, Mutex};

use proto::drover::v1 as api;
use proto::drover::v1::credentials_server::{Credentials, CredentialsServer};
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
    credentials: Arc<Mutex<Vec<api::Credential>>>,
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
        credentials: Arc::default(),
        calls: Calls::default(),
    };
    let services = Server::builder()
        .add_service(DevicesServer::new(fake.clone()))
        .add_service(DesiredStateServer::new(fake.clone()))
        .add_service(CredentialsServer::new(fake.clone()));
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

/// Pre-shared keys, of which each has the etag `etag-N`, counted by what was stored.
#[tonic::async_trait]
impl Credentials for FakeStateTier {
    async fn put_credential(
        &self,
        request: Request<api::PutCredentialRequest>,
    ) -> Result<Response<api::Credential>, Status> {
        let asked = request.get_ref().clone();
        let Some(api::put_credential_request::Credential::PreSharedKey(psk)) = asked.credential
        else {
            return Err(Status::unimplemented("not a pre-shared key"));
        };
        let identity = String::from_utf8(psk.identity.clone()).unwrap();
        let about = format!("{} {identity} {}", asked.endpoint, asked.only_if_free);
        self.calls.add_of("PutCredential", &request, &about);
        let mut stored = self.credentials.lock().unwrap();
        let kind = api::credential_id::Kind::PskIdentity(psk.identity);
        let credential = api::Credential {
            endpoint: asked.endpoint,
            id: Some(api::CredentialId { kind: Some(kind) }),
            etag: format!("etag-{}", self.calls.all().len()),
            ..Default::default()
        };
        stored.retain(|one| one.id != credential.id);
        stored.push(credential.clone());
        Ok(Response::new(credential))
    }

    async fn list_credentials(
        &self,
        _: Request<api::ListCredentialsRequest>,
    ) -> Result<Response<api::ListCredentialsResponse>, Status> {
        Ok(Response::new(api::ListCredentialsResponse {
            credentials: self.credentials.lock().unwrap().clone(),
            ..Default::default()
        }))
    }

    async fn delete_credential(
        &self,
        request: Request<api::DeleteCredentialRequest>,
    ) -> Result<Response<api::DeleteCredentialResponse>, Status> {
        let asked = request.get_ref().clone();
        self.calls.add_of("DeleteCredential", &request, &asked.etag);
        let mut stored = self.credentials.lock().unwrap();
        let before = stored.len();
        stored.retain(|one| one.id != asked.id);
        if stored.len() == before {
            return Err(Status::not_found("no such credential"));
        }
        Ok(Response::new(api::DeleteCredentialResponse {}))
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
