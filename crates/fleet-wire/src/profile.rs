//! Profiles of devices.

use fleet_plan::profile::{Counts, Hold, Overlap, Profile, Stored};
use proto::drover::v1 as api;

use crate::{wire_drift, wire_presence};

/// A profile that is to be put.
pub fn asked(profile: Profile) -> api::DeviceProfile {
    let resources = profile.resources.into_iter();
    let observations = profile.observations.into_iter();
    let requires = api::ProfileRequirements {
        objects: profile.objects.into_iter().map(u32::from).collect(),
        minimum_version: profile.minimum_version,
    };
    api::DeviceProfile {
        name: profile.name,
        description: profile.description,
        filter: profile.filter,
        group: profile.group,
        priority: profile.priority,
        paused: profile.paused,
        resources: resources
            .map(|one| api::ProfileResource {
                path: one.path,
                text: one.text,
                drift_policy: wire_drift(one.drift_policy).into(),
                presence: wire_presence(one.presence).into(),
            })
            .collect(),
        observations: observations
            .map(|one| api::ProfileObservation {
                paths: vec![one.path],
                parameters: one.parameters,
            })
            .collect(),
        requires: Some(requires)
            .filter(|requires| *requires != api::ProfileRequirements::default()),
        etag: profile.etag,
        status: None,
        rollout: profile.rollout.map(Into::into),
    }
}

/// A profile as it stands, and how far its devices are.
pub fn stored(profile: api::DeviceProfile) -> Stored {
    let status = profile.status.unwrap_or_default();
    let hold = match status.hold() {
        api::profile_status::Hold::Unspecified => None,
        api::profile_status::Hold::Window => Some(Hold::Window),
        api::profile_status::Hold::Failures => Some(Hold::Failures),
    };
    let counts = status.counts.unwrap_or_default();
    let overlaps = status.overlaps.into_iter();
    Stored {
        name: profile.name,
        description: profile.description,
        etag: profile.etag,
        revision: status.revision,
        applied: status.applied,
        hold,
        counts: Counts {
            matched: counts.matched,
            in_sync: counts.in_sync,
            pending: counts.pending,
            drifted: counts.drifted,
            rejected: counts.rejected,
            unsupported: counts.unsupported,
            superseded: counts.superseded,
            waiting: counts.waiting,
            unregistered: counts.unregistered,
        },
        overlaps: overlaps
            .map(|one| Overlap {
                profile: one.profile,
                path: one.path,
                wins: one.wins,
            })
            .collect(),
    }
}
