//! `drover.v1.ObjectModels`.

use device_state::{Command, query};
use lwm2m::ObjectModel;
use proto::convert::public::{new_models, summary};
use proto::drover::v1 as public;
use proto::drover::v1::object_models_server::ObjectModels;
use tonic::{Request, Response, Status};

use crate::router::COMMON;
use crate::service::api::{Api, of_cluster};
use crate::service::keeper;
use crate::service::status;

impl Api {
    fn stored_models(&self) -> Result<Vec<ObjectModel>, Status> {
        let group = self.router().common_group();
        Ok(group.store().read(|tables| query::object_models(tables)))
    }
}

#[tonic::async_trait]
impl ObjectModels for Api {
    async fn put_object_models(
        &self,
        request: Request<public::PutObjectModelsRequest>,
    ) -> Result<Response<public::PutObjectModelsResponse>, Status> {
        let request = request.into_inner();
        let terms = of_cluster(&request)?;
        let models = new_models(&request).map_err(|error| status::convert(&error))?;
        let summaries = models.iter().map(summary).collect();
        for model in models {
            let part = format!("{}-{}", model.id, model.version);
            let model = Box::new(model);
            let put = Command::PutObjectModel { model };
            keeper::commit_part(self.router(), COMMON, (&terms, &part), put).await?;
        }
        Ok(Response::new(public::PutObjectModelsResponse {
            models: summaries,
        }))
    }

    async fn list_object_models(
        &self,
        _request: Request<public::ListObjectModelsRequest>,
    ) -> Result<Response<public::ListObjectModelsResponse>, Status> {
        let models = self.stored_models()?.iter().map(summary).collect();
        Ok(Response::new(public::ListObjectModelsResponse { models }))
    }

    async fn get_object_model(
        &self,
        request: Request<public::GetObjectModelRequest>,
    ) -> Result<Response<public::GetObjectModelResponse>, Status> {
        let id = request.into_inner().id;
        let mut models = self.stored_models()?;
        models.retain(|model| u32::from(model.id) == id);
        if models.is_empty() {
            return Err(status::not_found(&format!(
                "an object model of object {id}"
            )));
        }
        Ok(Response::new(public::GetObjectModelResponse {
            versions: models.into_iter().map(Into::into).collect(),
        }))
    }

    async fn delete_object_model(
        &self,
        request: Request<public::DeleteObjectModelRequest>,
    ) -> Result<Response<public::DeleteObjectModelResponse>, Status> {
        let request = request.into_inner();
        let terms = of_cluster(&request)?;
        let command = Command::try_from(request).map_err(|error| status::convert(&error))?;
        self.commit_on(COMMON, &terms, command).await?;
        Ok(Response::new(public::DeleteObjectModelResponse {}))
    }
}
