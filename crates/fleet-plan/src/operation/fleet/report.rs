//! The status of an operation on a set.

use crd::device_operation::OperationCounts;
use crd::failure_sample::{FailureSample, Ledger as LedgerName};
use crd::{DeviceOperation, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::ledger::{Ledger, State};
use super::outcome::Intake;
use super::room::{RESULT, RESULTS, SAMPLE, SAMPLES, json};
use super::{MAX_DEVICES, Round};
use crate::operation::status::{MAX_RESULTS, Report, Room, results};
use crate::operation::{Again, Answer, Plan, verb};
use crate::text::{cut, non_empty, word};
use crate::{Pace, Refusal};

/// A longer message of a failure is cut.
const MAX_MESSAGE: usize = 128;
/// Why the state tier takes no more.
const MAX_WHY: usize = 200;

/// Nothing more comes of it.
pub(super) fn through(operation: &DeviceOperation, now: &Time) -> Plan {
    at_end(Report::new(operation, "", now))
}

/// `spec.suspend` holds it before it has begun.
pub(super) fn held(operation: &DeviceOperation, now: &Time) -> Plan {
    let mut report = Report::new(operation, "", now);
    report.accepted();
    report.open(Reason::Suspended, "spec.suspend is true");
    report.plan(Again::At(Pace::Resting))
}

/// The spec is not in force. Nobody was asked.
pub(super) fn refused(operation: &DeviceOperation, refusal: &Refusal, now: &Time) -> Plan {
    let mut report = Report::new(operation, "", now);
    report.refused(refusal);
    let message = "not accepted: see Accepted";
    if refusal.may_pass() {
        report.open(Reason::NotAccepted, message);
        return report.plan(Again::At(refusal.pace()));
    }
    report.failed(Reason::NotAccepted, message);
    ended(report)
}

/// The time was over before anybody could be asked.
pub(super) fn too_late(operation: &DeviceOperation, now: &Time) -> Plan {
    let mut report = Report::new(operation, "", now);
    let message = "the time was over before any device was asked";
    report.failed(Reason::DeadlineExceeded, message);
    ended(report)
}

/// It has begun, and who was asked cannot be told.
pub(super) fn without_progress(operation: &DeviceOperation, now: &Time) -> Plan {
    let mut report = Report::new(operation, "", now);
    let message = "status.progress is not there, so that nobody knows which devices were asked; the definitions in the cluster \
                   have to be those of this release (crds/)";
    report.failed(Reason::OutcomeUnknown, message);
    report.through(None);
    at_end(report)
}

/// Why no operation on so many devices begins.
pub(super) fn too_many() -> Refusal {
    Refusal::unsupported(
        "spec",
        &format!(
            "more than {MAX_DEVICES} devices are meant; for values use a DeviceProfile, for firmware a FirmwareRollout, or \
             make a DeviceOperation for each of several parts"
        ),
    )
}

/// No device was asked, and none will be.
fn ended(mut report: Report<'_>) -> Plan {
    report.through(None);
    report.status.counts = Some(OperationCounts::default());
    at_end(report)
}

fn at_end(report: Report<'_>) -> Plan {
    let stays = report.stays();
    report.plan(Again::Within(stays))
}

/// Tells what a device has answered, if there is room.
pub(super) fn succeeded(report: &mut Report<'_>, endpoint: &str, answer: &Answer, total: i64) {
    let told = &report.status.results;
    let value = |value: &Option<String>| value.as_deref().map_or(0, json);
    let taken: usize = told
        .iter()
        .map(|one| json(&one.endpoint_name) + value(&one.value) + RESULT)
        .sum();
    let share = MAX_RESULTS / usize::try_from(total).unwrap_or(MAX_RESULTS).max(1);
    let mut room = Room {
        results: share.max(1).min(MAX_RESULTS.saturating_sub(told.len())),
        bytes: RESULTS.saturating_sub(taken),
        each: json(endpoint) + RESULT,
    };
    let asked = report.asked();
    let more = results((endpoint, asked), answer, &mut room, report.now);
    report.status.results.extend(more);
}

/// Tells that a device has failed, by its answer and why, if there is room.
pub(super) fn failed(
    report: &mut Report<'_>,
    endpoint: &str,
    (coap_code, message): (&str, &str),
    at: Option<Time>,
) {
    let reason = match coap_code {
        "" => word(cut(message, MAX_MESSAGE)),
        code => word(&format!("refused with {code}")),
    };
    let message = cut(message, MAX_MESSAGE);
    sample(
        report,
        FailureSample {
            endpoint_name: endpoint.to_owned(),
            path: None,
            reason,
            coap_code: non_empty(coap_code),
            message: non_empty(message),
            time: at,
        },
    );
}

/// Tells that nobody knows of a device, if there is room.
pub(super) fn lost(report: &mut Report<'_>, endpoint: &str) {
    sample(
        report,
        FailureSample {
            endpoint_name: endpoint.to_owned(),
            path: None,
            reason: Reason::OutcomeUnknown.as_str().to_owned(),
            coap_code: None,
            message: None,
            time: None,
        },
    );
}

fn sample(report: &mut Report<'_>, sample: FailureSample) {
    let size = |one: &FailureSample| {
        let message = one.message.as_deref().map_or(0, json);
        json(&one.endpoint_name) + one.reason.len() + message + SAMPLE
    };
    let samples = &mut report.status.failure_samples;
    let taken: usize = samples.iter().map(size).sum();
    let has_room = samples.len() < FailureSample::MAX && taken + size(&sample) <= SAMPLES;
    // The first one is told, whatever it takes.
    if has_room || samples.is_empty() {
        samples.push(FailureSample {
            time: sample.time.or_else(|| Some(report.now.clone())),
            ..sample
        });
    }
}

/// The status after a round, and when the next one is.
pub(super) fn finished(
    mut report: Report<'_>,
    round: &Round<'_>,
    intake: &Intake,
    has_entered: bool,
) -> Plan {
    let (ledger, now) = (&round.ledger, round.second());
    let counts = ledger.counts(now);
    report.accepted();
    let uid = round.operation.metadata.uid.clone().unwrap_or_default();
    report.status.ledger = Some(LedgerName {
        id: uid,
        revision: None,
    });
    report.status.start_time = Some(ledger.start.clone());
    report.status.counts = Some(counts);
    report.status.progress = Some(ledger.progress());
    if ledger.is_over() {
        end(&mut report, round.operation, ledger);
        return at_end(report);
    }
    let through = ledger.ends.sum();
    let message = format!("{through} of {} devices are through", counts.total);
    let waits = !ledger.entries.is_empty() && counts.active == 0 && ledger.rest == 0;
    if round.operation.spec.suspend {
        report.open(Reason::Suspended, &message);
    } else if let Some(why) = intake.turned_away() {
        let why = cut(why, MAX_WHY);
        let message = format!("{message}; the state tier takes no more for now: {why}");
        report.open(Reason::Running, &message);
    } else if waits && !has_entered {
        let message = format!("{message}; the others are asked once they listen");
        report.open(Reason::AwaitingWakeup, &message);
    } else {
        report.open(Reason::Running, &message);
    }
    let is_idle = ledger.entries.iter().all(|one| one.state == State::Planned);
    report.plan(if has_entered {
        Again::Now
    } else if round.operation.spec.suspend && is_idle {
        Again::At(Pace::Resting)
    } else if intake.is_held() || counts.active == 0 {
        Again::At(Pace::Waiting)
    } else {
        Again::At(Pace::Running)
    })
}

/// Everybody is through.
fn end(report: &mut Report<'_>, operation: &DeviceOperation, ledger: &Ledger) {
    let ends = ledger.ends;
    report.through(None);
    if ends.sum() == 0 {
        report.done("no device is meant: nothing was asked");
        return;
    }
    let verb = verb(operation.spec.action.kind);
    let mut message = format!("{verb} on {} of {} devices", ends.succeeded, ends.sum());
    if ends.failed > 0 {
        message += &format!("; {} failed", ends.failed);
    }
    if ends.unknown > 0 {
        message += &format!(
            ", of {} of them nobody knows what became of it",
            ends.unknown
        );
    }
    if ends.expired > 0 {
        message += &format!("; {} were not asked in time", ends.expired);
    }
    match ends {
        _ if ends.unknown > 0 => report.failed(Reason::OutcomeUnknown, &message),
        _ if ends.failed > 0 => report.failed(Reason::DevicesFailed, &message),
        _ if ends.expired > 0 => report.failed(Reason::DeadlineExceeded, &message),
        _ => report.done(&message),
    }
}
