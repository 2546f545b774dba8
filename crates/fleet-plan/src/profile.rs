//! `DeviceProfile` → a profile of the state tier, and back to a status.
//!
//! 1. A spec becomes one profile under the name of the object. A spec that says anything that profiles cannot do is not
//!    accepted, and told which field it is; what was put there before stays.
//! 2. Whose a profile is says its description. One of the same name that nobody's object has made is left alone.
//! 3. The state tier holds what a generation says as long as the revision that came of it stands: texts of values are
//!    brought into a form of their own there, and cannot be compared.
//! 4. A spec that selects nobody is for the `Device`s that refer to it: it is checked, and the state tier holds no profile of it.
//! 5. Values of Secrets are put as they were found. Of which versions they are stands in the status, so that another version
//!    is put as well.
//! 6. Which devices are in it, and what is written to them, is for the state tier. The status is what was observed; after
//!    an action the caller observes and plans again before it writes the status.

mod compile;
mod status;

use std::fmt;

use crd::device_profile::DeviceProfileSpec;
use crd::{DeviceProfile, DeviceProfileStatus, DriftPolicy, Reason};
use device_state::Presence;
use device_state::profile::ProfileRollout;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use self::compile::compile;
use self::status::Report;
use crate::conditions::differs;
use crate::owner::{APPLIED, Owner, checked_name, is_sound_name};
use crate::secrets::Secrets;
use crate::selection::ReadFilter;
use crate::{Pace, Refusal};

/// What profiles that objects have made have as their description.
pub const OWNER: Owner = Owner::new("deviceprofiles.drover.dev");

/// A profile as it is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Who has made it.
    pub description: String,
    /// Whom it is for; empty: everybody.
    pub filter: String,
    /// The group that it is for; empty: none.
    pub group: String,
    /// The higher one counts.
    pub priority: i32,
    /// Whether changes wait.
    pub paused: bool,
    /// How a change goes through the devices; `None`: to all at once.
    pub rollout: Option<ProfileRollout>,
    /// What devices are to have.
    pub resources: Vec<Resource>,
    /// What devices are to report.
    pub observations: Vec<Observation>,
    /// Objects that a device has to register.
    pub objects: Vec<u16>,
    /// The release of LwM2M that it has to speak; empty: any.
    pub minimum_version: String,
    /// Of the profile that it replaces; empty: there is none.
    pub etag: String,
}

/// A value that devices are to have, or an object instance that is to be there or not. Printed, it has no value: that may be of a Secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Resource {
    /// Of which resource, or which instance.
    pub path: String,
    /// The value; empty for an instance.
    pub text: String,
    /// Whether it is to be there, if it is an instance.
    pub presence: Option<Presence>,
    /// What happens when a device has another one.
    pub drift_policy: DriftPolicy,
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource")
            .field("path", &self.path)
            .field("drift_policy", &self.drift_policy)
            .finish_non_exhaustive()
    }
}

/// Something that devices are to report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// What.
    pub path: String,
    /// When: `pmin=60&pmax=3600`.
    pub parameters: String,
}

/// A profile as the state tier tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub name: String,
    /// Who has made it.
    pub description: String,
    /// By which it is known to be unchanged.
    pub etag: String,
    /// Counts its changes.
    pub revision: u64,
    /// Whether all devices were looked at since the last one, and had their turn.
    pub applied: bool,
    /// Why devices wait, other than for others.
    pub hold: Option<Hold>,
    /// How many devices are how far.
    pub counts: Counts,
    /// Other profiles with the same paths.
    pub overlaps: Vec<Overlap>,
}

/// How many devices are how far; each is in one of these but `matched`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub matched: u64,
    /// Everything is confirmed.
    pub in_sync: u64,
    /// Something is not written yet.
    pub pending: u64,
    /// Something is reported with another value.
    pub drifted: u64,
    /// Something was refused.
    pub rejected: u64,
    /// It lacks what is required.
    pub unsupported: u64,
    /// Others count for all of its paths.
    pub superseded: u64,
    /// It was not their turn yet.
    pub waiting: u64,
    /// It was their turn, and they are not registered.
    pub unregistered: u64,
}

/// Why no device has its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// No window is open.
    Window,
    /// Too many devices have refused something.
    Failures,
}

/// A path of which another profile says something, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The other one.
    pub profile: String,
    /// Of what.
    pub path: String,
    /// Whether the other one counts.
    pub wins: bool,
}

/// A device that refused something.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    /// Its endpoint name.
    pub endpoint: String,
    /// What it refused.
    pub path: String,
    /// Its answer, for example 4.05.
    pub coap_code: String,
    /// What it said.
    pub diagnostic: String,
    /// When.
    pub since: Option<Time>,
}

/// What the state tier told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The profile of the object's name.
    pub stored: Option<Stored>,
    /// Whether that is what was just put.
    pub was_put: bool,
    /// Whether the group that the object names is there; without one it does not matter.
    pub has_group: bool,
    /// Some of the devices that refused something, if they were asked for.
    pub rejected: Vec<Rejected>,
    /// Why the state tier did not take it.
    pub refused: Option<Refusal>,
    /// The Secrets that the object names, as far as they are there.
    pub secrets: Secrets,
}

/// What follows from a spec and an observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The profile that is to be put.
    pub put: Option<Profile>,
    /// The profile that is not to be there any more: the object selects nobody.
    pub delete: Option<Stored>,
    /// Whether devices that refused something are to be asked for.
    pub wants_rejected: bool,
    /// What the status should be.
    pub status: DeviceProfileStatus,
    /// When to look again.
    pub pace: Pace,
}

impl Plan {
    /// The status, if it differs from what `profile` has; conditions of others do not count.
    pub fn status_change(&self, profile: &DeviceProfile) -> Option<&DeviceProfileStatus> {
        let (known, rows) = (profile.status.as_ref(), DeviceProfile::CONDITIONS);
        let differs = differs(known, &self.status, rows, |status| &mut status.conditions);
        differs.then_some(&self.status)
    }
}

/// Whether an object selects nobody, and is for those who refer to it.
pub const fn is_by_reference(profile: &DeviceProfile) -> bool {
    let spec = &profile.spec;
    spec.selector.is_none() && spec.group_ref.is_none()
}

/// Fails if a spec asks for something that cannot be done for `Device`s that name its object.
pub(crate) fn unsupported(spec: &DeviceProfileSpec) -> Result<(), Refusal> {
    compile::not_by_reference(spec)
}

/// The name of the profile of an object.
pub fn name(profile: &DeviceProfile) -> Result<String, Refusal> {
    checked_name(&profile.metadata)
}

/// The group that an object names, if the state tier can have one of that name.
pub fn group(profile: &DeviceProfile) -> Option<&str> {
    let name = &profile.spec.group_ref.as_ref()?.name;
    is_sound_name(name).then_some(name)
}

/// Decides what to do about a profile and what its status should be. `now` is the wall clock and only stands in conditions
/// whose status has changed.
pub fn plan(
    profile: &DeviceProfile,
    observed: &Observed,
    read_filter: ReadFilter,
    now: &Time,
) -> Plan {
    let report = Report::new(profile, now);
    let (wanted, unknown_models) = match compile(profile, read_filter, &observed.secrets) {
        Ok(compiled) => compiled,
        Err(refusal) => return refused(report, &refusal),
    };
    if is_by_reference(profile) {
        return by_reference(report, profile, &wanted, observed.stored.as_ref());
    }
    if let Some(refusal) = &observed.refused {
        return refused(report, &of_models(refusal.clone(), unknown_models));
    }
    match &observed.stored {
        Some(stored) if OWNER.maker(&stored.description).is_none() => {
            refused(report, &conflict(&wanted.name))
        }
        Some(stored) if holds(profile, &wanted, stored, observed) => Plan {
            put: None,
            delete: None,
            wants_rejected: stored.counts.rejected > 0,
            pace: pace(profile, stored),
            status: DeviceProfileStatus {
                secrets: observed.secrets.versions(),
                ..report.follows(profile, stored, &observed.rejected)
            },
        },
        stored => match missing_group(profile, observed) {
            Some(refusal) => refused(report, &refusal),
            None => Plan {
                put: Some(Profile {
                    etag: stored
                        .as_ref()
                        .map_or_else(String::new, |stored| stored.etag.clone()),
                    ..wanted
                }),
                delete: None,
                wants_rejected: false,
                pace: Pace::Running,
                status: report.begins(profile),
            },
        },
    }
}

/// Nothing is to be in the state tier of an object that selects nobody. What people have made there under its name stays.
fn by_reference(
    report: Report<'_>,
    profile: &DeviceProfile,
    wanted: &Profile,
    stored: Option<&Stored>,
) -> Plan {
    let is_of_objects = |stored: &&Stored| {
        let maker = OWNER.maker(&stored.description);
        stored.description == wanted.description || maker.is_some_and(|maker| maker != APPLIED)
    };
    Plan {
        put: None,
        delete: stored.filter(is_of_objects).cloned(),
        wants_rejected: false,
        status: report.by_reference(profile),
        pace: Pace::Resting,
    }
}

/// Whether the state tier holds what this generation says, because it was put there and nobody has changed it since.
fn holds(profile: &DeviceProfile, wanted: &Profile, stored: &Stored, observed: &Observed) -> bool {
    if stored.description != wanted.description {
        return false;
    }
    let Some(status) = &profile.status else {
        return observed.was_put;
    };
    let stands = status.state_revision.as_deref() == Some(&*stored.revision.to_string())
        && status.secrets == observed.secrets.versions();
    observed.was_put || (stands && status.observed_generation == profile.metadata.generation)
}

fn pace(profile: &DeviceProfile, stored: &Stored) -> Pace {
    let goes_on = !stored.applied || stored.counts.pending > 0;
    if goes_on && !profile.spec.paused && stored.hold.is_none() {
        Pace::Running
    } else {
        Pace::Counting
    }
}

fn missing_group(profile: &DeviceProfile, observed: &Observed) -> Option<Refusal> {
    let reference = profile.spec.group_ref.as_ref()?;
    (!observed.has_group).then(|| Refusal {
        reason: Reason::GroupNotFound,
        message: format!(
            "spec.groupRef: the state tier has no group {}; a DeviceGroup of that name that is accepted makes one",
            reference.name
        ),
    })
}

/// What the state tier refuses of a spec with objects that only it may know.
fn of_models(refusal: Refusal, unknown_models: bool) -> Refusal {
    match refusal.reason {
        Reason::InvalidValue if unknown_models => Refusal {
            reason: Reason::UnknownObjectModel,
            ..refusal
        },
        _ => refusal,
    }
}

fn conflict(name: &str) -> Refusal {
    Refusal {
        reason: Reason::IdentityConflict,
        message: format!(
            "the state tier has a profile {name} that no DeviceProfile has made; delete it there, or give this object \
             another name"
        ),
    }
}

fn refused(report: Report<'_>, refusal: &Refusal) -> Plan {
    Plan {
        put: None,
        delete: None,
        wants_rejected: false,
        status: report.refused(refusal),
        pace: refusal.pace(),
    }
}

#[cfg(test)]
mod tests;
