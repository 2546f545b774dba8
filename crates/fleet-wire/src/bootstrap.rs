//! Bootstrap profiles.

use device_state::{BootstrapProfile, Namespace};
use fleet_plan::bootstrap::Stored;
use proto::convert::public::InNamespace;
use proto::drover::v1 as api;

use crate::AnswerError;

/// A profile that is to be put in the place of the one with its etag.
pub fn asked(profile: &Stored) -> api::BootstrapProfile {
    api::BootstrapProfile {
        etag: profile.etag.clone(),
        ..profile.profile.clone().into()
    }
}

/// A profile of the namespace as it stands. What is told of one is what could be put.
pub fn stored(namespace: &Namespace, told: api::BootstrapProfile) -> Result<Stored, AnswerError> {
    let etag = told.etag.clone();
    let request = api::PutBootstrapProfileRequest {
        profile: Some(told),
        ..Default::default()
    };
    let profile = BootstrapProfile::try_from(InNamespace {
        namespace: namespace.clone(),
        request,
    })?;
    Ok(Stored { profile, etag })
}
