#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::collections::BTreeMap;

use device_state::query::DeviceView;
use device_state::{
    Attempt, DeviceName, Enrollment, EnrollmentStanding, LastValue, Move, NodeId, Observation,
    ObservationHolder, OperationId, OperationOutcome, OperationRecord, OperationSource,
    OperationState, Quirks, Registration, SecurityIdentity, ShardId, Transport, ValueOrigin,
};
use lwm2m::{Binding, Lifetime, LwM2mVersion, NotificationAttributes, Operation, Setting};

use super::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn ago(span: Duration) -> Timestamp {
    Timestamp(NOW.0 - span.as_millis() as u64)
}

fn view(registration: Option<Registration>) -> DeviceView {
    DeviceView {
        endpoint: DeviceName::parse("meter-7").unwrap(),
        registration,
        desired: Vec::new(),
        desired_generation: None,
        values: Vec::new(),
        operations: Vec::new(),
        child_values: Vec::new(),
        observations: Vec::new(),
        bootstrap: None,
        metadata: None,
        firmware: None,
    }
}

fn registration(silent: Duration) -> Registration {
    Registration {
        endpoint: DeviceName::parse("meter-7").unwrap(),
        id: "0001ab".parse().unwrap(),
        identity: SecurityIdentity::Unauthenticated,
        owner: NodeId(1),
        peer: "192.0.2.1:5683".parse().unwrap(),
        transport: Transport::Udp,
        session: None,
        lifetime: Lifetime::from_secs(300),
        version: LwM2mVersion::V1_1,
        binding: Binding::UDP,
        links: "</3/0>".to_owned(),
        registered_at: ago(silent),
        updated_at: ago(silent),
        expires_at: Timestamp::NEVER,
        quirks: Quirks::default(),
        enrollment: None,
    }
}

fn answered(values: &[(&str, Value)]) -> Asked {
    let pair = |(path, value): &(&str, Value)| (path.parse().unwrap(), value.clone());
    Asked {
        path: Path::ObjectInstance(3, 0),
        answer: Answer::Values(values.iter().map(pair).collect()),
        took: Duration::from_millis(80),
    }
}

fn summaries(view: &DeviceView, asked: &[Asked]) -> Vec<String> {
    told(&facts(view, asked))
}

/// Of a device of which no node has counted anything.
fn facts<'a>(view: &'a DeviceView, asked: &'a [Asked]) -> Facts<'a> {
    Facts {
        now: NOW,
        view,
        asked,
        contact: None,
        refused: &[],
    }
}

fn told(facts: &Facts<'_>) -> Vec<String> {
    diagnose(facts)
        .into_iter()
        .map(|finding| format!("{:?}: {}", finding.severity, finding.summary))
        .collect()
}

#[test]
fn nothing_is_said_of_a_device_that_is_well() {
    let view = view(Some(registration(Duration::from_secs(30))));
    let well = answered(&[
        ("/3/0/9", Value::Integer(100)),
        ("/3/0/11/0", Value::Integer(0)),
        ("/3/0/13", Value::Time(1_700_000_010)),
        ("/3/0/10", Value::Integer(40)),
        ("/3/0/21", Value::Integer(64)),
        ("/4/0/2", Value::Integer(-85)),
        ("/5/0/5", Value::Integer(1)),
        ("/6/0/5", Value::Time(1_699_999_000)),
        ("/20/0/4010", Value::Integer(5)),
        ("/20/0/4013", Value::Integer(1)),
    ]);
    let never_located = answered(&[("/6/0/5", Value::Time(0))]);
    assert_eq!(summaries(&view, &[never_located]), Vec::<String>::new());
    assert_eq!(summaries(&view, &[well]), Vec::<String>::new());
}

#[test]
fn a_device_in_quarantine_is_said_to_be() {
    let enrolled = |standing| {
        let enrollment = Enrollment {
            policy: "lab".to_owned(),
            standing,
            labels: BTreeMap::new(),
        };
        let well = answered(&[("/3/0/9", Value::Integer(100))]);
        let view = view(Some(Registration {
            enrollment: Some(enrollment),
            ..registration(Duration::from_secs(30))
        }));
        summaries(&view, &[well])
    };
    assert_eq!(
        enrolled(EnrollmentStanding::Quarantined),
        ["Warning: The device is in quarantine."]
    );
    assert!(enrolled(EnrollmentStanding::Admitted).is_empty());
}

#[test]
fn the_worst_is_said_first() {
    let view = view(Some(registration(Duration::from_secs(30))));
    let ill = answered(&[
        ("/3/0/9", Value::Integer(7)),
        ("/3/0/11/0", Value::Integer(4)),
        ("/3/0/11/1", Value::Integer(7)),
        ("/3/0/13", Value::Time(0)),
        ("/3/0/10", Value::Integer(3)),
        ("/3/0/21", Value::Integer(64)),
        ("/4/0/2", Value::Integer(-120)),
        ("/5/0/5", Value::Integer(5)),
        ("/6/0/5", Value::Time(1_600_000_000)),
        ("/20/0/4010", Value::Integer(0)),
        ("/20/0/4013", Value::Integer(5)),
    ]);
    assert_eq!(
        summaries(&view, &[ill]),
        [
            "Problem: The device reports an error: IP connectivity failure.",
            "Warning: The device reports an error: low received signal strength.",
            "Warning: The device's battery is low.",
            "Warning: The device has little memory left.",
            "Warning: The device's clock is wrong.",
            "Warning: The device's radio signal is weak.",
            "Warning: The device's last firmware update did not succeed: the package's integrity check failed.",
            "Warning: The device could not collect its event log.",
            "Notice: The device's location is old.",
        ]
    );
}

#[test]
fn a_device_that_is_gone_silent_or_asleep_is_told_apart() {
    assert_eq!(
        summaries(&view(None), &[]),
        ["Problem: The device is not registered."]
    );
    let ended = |answer| Asked {
        path: Path::ObjectInstance(3, 0),
        answer,
        took: Duration::from_secs(10),
    };
    let late = view(Some(registration(Duration::from_secs(350))));
    assert_eq!(
        summaries(&late, &[ended(Answer::Silence)]),
        [
            "Problem: The device's lifetime is over, and no Update came.",
            "Problem: The device is registered and does not answer."
        ]
    );
    let quiet = view(Some(registration(Duration::from_secs(200))));
    assert_eq!(
        summaries(&quiet, &[ended(Answer::Asleep)]),
        ["Notice: The device sleeps."]
    );
    assert_eq!(
        summaries(&quiet, &[ended(Answer::Values(Vec::new()))]),
        ["Warning: The device answers slowly."]
    );
}

#[test]
fn operations_that_ended_badly_lately_are_counted() {
    let record = |outcome, at| OperationRecord {
        id: OperationId {
            shard: ShardId(0),
            sequence: 1,
        },
        endpoint: DeviceName::parse("meter-7").unwrap(),
        operation: Operation::Read {
            path: Path::Object(3),
            accept: None,
        },
        source: OperationSource::Caller,
        priority: 0,
        enqueued_at: at,
        deadline: at,
        state: OperationState::Finished {
            outcome,
            at,
            retain_until: Timestamp::NEVER,
        },
    };
    let refused = OperationOutcome::Rejected {
        code: 0x85,
        diagnostic: String::new(),
    };
    let mut view = view(Some(registration(Duration::from_secs(30))));
    view.operations = vec![
        record(OperationOutcome::Expired, ago(Duration::from_hours(1))),
        record(refused, ago(Duration::from_hours(1))),
        record(OperationOutcome::Expired, ago(Duration::from_hours(30))),
    ];
    let asked = [answered(&[])];
    let findings = diagnose(&facts(&view, &asked));
    let evidence: Vec<&str> = findings.iter().map(|one| one.evidence.as_str()).collect();
    assert_eq!(
        evidence,
        [
            "1 of 2 that ended in the last day expired.",
            "1 of 2 that ended in the last day were refused."
        ]
    );
}

#[test]
fn a_device_that_could_not_be_asked_is_not_said_to_be_well() {
    let view = view(Some(registration(Duration::from_secs(30))));
    let ended = |answer| Asked {
        path: Path::ObjectInstance(3, 0),
        answer,
        took: Duration::from_secs(7),
    };
    let unreachable = ended(Answer::Unreachable("the device is moving".to_owned()));
    assert_eq!(
        summaries(&view, &[unreachable]),
        ["Problem: The device is registered and could not be asked."]
    );
    let refused = ended(Answer::Refused("the device answered 4.01".to_owned()));
    assert_eq!(
        summaries(&view, &[refused]),
        ["Notice: The device tells nothing of itself."]
    );
}

#[test]
fn an_observation_that_is_overdue_is_told_with_when_it_was_due() {
    const BATTERY: Path = Path::Resource(3, 0, 9);
    let mut known = view(Some(registration(Duration::from_secs(30))));
    // It registered long before.
    known.registration.as_mut().unwrap().registered_at = ago(Duration::from_hours(1));
    known.observations.push(Observation {
        endpoint: known.endpoint.clone(),
        observed: BATTERY.into(),
        parameters: NotificationAttributes {
            pmax: Setting::To(60),
            ..NotificationAttributes::default()
        },
        holders: vec![ObservationHolder {
            id: 1,
            lease_until: NOW,
        }],
    });
    let well = answered(&[("/3/0/9", Value::Integer(80))]);
    let reported = |silent: Duration| {
        let mut known = known.clone();
        known.values.push(LastValue {
            endpoint: known.endpoint.clone(),
            path: BATTERY,
            value: Value::Integer(80),
            origin: ValueOrigin::Notify,
            at: ago(silent),
        });
        diagnose(&facts(&known, std::slice::from_ref(&well)))
    };
    assert_eq!(reported(Duration::from_secs(100)), []);
    let findings = reported(Duration::from_secs(600));
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].severity, Severity::Warning);
    assert_eq!(
        findings[0].evidence,
        "1 of 1 observations are overdue. By its pmax, a notification of /3/0/9 was due 9 min ago."
    );
}

/// Ten minutes of a device whose messages arrive.
fn counted() -> Contact {
    Contact {
        requests: 20,
        heard: 40,
        ..Contact::beginning(ago(Duration::from_mins(10)))
    }
}

#[test]
fn what_is_lost_is_told_when_it_is_more_than_chance() {
    let view = view(Some(registration(Duration::from_secs(30))));
    let well = [answered(&[("/3/0/9", Value::Integer(80))])];
    let with = |contact: &Contact| {
        told(&Facts {
            contact: Some(contact),
            ..facts(&view, &well)
        })
    };
    let few = Contact {
        sent_again: 1,
        heard_again: 1,
        ..counted()
    };
    assert_eq!(with(&few), Vec::<String>::new());
    let rare = Contact {
        heard: 4_000,
        sent_again: 10,
        ..counted()
    };
    assert_eq!(with(&rare), Vec::<String>::new());
    let lossy = Contact {
        sent_again: 5,
        heard_again: 2,
        unanswered: 1,
        ..counted()
    };
    let findings = diagnose(&Facts {
        contact: Some(&lossy),
        ..facts(&view, &well)
    });
    assert_eq!(findings.len(), 1);
    assert_eq!(
        findings[0].evidence,
        "In 10 min, 20 requests were made of it: messages to it were sent again 5 times, and 1 requests were never answered. \
         Of 40 messages of its own, 2 came again."
    );
}

#[test]
fn a_translator_that_forgets_is_told_from_a_device_that_moves() {
    let mut view = view(Some(registration(Duration::from_secs(30))));
    let well = [answered(&[("/3/0/9", Value::Integer(80))])];
    let moved = |times: u32, to: &str| Contact {
        moves: times,
        registered_again: 1,
        last_move: Some(Box::new(Move {
            at: ago(Duration::from_mins(3)),
            from: "192.0.2.1:5683".parse().unwrap(),
            to: to.parse().unwrap(),
        })),
        ..counted()
    };
    let with = |view: &DeviceView, contact: &Contact| {
        told(&Facts {
            contact: Some(contact),
            ..facts(view, &well)
        })
    };
    let rebound = moved(3, "192.0.2.1:40000");
    let port = "The device's port changes: an address translator forgets it.";
    assert_eq!(with(&view, &rebound), [format!("Warning: {port}")]);
    let once = moved(1, "192.0.2.1:40000");
    assert_eq!(with(&view, &once), [format!("Notice: {port}")]);
    assert_eq!(
        with(&view, &moved(1, "198.51.100.7:5683")),
        ["Notice: The device talks from another address than before."]
    );
    let findings = diagnose(&Facts {
        contact: Some(&rebound),
        ..facts(&view, &well)
    });
    assert_eq!(
        findings[0].evidence,
        "3 times in 10 min; 3 min ago from 192.0.2.1:5683 to 192.0.2.1:40000. It registered again 1 times meanwhile."
    );
    // Each connection has another port.
    view.registration.as_mut().unwrap().transport = Transport::Tcp;
    assert_eq!(with(&view, &rebound), Vec::<String>::new());
}

#[test]
fn who_is_refused_is_told_with_the_reason() {
    let attempt = |at: Timestamp, what| RefusedAttempt {
        at,
        from: "192.0.2.9:50000".parse().unwrap(),
        what,
        reason: "the key is another one".to_owned(),
        count: 4,
    };
    let minutes = |ago_minutes| ago(Duration::from_mins(ago_minutes));
    let refused = [
        attempt(minutes(90), Attempt::Registration),
        attempt(minutes(7), Attempt::Handshake),
        attempt(minutes(5), Attempt::Handshake),
    ];
    let with = |view: &DeviceView, refused: &[RefusedAttempt]| {
        let asked = [answered(&[])];
        let facts = Facts {
            refused,
            ..facts(view, &asked)
        };
        let findings = diagnose(&facts).into_iter();
        let of_interest = findings.filter(|finding| finding.summary.contains("refused"));
        of_interest.collect::<Vec<_>>()
    };
    let absent = with(&view(None), &refused);
    assert_eq!(absent[0].severity, Severity::Problem);
    assert_eq!(
        absent[0].evidence,
        "A handshake from 192.0.2.9:50000 was refused 5 min ago, 8 times in all: the key is another one."
    );
    let there = view(Some(registration(Duration::from_mins(10))));
    assert_eq!(with(&there, &refused)[0].severity, Severity::Warning);
    let back = view(Some(registration(Duration::from_mins(1))));
    assert_eq!(with(&back, &refused)[0].severity, Severity::Notice);
    let by_itself = [
        attempt(minutes(5), Attempt::Handshake),
        attempt(minutes(1), Attempt::OfServer),
    ];
    assert_eq!(with(&view(None), &by_itself), []);
    let told = told(&Facts {
        refused: &by_itself,
        ..facts(&view(None), &[])
    });
    assert!(
        told.contains(&"Problem: The device gives up handshakes.".to_owned()),
        "{told:?}"
    );
    let old = [attempt(minutes(60 * 25), Attempt::Handshake)];
    assert_eq!(with(&back, &old), []);
}
