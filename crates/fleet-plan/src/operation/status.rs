//! The status that follows from how an operation is.

use std::time::Duration;

use crd::device_operation::{OperationCounts, OperationResult};
use crd::failure_sample::Ledger;
use crd::{ConditionStatus, ConditionType, DeviceOperation, DeviceOperationStatus, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use lwm2m::{Path, Registry};

use super::{Again, Answer, Deafness, Outcome, Plan, left, passed, verb};
use crate::conditions::Conditions;
use crate::text::{cut, non_empty};
use crate::{Pace, Refusal};

use ConditionStatus::{False, True, Unknown};
use ConditionType::{Accepted, Complete, Failed, Succeeded, Suspended};

/// Results that a status lists.
pub(super) const MAX_RESULTS: usize = 20;
/// The bytes of all their values.
const MAX_BYTES: usize = 8 * 1_024;
/// A longer value is cut.
const MAX_VALUE: usize = 256;

/// A status in the making: starts as what the object has, ends as what it should have.
pub(super) struct Report<'a> {
    operation: &'a DeviceOperation,
    endpoint: &'a str,
    pub(super) now: &'a Time,
    conditions: Conditions<'a>,
    pub(super) status: DeviceOperationStatus,
}

/// The status of an operation that is so. `endpoint` is the device that was asked, if it is known.
pub fn report(
    operation: &DeviceOperation,
    endpoint: Option<&str>,
    outcome: Outcome,
    now: &Time,
) -> Plan {
    Report::new(operation, endpoint.unwrap_or_default(), now).with(outcome)
}

impl<'a> Report<'a> {
    pub(super) fn new(operation: &'a DeviceOperation, endpoint: &'a str, now: &'a Time) -> Self {
        let mut status = operation.status.clone().unwrap_or_default();
        let known = std::mem::take(&mut status.conditions);
        let generation = operation.metadata.generation.unwrap_or(1);
        status.observed_generation = Some(generation);
        let rows = DeviceOperation::CONDITIONS;
        Self {
            operation,
            endpoint,
            now,
            conditions: Conditions::new(known, rows, generation, now),
            status,
        }
    }
}

impl<'a> Report<'a> {
    fn with(mut self, outcome: Outcome) -> Plan {
        match outcome {
            Outcome::Through => {}
            Outcome::Refused(refusal) if refusal.may_pass() => {
                self.refused(&refusal);
                self.open(Reason::NotAccepted, "not accepted: see Accepted");
                self.count(|counts| counts.pending = 1);
                return self.plan(Again::At(refusal.pace()));
            }
            Outcome::Refused(refusal) => {
                self.refused(&refusal);
                self.failed(Reason::NotAccepted, "not accepted: see Accepted");
                self.through(None);
                self.count(|counts| counts.failed = 1);
            }
            Outcome::Held => {
                self.accepted();
                self.open(Reason::Suspended, "spec.suspend is true");
                self.count(|counts| counts.pending = 1);
                return self.plan(Again::At(Pace::Resting));
            }
            Outcome::Started => {
                self.accepted();
                self.status.start_time = Some(self.now.clone());
                self.open(Reason::Running, "the device is about to be asked");
                self.count(|counts| counts.pending = 1);
                return self.plan(Again::Now);
            }
            Outcome::Waiting(deafness) => {
                self.accepted();
                return self.waits(deafness);
            }
            Outcome::Running { id, in_flight } => {
                self.accepted();
                return self.runs(id, in_flight);
            }
            Outcome::Succeeded(answer) => {
                self.accepted();
                self.succeeded(&answer);
            }
            Outcome::Failed {
                coap_code,
                message,
                at,
            } => {
                self.accepted();
                self.failed(Reason::DevicesFailed, &message);
                self.through(at.clone());
                self.count(|counts| counts.failed = 1);
                if !coap_code.is_empty() {
                    let result = self.result(&coap_code, None, at);
                    self.status.results = vec![result];
                }
            }
            Outcome::Expired => {
                let message = "the device was not asked in time";
                self.failed(Reason::DeadlineExceeded, message);
                self.through(None);
                self.count(|counts| counts.expired = 1);
            }
            Outcome::Lost => {
                let message = "the operator was away when the device was asked, or was told: nobody knows what became of it";
                self.failed(Reason::OutcomeUnknown, message);
                self.through(None);
                self.count(|counts| counts.failed = 1);
            }
        }
        let stays = self.stays();
        self.plan(Again::Within(stays))
    }

    pub(super) fn plan(mut self, again: Again) -> Plan {
        let is_through = self.status.completion_time.is_some();
        if self.operation.spec.suspend && !is_through {
            let message = "spec.suspend is true";
            self.conditions
                .set(Suspended, True, Reason::UserPaused, message);
        } else {
            let message = "nothing holds it";
            self.conditions
                .set(Suspended, False, Reason::NotPaused, message);
        }
        self.status.conditions = self.conditions.finish();
        Plan {
            status: self.status,
            again,
        }
    }

    pub(super) fn accepted(&mut self) {
        let message = "the spec is in force";
        self.conditions
            .set(Accepted, True, Reason::Accepted, message);
    }

    pub(super) fn refused(&mut self, refusal: &Refusal) {
        let (reason, message) = (refusal.reason, refusal.message.as_str());
        self.conditions.set(Accepted, False, reason, message);
    }

    /// It is not through.
    pub(super) fn open(&mut self, reason: Reason, message: &str) {
        self.conditions.set(Complete, False, reason, message);
        let expected = "nothing has failed";
        self.conditions
            .set(Failed, False, Reason::AsExpected, expected);
        self.conditions.set(Succeeded, Unknown, reason, message);
    }

    /// It ended, and not as it should.
    pub(super) fn failed(&mut self, reason: Reason, message: &str) {
        let ended = "nothing is left to do";
        self.conditions.set(Complete, True, Reason::Complete, ended);
        self.conditions.set(Failed, True, reason, message);
        self.conditions.set(Succeeded, False, reason, message);
    }

    fn waits(mut self, deafness: Deafness) -> Plan {
        let (reason, message, pace) = match deafness {
            Deafness::Asleep => (Reason::AwaitingWakeup, "the device sleeps", Pace::Running),
            Deafness::NotRegistered => (
                Reason::AwaitingWakeup,
                "the device is not registered",
                Pace::Waiting,
            ),
            Deafness::Busy => (
                Reason::Running,
                "the device has something else to do, or did not answer",
                Pace::Running,
            ),
        };
        self.open(reason, message);
        self.count(|counts| counts.pending = 1);
        self.plan(Again::At(pace))
    }

    fn runs(mut self, id: String, in_flight: bool) -> Plan {
        self.status.ledger = Some(Ledger { id, revision: None });
        if in_flight {
            self.open(Reason::Running, "the device was asked");
            self.count(|counts| counts.active = 1);
        } else {
            let message = "the device is asked once it listens";
            self.open(Reason::AwaitingWakeup, message);
            self.count(|counts| counts.pending = 1);
        }
        let left = u64::try_from(left(self.operation, self.now)).unwrap_or_default();
        self.plan(Again::Told(Duration::from_secs(left)))
    }

    fn succeeded(&mut self, answer: &Answer) {
        let results = self.results(answer);
        let (told, shown) = (answer.values.len(), results.len());
        let verb = verb(self.operation.spec.action.kind);
        let message = match answer.coap_code.as_str() {
            "" => verb.to_owned(),
            code => format!("{verb}: the device answered {code}"),
        };
        let message = if told > shown {
            format!("{message}; {shown} of {told} values are in status.results")
        } else {
            message
        };
        self.status.results = results;
        self.done(&message);
        self.through(answer.at.clone());
        self.count(|counts| counts.succeeded = 1);
    }

    /// It ended as it should.
    pub(super) fn done(&mut self, message: &str) {
        self.conditions
            .set(Complete, True, Reason::Complete, message);
        let expected = "nothing has failed";
        self.conditions
            .set(Failed, False, Reason::AsExpected, expected);
        self.conditions
            .set(Succeeded, True, Reason::Complete, message);
    }

    /// Nothing more comes of it.
    pub(super) fn through(&mut self, at: Option<Time>) {
        self.status.completion_time = Some(at.unwrap_or_else(|| self.now.clone()));
    }

    fn count(&mut self, in_one: impl FnOnce(&mut OperationCounts)) {
        let mut counts = OperationCounts {
            total: 1,
            ..OperationCounts::default()
        };
        in_one(&mut counts);
        self.status.counts = Some(counts);
    }

    fn results(&self, answer: &Answer) -> Vec<OperationResult> {
        let asked = self.asked();
        let mut room = Room {
            results: MAX_RESULTS,
            bytes: MAX_BYTES,
            each: 0,
        };
        results((self.endpoint, asked), answer, &mut room, self.now)
    }

    fn result(&self, code: &str, value: Option<String>, at: Option<Time>) -> OperationResult {
        OperationResult {
            endpoint_name: self.endpoint.to_owned(),
            coap_code: code.to_owned(),
            value,
            time: at.unwrap_or_else(|| self.now.clone()),
        }
    }

    /// The path that devices are asked about.
    pub(super) fn asked(&self) -> Option<&'a str> {
        self.operation.spec.action.path.as_deref()
    }

    /// How long the object stays.
    pub(super) fn stays(&self) -> Duration {
        let stays = self.operation.spec.ttl_seconds_after_finished;
        let completed = self.status.completion_time.as_ref();
        let left = stays - completed.map_or(0, |completed| passed(completed, self.now));
        Duration::from_secs(u64::try_from(left).unwrap_or(0))
    }
}

/// What is left of a status for results.
pub(super) struct Room {
    /// How many.
    pub(super) results: usize,
    /// How many bytes.
    pub(super) bytes: usize,
    /// What one takes besides its value, in bytes.
    pub(super) each: usize,
}

/// What a device told about the path that was asked for, as much as there is room for. Without anything to tell it has
/// answered all the same.
pub(super) fn results(
    (endpoint, asked): (&str, Option<&str>),
    answer: &Answer,
    room: &mut Room,
    now: &Time,
) -> Vec<OperationResult> {
    if answer.coap_code.is_empty() {
        return Vec::new();
    }
    let one = |value: Option<String>| OperationResult {
        endpoint_name: endpoint.to_owned(),
        coap_code: answer.coap_code.clone(),
        value,
        time: answer.at.clone().unwrap_or_else(|| now.clone()),
    };
    let mut values: Vec<String> = Vec::new();
    for (path, text) in answer.values.iter().take(room.results) {
        values.push(cut(&shown(path, text, asked), MAX_VALUE).to_owned());
    }
    if answer.values.is_empty() && room.results > 0 {
        values.push(String::new());
    }
    let mut results = Vec::new();
    for value in values {
        let Some(rest) = room.bytes.checked_sub(value.len() + room.each) else {
            break;
        };
        room.bytes = rest;
        results.push(one(non_empty(&value)));
    }
    results
}

/// A value as it is shown: alone, if it is all that was asked for, and never what is secret.
fn shown(path: &str, text: &str, asked: Option<&str>) -> String {
    if path.parse().is_ok_and(is_secret) {
        return format!("{path} is secret");
    }
    match asked {
        Some(asked) if asked == path => text.to_owned(),
        _ if text.is_empty() => path.to_owned(),
        _ => format!("{path}={text}"),
    }
}

/// Whether what stands at a path is for nobody but the device and who set it.
fn is_secret(path: Path) -> bool {
    match (path.object_id(), path.resource_id()) {
        // The accounts of a device, and its keys.
        (Some(0 | 21), _) => true,
        // Secrets and passwords that can be read: of access points, and of brokers.
        (Some(11), Some(6)) | (Some(24), Some(8)) | (Some(18_830), Some(5)) => true,
        _ => Registry::oma()
            .resource(path)
            .is_some_and(|model| !model.operations.readable && !model.operations.executable),
    }
}
