//! `DeviceGroup`: a filter with a name.

use crd::{DeviceGroup, DeviceGroupStatus};
use fleet_plan::group::{OWNER, Observed, Stored, plan};
use fleet_wire::group as wire;
use proto::drover::v1::{GetDeviceGroupRequest, PutDeviceGroupRequest};
use tonic::Code;

use super::{Applied, AppliedObject, declared};
use crate::api::Api;
use crate::failure::Failure;
use crate::time;

/// Observes, plans and acts for one group.
pub(super) async fn apply(api: &Api, group: &DeviceGroup) -> Result<AppliedObject, Failure> {
    let name = declared::name(&group.metadata, fleet_plan::group::name(group))?;
    let stored = stored(api, &name).await?;
    let maker = stored.as_ref().and_then(|it| OWNER.maker(&it.description));
    declared::not_of_kubernetes(maker, "devicegroup", &name)?;
    let mut asked = group.clone();
    declared::of_file(&mut asked.metadata);
    asked.status = Some(DeviceGroupStatus::default());
    let is_there = stored.is_some();
    let observed = Observed {
        stored,
        ..Observed::default()
    };
    let planned = plan(
        &asked,
        &observed,
        declared::read_filter,
        &time::kubernetes(),
    );
    declared::accepted(&name, &planned.status.conditions)?;
    let result = match planned.put {
        None => Applied::Unchanged,
        Some(wanted) => {
            let request = PutDeviceGroupRequest {
                group: Some(wire::asked(wanted)),
                ..Default::default()
            };
            let answer = api.groups().put_device_group(api.request(request)).await;
            answer.map_err(Failure::call(format!("put the group {name}")))?;
            declared::put_over(is_there)
        }
    };
    Ok(AppliedObject { name, result })
}

/// The group of a name, if there is one.
pub(super) async fn stored(api: &Api, name: &str) -> Result<Option<Stored>, Failure> {
    let request = api.request(GetDeviceGroupRequest {
        name: name.to_owned(),
        count: false,
    });
    match api.groups().get_device_group(request).await {
        Ok(answer) => Ok(Some(wire::stored(answer.into_inner()))),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(Failure::call(format!("look at the group {name}"))(status)),
    }
}
