#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use device_state::query::DeviceView;
use device_state::{
    LastValue, NodeId, Observation, ObservationHolder, OperationId, OperationOutcome,
    OperationRecord, OperationSource, OperationState, Quirks, Registration, SecurityIdentity,
    ShardId, Transport, ValueOrigin,
};
use lwm2m::{
    Binding, EndpointName, Lifetime, LwM2mVersion, NotificationAttributes, Operation, Setting,
};

use super::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn ago(span: Duration) -> Timestamp {
    Timestamp(NOW.0 - span.as_millis() as u64)
}

fn view(registration: Option<Registration>) -> DeviceView {
    DeviceView {
        endpoint: EndpointName::new("meter-7").unwrap(),
        registration,
        desired: Vec::new(),
        desired_generation: None,
        values: Vec::new(),
        operations: Vec::new(),
        observations: Vec::new(),
        bootstrap: None,
    }
}

fn registration(silent: Duration) -> Registration {
    Registration {
        endpoint: EndpointName::new("meter-7").unwrap(),
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
    let facts = Facts {
        now: NOW,
        view,
        asked,
    };
    diagnose(&facts)
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
    ]);
    assert_eq!(summaries(&view, &[well]), Vec::<String>::new());
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
        endpoint: EndpointName::new("meter-7").unwrap(),
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
    let facts = Facts {
        now: NOW,
        view: &view,
        asked: &[answered(&[])],
    };
    let findings = diagnose(&facts);
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
        let facts = Facts {
            now: NOW,
            view: &known,
            asked: std::slice::from_ref(&well),
        };
        diagnose(&facts)
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
