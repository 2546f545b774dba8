//! From a spec to a profile. Each field of a spec is carried out, or the spec is refused with its name.

use crd::DeviceProfile;
use crd::desired_observation::DesiredObservation;
use crd::desired_value::ProfileResource;
use crd::device_profile::{DeviceProfileSpec, ProfileRequirements};
use device_state::Presence;
use device_state::campaign::Share;
use device_state::profile::ProfileRollout;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{OWNER, Observation, Profile, Resource, is_by_reference};
use crate::Refusal;
use crate::amount::share;
use crate::instance::instance;
use crate::observation::parameters;
use crate::owner::{checked_name, is_sound_name};
use crate::secrets::{Secrets, given};
use crate::selection::{ReadFilter, Selection};
use crate::typing::{Problem, Problems, typed};
use crate::window::windows;

/// Observations of a profile.
const MAX_OBSERVATIONS: usize = 16;
/// Objects that a profile requires.
const MAX_OBJECTS: usize = 16;

/// The profile that carries an object out, and whether it names objects or resources that the OMA does not define; or why
/// there can be none.
pub(super) fn compile(
    profile: &DeviceProfile,
    read_filter: ReadFilter,
    secrets: &Secrets,
) -> Result<(Profile, bool), Refusal> {
    let spec = &profile.spec;
    // The state tier has none of one that selects nobody.
    let name = if is_by_reference(profile) {
        not_by_reference(spec)?;
        own_name(&profile.metadata)
    } else {
        checked_name(&profile.metadata)?
    };
    let (mut resources, unknown_models) = resources(spec, secrets)?;
    resources.extend(instances(spec)?);
    let requires = spec.requires.as_ref();
    let compiled = Profile {
        name,
        description: OWNER.of(&profile.metadata),
        filter: filter(spec, read_filter)?,
        group: group(spec),
        priority: spec.priority,
        paused: spec.paused,
        rollout: rollout(spec)?,
        resources,
        observations: observations(&spec.observations)?,
        objects: requires.map_or_else(|| Ok(Vec::new()), objects)?,
        minimum_version: requires
            .and_then(|requires| requires.minimum_lwm2m_version.clone())
            .unwrap_or_default(),
        etag: String::new(),
    };
    Ok((compiled, unknown_models))
}

fn own_name(metadata: &ObjectMeta) -> String {
    metadata.name.clone().unwrap_or_default()
}

/// What cannot be done for `Device`s that name a profile: each of them is carried out by itself.
pub(super) fn not_by_reference(spec: &DeviceProfileSpec) -> Result<(), Refusal> {
    if spec.rollout.is_some() {
        return Err(Refusal::unsupported(
            "spec.rollout",
            "a change goes to all Devices that name it at once; leave it out, or select the devices by a selector or \
             groupRef instead",
        ));
    }
    Ok(())
}

/// How a change goes through the devices.
fn rollout(spec: &DeviceProfileSpec) -> Result<Option<ProfileRollout>, Refusal> {
    let Some(rollout) = &spec.rollout else {
        return Ok(None);
    };
    let (concurrent, failures) = (&rollout.max_concurrent, &rollout.failure_threshold);
    Ok(Some(ProfileRollout {
        max_concurrent: concurrent.as_ref().map_or(Ok(Share::ALL), |amount| {
            share("spec.rollout.maxConcurrent", amount)
        })?,
        failure_threshold: failures
            .as_ref()
            .map(|amount| share("spec.rollout.failureThreshold", amount))
            .transpose()?,
        windows: windows("spec.rollout.windows", &rollout.windows)?,
    }))
}

fn filter(spec: &DeviceProfileSpec, read_filter: ReadFilter) -> Result<String, Refusal> {
    const FIELD: &str = "spec.selector";
    let Some(selector) = &spec.selector else {
        return Ok(String::new());
    };
    let selection = Selection::default().labels(selector, FIELD)?;
    Ok(selection.finish(FIELD, read_filter)?.text)
}

/// One that the state tier can have no group for is one that is not there.
fn group(spec: &DeviceProfileSpec) -> String {
    let reference = spec.group_ref.as_ref();
    let name = reference.map(|reference| reference.name.as_str());
    name.filter(|name| is_sound_name(name))
        .unwrap_or_default()
        .to_owned()
}

/// The values by the definitions of the OMA. What the OMA does not define the state tier may know, and decides.
fn resources(
    spec: &DeviceProfileSpec,
    secrets: &Secrets,
) -> Result<(Vec<Resource>, bool), Refusal> {
    let mut resources = Vec::with_capacity(spec.resources.len());
    let (mut problems, mut unknown_models) = (Problems::default(), false);
    for one in &spec.resources {
        match text(one, secrets) {
            Ok((text, is_known)) => {
                unknown_models |= !is_known;
                resources.push(Resource {
                    path: one.path.clone(),
                    text,
                    presence: None,
                    drift_policy: one.drift_policy.unwrap_or(spec.drift_policy),
                });
            }
            Err(problem) => problems.add(&one.path, problem),
        }
    }
    if problems.is_empty() {
        return Ok((resources, unknown_models));
    }
    Err(Refusal {
        reason: problems.reason(),
        message: format!("spec.resources: {}", problems.message()),
    })
}

fn instances(spec: &DeviceProfileSpec) -> Result<Vec<Resource>, Refusal> {
    let mut instances = Vec::with_capacity(spec.instances.len());
    for one in &spec.instances {
        let (path, presence) = instance(one)?;
        let is_below = |path: &str| path.starts_with(&format!("{}/", one.path));
        let mut resources = spec.resources.iter().map(|resource| &*resource.path);
        let below = resources.find(|path| is_below(path));
        if let (Presence::Absent, Some(below)) = (presence, below) {
            let why = format!("{path} is to be absent, and {below} below it is to have a value");
            return Err(Refusal::invalid("spec.instances", &why));
        }
        instances.push(Resource {
            path: path.to_string(),
            text: String::new(),
            presence: Some(presence),
            drift_policy: spec.drift_policy,
        });
    }
    Ok(instances)
}

/// The text of a value, and whether the OMA defines its resource.
fn text(resource: &ProfileResource, secrets: &Secrets) -> Result<(String, bool), Problem> {
    let source = resource.value_from.as_ref();
    let given = given(resource.value.as_deref(), source, secrets)?;
    match typed(&resource.path, given) {
        Ok((_, value)) => Ok((value.to_text(), true)),
        Err(problem) if problem.is_unknown_model() => Ok((given.text()?.to_owned(), false)),
        Err(problem) => Err(problem),
    }
}

fn observations(observations: &[DesiredObservation]) -> Result<Vec<Observation>, Refusal> {
    if observations.len() > MAX_OBSERVATIONS {
        let why = format!(
            "a profile has at most {MAX_OBSERVATIONS} of them; put the others into another DeviceProfile"
        );
        return Err(Refusal::unsupported("spec.observations", &why));
    }
    let one = |one: &DesiredObservation| Observation {
        path: one.path.clone(),
        parameters: parameters(one),
    };
    Ok(observations.iter().map(one).collect())
}

fn objects(requires: &ProfileRequirements) -> Result<Vec<u16>, Refusal> {
    const FIELD: &str = "spec.requires.objectIDs";
    if requires.object_ids.len() > MAX_OBJECTS {
        let why = format!("a profile requires at most {MAX_OBJECTS} of them; leave the others out");
        return Err(Refusal::unsupported(FIELD, &why));
    }
    let ids = requires.object_ids.iter();
    ids.map(|id| {
        u16::try_from(*id).map_err(|_| Refusal::invalid(FIELD, "is not the id of an object"))
    })
    .collect()
}
