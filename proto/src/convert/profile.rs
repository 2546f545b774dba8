//! Profiles of devices, and what is desired of devices, as they are stored.

use device_state::campaign::Sweep;
use device_state::profile::{
    Activity, Profile, ProfileDevice, ProfileObservation, ProfilePart, ProfileRollout,
    ProfileState, ProfileTally, Requirements, Standing,
};
use device_state::{Command, DesiredValue, DriftPolicy, Goal, Presence, Row};

use super::campaign::{bounded, selector, windows};
use super::list::{bounded as bounded_list, each};
use super::operation::attributes;
use super::value::{observed, wire_enum};
use super::{
    ConvertError, InField, Reason, Within, endpoint, message, namespace, narrow, required,
};
use crate::storage::v1 as wire;

wire_enum!(ProfileState, wire::ProfileState, wire_state, state, {
    Unsupported,
    Rejected,
    Pending,
    Drifted,
    Superseded,
    InSync,
    Waiting,
    Unregistered,
});

pub(super) const fn wire_drift(drift: DriftPolicy) -> i32 {
    (match drift {
        DriftPolicy::Enforce => wire::DriftPolicy::Enforce,
        DriftPolicy::Report => wire::DriftPolicy::Report,
        DriftPolicy::InitOnly => wire::DriftPolicy::InitOnly,
    }) as i32
}

/// Releases that wrote no policy wrote a value once and left it alone then.
pub(super) fn drift(field: &str, number: i32) -> Result<DriftPolicy, ConvertError> {
    match wire::DriftPolicy::try_from(number) {
        Ok(wire::DriftPolicy::Enforce) => Ok(DriftPolicy::Enforce),
        Ok(wire::DriftPolicy::Report) => Ok(DriftPolicy::Report),
        Ok(wire::DriftPolicy::InitOnly | wire::DriftPolicy::Unspecified) => {
            Ok(DriftPolicy::InitOnly)
        }
        Err(_) => Err(ConvertError::new(field, Reason::UnknownEnum(number))),
    }
}

/// A value, or whether an instance is to be there.
pub(super) fn wire_goal(goal: Goal) -> (Option<wire::Value>, i32) {
    let (value, presence) = match goal {
        Goal::Value(value) => (Some(value.into()), wire::Presence::Unspecified),
        Goal::Instance(Presence::Present) => (None, wire::Presence::Present),
        Goal::Instance(Presence::Absent) => (None, wire::Presence::Absent),
    };
    (value, presence as i32)
}

/// Releases that knew no instances wrote values only.
pub(super) fn goal(value: Option<wire::Value>, presence: i32) -> Result<Goal, ConvertError> {
    match wire::Presence::try_from(presence) {
        Ok(wire::Presence::Unspecified) => Ok(Goal::Value(message("value", value)?)),
        Ok(wire::Presence::Present) => Ok(Goal::Instance(Presence::Present)),
        Ok(wire::Presence::Absent) => Ok(Goal::Instance(Presence::Absent)),
        Err(_) => Err(ConvertError::new("presence", Reason::UnknownEnum(presence))),
    }
}

impl From<DesiredValue> for wire::DesiredValue {
    fn from(desired: DesiredValue) -> Self {
        let (value, presence) = wire_goal(desired.goal);
        Self {
            path: Some(desired.path.into()),
            value,
            drift: wire_drift(desired.drift),
            presence,
        }
    }
}

impl TryFrom<wire::DesiredValue> for DesiredValue {
    type Error = ConvertError;

    fn try_from(desired: wire::DesiredValue) -> Result<Self, ConvertError> {
        Ok(Self {
            path: message("path", desired.path)?,
            goal: goal(desired.value, desired.presence)?,
            drift: drift("drift", desired.drift)?,
        })
    }
}

impl From<Profile> for wire::Profile {
    fn from(profile: Profile) -> Self {
        let version = profile.requires.version;
        Self {
            namespace: profile.namespace.stored().to_owned(),
            name: profile.name,
            description: profile.description,
            selector: profile.selector.text,
            group: profile.group,
            priority: profile.priority,
            paused: profile.activity == Activity::Paused,
            required_objects: profile
                .requires
                .objects
                .into_iter()
                .map(u32::from)
                .collect(),
            required_version: version
                .map(|version| version.to_string())
                .unwrap_or_default(),
            resources: profile.resources.into_iter().map(Into::into).collect(),
            observations: profile.observations.into_iter().map(Into::into).collect(),
            revision: profile.revision,
            rollout: profile.rollout.map(Into::into),
        }
    }
}

impl TryFrom<wire::Profile> for Profile {
    type Error = ConvertError;

    fn try_from(profile: wire::Profile) -> Result<Self, ConvertError> {
        bounded("name", &profile.name, Self::MAX_NAME)?;
        bounded("description", &profile.description, Self::MAX_DESCRIPTION)?;
        bounded("group", &profile.group, device_state::Group::MAX_NAME)?;
        bounded_list(
            "required_objects",
            &profile.required_objects,
            Self::MAX_REQUIRED,
        )?;
        let objects = profile.required_objects.into_iter();
        let objects = objects.map(|object| narrow("required_objects", object));
        let version = match profile.required_version.as_str() {
            "" => None,
            version => Some(version.parse().in_field("required_version")?),
        };
        Ok(Self {
            namespace: namespace(&profile.namespace)?,
            name: profile.name,
            description: profile.description,
            selector: selector(profile.selector).within("selector")?,
            group: profile.group,
            priority: profile.priority,
            activity: if profile.paused {
                Activity::Paused
            } else {
                Activity::Active
            },
            requires: Requirements {
                objects: objects.collect::<Result<_, _>>()?,
                version,
            },
            resources: each(
                "resources",
                profile.resources,
                Self::MAX_RESOURCES + Self::MAX_INSTANCES,
                DesiredValue::try_from,
            )?,
            observations: each(
                "observations",
                profile.observations,
                Self::MAX_OBSERVATIONS,
                ProfileObservation::try_from,
            )?,
            revision: profile.revision,
            rollout: profile
                .rollout
                .map(|rollout| rollout.try_into().within("rollout"))
                .transpose()?,
        })
    }
}

impl From<ProfileRollout> for wire::ProfileRollout {
    fn from(rollout: ProfileRollout) -> Self {
        Self {
            max_concurrent: Some(rollout.max_concurrent.into()),
            failure_threshold: rollout.failure_threshold.map(Into::into),
            windows: rollout.windows.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::ProfileRollout> for ProfileRollout {
    type Error = ConvertError;

    fn try_from(rollout: wire::ProfileRollout) -> Result<Self, ConvertError> {
        Ok(Self {
            max_concurrent: message("max_concurrent", rollout.max_concurrent)?,
            failure_threshold: rollout
                .failure_threshold
                .map(|most| most.try_into().within("failure_threshold"))
                .transpose()?,
            windows: windows(rollout.windows)?,
        })
    }
}

impl From<ProfileObservation> for wire::ProfileObservation {
    fn from(observation: ProfileObservation) -> Self {
        let paths = observation.observed.paths().iter();
        Self {
            paths: paths.map(|path| (*path).into()).collect(),
            parameters: observation.parameters.to_query().join("&"),
        }
    }
}

impl TryFrom<wire::ProfileObservation> for ProfileObservation {
    type Error = ConvertError;

    fn try_from(observation: wire::ProfileObservation) -> Result<Self, ConvertError> {
        let mut paths = observation.paths;
        let one = (paths.len() == 1).then(|| paths.remove(0));
        Ok(Self {
            observed: observed((one, paths, None))?,
            parameters: attributes("parameters", &observation.parameters)?,
        })
    }
}

impl From<ProfilePart> for wire::ProfilePart {
    fn from(part: ProfilePart) -> Self {
        Self {
            profile: Some(part.profile.into()),
            removed: part.standing == Standing::Removed,
            members: Some(part.members.into()),
            candidates: Some(part.candidates.into()),
            // Releases that know no turns write nothing, and replicas of both have to write the same.
            released: (part.released != Sweep::NotBegun).then(|| part.released.into()),
        }
    }
}

impl TryFrom<wire::ProfilePart> for ProfilePart {
    type Error = ConvertError;

    fn try_from(part: wire::ProfilePart) -> Result<Self, ConvertError> {
        Ok(Self {
            profile: message("profile", part.profile)?,
            standing: standing(part.removed),
            members: message::<_, Sweep>("members", part.members)?,
            candidates: message("candidates", part.candidates)?,
            released: part
                .released
                .map_or(Ok(Sweep::NotBegun), Sweep::try_from)
                .within("released")?,
        })
    }
}

const fn standing(removed: bool) -> Standing {
    if removed {
        Standing::Removed
    } else {
        Standing::Declared
    }
}

impl From<ProfileDevice> for wire::ProfileDevice {
    fn from(device: ProfileDevice) -> Self {
        Self {
            namespace: device.namespace.stored().to_owned(),
            profile: device.profile,
            endpoint: device.endpoint.stored().to_owned(),
            state: wire_state(device.state),
        }
    }
}

impl TryFrom<wire::ProfileDevice> for ProfileDevice {
    type Error = ConvertError;

    fn try_from(device: wire::ProfileDevice) -> Result<Self, ConvertError> {
        Ok(Self {
            namespace: namespace(&device.namespace)?,
            profile: device.profile,
            endpoint: endpoint(&device.endpoint)?,
            state: state("state", device.state)?,
        })
    }
}

pub(super) fn wire_tally(
    namespace: &device_state::Namespace,
    profile: String,
    tally: ProfileTally,
) -> wire::ProfileTally {
    wire::ProfileTally {
        namespace: namespace.stored().to_owned(),
        profile,
        unsupported: tally.unsupported,
        rejected: tally.rejected,
        pending: tally.pending,
        drifted: tally.drifted,
        superseded: tally.superseded,
        in_sync: tally.in_sync,
        waiting: tally.waiting,
        unregistered: tally.unregistered,
    }
}

pub(super) fn tally_row(row: wire::ProfileTally) -> Result<Row, ConvertError> {
    Ok(Row::ProfileTally {
        namespace: namespace(&row.namespace)?,
        profile: row.profile,
        tally: ProfileTally {
            unsupported: row.unsupported,
            rejected: row.rejected,
            pending: row.pending,
            drifted: row.drifted,
            superseded: row.superseded,
            in_sync: row.in_sync,
            waiting: row.waiting,
            unregistered: row.unregistered,
        },
    })
}

impl TryFrom<wire::command::InstallProfile> for Command {
    type Error = ConvertError;

    fn try_from(install: wire::command::InstallProfile) -> Result<Self, ConvertError> {
        Ok(Self::InstallProfile {
            profile: Box::new(message("profile", install.profile)?),
            standing: standing(install.removed),
        })
    }
}

impl TryFrom<wire::command::SpreadProfile> for Command {
    type Error = ConvertError;

    fn try_from(spread: wire::command::SpreadProfile) -> Result<Self, ConvertError> {
        let profile = required("profile", spread.profile)?;
        Ok(Self::SpreadProfile {
            namespace: namespace(&profile.namespace)?,
            name: profile.name,
            limit: spread.limit,
        })
    }
}

impl TryFrom<wire::command::ReleaseProfile> for Command {
    type Error = ConvertError;

    fn try_from(release: wire::command::ReleaseProfile) -> Result<Self, ConvertError> {
        let profile = required("profile", release.profile)?;
        Ok(Self::ReleaseProfile {
            namespace: namespace(&profile.namespace)?,
            name: profile.name,
            revision: release.revision,
            released: message("released", release.released)?,
            limit: release.limit,
            examine: release.examine,
        })
    }
}
