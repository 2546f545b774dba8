//! A state tier in memory that has definitions of objects.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::sync::{Arc, Mutex};

use lwm2m::ddf;
use proto::drover::v1 as api;
use proto::drover::v1::object_models_server::{ObjectModels, ObjectModelsServer};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::Context;
use crate::controller::rig::{self, ApiServer, Calls};

type Answer<T> = Result<Response<T>, Status>;

#[derive(Clone, Default)]
pub(super) struct FakeStateTier {
    models: Arc<Mutex<Vec<api::ObjectModel>>>,
    calls: Calls,
}

/// A controller between a scripted API server and this.
pub(super) async fn start() -> (Arc<Context>, ApiServer, FakeStateTier) {
    let fake = FakeStateTier::default();
    let services = Server::builder().add_service(ObjectModelsServer::new(fake.clone()));
    let (shared, api_server) = rig::shared(rig::state_tier(services).await);
    (Arc::new(Context::new(shared)), api_server, fake)
}

impl FakeStateTier {
    /// What was asked for that changes something, so far.
    pub(super) fn calls(&self) -> Vec<String> {
        self.calls.all()
    }

    pub(super) fn put(&self, id: u32, description: &str) {
        let model = api::ObjectModel {
            id,
            version: "1.0".to_owned(),
            lwm2m_version: "1.0".to_owned(),
            name: "Pump".to_owned(),
            description: description.to_owned(),
            ..Default::default()
        };
        self.models.lock().unwrap().push(model);
    }

    fn asked(&self, call: &str, id: u32, version: &str) {
        self.calls.add(format!("{call} {id}/{version}"));
    }
}

#[tonic::async_trait]
impl ObjectModels for FakeStateTier {
    async fn put_object_models(
        &self,
        request: Request<api::PutObjectModelsRequest>,
    ) -> Answer<api::PutObjectModelsResponse> {
        let model = ddf::parse(&request.get_ref().ddf).unwrap().remove(0);
        let model = api::ObjectModel::from(model);
        self.asked("put", model.id, &model.version);
        let mut models = self.models.lock().unwrap();
        models.retain(|known| (known.id, &known.version) != (model.id, &model.version));
        models.push(model);
        Ok(Response::new(api::PutObjectModelsResponse::default()))
    }

    async fn list_object_models(
        &self,
        _: Request<api::ListObjectModelsRequest>,
    ) -> Answer<api::ListObjectModelsResponse> {
        let summary = |model: &api::ObjectModel| api::ObjectModelSummary {
            id: model.id,
            version: model.version.clone(),
            ..Default::default()
        };
        let models = self.models.lock().unwrap().iter().map(summary).collect();
        Ok(Response::new(api::ListObjectModelsResponse { models }))
    }

    async fn get_object_model(
        &self,
        request: Request<api::GetObjectModelRequest>,
    ) -> Answer<api::GetObjectModelResponse> {
        let id = request.get_ref().id;
        let mut versions = self.models.lock().unwrap().clone();
        versions.retain(|model| model.id == id);
        if versions.is_empty() {
            return Err(Status::not_found("no such object"));
        }
        Ok(Response::new(api::GetObjectModelResponse { versions }))
    }

    async fn delete_object_model(
        &self,
        request: Request<api::DeleteObjectModelRequest>,
    ) -> Answer<api::DeleteObjectModelResponse> {
        let asked = request.get_ref();
        self.asked("delete", asked.id, &asked.version);
        let mut models = self.models.lock().unwrap();
        models.retain(|known| (known.id, &known.version) != (asked.id, &asked.version));
        Ok(Response::new(api::DeleteObjectModelResponse {}))
    }
}
