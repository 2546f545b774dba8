//! What an object is among: what it refers to, as it is now.

use std::sync::Arc;

use crd::{Device, DeviceProfile};
use fleet_plan::device::{Surroundings, named_secrets, profiles};
use futures::FutureExt;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::Context;
use crate::controller::ReconcileError;
use crate::secrets;

/// All of it but its rivals; `None` while profiles that it refers to are not listed yet.
pub(super) async fn surroundings(
    device: &Device,
    context: &Context,
) -> Result<Option<Surroundings>, ReconcileError> {
    let Some(profiles) = referred(device, context) else {
        return Ok(None);
    };
    let namespace = device.namespace().unwrap_or_default();
    let names = named_secrets(device, &profiles);
    let secrets = secrets::read(&context.shared, &namespace, names).await?;
    Ok(Some(Surroundings {
        rivals: Vec::new(),
        profiles,
        secrets,
    }))
}

fn referred(device: &Device, context: &Context) -> Option<Vec<Arc<DeviceProfile>>> {
    if device.spec.profile_refs.is_empty() {
        return Some(Vec::new());
    }
    let store = &context.profiles;
    store.wait_until_ready().now_or_never()?.ok()?;
    let namespace = device.namespace().unwrap_or_default();
    let found = profiles(device).filter_map(|name| {
        let reference = ObjectRef::new(name).within(&namespace);
        // One that is going is there no longer.
        let profile = store.get(&reference);
        profile.filter(|profile| profile.metadata.deletion_timestamp.is_none())
    });
    Some(found.collect())
}
