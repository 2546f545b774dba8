//! `DeviceOperation`: something that a device is asked once.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use crd::device_operation::ActionType;
use crd::{Device, DeviceOperation, DeviceOperationStatus};
use fleet_plan::operation::{Again, Ask, Deafness, Outcome, Request, Step, report, step};
use fleet_wire::operation::{Call, Refused, Reply, outcome, turned_down};
use proto::drover::v1::GetOperationRequest;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tonic::Code;

use super::declared;
use crate::api::Api;
use crate::failure::Failure;
use crate::table::printable;
use crate::time;

/// Between two looks at what goes on, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Bytes of the digest in an id: as many as keep two requests apart.
const ID: usize = 16;

/// What came of an operation, as far as it was waited for.
#[derive(Debug, Serialize)]
pub(super) struct AppliedOperation {
    pub(super) name: String,
    endpoint: String,
    pub(super) result: Asked,
    /// Why, or what the device answered.
    message: String,
    /// The operation of the state tier; of what is asked and kept nowhere there is none.
    operation: Option<String>,
    values: Vec<AnswerView>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Asked {
    /// The device did it.
    Succeeded,
    /// It did not.
    Failed,
    /// The device was not asked in time.
    Expired,
    /// The state tier asks the device once it listens.
    Pending,
    /// Nothing keeps what the device is to be asked.
    Unheard,
    /// The object says that it is not to begin.
    Suspended,
}

/// A value as the device told it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AnswerView {
    coap_code: String,
    value: String,
}

/// Refuses what is no operation on one device, before anything is changed.
pub(super) fn check(operation: &DeviceOperation, devices: &[Device]) -> Result<(), Failure> {
    let refused =
        |why: &str| Failure::usage(format!("{}: {why}", name(operation)), "nothing was changed");
    one_device(operation).map_err(|why| refused(&why))?;
    let endpoint = endpoint(operation, devices).map_err(|why| refused(&why))?;
    match step(
        &fresh(operation, endpoint),
        Some(endpoint),
        &time::kubernetes(),
    ) {
        Step::Told(Outcome::Refused(refusal)) => Err(refused(&refusal.message)),
        _ => Ok(()),
    }
}

/// Asks the device, and waits for what comes of it for so long.
pub(super) async fn apply(
    api: &Api,
    operation: &DeviceOperation,
    devices: &[Device],
) -> Result<AppliedOperation, Failure> {
    let refused = |why: &str| declared::refused(name(operation), why);
    let endpoint = endpoint(operation, devices).map_err(|why| refused(&why))?;
    let mut asking = Asking {
        api,
        endpoint,
        operation: fresh(operation, endpoint),
        until: Instant::now() + api.timeout(),
        unanswered: 0,
        kept: Kept::Nowhere,
    };
    let mut pause = FIRST_PAUSE;
    loop {
        let now = time::kubernetes();
        let outcome = asking.next().await?;
        let is_held = outcome == Outcome::Held;
        if let Outcome::Refused(refusal) = &outcome {
            return Err(refused(&refusal.message));
        }
        let expired = outcome == Outcome::Expired;
        let plan = report(&asking.operation, Some(endpoint), outcome, &now);
        let is_through = plan.status.completion_time.is_some();
        asking.operation.status = Some(plan.status);
        if is_held {
            return Ok(asking.told(Asked::Suspended));
        }
        if is_through {
            let result = asking.end(expired);
            return Ok(asking.told(result));
        }
        if plan.again == Again::Now {
            continue;
        }
        let left = asking.until.saturating_duration_since(Instant::now());
        if asking.kept == Kept::Declared || left.is_zero() {
            let result = asking.so_far();
            return Ok(asking.told(result));
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// An operation that goes on.
struct Asking<'a> {
    api: &'a Api,
    endpoint: &'a str,
    /// With the status that follows from what was told.
    operation: DeviceOperation,
    until: Instant,
    /// How often the device did not answer.
    unanswered: i32,
    kept: Kept,
}

/// What the state tier has of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kept {
    /// Nothing: the device is asked by whoever wants to know.
    Nowhere,
    /// What the device is asked when it registers.
    Declared,
    /// The operation with this id.
    Operation(String),
}

impl Asking<'_> {
    async fn next(&mut self) -> Result<Outcome, Failure> {
        match step(&self.operation, Some(self.endpoint), &time::kubernetes()) {
            Step::Told(outcome) => Ok(outcome),
            Step::Ask(ask) => self.ask(&ask).await,
            // What waits for too long ends by the deadline that it was given.
            Step::Follow { endpoint, id, .. } => self.follow(endpoint, id).await,
            // It is deleted where it is an object of Kubernetes.
            Step::Delete => Ok(Outcome::Through),
        }
    }

    async fn ask(&mut self, ask: &Ask) -> Result<Outcome, Failure> {
        let timeout = self.api.timeout();
        let status = match Call::from(ask).send(self.api.service(timeout)).await {
            Ok(answer) => {
                let reply = answer.into_inner();
                match &reply {
                    Reply::Operation(operation) => {
                        self.kept = Kept::Operation(operation.id.clone());
                    }
                    Reply::Declared => self.kept = Kept::Declared,
                    Reply::Values(_) | Reply::Links(_) | Reply::Done => {}
                }
                return Ok(reply.outcome().map_err(anyhow::Error::from)?);
            }
            Err(status) => status,
        };
        let is_read = matches!(ask.request, Request::Read(_) | Request::Discover(_));
        match turned_down(&status, ask.immediate) {
            Some(Refused::Silent(_)) if is_read && self.may_ask_again() => {
                Ok(Outcome::Waiting(Deafness::Busy))
            }
            Some(refused) => Ok(refused.outcome()),
            None => Err(self.failed()(status)),
        }
    }

    /// Counts that a device did not answer.
    const fn may_ask_again(&mut self) -> bool {
        self.unanswered = self.unanswered.saturating_add(1);
        self.unanswered <= self.operation.spec.backoff_limit
    }

    async fn follow(&self, endpoint: String, id: String) -> Result<Outcome, Failure> {
        let request = self.api.request(GetOperationRequest { endpoint, id });
        match self.api.operations().get_operation(request).await {
            Ok(answer) => Ok(outcome(answer.into_inner()).map_err(anyhow::Error::from)?),
            Err(status) if status.code() == Code::NotFound => Ok(Outcome::Lost),
            Err(status) => Err(self.failed()(status)),
        }
    }

    fn failed(&self) -> impl FnOnce(tonic::Status) -> Failure + use<> {
        let (name, endpoint) = (name(&self.operation), self.endpoint);
        Failure::call(format!("ask {endpoint} for what {name} says"))
    }

    /// How it ended.
    fn end(&self, expired: bool) -> Asked {
        match self.condition("Succeeded") {
            Some(("True", _)) => Asked::Succeeded,
            _ if expired => Asked::Expired,
            _ => Asked::Failed,
        }
    }

    /// How it is that has not ended.
    fn so_far(&self) -> Asked {
        match self.kept {
            Kept::Nowhere => Asked::Unheard,
            Kept::Declared | Kept::Operation(_) => Asked::Pending,
        }
    }

    fn status(&self) -> Option<&DeviceOperationStatus> {
        self.operation.status.as_ref()
    }

    /// Status and message.
    fn condition(&self, kind: &str) -> Option<(&str, &str)> {
        let mut conditions = self.status()?.conditions.iter();
        let found = conditions.find(|one| one.type_ == kind)?;
        Some((found.status.as_str(), found.message.as_str()))
    }

    fn told(&self, result: Asked) -> AppliedOperation {
        let message = self.condition("Succeeded").map(|(_, message)| message);
        let results = self.status().map(|status| status.results.as_slice());
        let results = results.unwrap_or_default().iter();
        AppliedOperation {
            name: name(&self.operation).to_owned(),
            endpoint: self.endpoint.to_owned(),
            result,
            message: message.unwrap_or_default().to_owned(),
            operation: match &self.kept {
                Kept::Operation(id) => Some(id.clone()),
                Kept::Nowhere | Kept::Declared => None,
            },
            values: results
                .filter_map(|one| {
                    Some(AnswerView {
                        coap_code: one.coap_code.clone(),
                        value: one.value.clone()?,
                    })
                })
                .collect(),
        }
    }
}

impl AppliedOperation {
    /// What follows the name in the output for people: the result, and each value on a line of its own.
    pub(super) fn lines(&self) -> String {
        let operation = self.operation.as_ref();
        let operation = operation.map_or_else(String::new, |id| format!(", operation {id}"));
        let line = format!("{}: {}{operation}", self.result.as_str(), self.message);
        let values = self.values.iter();
        let values = values.map(|one| format!("  {}\n", printable(&one.value)));
        format!("{}\n", printable(&line)) + &values.collect::<String>()
    }

    /// What the command ends with, if it did not do what was asked for.
    pub(super) fn failure(&self) -> Option<Failure> {
        let told = format!("the DeviceOperation {}: {}", self.name, self.message);
        match self.result {
            Asked::Succeeded | Asked::Pending | Asked::Suspended => None,
            Asked::Failed => Some(anyhow!(told).into()),
            Asked::Expired => Some(Failure::Unfinished {
                message: told,
                hint: "activeDeadlineSeconds says how long the device may take to listen"
                    .to_owned(),
            }),
            Asked::Unheard => Some(Failure::Unfinished {
                message: told,
                hint:
                    "nobody asks it again: allow more time with --timeout, for example --timeout 2m"
                        .to_owned(),
            }),
        }
    }
}

impl Asked {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Pending => "pending",
            Self::Unheard => "unheard",
            Self::Suspended => "suspended",
        }
    }
}

fn name(operation: &DeviceOperation) -> &str {
    operation.metadata.name.as_deref().unwrap_or_default()
}

/// The object before anything was asked. What it is known by to the state tier is made of its name, the device and the
/// action, so that the same file twice is one operation for as long as the state tier remembers it.
fn fresh(operation: &DeviceOperation, endpoint: &str) -> DeviceOperation {
    let mut fresh = operation.clone();
    let action = serde_json::to_vec(&fresh.spec.action).unwrap_or_default();
    let mut hash = Sha256::new();
    for part in [name(operation).as_bytes(), endpoint.as_bytes(), &action] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let hash = hash.finalize();
    let id = hash.get(..ID).map(hex::encode).unwrap_or_default();
    fresh.metadata.uid = Some(format!("apply-{id}"));
    fresh.metadata.creation_timestamp = None;
    fresh.status = None;
    fresh
}

/// The device that is meant.
fn endpoint<'a>(operation: &'a DeviceOperation, devices: &'a [Device]) -> Result<&'a str, String> {
    let spec = &operation.spec;
    if let Some(endpoint) = &spec.endpoint_name {
        return Ok(endpoint);
    }
    let reference = spec.device_ref.as_ref();
    let named = reference.map_or("", |reference| reference.name.as_str());
    let mut devices = devices.iter();
    let found = devices.find(|device| device.metadata.name.as_deref() == Some(named));
    let found = found.map(|device| device.spec.endpoint_name.as_str());
    found.ok_or_else(|| format!("spec.deviceRef: the Device {named} is not in this call"))
}

/// Whom several devices are asked by, if more than one is meant.
fn one_device(operation: &DeviceOperation) -> Result<(), String> {
    let spec = &operation.spec;
    let (field, whom) = match (&spec.selector, &spec.group_ref) {
        (None, None) => return Ok(()),
        (Some(_), _) => ("spec.selector", "-l LABELS".to_owned()),
        (None, Some(group)) => ("spec.groupRef", format!("--group {}", group.name)),
    };
    let path = spec.action.path.as_deref().unwrap_or("PATH");
    let profile = |what: &str| format!("`drover profiles put NAME {whom} {what}` has it of all");
    let each = |command: &str| {
        format!("`drover devices {whom}` lists them, and `drover {command}` asks one of them")
    };
    let instead = match spec.action.kind {
        ActionType::Read => each(&format!("read ENDPOINT {path}")),
        ActionType::Discover => each(&format!("discover ENDPOINT {path}")),
        ActionType::Execute => each(&format!("exec ENDPOINT {path}")),
        ActionType::CreateInstance => each(&format!("create ENDPOINT {path}")),
        ActionType::DeleteInstance => each(&format!("delete ENDPOINT {path}")),
        ActionType::CancelObserve => each(&format!("observations remove ENDPOINT {path}")),
        ActionType::Bootstrap => each("bootstrap start ENDPOINT"),
        ActionType::RegistrationUpdateTrigger => each("exec ENDPOINT /1/0/8"),
        ActionType::Write => profile("--set PATH=VALUE"),
        ActionType::Observe => profile(&format!("--observe {path}")),
    };
    Err(format!(
        "{field}: an operation of a file is on one device; {instead}"
    ))
}

#[cfg(test)]
mod tests;
