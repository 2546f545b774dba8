//! Profiles of devices: what is asked for, and what is told of them.

use std::collections::BTreeSet;

use device_state::campaign::{Selector, Share};
use device_state::profile::{
    Activity, Profile, ProfileDevice, ProfileObservation, ProfileRollout, ProfileState,
    ProfileTally, Requirements,
};
use device_state::{
    Campaign, Command, DesiredResource, DesiredState, DesiredValue, Digest, DriftPolicy, Etag,
    Goal, Group, Presence, check_goals,
};
use lwm2m::{NotificationAttributes, Observed, Operation, Path, Registry, Value};

use super::campaign::{optional_share, share_text, window};
use super::observation::observed;
use super::request::checked_by;
use super::value::path;
use super::{Defined, InNamespace, checked_name, coap_code, device_filter, timestamp, typed_value};
use crate::convert::list::{bounded, each};
use crate::convert::operation::attributes;
use crate::convert::{ConvertError, InField, Reason, Within, narrow, required};
use crate::drover::v1 as public;

impl TryFrom<Defined<'_, public::PutDeviceProfileRequest>> for Profile {
    type Error = ConvertError;

    fn try_from(
        defined: Defined<'_, public::PutDeviceProfileRequest>,
    ) -> Result<Self, ConvertError> {
        let asked = required("profile", defined.request.profile)?;
        let profile = profile(asked, defined.definitions).within("profile")?;
        Ok(Self {
            namespace: defined.namespace.clone(),
            ..profile
        })
    }
}

fn profile(asked: public::DeviceProfile, definitions: &Registry) -> Result<Profile, ConvertError> {
    checked_name("name", &asked.name)?;
    if asked.description.len() > Profile::MAX_DESCRIPTION {
        let reason = Reason::Length(asked.description.len());
        return Err(ConvertError::new("description", reason));
    }
    if !asked.group.is_empty() {
        checked_name("group", &asked.group)?;
    }
    let filter = device_filter(&asked.filter)?;
    let texts: usize = asked.resources.iter().map(|one| one.text.len()).sum();
    let resources = each(
        "resources",
        asked.resources,
        Profile::MAX_RESOURCES + Profile::MAX_INSTANCES,
        |one| resource(one, definitions),
    )?;
    check_goals(resources.iter().map(DesiredValue::wish)).in_field("resources")?;
    let (instances, values): (Vec<_>, Vec<_>) = resources
        .iter()
        .partition(|one| one.goal.presence().is_some());
    bounded("resources", &values, Profile::MAX_RESOURCES)?;
    bounded("resources", &instances, Profile::MAX_INSTANCES)?;
    let observations = each(
        "observations",
        asked.observations,
        Profile::MAX_OBSERVATIONS,
        |one| observation(one, definitions),
    )?;
    let bytes: usize = texts + asked.description.len();
    if bytes > Profile::MAX_BYTES {
        return Err(ConvertError::new("resources", Reason::Length(bytes)));
    }
    once(
        "resources",
        resources.iter().map(|one| one.path.to_string()),
    )?;
    once(
        "observations",
        observations.iter().map(|one| one.observed.to_string()),
    )?;
    Ok(Profile {
        namespace: device_state::Namespace::default(),
        name: asked.name,
        description: asked.description,
        selector: Selector {
            text: asked.filter,
            filter,
        },
        group: asked.group,
        priority: asked.priority,
        activity: if asked.paused {
            Activity::Paused
        } else {
            Activity::Active
        },
        requires: asked
            .requires
            .map(|requires| requirements(requires).within("requires"))
            .transpose()?
            .unwrap_or_default(),
        rollout: asked
            .rollout
            .map(|rollout| self::rollout(rollout).within("rollout"))
            .transpose()?,
        resources,
        observations,
        revision: 0,
    })
}

fn rollout(asked: public::ProfileRollout) -> Result<ProfileRollout, ConvertError> {
    Ok(ProfileRollout {
        max_concurrent: optional_share("max_concurrent", &asked.max_concurrent)?
            .unwrap_or(Share::ALL),
        failure_threshold: optional_share("failure_threshold", &asked.failure_threshold)?,
        windows: each("windows", asked.windows, Campaign::MAX_WINDOWS, window)?,
    })
}

fn once(field: &str, mut names: impl Iterator<Item = String>) -> Result<(), ConvertError> {
    let mut seen = BTreeSet::new();
    match names.find(|name| !seen.insert(name.clone())) {
        Some(name) => Err(ConvertError::new(field, Reason::Repeated(name))),
        None => Ok(()),
    }
}

fn requirements(asked: public::ProfileRequirements) -> Result<Requirements, ConvertError> {
    bounded("objects", &asked.objects, Profile::MAX_REQUIRED)?;
    let objects = asked.objects.into_iter();
    let objects = objects.map(|object| narrow("objects", object));
    let version = match asked.minimum_version.as_str() {
        "" => None,
        version => Some(version.parse().in_field("minimum_version")?),
    };
    Ok(Requirements {
        objects: objects.collect::<Result<_, _>>()?,
        version,
    })
}

fn resource(
    asked: public::ProfileResource,
    definitions: &Registry,
) -> Result<DesiredValue, ConvertError> {
    let text = &asked.text;
    if text.len() > Profile::MAX_VALUE_BYTES {
        return Err(ConvertError::new("text", Reason::Length(text.len())));
    }
    let asked = public::DesiredValue {
        path: asked.path,
        text: asked.text,
        drift_policy: asked.drift_policy,
        presence: asked.presence,
    };
    desired_value(&asked, definitions)
}

/// A value that is to be kept, or an instance that is to be there or not.
pub(super) fn desired_value(
    asked: &public::DesiredValue,
    definitions: &Registry,
) -> Result<DesiredValue, ConvertError> {
    let path = path("path", &asked.path)?;
    let goal = goal(path, asked, definitions)?;
    let drift = asked.drift_policy;
    let drift = public::DriftPolicy::try_from(drift)
        .map_err(|_| ConvertError::new("drift_policy", Reason::UnknownEnum(drift)))?;
    let drift = match drift {
        // What cannot be read is never told, and asking for it would be refused.
        _ if is_hidden(path, definitions) => DriftPolicy::InitOnly,
        // The device is given another URI, and tells that one.
        _ if goal.value().is_some_and(names_package) => DriftPolicy::InitOnly,
        public::DriftPolicy::Unspecified | public::DriftPolicy::Enforce => DriftPolicy::Enforce,
        public::DriftPolicy::Report => DriftPolicy::Report,
        public::DriftPolicy::InitOnly => DriftPolicy::InitOnly,
    };
    Ok(DesiredValue { path, goal, drift })
}

fn goal(
    path: Path,
    asked: &public::DesiredValue,
    definitions: &Registry,
) -> Result<Goal, ConvertError> {
    let unknown = || ConvertError::new("presence", Reason::UnknownEnum(asked.presence));
    let presence = match public::Presence::try_from(asked.presence).map_err(|_| unknown())? {
        public::Presence::Unspecified => {
            let value = typed_value(path, &asked.text, definitions).in_field("text")?;
            return Ok(Goal::Value(value));
        }
        public::Presence::Present => Presence::Present,
        public::Presence::Absent => Presence::Absent,
    };
    if !asked.text.is_empty() {
        return Err(ConvertError::new("presence", Reason::Conflict("text")));
    }
    Presence::check(path).in_field("path")?;
    Ok(Goal::Instance(presence))
}

/// The text of a value, or whether an instance is to be there.
pub(super) fn told_goal(goal: &Goal) -> (String, public::Presence) {
    match goal {
        Goal::Value(value) => (value.to_text(), public::Presence::Unspecified),
        Goal::Instance(Presence::Present) => (String::new(), public::Presence::Present),
        Goal::Instance(Presence::Absent) => (String::new(), public::Presence::Absent),
    }
}

fn names_package(value: &Value) -> bool {
    matches!(value, Value::String(text) if Digest::of_package_uri(text).is_some())
}

/// Whether the definition of the object says that the resource cannot be read.
fn is_hidden(path: Path, definitions: &Registry) -> bool {
    let definition = definitions.resource(path);
    definition.is_some_and(|definition| !definition.operations.readable)
}

fn observation(
    asked: public::ProfileObservation,
    definitions: &Registry,
) -> Result<ProfileObservation, ConvertError> {
    let observed = observed("", &asked.paths)?;
    let parameters = attributes("parameters", &asked.parameters)?;
    let operation = Operation::Observe {
        observed: observed.clone(),
        parameters,
    };
    checked_by(operation, definitions)?;
    Ok(ProfileObservation {
        observed,
        parameters,
    })
}

impl TryFrom<InNamespace<public::DeleteDeviceProfileRequest>> for Command {
    type Error = ConvertError;

    fn try_from(
        asked: InNamespace<public::DeleteDeviceProfileRequest>,
    ) -> Result<Self, ConvertError> {
        checked_name("name", &asked.request.name)?;
        Ok(Self::RemoveProfile {
            namespace: asked.namespace,
            name: asked.request.name,
        })
    }
}

impl From<Profile> for public::DeviceProfile {
    /// Without its status.
    fn from(profile: Profile) -> Self {
        let etag = Etag::of_device_profile(&profile).to_string();
        let requires = (!profile.requires.is_empty()).then(|| public::ProfileRequirements {
            objects: profile
                .requires
                .objects
                .into_iter()
                .map(u32::from)
                .collect(),
            minimum_version: profile
                .requires
                .version
                .map(|version| version.to_string())
                .unwrap_or_default(),
        });
        Self {
            name: profile.name,
            description: profile.description,
            filter: profile.selector.text,
            group: profile.group,
            priority: profile.priority,
            paused: profile.activity == Activity::Paused,
            resources: profile.resources.into_iter().map(told_resource).collect(),
            observations: profile
                .observations
                .into_iter()
                .map(|one| told_observation(&one.observed, one.parameters))
                .collect(),
            requires,
            etag,
            status: None,
            rollout: profile.rollout.map(Into::into),
        }
    }
}

impl From<ProfileRollout> for public::ProfileRollout {
    fn from(rollout: ProfileRollout) -> Self {
        Self {
            max_concurrent: share_text(rollout.max_concurrent),
            failure_threshold: rollout
                .failure_threshold
                .map(share_text)
                .unwrap_or_default(),
            windows: rollout.windows.into_iter().map(Into::into).collect(),
        }
    }
}

fn told_resource(resource: DesiredValue) -> public::ProfileResource {
    let (text, presence) = told_goal(&resource.goal);
    public::ProfileResource {
        path: resource.path.to_string(),
        text,
        presence: presence.into(),
        drift_policy: told_drift(resource.drift).into(),
    }
}

fn told_observation(
    observed: &Observed,
    parameters: NotificationAttributes,
) -> public::ProfileObservation {
    let paths = observed.paths().iter();
    public::ProfileObservation {
        paths: paths.map(ToString::to_string).collect(),
        parameters: parameters.to_query().join("&"),
    }
}

pub(super) const fn told_drift(drift: DriftPolicy) -> public::DriftPolicy {
    match drift {
        DriftPolicy::Enforce => public::DriftPolicy::Enforce,
        DriftPolicy::Report => public::DriftPolicy::Report,
        DriftPolicy::InitOnly => public::DriftPolicy::InitOnly,
    }
}

impl From<ProfileTally> for public::ProfileCounts {
    fn from(tally: ProfileTally) -> Self {
        Self {
            matched: tally.matched(),
            in_sync: tally.in_sync,
            pending: tally.pending,
            drifted: tally.drifted,
            rejected: tally.rejected,
            unsupported: tally.unsupported,
            superseded: tally.superseded,
            waiting: tally.waiting,
            unregistered: tally.unregistered,
        }
    }
}

/// Profiles that are told as saying something of the same paths.
const MAX_OVERLAPS: usize = 10;

/// Which others say something of the same paths, as far as is told.
pub fn profile_overlaps(profile: &Profile, others: &[Profile]) -> Vec<public::ProfileOverlap> {
    let overlap = |other: &Profile| {
        let own = &profile.resources;
        let shared = own
            .iter()
            .find(|one| other.resources.iter().any(|two| two.path == one.path))?;
        Some(public::ProfileOverlap {
            profile: other.name.clone(),
            path: shared.path.to_string(),
            wins: other.precedence() < profile.precedence(),
        })
    };
    others
        .iter()
        .filter(|other| other.name != profile.name)
        .filter_map(overlap)
        .take(MAX_OVERLAPS)
        .collect()
}

/// The states that are asked for; none: all.
pub fn profile_states(numbers: &[i32]) -> Result<Vec<ProfileState>, ConvertError> {
    use public::profile_device::State;
    let state = |number: &i32| match State::try_from(*number) {
        Ok(State::InSync) => Ok(ProfileState::InSync),
        Ok(State::Pending) => Ok(ProfileState::Pending),
        Ok(State::Drifted) => Ok(ProfileState::Drifted),
        Ok(State::Rejected) => Ok(ProfileState::Rejected),
        Ok(State::Unsupported) => Ok(ProfileState::Unsupported),
        Ok(State::Superseded) => Ok(ProfileState::Superseded),
        Ok(State::Waiting) => Ok(ProfileState::Waiting),
        Ok(State::Unregistered) => Ok(ProfileState::Unregistered),
        Ok(State::Unspecified) | Err(_) => {
            Err(ConvertError::new("states", Reason::UnknownEnum(*number)))
        }
    };
    numbers.iter().map(state).collect()
}

/// A device of a profile, with the resource that explains its state.
pub fn profile_device(device: ProfileDevice, desired: &[DesiredResource]) -> public::ProfileDevice {
    use public::profile_device::State;
    let own = desired
        .iter()
        .filter(|row| row.origin.is_profile(&device.profile));
    let cause = own
        .filter(|row| !matches!(row.state, DesiredState::InSync { .. }))
        .min_by_key(|row| urgency(&row.state));
    let bare = public::ProfileDevice {
        endpoint: device.endpoint.endpoint_str().to_owned(),
        state: match device.state {
            ProfileState::InSync => State::InSync,
            ProfileState::Pending => State::Pending,
            ProfileState::Drifted => State::Drifted,
            ProfileState::Rejected => State::Rejected,
            ProfileState::Unsupported => State::Unsupported,
            ProfileState::Superseded => State::Superseded,
            ProfileState::Waiting => State::Waiting,
            ProfileState::Unregistered => State::Unregistered,
        }
        .into(),
        path: cause.map(|row| row.path.to_string()).unwrap_or_default(),
        ..Default::default()
    };
    match cause.map(|row| &row.state) {
        Some(DesiredState::Rejected {
            code,
            diagnostic,
            since,
        }) => public::ProfileDevice {
            coap_code: coap_code(*code),
            diagnostic: diagnostic.clone(),
            since: timestamp(*since),
            ..bare
        },
        Some(DesiredState::Drifted { since }) => public::ProfileDevice {
            since: timestamp(*since),
            ..bare
        },
        Some(DesiredState::Pending { .. } | DesiredState::InSync { .. }) | None => bare,
    }
}

/// What explains the state of a device comes first.
const fn urgency(state: &DesiredState) -> u8 {
    match state {
        DesiredState::Rejected { .. } => 0,
        DesiredState::Pending { .. } => 1,
        DesiredState::Drifted { .. } => 2,
        DesiredState::InSync { .. } => 3,
    }
}

/// The longest name of a group is that of a profile, so one check is enough for both.
const _: () = assert!(Group::MAX_NAME == Profile::MAX_NAME);
