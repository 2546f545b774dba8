//! `Device` → desired state of one endpoint, and back to a status.
//!
//! 1. The endpoint name and the desired values are checked and typed by the object definitions;
//!    of several objects with one endpoint name the oldest counts. Otherwise nothing is sent.
//! 2. The policy says whether the state tier should hold the values (`Managed`), hold none of
//!    them (`ObserveOnly`) or be left as it is (`Suspended`).
//! 3. What the state tier holds is compared by content, never by generation alone:
//!    `metadata.generation` starts again at 1 when an object is deleted and made anew, while the
//!    state tier refuses anything older than what it has seen. A change is sent one above the
//!    stored generation.
//! 4. The status is what was observed. After an action the caller observes and plans again before
//!    it writes the status.

mod accept;
mod observe_only;
mod status;

use crd::{Device, DeviceStatus, DriftPolicy, ManagementPolicy};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use lwm2m::{EndpointName, Path, Value};

use self::accept::{Refusal, accept};
use self::status::Report;
use crate::conditions::differs;

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
}

/// A live registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The last segment of its location.
    pub id: String,
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

/// A desired resource as the state tier holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredResource {
    /// Which resource.
    pub path: Path,
    /// Its desired value in the canonical text form.
    pub text: String,
    /// What happens when the device tells another value.
    pub drift: DriftPolicy,
    /// How far the device is.
    pub state: StoredState,
}

/// A desired resource as the spec has it.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedResource {
    /// Which resource.
    pub path: Path,
    /// Its value.
    pub value: Value,
    /// What happens when the device tells another value.
    pub drift: DriftPolicy,
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

/// Another `Device` with the same endpoint name.
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

    /// Older objects come first; one without a creation time is not stored yet and comes last.
    fn seniority(&self) -> (bool, Option<&Time>, &str) {
        (self.created.is_none(), self.created.as_ref(), &self.uid)
    }
}

/// What is to be done in the state tier.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Replace the whole desired set of an endpoint. Generation 0 with an empty set withdraws it.
    SetDesired {
        /// Whose.
        endpoint: EndpointName,
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
}

impl Plan {
    /// The status, if it differs from what `device` has; conditions of others do not count.
    pub fn status_change(&self, device: &Device) -> Option<&DeviceStatus> {
        let (known, rows) = (device.status.as_ref(), Device::CONDITIONS);
        let differs = differs(known, &self.status, rows, |status| &mut status.conditions);
        differs.then_some(&self.status)
    }
}

/// Decides what to do about a device and what its status should be.
///
/// `rivals` are the other objects with the same endpoint name, in all namespaces; `now` is the
/// wall clock and only stands in conditions whose status has changed.
pub fn plan(device: &Device, rivals: &[Rival], observed: &Observed, now: &Time) -> Plan {
    let mut report = Report::new(device, now);
    let accepted = match accept(device, rivals) {
        Ok(accepted) => accepted,
        Err(refusal) => return refused(report, observed, &refusal),
    };
    report.accepted();
    report.registration(observed);
    let mut actions = Vec::new();
    match device.spec.management_policy {
        ManagementPolicy::Managed => {
            let generation = generation_to_send(device, observed);
            // Without values of its own, now and before, an object leaves the set of others alone.
            let foreign = accepted.resources.is_empty() && owned_generation(device).is_none();
            if foreign || holds(observed, &accepted.resources) {
                report.owns(observed, accepted.resources.len());
            } else {
                actions.push(Action::SetDesired {
                    endpoint: accepted.endpoint,
                    generation,
                    resources: accepted.resources.clone(),
                });
                report.owns_generation(generation);
            }
            report.managed(observed, &accepted.resources);
        }
        ManagementPolicy::ObserveOnly => {
            actions.extend(release(device, observed));
            report.owns_nothing();
            report.observed_only(observed, &accepted.resources);
        }
        ManagementPolicy::Suspended => report.suspended(),
    }
    Plan {
        actions,
        status: report.finish(),
    }
}

/// What to do about the desired set of a device whose object is gone or only observes: withdraw
/// it, if the set is the one that this object has put there.
///
/// The values stay on the device; only the wish to have them ends.
pub fn release(device: &Device, observed: &Observed) -> Option<Action> {
    let owned = owned_generation(device)?;
    let stands = u64::try_from(owned) == Ok(observed.desired_generation);
    let endpoint = EndpointName::new(&device.spec.endpoint_name).ok()?;
    stands.then_some(Action::SetDesired {
        endpoint,
        generation: 0,
        resources: Vec::new(),
    })
}

/// The generation under which this object's values stand in the state tier.
fn owned_generation(device: &Device) -> Option<i64> {
    device.status.as_ref()?.desired_generation
}

fn refused(mut report: Report<'_>, observed: &Observed, refusal: &Refusal) -> Plan {
    match refusal {
        Refusal::IdentityConflict { .. } => report.foreign(),
        Refusal::UnknownObjectModel { .. } | Refusal::InvalidValue { .. } => {
            report.registration(observed);
        }
    }
    report.refused(refusal);
    Plan {
        actions: Vec::new(),
        status: report.finish(),
    }
}

/// Whether the state tier holds exactly these values.
fn holds(observed: &Observed, wanted: &[WantedResource]) -> bool {
    let stored = |wanted: &WantedResource| {
        let text = wanted.value.to_text();
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
