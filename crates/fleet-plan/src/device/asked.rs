//! What an object asks for: what it says itself, and what the profiles say that it refers to.
//!
//! Of a path the object's own word counts, then that of the profile that is named last. Which devices a profile selects, by
//! which priority and what it requires of them is about those devices, not about one that refers to it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crd::desired_instance::DesiredInstance;
use crd::desired_observation::DesiredObservation;
use crd::desired_value::ValueSource;
use crd::{Device, DeviceProfile, DriftPolicy, Reason};

use crate::Refusal;
use crate::profile::unsupported;

/// Values of one device, as many as an object can have.
const MAX_RESOURCES: usize = 64;
/// Object instances of one device; likewise.
const MAX_INSTANCES: usize = 64;
/// Observations of one device; likewise.
const MAX_OBSERVATIONS: usize = 16;

/// All of it.
#[derive(Default)]
pub(super) struct Asked<'a> {
    pub(super) resources: Vec<AskedResource<'a>>,
    pub(super) instances: Vec<AskedInstance<'a>>,
    pub(super) observations: Vec<AskedObservation<'a>>,
}

/// A resource that should have a value.
pub(super) struct AskedResource<'a> {
    pub(super) path: &'a str,
    pub(super) value: Option<&'a str>,
    pub(super) source: Option<&'a ValueSource>,
    pub(super) drift: DriftPolicy,
    pub(super) of: Origin<'a>,
}

/// An object instance that should be there, or not.
pub(super) struct AskedInstance<'a> {
    pub(super) instance: &'a DesiredInstance,
    pub(super) drift: DriftPolicy,
}

/// What should be observed.
pub(super) struct AskedObservation<'a> {
    pub(super) observation: &'a DesiredObservation,
    pub(super) of: Origin<'a>,
}

/// Who says it.
#[derive(Clone, Copy)]
pub(super) enum Origin<'a> {
    Object,
    Profile(&'a str),
}

impl Origin<'_> {
    /// A path, for people.
    pub(super) fn name(self, path: &str) -> String {
        match self {
            Self::Object => path.to_owned(),
            Self::Profile(profile) => format!("{path} of the DeviceProfile {profile}"),
        }
    }
}

impl<'a> Asked<'a> {
    /// Fails if a profile is not there, asks for something that cannot be done for one device, or if it is too much.
    pub(super) fn of(
        device: &'a Device,
        profiles: &'a [Arc<DeviceProfile>],
    ) -> Result<Self, Refusal> {
        let mut asked = Self::default();
        asked.add_own(device);
        for reference in device.spec.profile_refs.iter().rev() {
            let name = reference.name.as_str();
            let mut all = profiles.iter();
            let found = all.find(|one| one.metadata.name.as_deref() == Some(name));
            let profile = found.ok_or_else(|| missing(name))?;
            unsupported(&profile.spec).map_err(|refusal| {
                refusal.of(&format!("spec.profileRefs: the DeviceProfile {name}"))
            })?;
            asked.add_profile(name, profile);
        }
        asked.fits()
    }

    fn add_own(&mut self, device: &'a Device) {
        let of = Origin::Object;
        let resources = device.spec.resources.iter();
        self.resources.extend(resources.map(|one| AskedResource {
            path: &one.path,
            value: one.value.as_deref(),
            source: one.value_from.as_ref(),
            drift: one.drift_policy,
            of,
        }));
        let instances = device.spec.instances.iter();
        self.instances
            .extend(instances.map(|instance| AskedInstance {
                instance,
                drift: DriftPolicy::Enforce,
            }));
        let observations = device.spec.observations.iter();
        self.observations
            .extend(observations.map(|observation| AskedObservation { observation, of }));
    }

    /// Adds what nobody has said anything of so far.
    fn add_profile(&mut self, name: &'a str, profile: &'a DeviceProfile) {
        let (of, spec) = (Origin::Profile(name), &profile.spec);
        let known: BTreeSet<&str> = self.resources.iter().map(|one| one.path).collect();
        let resources = spec.resources.iter();
        let resources = resources.filter(|one| !known.contains(one.path.as_str()));
        self.resources.extend(resources.map(|one| AskedResource {
            path: &one.path,
            value: one.value.as_deref(),
            source: one.value_from.as_ref(),
            drift: one.drift_policy.unwrap_or(spec.drift_policy),
            of,
        }));
        let instances = self.instances.iter();
        let known: BTreeSet<&str> = instances.map(|one| one.instance.path.as_str()).collect();
        let instances = spec.instances.iter();
        let instances = instances.filter(|one| !known.contains(one.path.as_str()));
        self.instances
            .extend(instances.map(|instance| AskedInstance {
                instance,
                drift: spec.drift_policy,
            }));
        let observations = self.observations.iter();
        let known: BTreeSet<&str> = observations
            .map(|one| one.observation.path.as_str())
            .collect();
        let observations = spec.observations.iter();
        let observations = observations.filter(|one| !known.contains(one.path.as_str()));
        self.observations
            .extend(observations.map(|observation| AskedObservation { observation, of }));
    }

    fn fits(self) -> Result<Self, Refusal> {
        for (count, most, what) in [
            (self.resources.len(), MAX_RESOURCES, "values"),
            (self.instances.len(), MAX_INSTANCES, "object instances"),
            (self.observations.len(), MAX_OBSERVATIONS, "observations"),
        ] {
            if count > most {
                return Err(Refusal {
                    reason: Reason::QuotaExceeded,
                    message: format!(
                        "spec.profileRefs: with those of the profiles there are {count} {what}, and a device has at most \
                         {most}; refer to fewer profiles"
                    ),
                });
            }
        }
        Ok(self)
    }
}

fn missing(name: &str) -> Refusal {
    Refusal {
        reason: Reason::ProfileNotFound,
        message: format!(
            "spec.profileRefs: there is no DeviceProfile {name} in the namespace; make it, or take its name out"
        ),
    }
}
