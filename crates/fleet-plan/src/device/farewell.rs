//! What becomes of a device while its object is being deleted.
//!
//! An object of another policy than `Retain` is held by a finalizer until its device is forgotten. That ends in any case: a
//! device that sleeps holds its object, and the namespace that it is in, for `wipeDeadlineSeconds` at most.

use std::time::Duration;

use crd::{DeletionPolicy, Device, DeviceSpec, DeviceStatus, ManagementPolicy, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use lwm2m::Path;

use super::Rival;
use super::accept::{is_accepted, is_taken, older, was_accepted};
use super::status::Report;
use crate::Refusal;
use crate::announcement::{Announcement, Urgency};
use crate::operation::{Ask, Outcome, Request};

/// Factory Reset.
// LwM2M-Core 1.2 appendix E.4, object Device.
const FACTORY_RESET: Path = Path::Resource(3, 0, 5);

/// What is next for an object that is being deleted.
#[derive(Clone, Debug, PartialEq)]
pub enum Farewell {
    /// It may go; what it asked for ends as that of any object that is gone.
    Leave,
    /// The device is to be reset.
    Reset(Box<Ask>),
    /// The device was asked to be reset.
    Follow {
        /// The operation of the state tier.
        id: String,
        /// Whether it is to be cancelled, if it waits still.
        overdue: bool,
    },
    /// What is known of the device is to be forgotten.
    Forget,
}

/// What is next for an object that is being deleted. One that is not about its device, or that has no effect at present,
/// leaves the device as it is.
pub fn farewell(device: &Device, rivals: &[Rival], now: &Time) -> Farewell {
    let is_in_force = device.spec.management_policy != ManagementPolicy::Suspended
        && was_accepted(device)
        && older(device, rivals).is_none()
        && accepted(device).is_ok();
    if !is_in_force {
        return Farewell::Leave;
    }
    match device.spec.deletion_policy {
        DeletionPolicy::Retain => Farewell::Leave,
        DeletionPolicy::Deregister => Farewell::Forget,
        DeletionPolicy::Wipe => wipe(device, now),
    }
}

fn wipe(device: &Device, now: &Time) -> Farewell {
    let asked = device.status.as_ref();
    let asked = asked.and_then(|status| status.wipe_operation.clone());
    let left = left(device, now);
    match (asked, left) {
        (Some(id), left) => Farewell::Follow {
            id,
            overdue: left.is_none(),
        },
        (None, None) => Farewell::Forget,
        (None, Some(deadline)) => Farewell::Reset(Box::new(Ask {
            endpoint: device.spec.endpoint_name.clone(),
            request: Request::Execute {
                path: FACTORY_RESET,
                arguments: String::new(),
            },
            deadline,
            immediate: false,
            // An operator that was away for long between asking and telling resets the device again: what it has after that
            // is the same.
            request_id: format!(
                "wipe-{}",
                device.metadata.uid.as_deref().unwrap_or_default()
            ),
        })),
    }
}

/// How long the deletion waits still.
fn left(device: &Device, now: &Time) -> Option<Duration> {
    let seconds = device.spec.wipe_deadline_seconds;
    let seconds = seconds.unwrap_or(DeviceSpec::WIPE_DEADLINE_SECONDS);
    let began = device.metadata.deletion_timestamp.as_ref().unwrap_or(now);
    let end = began.0.as_second().saturating_add(seconds);
    let left = u64::try_from(end.saturating_sub(now.0.as_second())).ok()?;
    (left > 0).then(|| Duration::from_secs(left))
}

/// The status of an object whose device is being reset by an operation.
pub fn wiping(device: &Device, id: &str, now: &Time) -> DeviceStatus {
    Report::new(device, now).wiping(id)
}

/// What people are told of the device of an object that is being deleted, once it was asked to be reset and that has ended.
pub fn reset(outcome: &Outcome) -> Announcement {
    if matches!(outcome, Outcome::Succeeded(_)) {
        let note = "the device was reset, and is forgotten";
        return Announcement::new(Urgency::Information, "Wipe", "DeviceReset", note);
    }
    let note = "the device was not reset, and is forgotten all the same";
    Announcement::new(Urgency::Warning, "Wipe", "DeviceNotReset", note)
}

/// What people are told if the object goes although its device is not forgotten.
pub fn not_forgotten(why: &str) -> Announcement {
    let note = format!("the object goes, and its device is not forgotten: {why}");
    Announcement::new(Urgency::Warning, "Forget", "DeviceNotForgotten", &note)
}

/// Whether an object has to stay until [`farewell`] was carried out, going by the status that it gets. One that stays already
/// does so while its device is of it, also if it cannot be in force any more: its Secrets may go first.
pub fn wants_finalizer(device: &Device, status: &DeviceStatus) -> bool {
    let finalizers = device.metadata.finalizers.iter().flatten();
    let is_held = || finalizers.clone().any(|one| one == Device::FINALIZER);
    device.spec.deletion_policy != DeletionPolicy::Retain
        && (is_accepted(status) || is_held() && is_taken(status))
}

/// Whether an object that is being deleted has waited for as long as it may, whatever hinders it.
pub fn is_overdue(device: &Device, now: &Time) -> bool {
    left(device, now).is_none()
}

/// What a policy needs that erases.
pub(super) fn accepted(device: &Device) -> Result<(), Refusal> {
    let annotations = device.metadata.annotations.as_ref();
    let allowed = annotations.and_then(|annotations| annotations.get(Device::ALLOW_WIPE));
    let is_allowed = allowed.is_some_and(|allowed| allowed == "true");
    if device.spec.deletion_policy != DeletionPolicy::Wipe || is_allowed {
        return Ok(());
    }
    let why = format!(
        "Wipe resets the device, and needs the annotation {}: \"true\" for that",
        Device::ALLOW_WIPE
    );
    Err(Refusal {
        reason: Reason::InvalidValue,
        message: format!("spec.deletionPolicy: {why}"),
    })
}
