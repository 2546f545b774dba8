//! `Device` → desired state of one endpoint, and back to a status.
//!
//! 1. The endpoint name and the desired values are checked and typed by the object definitions;
//!    of several objects with one endpoint name the oldest counts. Values are the object's own and those
//!    of the profiles that it refers to, and may be of Secrets; all of these have to be there. Otherwise
//!    nothing is sent.
//! 2. The policy says whether the state tier should hold the values (`Managed`), hold none of
//!    them (`ObserveOnly`) or be left as it is (`Suspended`).
//! 3. What the state tier holds is compared by content, never by generation alone:
//!    `metadata.generation` starts again at 1 when an object is deleted and made anew, while the
//!    state tier refuses anything older than what it has seen. A change is sent one above the
//!    stored generation.
//! 4. The labels of the object are labels of the device, and its observations stand in the state
//!    tier, whatever the policy, unless it is `Suspended`; and so does what its device proves itself
//!    by. The status says which of them this object has set, so that those of others stay.
//! 5. With a deadline for the delivery, the object is told as late once something is outstanding for so
//!    long; since when it is stands in the status, so that no restart of the operator loses it. What is
//!    desired stays.
//! 6. The status is what was observed. After an action the caller observes and plans again before
//!    it writes the status.

mod accept;
mod asked;
mod credential;
mod deadline;
mod farewell;
mod firmware;
mod labels;
mod observations;
mod observe_only;
mod status;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crd::{
    AdoptionPolicy, DeletionPolicy, Device, DeviceProfile, DeviceStatus, DriftPolicy,
    ManagementPolicy, Reason,
};
use device_state::{CredentialId, Goal};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use lwm2m::{NotificationAttributes, Path};

use self::accept::{Accepted, accept, was_accepted};
use self::status::Report;
use crate::Refusal;
use crate::conditions::differs;
use crate::pause::is_paused;
use crate::secrets::{self, Secrets};

pub use self::credential::{Proof, StoredCredential, WantedCredential, revocation};
pub use self::farewell::{
    Farewell, farewell, is_overdue, not_forgotten, reset, wants_finalizer, wiping,
};

/// What the state tier knows of the endpoint of a `Device`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The live registration.
    pub registration: Option<Registration>,
    /// How the last registration ended, if that was seen.
    pub ended: Option<RegistrationEnd>,
    /// The desired set.
    pub desired: Vec<StoredResource>,
    /// The generation of the desired set; 0 if there never was one or it was withdrawn.
    pub desired_generation: u64,
    /// The newest known values.
    pub values: Vec<ReportedValue>,
    /// The object instances that it registered with.
    pub instances: Vec<Path>,
    /// Whether anything is known of the device.
    pub is_known: bool,
    /// The labels of the device.
    pub labels: BTreeMap<String, String>,
    /// The campaign that says which firmware it should have.
    pub firmware: Option<FirmwareCampaign>,
    /// What is observed of it, one path each. Only looked at if the object wants or wanted any.
    pub observations: Vec<StoredObservation>,
    /// What the device may prove itself by. Only looked at if the object has or had something to say of that.
    pub credentials: Vec<StoredCredential>,
    /// Those that the state tier has just said to be gone, or not to be what the object has put there.
    pub revoked: Vec<CredentialId>,
    /// Why the state tier did not take what the object asks for.
    pub refused: Option<Refusal>,
}

/// The campaign that says which firmware a device should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirmwareCampaign {
    /// Its name.
    pub name: String,
    /// The version that the device is to run.
    pub version: String,
    /// How far the device is.
    pub progress: FirmwareProgress,
    /// Why it failed or was left out.
    pub reason: String,
}

/// How far a device is in a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirmwareProgress {
    /// It waits for its turn, or to wake up.
    Scheduled,
    /// It gets the image, or installs it.
    Updating,
    /// It ran the version.
    Succeeded,
    /// It did not get there.
    Failed,
    /// It was left out, or the campaign ended before it had the image.
    LeftOut,
}

/// A live registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The last segment of its location.
    pub id: String,
    /// When the device registered.
    pub since: Option<Time>,
    /// Seconds without an Update that it lives; 0 is for ever.
    pub lifetime_seconds: u32,
    /// LwM2M version, for example 1.1.
    pub version: String,
    /// The binding as registered; a Q in it is queue mode.
    pub binding: String,
    /// UDP or DTLS.
    pub transport: String,
}

/// How a registration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationEnd {
    /// Its lifetime ran out.
    Expired,
    /// The device deregistered.
    Deregistered,
}

/// A desired resource or object instance as the state tier holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredResource {
    /// Which one.
    pub path: Path,
    /// Its desired value in the canonical text form; `present` or `absent` of an instance.
    pub text: String,
    /// What happens when the device tells another value.
    pub drift: DriftPolicy,
    /// How far the device is.
    pub state: StoredState,
}

/// A desired resource or object instance as the spec has it.
#[derive(Clone, PartialEq)]
pub struct WantedResource {
    /// Which one.
    pub path: Path,
    /// Its value, or whether it is there.
    pub goal: Goal,
    /// What happens when the device tells another value.
    pub drift: DriftPolicy,
    /// Whether the value is of a Secret, and shown to nobody.
    pub is_secret: bool,
}

impl fmt::Debug for WantedResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("WantedResource");
        shown.field("path", &self.path).field("drift", &self.drift);
        if self.is_secret {
            return shown.finish_non_exhaustive();
        }
        shown.field("goal", &self.goal).finish()
    }
}

/// How far a device is from a desired value.
#[derive(Clone, Debug, PartialEq)]
pub enum StoredState {
    /// The write waits or is under way.
    Pending,
    /// The device confirmed it.
    InSync,
    /// The device told another value afterwards.
    Drifted,
    /// The device refused it.
    Rejected {
        /// CoAP code, for example 4.05.
        coap_code: String,
        /// What the device said.
        diagnostic: String,
        /// When.
        since: Option<Time>,
    },
}

/// A value that a device reported.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportedValue {
    /// Of which resource.
    pub path: Path,
    /// The value in the canonical text form.
    pub text: String,
}

/// An observation as the state tier holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredObservation {
    /// What is observed.
    pub path: Path,
    /// When the device reports.
    pub parameters: NotificationAttributes,
    /// Whether somebody has asked for it for good, as objects do.
    pub declared: bool,
    /// Whether profiles or callers observe it, too.
    pub has_others: bool,
}

/// An observation as the spec has it.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedObservation {
    /// What to observe.
    pub path: Path,
    /// When the device is to report.
    pub parameters: NotificationAttributes,
}

/// What a `Device` is among in its namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surroundings {
    /// The other objects with the same endpoint name.
    pub rivals: Vec<Rival>,
    /// The profiles that it refers to, as far as they are there.
    pub profiles: Vec<Arc<DeviceProfile>>,
    /// The Secrets that it and those profiles take values from, as far as they are there.
    pub secrets: Secrets,
}

/// Another `Device` of the namespace with the same endpoint name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    /// `metadata.creationTimestamp`.
    pub created: Option<Time>,
    /// `metadata.uid`.
    pub uid: String,
    /// `namespace/name`, for the message.
    pub name: String,
}

impl Rival {
    /// A device as its rivals see it.
    pub fn from_device(device: &Device) -> Self {
        let metadata = &device.metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let name = metadata.name.as_deref().unwrap_or_default();
        Self {
            created: metadata.creation_timestamp.clone(),
            uid: metadata.uid.clone().unwrap_or_default(),
            name: format!("{namespace}/{name}"),
        }
    }

    /// The older one is less.
    pub fn by_seniority(&self, other: &Self) -> Ordering {
        self.seniority().cmp(&other.seniority())
    }

    /// Older objects come first; one without a creation time is not stored yet and comes last.
    fn seniority(&self) -> (bool, Option<&Time>, &str) {
        (self.created.is_none(), self.created.as_ref(), &self.uid)
    }
}

/// What is to be done in the state tier about the endpoint of a `Device`.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Change labels of the device, which becomes known by that.
    SetLabels {
        /// These get values.
        set: BTreeMap<String, String>,
        /// These go.
        remove: BTreeSet<String>,
    },
    /// Ask for an observation, or change the one of the path.
    PutObservation {
        /// What to observe.
        path: Path,
        /// When the device is to report.
        parameters: NotificationAttributes,
    },
    /// Take an observation back.
    DeleteObservation {
        /// Which one.
        path: Path,
    },
    /// Store what the device proves itself by, unless it is another device's.
    AddCredential(WantedCredential),
    /// Remove something that the device proves itself by.
    DeleteCredential {
        /// Which one.
        id: CredentialId,
        /// As it was seen.
        etag: String,
    },
    /// Replace the whole desired set of an endpoint. Generation 0 with an empty set withdraws it.
    SetDesired {
        /// Above the stored one, so that it is never refused as old.
        generation: u64,
        /// By path.
        resources: Vec<WantedResource>,
    },
}

/// What follows from a spec and an observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// To do, in this order.
    pub actions: Vec<Action>,
    /// What the status should be.
    pub status: DeviceStatus,
    /// How long until the deadline of the delivery, if it runs.
    pub until_deadline: Option<Duration>,
}

impl Plan {
    /// The status, if it differs from what `device` has; conditions of others do not count.
    pub fn status_change(&self, device: &Device) -> Option<&DeviceStatus> {
        let (known, rows) = (device.status.as_ref(), Device::CONDITIONS);
        let differs = differs(known, &self.status, rows, |status| &mut status.conditions);
        differs.then_some(&self.status)
    }
}

/// Of what the state tier knows of a device, what is only looked at if it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matters {
    /// [`Observed::observations`].
    pub observations: bool,
    /// [`Observed::credentials`].
    pub credentials: bool,
}

/// What matters for an object that refers to these profiles.
pub fn matters(device: &Device, profiles: &[Arc<DeviceProfile>]) -> Matters {
    Matters {
        observations: !device.spec.observations.is_empty()
            || profiles.iter().any(|one| !one.spec.observations.is_empty())
            || observations::owned(device).next().is_some(),
        credentials: device.spec.credential_secret_ref.is_some()
            || credential::owned(device).next().is_some(),
    }
}

/// The names of the profiles that an object refers to, in their order.
pub fn profiles(device: &Device) -> impl Iterator<Item = &str> {
    device.spec.profile_refs.iter().map(|one| one.name.as_str())
}

/// The names of the Secrets that an object and the profiles that it refers to take values from.
pub fn named_secrets<'a>(
    device: &'a Device,
    profiles: &'a [Arc<DeviceProfile>],
) -> BTreeSet<&'a str> {
    let of_profiles = profiles.iter().flat_map(|one| secrets::of_profile(one));
    secrets::of_device(device)
        .into_iter()
        .chain(of_profiles)
        .collect()
}

/// Decides what to do about a device and what its status should be.
///
/// `now` is the wall clock and only stands in what has changed; and tells whether the deadline of the delivery is over.
pub fn plan(device: &Device, around: &Surroundings, observed: &Observed, now: &Time) -> Plan {
    let mut report = Report::new(device, now);
    let accepted = match accept(device, around, observed) {
        Ok(accepted) => accepted,
        Err(refusal) => return refused(report, observed, &refusal),
    };
    report.accepted();
    report.registration(observed);
    report.firmware(observed);
    let mut actions = Vec::new();
    let mut until_deadline = None;
    let held = around.profiles.iter().find(|one| waits(one));
    match device.spec.management_policy {
        ManagementPolicy::Suspended => report.suspended(),
        ManagementPolicy::Managed | ManagementPolicy::ObserveOnly if held.is_some() => {
            let name = held.and_then(|held| held.metadata.name.as_deref());
            report.held(name.unwrap_or_default());
        }
        ManagementPolicy::Managed => {
            actions.extend(desired(device, observed, &accepted, &mut report));
            actions.extend(attached(device, observed, &accepted, &mut report));
            report.managed(observed, &accepted);
            until_deadline = report.delivered(device, observed, &accepted);
        }
        ManagementPolicy::ObserveOnly => {
            actions.extend(withdrawal(device, observed));
            actions.extend(attached(device, observed, &accepted, &mut report));
            report.owns_nothing();
            report.observed_only(observed, &accepted);
        }
    }
    if !actions.is_empty() {
        report.applying();
    }
    Plan {
        actions,
        status: report.finish(),
        until_deadline,
    }
}

/// Whether changes of a profile wait, and so those of the objects that refer to it.
fn waits(profile: &DeviceProfile) -> bool {
    profile.spec.paused || is_paused(&profile.metadata)
}

/// Labels, observations and what the device proves itself by.
fn attached(
    device: &Device,
    observed: &Observed,
    accepted: &Accepted,
    report: &mut Report<'_>,
) -> Vec<Action> {
    let credential = accepted.credential.as_ref();
    report.attached(
        labels::own(device, observed, &accepted.labels),
        observations::own(device, observed, &accepted.observations),
        credential::own(device, observed, credential),
    );
    let labels = labels::change(device, observed, &accepted.labels);
    let observations = observations::changes(device, observed, &accepted.observations);
    let credentials = credential::changes(device, observed, credential);
    labels
        .into_iter()
        .chain(observations)
        .chain(credentials)
        .collect()
}

fn desired(
    device: &Device,
    observed: &Observed,
    accepted: &Accepted,
    report: &mut Report<'_>,
) -> Option<Action> {
    // Without values of its own, now and before, an object leaves the set of others alone.
    let foreign = accepted.resources.is_empty() && owned_generation(device).is_none();
    if foreign || holds(observed, &accepted.resources) {
        report.owns(observed, accepted.resources.len());
        return None;
    }
    let generation = generation_to_send(device, observed);
    report.owns_generation(generation);
    Some(Action::SetDesired {
        generation,
        resources: accepted.resources.clone(),
    })
}

/// What to do about a device whose object is gone: what the object has put there ends, but for what its `heir` wants, the
/// object that the device is of from now on, with what that is among.
///
/// The values stay on the device; only the wish to have them ends.
pub fn release(
    device: &Device,
    observed: &Observed,
    heir: Option<(&Device, &Surroundings)>,
) -> Vec<Action> {
    // What an heir says whose spec cannot be in force does not count.
    let heir = heir.filter(|(heir, _)| heir.spec.management_policy != ManagementPolicy::Suspended);
    let heir = heir.and_then(|(heir, around)| accept(heir, around, observed).ok());
    let (labels, kept) = heir.as_ref().map_or_else(Default::default, |heir| {
        (heir.labels.clone(), heir.observations.clone())
    });
    let has_values = heir.is_some_and(|heir| !heir.resources.is_empty());
    let mut actions: Vec<Action> = withdrawal(device, observed)
        .filter(|_| !has_values)
        .into_iter()
        .collect();
    // What the heir wants and is not there yet it asks for itself.
    actions.extend(labels::removal(device, observed, &labels));
    actions.extend(observations::removal(device, observed, &kept));
    actions
}

/// The status to write before anything is done, if there has to be one: what an object puts into the state tier must be
/// known to be its own, whatever happens then.
pub fn claim(device: &Device, plan: &Plan) -> Option<DeviceStatus> {
    if plan.actions.is_empty() || !accept::is_accepted(&plan.status) {
        return None;
    }
    let known = device.status.clone().unwrap_or_default();
    let is_strict = device.spec.adoption_policy != AdoptionPolicy::Adopt
        || device.spec.deletion_policy != DeletionPolicy::Retain;
    let union = |known: &[String], planned: &[String]| {
        let all: BTreeSet<String> = known.iter().chain(planned).cloned().collect();
        all.into_iter().collect::<Vec<_>>()
    };
    let labels = union(&known.labels, &plan.status.labels);
    let observations = union(&known.observations, &plan.status.observations);
    let credentials = &plan.status.credentials;
    let adds = plan
        .actions
        .iter()
        .any(|one| matches!(one, Action::AddCredential(_)));
    let claims_more = labels.len() > known.labels.len()
        || observations.len() > known.observations.len()
        || adds && known.credentials != *credentials;
    let begins = is_strict && !was_accepted(device);
    (claims_more || begins).then(|| DeviceStatus {
        labels,
        observations,
        ..plan.status.clone()
    })
}

/// Whether [`release`] may have anything to do.
pub fn owns_something(device: &Device) -> bool {
    device.status.as_ref().is_some_and(|status| {
        status.desired_generation.is_some()
            || !status.labels.is_empty()
            || !status.observations.is_empty()
    })
}

/// Withdraws the desired set, if it is the one that this object has put there.
fn withdrawal(device: &Device, observed: &Observed) -> Option<Action> {
    let owned = owned_generation(device)?;
    let stands = u64::try_from(owned) == Ok(observed.desired_generation);
    stands.then_some(Action::SetDesired {
        generation: 0,
        resources: Vec::new(),
    })
}

/// The generation under which this object's values stand in the state tier.
fn owned_generation(device: &Device) -> Option<i64> {
    device.status.as_ref()?.desired_generation
}

fn refused(mut report: Report<'_>, observed: &Observed, refusal: &Refusal) -> Plan {
    if matches!(
        refusal.reason,
        Reason::IdentityConflict | Reason::AlreadyKnown
    ) {
        report.foreign(refusal.reason);
    } else {
        report.registration(observed);
        report.firmware(observed);
    }
    report.refused(refusal);
    Plan {
        actions: Vec::new(),
        status: report.finish(),
        until_deadline: None,
    }
}

/// Whether the state tier holds exactly these values.
fn holds(observed: &Observed, wanted: &[WantedResource]) -> bool {
    let stored = |wanted: &WantedResource| {
        let text = wanted.goal.to_text();
        observed.desired.iter().any(|stored| {
            stored.path == wanted.path && stored.text == text && stored.drift == wanted.drift
        })
    };
    observed.desired.len() == wanted.len() && wanted.iter().all(stored)
}

fn generation_to_send(device: &Device, observed: &Observed) -> u64 {
    let own = device
        .metadata
        .generation
        .and_then(|own| u64::try_from(own).ok())
        .unwrap_or(1);
    own.max(observed.desired_generation.saturating_add(1))
}

#[cfg(test)]
mod tests;
