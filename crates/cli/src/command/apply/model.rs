//! `ObjectModel`: the definition of an object that a vendor has.

use anyhow::Context as _;
use crd::ObjectModel;
use fleet_plan::model::{Observed, key, maker, plan};
use lwm2m::ddf;
use proto::drover::v1::{GetObjectModelRequest, PutObjectModelsRequest};
use tonic::Code;

use super::{Applied, AppliedObject, declared};
use crate::api::Api;
use crate::failure::Failure;
use crate::time;

/// Observes, plans and acts for one definition.
pub(super) async fn apply(api: &Api, model: &ObjectModel) -> Result<AppliedObject, Failure> {
    let name = model.metadata.name.clone().unwrap_or_default();
    let stored = stored(api, model).await?;
    let made_by = stored.as_ref().and_then(maker);
    declared::not_of_kubernetes(made_by, "objectmodel", &name)?;
    let mut asked = model.clone();
    declared::of_file(&mut asked.metadata);
    asked.status = None;
    let is_there = stored.is_some();
    let observed = Observed {
        stored,
        ..Observed::default()
    };
    let planned = plan(&asked, &observed, &time::kubernetes());
    declared::accepted(&name, &planned.status.conditions)?;
    let result = match planned.put {
        None => Applied::Unchanged,
        Some(wanted) => {
            let request = PutObjectModelsRequest {
                ddf: ddf::write(&wanted),
                ..Default::default()
            };
            let mut models = api.object_models();
            let answer = models.put_object_models(api.request(request)).await;
            answer.map_err(Failure::call(format!("put the definition {name}")))?;
            declared::put_over(is_there)
        }
    };
    Ok(AppliedObject { name, result })
}

/// The definition of the object's id and version, if there is one.
async fn stored(api: &Api, model: &ObjectModel) -> Result<Option<lwm2m::ObjectModel>, Failure> {
    // One that can have no definition has none.
    let Some((id, version)) = key(model) else {
        return Ok(None);
    };
    let request = api.request(GetObjectModelRequest { id: u32::from(id) });
    let told = match api.object_models().get_object_model(request).await {
        Ok(answer) => answer.into_inner().versions,
        Err(status) if status.code() == Code::NotFound => return Ok(None),
        Err(status) => return Err(Failure::call(format!("look at the object {id}"))(status)),
    };
    for one in told {
        let heard = lwm2m::ObjectModel::try_from(one).with_context(|| {
            format!("the API told of a definition of object {id} that cannot be")
        })?;
        if heard.version == version {
            return Ok(Some(heard));
        }
    }
    Ok(None)
}
