//! Whether an object instance should be there.

use device_state::Presence;
use proto::drover::v1 as api;

/// As the API is told of it; nothing of a value.
pub const fn wire_presence(presence: Option<Presence>) -> api::Presence {
    match presence {
        Some(Presence::Present) => api::Presence::Present,
        Some(Presence::Absent) => api::Presence::Absent,
        None => api::Presence::Unspecified,
    }
}

/// As the API tells of it.
pub const fn presence(presence: api::Presence) -> Option<Presence> {
    match presence {
        api::Presence::Present => Some(Presence::Present),
        api::Presence::Absent => Some(Presence::Absent),
        api::Presence::Unspecified => None,
    }
}
