//! Groups of devices as they are stored.

use device_state::Group;

use super::campaign::{bounded, selector};
use super::{ConvertError, Within, namespace};
use crate::storage::v1 as wire;

impl From<Group> for wire::Group {
    fn from(group: Group) -> Self {
        Self {
            namespace: group.namespace.stored().to_owned(),
            name: group.name,
            selector: group.selector.text,
            description: group.description,
        }
    }
}

impl TryFrom<wire::Group> for Group {
    type Error = ConvertError;

    fn try_from(group: wire::Group) -> Result<Self, ConvertError> {
        bounded("name", &group.name, Self::MAX_NAME)?;
        bounded("description", &group.description, Self::MAX_DESCRIPTION)?;
        Ok(Self {
            namespace: namespace(&group.namespace)?,
            name: group.name,
            selector: selector(group.selector).within("selector")?,
            description: group.description,
        })
    }
}
