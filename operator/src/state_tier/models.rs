//! Definitions of objects, which all namespaces have in common.

use std::collections::BTreeSet;

use lwm2m::{ObjectModel, ObjectVersion, ddf};
use proto::drover::v1 as api;
use proto::drover::v1::object_models_client::ObjectModelsClient;

use super::{AnswerError, CallError, StateTier, known};

impl StateTier {
    /// The definitions of an object that were added.
    pub(crate) async fn versions(&self, id: u16) -> Result<Vec<ObjectModel>, CallError> {
        let answer = self.call(|channel| async move {
            let request = api::GetObjectModelRequest { id: u32::from(id) };
            ObjectModelsClient::new(channel)
                .get_object_model(request)
                .await
        });
        let told = known(answer.await)?.unwrap_or_default().versions;
        let heard = told.into_iter();
        let heard = heard.map(|one| ObjectModel::try_from(one).map_err(AnswerError::from));
        Ok(heard.collect::<Result<_, _>>()?)
    }

    /// The ids of all objects of which definitions were added.
    pub(crate) async fn defined(&self) -> Result<BTreeSet<u16>, CallError> {
        let answer = self.call(|channel| async move {
            let request = api::ListObjectModelsRequest {};
            ObjectModelsClient::new(channel)
                .list_object_models(request)
                .await
        });
        let models = answer.await?.models.into_iter();
        Ok(models
            .filter_map(|one| u16::try_from(one.id).ok())
            .collect())
    }

    /// Puts a definition in the place of the one of its id and version.
    pub(crate) async fn put_model(&self, model: &ObjectModel) -> Result<(), CallError> {
        let request = api::PutObjectModelsRequest {
            ddf: ddf::write(model),
            ..Default::default()
        };
        let answer = self.call(|channel| {
            let request = request.clone();
            async move {
                ObjectModelsClient::new(channel)
                    .put_object_models(request)
                    .await
            }
        });
        answer.await.map(drop)
    }

    /// Deletes a definition. One that is not there is deleted.
    pub(crate) async fn delete_model(
        &self,
        id: u16,
        version: ObjectVersion,
    ) -> Result<(), CallError> {
        let request = api::DeleteObjectModelRequest {
            id: u32::from(id),
            version: version.to_string(),
            ..Default::default()
        };
        let answer = self.call(|channel| {
            let request = request.clone();
            async move {
                ObjectModelsClient::new(channel)
                    .delete_object_model(request)
                    .await
            }
        });
        known(answer.await).map(drop)
    }
}
