//! Groups of devices.

use fleet_plan::group::Stored;
use proto::drover::v1 as api;

/// A group that is to be put.
pub fn asked(group: Stored) -> api::DeviceGroup {
    api::DeviceGroup {
        name: group.name,
        filter: group.filter,
        description: group.description,
        etag: group.etag,
        counts: None,
    }
}

/// A group as it stands.
pub fn stored(group: api::DeviceGroup) -> Stored {
    Stored {
        name: group.name,
        filter: group.filter,
        description: group.description,
        etag: group.etag,
    }
}
