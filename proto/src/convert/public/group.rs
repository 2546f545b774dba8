//! Groups of devices.

use device_state::campaign::Selector;
use device_state::{Command, Etag, Group};

use super::{InNamespace, checked_name, device_filter};
use crate::convert::{ConvertError, Reason, Within, required};
use crate::drover::v1 as public;

impl From<Group> for public::DeviceGroup {
    fn from(group: Group) -> Self {
        Self {
            etag: Etag::of_group(&group).to_string(),
            name: group.name,
            filter: group.selector.text,
            description: group.description,
            counts: None,
        }
    }
}

impl TryFrom<InNamespace<public::PutDeviceGroupRequest>> for Group {
    type Error = ConvertError;

    fn try_from(asked: InNamespace<public::PutDeviceGroupRequest>) -> Result<Self, ConvertError> {
        let group = required("group", asked.request.group)?;
        checked_name("name", &group.name).within("group")?;
        if group.description.len() > Self::MAX_DESCRIPTION {
            let reason = Reason::Length(group.description.len());
            return Err(ConvertError::new("group.description", reason));
        }
        let filter = device_filter(&group.filter).within("group")?;
        Ok(Self {
            namespace: asked.namespace,
            name: group.name,
            selector: Selector {
                text: group.filter,
                filter,
            },
            description: group.description,
        })
    }
}

impl TryFrom<InNamespace<public::DeleteDeviceGroupRequest>> for Command {
    type Error = ConvertError;

    fn try_from(
        asked: InNamespace<public::DeleteDeviceGroupRequest>,
    ) -> Result<Self, ConvertError> {
        checked_name("name", &asked.request.name)?;
        Ok(Self::RemoveGroup {
            namespace: asked.namespace,
            name: asked.request.name,
        })
    }
}

/// A filter that lets through what both let through.
pub fn both(one: &str, other: &str) -> String {
    match (one.trim(), other.trim()) {
        ("", only) | (only, "") => only.to_owned(),
        (one, other) => format!("({one}) AND ({other})"),
    }
}
