//! `DeviceProfile`: what many devices are to be like.

use crd::{DeviceProfile, DeviceProfileStatus};
use fleet_plan::profile::{OWNER, Observed, Stored, plan};
use fleet_plan::secrets::of_profile;
use fleet_wire::profile as wire;
use proto::drover::v1::{
    DeleteDeviceProfileRequest, GetDeviceProfileRequest, PutDeviceProfileRequest,
};
use tonic::Code;

use super::documents::Documents;
use super::{Applied, AppliedObject, declared, group};
use crate::api::Api;
use crate::failure::Failure;
use crate::time;

/// Observes, plans and acts for one profile.
pub(super) async fn apply(
    api: &Api,
    profile: &DeviceProfile,
    documents: &Documents,
) -> Result<AppliedObject, Failure> {
    let name = declared::name(&profile.metadata, fleet_plan::profile::name(profile))?;
    let stored = stored(api, &name).await?;
    let maker = stored.as_ref().and_then(|it| OWNER.maker(&it.description));
    declared::not_of_kubernetes(maker, "deviceprofile", &name)?;
    let has_group = match fleet_plan::profile::group(profile) {
        None => false,
        // It stands by now, which the node that is asked may not know yet.
        Some(named) if documents.has_group(named) => true,
        Some(named) => group::stored(api, named).await?.is_some(),
    };
    let mut asked = profile.clone();
    declared::of_file(&mut asked.metadata);
    // No status tells here what was put: it is put again, and the state tier knows whether it is as it was.
    asked.status = Some(DeviceProfileStatus::default());
    let before = stored.as_ref().map(|stored| stored.revision);
    let observed = Observed {
        stored,
        has_group,
        secrets: documents.named_secrets(of_profile(profile)),
        ..Observed::default()
    };
    let planned = plan(
        &asked,
        &observed,
        declared::read_filter,
        &time::kubernetes(),
    );
    declared::accepted(&name, &planned.status.conditions)?;
    let result = match (planned.put, planned.delete) {
        (None, None) => Applied::Unchanged,
        (None, Some(stored)) => {
            delete(api, stored).await?;
            Applied::Configured
        }
        (Some(wanted), _) => {
            let request = PutDeviceProfileRequest {
                profile: Some(wire::asked(wanted)),
                ..Default::default()
            };
            let answer = api
                .profiles()
                .put_device_profile(api.request(request))
                .await;
            let put = answer.map_err(Failure::call(format!("put the profile {name}")))?;
            let status = put.into_inner().status.unwrap_or_default();
            if before == Some(status.revision) {
                Applied::Unchanged
            } else {
                declared::put_over(before.is_some())
            }
        }
    };
    Ok(AppliedObject { name, result })
}

/// It is for the devices of the call from now on, and for no others.
async fn delete(api: &Api, stored: Stored) -> Result<(), Failure> {
    let action = format!("delete the profile {}", stored.name);
    let request = api.request(DeleteDeviceProfileRequest {
        name: stored.name,
        etag: stored.etag,
        ..Default::default()
    });
    let answer = api.profiles().delete_device_profile(request).await;
    answer.map(drop).map_err(Failure::call(action))
}

/// The profile of a name, if there is one.
async fn stored(api: &Api, name: &str) -> Result<Option<Stored>, Failure> {
    let request = api.request(GetDeviceProfileRequest {
        name: name.to_owned(),
    });
    match api.profiles().get_device_profile(request).await {
        Ok(answer) => Ok(Some(wire::stored(answer.into_inner()))),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(Failure::call(format!("look at the profile {name}"))(status)),
    }
}
