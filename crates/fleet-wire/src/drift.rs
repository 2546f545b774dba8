//! What happens when a device has another value.

use crd::DriftPolicy;
use proto::drover::v1 as api;

/// As the API is told of it.
pub const fn wire_drift(policy: DriftPolicy) -> api::DriftPolicy {
    match policy {
        DriftPolicy::Enforce => api::DriftPolicy::Enforce,
        DriftPolicy::Report => api::DriftPolicy::Report,
        DriftPolicy::InitOnly => api::DriftPolicy::InitOnly,
    }
}

/// As the API tells of it.
pub const fn drift(policy: api::DriftPolicy) -> DriftPolicy {
    match policy {
        api::DriftPolicy::Unspecified | api::DriftPolicy::Enforce => DriftPolicy::Enforce,
        api::DriftPolicy::Report => DriftPolicy::Report,
        api::DriftPolicy::InitOnly => DriftPolicy::InitOnly,
    }
}
