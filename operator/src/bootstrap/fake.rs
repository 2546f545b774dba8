//! A state tier in memory that has bootstrap profiles.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proto::drover::v1 as api;
use proto::drover::v1::bootstrap_server::{Bootstrap, BootstrapServer};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::Context;
use crate::controller::rig::{self, ApiServer, Calls};

type Answer<T> = Result<Response<T>, Status>;

#[derive(Clone, Default)]
pub(super) struct FakeStateTier {
    profiles: Arc<Mutex<BTreeMap<String, api::BootstrapProfile>>>,
    calls: Calls,
}

/// A controller between a scripted API server and this.
pub(super) async fn start() -> (Arc<Context>, ApiServer, FakeStateTier) {
    let fake = FakeStateTier::default();
    let services = Server::builder().add_service(BootstrapServer::new(fake.clone()));
    let (shared, api_server) = rig::shared(rig::state_tier(services).await);
    (Arc::new(Context::new(shared)), api_server, fake)
}

impl FakeStateTier {
    /// What was asked for that changes something, so far: the call and the beginning of the name.
    pub(super) fn calls(&self) -> Vec<String> {
        self.calls.all()
    }

    pub(super) fn put(&self, name: &str) {
        let profile = api::BootstrapProfile {
            name: name.to_owned(),
            servers: vec![api::BootstrapAccount {
                uri: "coap://a".to_owned(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let mut profiles = self.profiles.lock().unwrap();
        profiles.insert(name.to_owned(), profile);
    }

    fn asked<T>(&self, call: &str, request: &Request<T>, name: &str) {
        let begin = name.split('-').next().unwrap();
        self.calls.add_of(call, request, begin);
    }
}

#[tonic::async_trait]
impl Bootstrap for FakeStateTier {
    async fn put_bootstrap_profile(
        &self,
        request: Request<api::PutBootstrapProfileRequest>,
    ) -> Answer<api::BootstrapProfile> {
        let profile = request.get_ref().profile.clone().unwrap();
        self.asked("put", &request, &profile.name);
        let mut profiles = self.profiles.lock().unwrap();
        profiles.insert(profile.name.clone(), profile.clone());
        Ok(Response::new(profile))
    }

    async fn list_bootstrap_profiles(
        &self,
        _: Request<api::ListBootstrapProfilesRequest>,
    ) -> Answer<api::ListBootstrapProfilesResponse> {
        let profiles = self.profiles.lock().unwrap();
        Ok(Response::new(api::ListBootstrapProfilesResponse {
            profiles: profiles.values().cloned().collect(),
        }))
    }

    async fn delete_bootstrap_profile(
        &self,
        request: Request<api::DeleteBootstrapProfileRequest>,
    ) -> Answer<api::DeleteBootstrapProfileResponse> {
        let name = &request.get_ref().name;
        self.asked("delete", &request, name);
        self.profiles.lock().unwrap().remove(name);
        Ok(Response::new(api::DeleteBootstrapProfileResponse {}))
    }

    async fn start_bootstrap(
        &self,
        _: Request<api::StartBootstrapRequest>,
    ) -> Answer<api::OperationResponse> {
        Err(Status::unimplemented("profiles start no bootstrap"))
    }
}
