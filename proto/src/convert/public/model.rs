//! Definitions of objects that vendors add.

use device_state::Command;
use lwm2m::{ObjectModel, Registry, ddf};

use crate::convert::model::optional_version;
use crate::convert::{ConvertError, InField, narrow};
use crate::drover::v1 as public;

/// The definitions in a file, all of which may be laid over those of the OMA.
pub fn new_models(
    request: &public::PutObjectModelsRequest,
) -> Result<Vec<ObjectModel>, ConvertError> {
    let models = ddf::parse(&request.ddf).in_field("ddf")?;
    models
        .iter()
        .try_for_each(|model| Registry::oma().admits(model))
        .in_field("ddf")?;
    Ok(models)
}

/// What is told of a definition in a list.
pub fn summary(model: &ObjectModel) -> public::ObjectModelSummary {
    public::ObjectModelSummary {
        id: u32::from(model.id),
        version: model.version.to_string(),
        name: model.name.clone().into_owned(),
        resources: u32::try_from(model.resources().len()).unwrap_or(u32::MAX),
    }
}

impl TryFrom<public::DeleteObjectModelRequest> for Command {
    type Error = ConvertError;

    fn try_from(request: public::DeleteObjectModelRequest) -> Result<Self, ConvertError> {
        Ok(Self::RemoveObjectModel {
            object: narrow("id", request.id)?,
            version: optional_version(&request.version)?,
        })
    }
}
