//! Whether the device is there, and what became of what it was asked.

use std::time::Duration;

use device_state::{
    BootstrapResult, EnrollmentStanding, OperationOutcome, OperationState, Quirks, Registration,
    Timestamp,
};
use lwm2m::QueueMode;

use crate::{Answer, Asked, Facts, Finding, LATELY, Severity, span, spoken};

/// An answer of a device that is fine takes less.
const SLOW: Duration = Duration::from_secs(5);

pub(crate) fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    match &facts.view.registration {
        None => findings.push(absent(facts)),
        Some(registration) => findings.extend(registered(facts, registration)),
    }
    findings.extend(operations(facts));
    findings.extend(bootstrap(facts));
    findings
}

fn absent(facts: &Facts<'_>) -> Finding {
    let newest = facts.view.newest_value();
    let evidence = match newest {
        Some(at) => format!(
            "Its last known value is from {} ago.",
            spoken(span(at, facts.now))
        ),
        None => "It never reported anything, as far as is known.".to_owned(),
    };
    Finding::new(
        Severity::Problem,
        "The device is not registered.",
        evidence,
        "Check its power and network, its server URI, and with `drover credentials list` whether its credential is known. \
         What it was refused lately would be told here, unless it gave another name.",
    )
}

/// When the device was heard from last: its ingress node knows best.
fn heard_at(facts: &Facts<'_>, registration: &Registration) -> Timestamp {
    let counted = facts.contact.map(|contact| contact.heard_at);
    let newest = facts.view.newest_value().max(counted);
    newest.map_or(registration.updated_at, |at| {
        at.max(registration.updated_at)
    })
}

fn registered(facts: &Facts<'_>, registration: &Registration) -> Vec<Finding> {
    let mut findings = Vec::new();
    let silent = span(registration.updated_at, facts.now);
    if let Some(lifetime) = registration.lifetime.duration()
        && silent > lifetime
    {
        findings.push(Finding::new(
            Severity::Problem,
            "The device's lifetime is over, and no Update came.",
            format!(
                "Its lifetime is {}, and its last Update came {} ago.",
                spoken(lifetime),
                spoken(silent)
            ),
            "Its registration ends within the next minutes. Then it is as for a device that is not registered.",
        ));
    }
    findings.extend(contact(facts, registration));
    findings.extend(quarantine(facts, registration));
    findings.extend(quirks(registration.quirks));
    findings
}

fn quarantine(facts: &Facts<'_>, registration: &Registration) -> Option<Finding> {
    let enrollment = registration.enrollment.as_ref()?;
    (enrollment.standing == EnrollmentStanding::Quarantined).then(|| {
        let queued = facts.view.operations.iter();
        let waiting = queued.filter(|record| record.is_pending()).count();
        Finding::new(
            Severity::Warning,
            "The device is in quarantine.",
            format!(
                "It is registered by the enrollment policy {}; {waiting} operations wait until it is admitted.",
                enrollment.policy
            ),
            "No profile counts for it and nothing is written to it. `drover enrollment list` shows the policies; one with a \
             higher priority may admit it.",
        )
    })
}

fn contact(facts: &Facts<'_>, registration: &Registration) -> Option<Finding> {
    let ended = |answer: &Answer| facts.asked.iter().find(|asked| asked.answer == *answer);
    if let Some(asked) = ended(&Answer::Silence) {
        return Some(Finding::new(
            Severity::Problem,
            "The device is registered and does not answer.",
            format!(
                "A read of {} ended without an answer after {}; it is at {} since {} ago.",
                asked.path,
                spoken(asked.took),
                registration.peer,
                spoken(span(registration.updated_at, facts.now))
            ),
            "An address translator may have dropped its mapping: shorten the lifetime (/1/0/1) below the translator's timeout, use \
             a DTLS Connection ID, or let the device register with queue mode.",
        ));
    }
    if ended(&Answer::Asleep).is_some() {
        let queued = facts.view.operations.iter();
        let waiting = queued.filter(|record| record.is_pending()).count();
        return Some(Finding::new(
            Severity::Notice,
            "The device sleeps.",
            format!(
                "It is in queue mode and was last heard {} ago; {waiting} operations wait for it.",
                spoken(span(heard_at(facts, registration), facts.now))
            ),
            "What changes it is delivered when it wakes up; `drover operations list` shows what waits.",
        ));
    }
    let unreachable = facts.asked.iter().find_map(|asked| match &asked.answer {
        Answer::Unreachable(reason) => Some((asked.path, reason)),
        _ => None,
    });
    if let Some((path, reason)) = unreachable {
        return Some(Finding::new(
            Severity::Problem,
            "The device is registered and could not be asked.",
            format!("A read of {path} ended with: {reason}."),
            "If its ingress node has just gone, it is reached again once it sends something; try again then. \
             `drover cluster` shows whether the cluster is well.",
        ));
    }
    let has_values = |asked: &&Asked| matches!(asked.answer, Answer::Values(_));
    let Some(slowest) = facts
        .asked
        .iter()
        .filter(has_values)
        .max_by_key(|asked| asked.took)
    else {
        return Some(Finding::new(
            Severity::Notice,
            "The device tells nothing of itself.",
            format!(
                "Of {} reads none was answered with a value.",
                facts.asked.len()
            ),
            "It lists none of /3/0, /4/0, /5/0, /7/0, /1/0, /6/0 and /20/0, or lets nobody read them.",
        ));
    };
    (slowest.took > SLOW && registration.binding.queue_mode() == QueueMode::Off).then(|| {
        Finding::new(
            Severity::Warning,
            "The device answers slowly.",
            format!("A read of {} took {}.", slowest.path, spoken(slowest.took)),
            "Messages are lost on the way and repeated, which would be told as well, or the device is busy.",
        )
    })
}

fn quirks(quirks: Quirks) -> Vec<Finding> {
    let notice = |is: bool, summary: &str, evidence: &str| {
        is.then(|| Finding::new(Severity::Notice, summary, evidence.to_owned(), ""))
    };
    [
        notice(
            quirks.no_composite,
            "The device knows no composite operations.",
            "It refused one. Several paths are asked for one after the other.",
        ),
        notice(
            quirks.no_observe_parameters,
            "The device takes no parameters with an Observe.",
            "It refused one. They are written to the path instead.",
        ),
        notice(
            quirks.mislabelled.is_some(),
            "The device says of payloads that they are in a format that they are not in.",
            "Its payloads could be read in another format only.",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn operations(facts: &Facts<'_>) -> Vec<Finding> {
    let lately = |at: Timestamp| span(at, facts.now) < LATELY;
    let ended: Vec<&OperationOutcome> = facts
        .view
        .operations
        .iter()
        .filter_map(|record| match &record.state {
            OperationState::Finished { outcome, at, .. } if lately(*at) => Some(outcome),
            _ => None,
        })
        .collect();
    let count = |is: fn(&OperationOutcome) -> bool| ended.iter().filter(|one| is(one)).count();
    let expired = count(|outcome| *outcome == OperationOutcome::Expired);
    let refused = count(|outcome| matches!(outcome, OperationOutcome::Rejected { .. }));
    let finding = |many: usize, summary: &str, what: &str, advice: &str| {
        (many > 0).then(|| {
            let evidence = format!(
                "{many} of {} that ended in the last day {what}.",
                ended.len()
            );
            Finding::new(Severity::Warning, summary, evidence, advice)
        })
    };
    [
        finding(
            expired,
            "Operations expired before the device took them.",
            "expired",
            "Give them a deadline (--timeout) that is longer than the device sleeps.",
        ),
        finding(
            refused,
            "The device refused operations.",
            "were refused",
            "`drover operations list` shows codes and reasons.",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn bootstrap(facts: &Facts<'_>) -> Option<Finding> {
    let record = facts.view.bootstrap.as_ref()?;
    (record.outcome == BootstrapResult::Failed).then(|| {
        Finding::new(
            Severity::Problem,
            "The device's last bootstrap failed.",
            format!(
                "{} ago: {}",
                spoken(span(record.at, facts.now)),
                record.detail
            ),
            "`drover bootstrap list` shows which profile is for it; the device comes again by itself.",
        )
    })
}
