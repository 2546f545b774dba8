//! `DeviceOperation` → an operation on one device, and back to a status.
//!
//! 1. The start is written into the status before the device is asked, and the id of what was asked after it. The state tier
//!    takes the same request once for [`REMEMBERED`]; an operator that was away for longer between the two does not know
//!    whether it has asked, and does not ask what must not be done twice.
//! 2. Reads and discoveries are sent at once and kept nowhere: they are asked again until the device listens. All else is
//!    kept by the state tier until the device listens, and only followed.
//! 3. Whatever comes of it, the object is through then, and is deleted some time later.
//!
//! [`fleet`] does the same for a set of devices.

mod compile;
pub mod fleet;
mod status;

use std::time::Duration;

use crd::device_operation::{ActionType, DispatchPolicy, ExecutionGuarantee};
use crd::{DeviceOperation, DeviceOperationStatus, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use lwm2m::{Path, Value};

use self::compile::compile;
pub use self::compile::{Target, target};
pub use self::status::report;
use crate::conditions::differs;
use crate::{Pace, Refusal};

/// For how long a repetition of a request has surely one effect: a little less than what the API promises.
pub const REMEMBERED: Duration = Duration::from_secs(9 * 60);

/// What is asked of a device.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Its values at and below a path.
    Read(Path),
    /// What there is at and below a path.
    Discover(Path),
    /// To take a value, whose type only the state tier may know.
    Write {
        /// Of which resource.
        path: Path,
        /// The value.
        text: String,
    },
    /// To take values in one object instance.
    WriteInstance {
        /// The instance.
        path: Path,
        /// Each in it.
        values: Vec<(Path, Value)>,
    },
    /// To take values, all or none.
    WriteComposite(Vec<(Path, Value)>),
    /// To do something.
    Execute {
        /// What.
        path: Path,
        /// How.
        arguments: String,
    },
    /// To make an object instance.
    Create {
        /// Of which object.
        object: Path,
        /// Which one; `None` is for the device to choose.
        instance: Option<u16>,
        /// Its values.
        values: Vec<(Path, Value)>,
    },
    /// To delete an object instance.
    Delete(Path),
    /// To report a path from now on.
    Observe(Path),
    /// To report it no more.
    CancelObserve(Path),
}

impl Request {
    /// Whether it may be asked any number of times.
    const fn is_repeatable(&self) -> bool {
        matches!(
            self,
            Self::Read(_) | Self::Discover(_) | Self::Observe(_) | Self::CancelObserve(_)
        )
    }
}

/// A request, and on which terms.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// Of which device.
    pub endpoint: String,
    /// What.
    pub request: Request,
    /// How long the device may take to listen.
    pub deadline: Duration,
    /// Now or not at all.
    pub immediate: bool,
    /// By which a repetition is known.
    pub request_id: String,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing: this is how it is.
    Told(Outcome),
    /// Ask the device.
    Ask(Box<Ask>),
    /// Look at what was asked.
    Follow {
        /// Of which device.
        endpoint: String,
        /// The operation of the state tier.
        id: String,
        /// Whether it is to be cancelled, if it waits still.
        overdue: bool,
    },
    /// Delete the object.
    Delete,
}

/// How an operation is.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The spec is not in force.
    Refused(Refusal),
    /// It does not begin.
    Held,
    /// The device is about to be asked.
    Started,
    /// The device does not listen, and will be asked again.
    Waiting(Deafness),
    /// The state tier has taken it.
    Running {
        /// The operation of the state tier.
        id: String,
        /// Whether the device was asked.
        in_flight: bool,
    },
    /// The device did it.
    Succeeded(Answer),
    /// The device did not do it.
    Failed {
        /// Its answer, for example 4.05; empty without one.
        coap_code: String,
        /// Why, for people.
        message: String,
        /// When.
        at: Option<Time>,
    },
    /// The device was not asked in time.
    Expired,
    /// Nobody knows what became of it.
    Lost,
    /// It was through before.
    Through,
}

/// Why a device does not listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deafness {
    /// It sleeps.
    Asleep,
    /// It is not registered.
    NotRegistered,
    /// It has something else to do, or did not answer.
    Busy,
}

/// What a device answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// For example 2.05; empty if it was not the device that answered.
    pub coap_code: String,
    /// What it told, each with its path.
    pub values: Vec<(String, String)>,
    /// When.
    pub at: Option<Time>,
}

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// At once.
    Now,
    /// As things go.
    At(Pace),
    /// Once so much time has passed, or sooner.
    Within(Duration),
    /// Once it is told that the operation has ended, and now and then until that. After so much time it is to be cancelled.
    Told(Duration),
}

/// What follows from how an operation is.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What the status should be.
    pub status: DeviceOperationStatus,
    /// When to look again.
    pub again: Again,
}

impl Plan {
    /// The status, if it differs from what `operation` has; conditions of others do not count.
    pub fn status_change(&self, operation: &DeviceOperation) -> Option<&DeviceOperationStatus> {
        let (known, rows) = (operation.status.as_ref(), DeviceOperation::CONDITIONS);
        let differs = differs(known, &self.status, rows, |status| &mut status.conditions);
        differs.then_some(&self.status)
    }
}

/// What the state tier has taken and not ended, as far as the status says: the id of the operation.
pub fn unfinished(operation: &DeviceOperation) -> Option<&str> {
    let status = operation.status.as_ref()?;
    let ledger = status.ledger.as_ref()?;
    status.completion_time.is_none().then_some(&ledger.id)
}

/// Decides what is to be done next. `endpoint` is the device that the object means, if it is known.
pub fn step(operation: &DeviceOperation, endpoint: Option<&str>, now: &Time) -> Step {
    let (spec, status) = (&operation.spec, operation.status.as_ref());
    if let Some(completed) = status.and_then(|status| status.completion_time.as_ref()) {
        let stays = spec.ttl_seconds_after_finished;
        return if passed(completed, now) >= stays {
            Step::Delete
        } else {
            Step::Told(Outcome::Through)
        };
    }
    let request = match compile(spec) {
        Ok(request) => request,
        Err(refusal) => return Step::Told(Outcome::Refused(refusal)),
    };
    let ledger = status.and_then(|status| status.ledger.as_ref());
    if spec.suspend && ledger.is_none() {
        return Step::Told(Outcome::Held);
    }
    let start = status.and_then(|status| status.start_time.as_ref());
    let left = left(operation, now);
    let Some(endpoint) = endpoint.map(str::to_owned) else {
        return Step::Told(if left > 0 {
            Outcome::Refused(device_not_found(operation))
        } else {
            Outcome::Expired
        });
    };
    if let Some(ledger) = ledger {
        return Step::Follow {
            endpoint,
            id: ledger.id.clone(),
            overdue: left <= 0,
        };
    }
    if left <= 0 {
        return Step::Told(Outcome::Expired);
    }
    let Some(start) = start else {
        return Step::Told(Outcome::Started);
    };
    let remembered = i64::try_from(REMEMBERED.as_secs()).unwrap_or(i64::MAX);
    let once = spec.execution_guarantee == ExecutionGuarantee::AtMostOnce;
    if once && !request.is_repeatable() && passed(start, now) >= remembered {
        return Step::Told(Outcome::Lost);
    }
    Step::Ask(Box::new(Ask {
        endpoint,
        request,
        deadline: Duration::from_secs(left.unsigned_abs()),
        immediate: spec.dispatch_policy == DispatchPolicy::Immediate,
        request_id: operation.metadata.uid.clone().unwrap_or_default(),
    }))
}

/// Seconds until it is to be cancelled; negative once that time is over.
fn left(operation: &DeviceOperation, now: &Time) -> i64 {
    let start = operation.status.as_ref();
    let start = start.and_then(|status| status.start_time.as_ref());
    let begun = start.or(operation.metadata.creation_timestamp.as_ref());
    operation.spec.active_deadline_seconds - begun.map_or(0, |begun| passed(begun, now))
}

/// Seconds from one time to another.
fn passed(from: &Time, to: &Time) -> i64 {
    to.0.as_second() - from.0.as_second()
}

fn device_not_found(operation: &DeviceOperation) -> Refusal {
    let reference = operation.spec.device_ref.as_ref();
    let name = reference.map_or("", |reference| reference.name.as_str());
    Refusal {
        reason: Reason::DeviceNotFound,
        message: format!("spec.deviceRef: there is no Device {name} in the namespace"),
    }
}

/// What is done, in a word for people.
const fn verb(kind: ActionType) -> &'static str {
    match kind {
        ActionType::Read => "read",
        ActionType::Write => "written",
        ActionType::Execute => "executed",
        ActionType::Discover => "discovered",
        ActionType::CreateInstance => "created",
        ActionType::DeleteInstance => "deleted",
        ActionType::Observe => "observed",
        ActionType::CancelObserve => "observed no more",
        ActionType::RegistrationUpdateTrigger | ActionType::Bootstrap => "done",
    }
}

#[cfg(test)]
mod tests;
