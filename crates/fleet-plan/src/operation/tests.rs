#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use k8s_openapi::jiff::Timestamp;

use super::*;

/// What users are shown.
const EXAMPLE: &str = include_str!("../../../../examples/resources/device-operation.yaml");

fn at(second: i64) -> Time {
    Time(Timestamp::from_second(second).unwrap())
}

/// An operation, made at second 1000, with this spec.
fn operation(spec: &str) -> DeviceOperation {
    let text = format!(
        "{{apiVersion: drover.dev/v1alpha1, kind: DeviceOperation, metadata: {{name: a}}, spec: {spec}}}"
    );
    let mut operation: DeviceOperation = serde_yaml_ng::from_str(&text).unwrap();
    operation.metadata.uid = Some("uid-1".to_owned());
    operation.metadata.generation = Some(1);
    operation.metadata.creation_timestamp = Some(at(1_000));
    operation
}

fn of(action: &str) -> DeviceOperation {
    operation(&format!("{{endpointName: 'urn:imei:1', action: {action}}}"))
}

fn reboot() -> DeviceOperation {
    of("{type: Execute, path: /3/0/4}")
}

/// One object on its way.
struct Rig {
    operation: DeviceOperation,
    second: i64,
}

impl Rig {
    fn new(operation: DeviceOperation) -> Self {
        Self {
            operation,
            second: 1_000,
        }
    }

    fn step(&self) -> Step {
        step(&self.operation, Some("urn:imei:1"), &at(self.second))
    }

    /// Writes the status, as the operator does.
    fn tell(&mut self, outcome: Outcome) -> Plan {
        let plan = report(
            &self.operation,
            Some("urn:imei:1"),
            outcome,
            &at(self.second),
        );
        for one in &plan.status.conditions {
            crate::conditions::documented(DeviceOperation::CONDITIONS, one);
        }
        self.operation.status = Some(plan.status.clone());
        plan
    }

    /// Until the device is asked.
    fn started(operation: DeviceOperation) -> Self {
        let mut rig = Self::new(operation);
        assert_eq!(rig.step(), Step::Told(Outcome::Started));
        assert_eq!(rig.tell(Outcome::Started).again, Again::Now);
        rig
    }

    fn ask(&self) -> Ask {
        match self.step() {
            Step::Ask(ask) => *ask,
            other => panic!("{other:?}"),
        }
    }

    fn says(&self) -> [String; 3] {
        let status = self.operation.status.as_ref().unwrap();
        ["Complete", "Failed", "Succeeded"].map(|kind| {
            let mut conditions = status.conditions.iter();
            let one = conditions.find(|one| one.type_ == kind).unwrap();
            format!("{}/{}", one.status, one.reason)
        })
    }
}

fn answer(values: &[(&str, &str)]) -> Answer {
    let values = values.iter();
    Answer {
        coap_code: "2.05".to_owned(),
        values: values
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect(),
        at: Some(at(1_010)),
    }
}

#[test]
fn the_example_is_asked_once_followed_and_deleted() {
    let mut example: DeviceOperation = serde_yaml_ng::from_str(EXAMPLE).unwrap();
    example.metadata.uid = Some("uid-1".to_owned());
    example.metadata.creation_timestamp = Some(at(1_000));
    let mut rig = Rig::started(example);
    rig.second = 1_010;
    let ask = rig.ask();
    assert_eq!(ask.request_id, "uid-1");
    assert_eq!(ask.deadline, Duration::from_secs(86_390));
    let (path, arguments) = ("/3/0/4".parse().unwrap(), String::new());
    assert_eq!(ask.request, Request::Execute { path, arguments });
    rig.second = 1_400;
    let plan = rig.tell(Outcome::Running {
        id: "12-345".to_owned(),
        in_flight: false,
    });
    // Until the deadline of a day, which began with second 1000.
    assert_eq!(plan.again, Again::Told(Duration::from_secs(86_000)));
    assert_eq!(
        rig.says(),
        [
            "False/AwaitingWakeup",
            "False/AsExpected",
            "Unknown/AwaitingWakeup"
        ]
    );
    assert_eq!(unfinished(&rig.operation), Some("12-345"));
    let followed = |overdue| Step::Follow {
        endpoint: "urn:imei:1".to_owned(),
        id: "12-345".to_owned(),
        overdue,
    };
    assert_eq!(rig.step(), followed(false));
    rig.second = 90_000;
    assert_eq!(rig.step(), followed(true));
    rig.second = 1_020;
    let plan = rig.tell(Outcome::Succeeded(Answer {
        coap_code: "2.04".to_owned(),
        ..answer(&[])
    }));
    assert_eq!(
        rig.says(),
        ["True/Complete", "False/AsExpected", "True/Complete"]
    );
    assert_eq!(unfinished(&rig.operation), None);
    assert_eq!(plan.status.counts.unwrap().succeeded, 1);
    assert_eq!(plan.status.results[0].coap_code, "2.04");
    assert_eq!(plan.status.completion_time, Some(at(1_010)));
    assert_eq!(plan.again, Again::Within(Duration::from_secs(3_590)));

    // Nothing changes until it goes.
    assert_eq!(rig.step(), Step::Told(Outcome::Through));
    let before = rig.operation.clone();
    assert_eq!(rig.tell(Outcome::Through).status_change(&before), None);
    rig.second = 1_010 + 3_600;
    assert_eq!(rig.step(), Step::Delete);
}

#[test]
fn what_must_not_be_done_twice_is_not_asked_again_when_nobody_knows() {
    let mut rig = Rig::started(reboot());
    rig.second += 539;
    rig.ask();
    rig.second += 1;
    assert_eq!(rig.step(), Step::Told(Outcome::Lost));
    rig.tell(Outcome::Lost);
    assert_eq!(
        rig.says(),
        [
            "True/Complete",
            "True/OutcomeUnknown",
            "False/OutcomeUnknown"
        ]
    );
    // Reading again does no harm, and neither does writing, if the object says so.
    let read = of("{type: Read, path: /3/0/0}");
    let mut write = of("{type: Write, values: [{path: /3/0/14, value: '+01:00'}]}");
    write.spec.execution_guarantee = ExecutionGuarantee::AtLeastOnce;
    for again in [read, write] {
        let mut rig = Rig::started(again);
        rig.second += 80_000;
        rig.ask();
    }
}

#[test]
fn a_device_that_does_not_listen_is_waited_for_until_the_deadline() {
    let mut rig = Rig::started(of("{type: Read, path: /3/0/0}"));
    let plan = rig.tell(Outcome::Waiting(Deafness::Asleep));
    assert_eq!(plan.again, Again::At(Pace::Running));
    assert_eq!(rig.says()[0], "False/AwaitingWakeup");
    let before = rig.operation.clone();
    rig.second += 5;
    let plan = rig.tell(Outcome::Waiting(Deafness::Asleep));
    assert_eq!(plan.status_change(&before), None);
    rig.second = 1_000 + 86_400;
    assert_eq!(rig.step(), Step::Told(Outcome::Expired));
    let plan = rig.tell(Outcome::Expired);
    assert_eq!(
        rig.says(),
        [
            "True/Complete",
            "True/DeadlineExceeded",
            "False/DeadlineExceeded"
        ]
    );
    assert_eq!(plan.status.counts.unwrap().expired, 1);
}

#[test]
fn a_suspended_operation_does_not_begin() {
    let mut rig = Rig::new(reboot());
    rig.operation.spec.suspend = true;
    rig.second = 200_000;
    assert_eq!(rig.step(), Step::Told(Outcome::Held));
    let plan = rig.tell(Outcome::Held);
    let mut conditions = plan.status.conditions.iter();
    let suspended = conditions.find(|one| one.type_ == "Suspended").unwrap();
    assert_eq!(suspended.reason, "UserPaused");
    assert_eq!(plan.again, Again::At(Pace::Resting));
}

#[test]
fn a_device_object_is_waited_for() {
    let mut rig = Rig::new(operation(
        "{deviceRef: {name: meter-1}, action: {type: Read, path: /3}}",
    ));
    let missing = step(&rig.operation, None, &at(1_001));
    let Step::Told(Outcome::Refused(refusal)) = missing else {
        panic!("{missing:?}");
    };
    assert_eq!(refusal.reason, Reason::DeviceNotFound);
    rig.tell(Outcome::Refused(refusal));
    assert_eq!(rig.says()[0], "False/NotAccepted");
    assert_eq!(rig.step(), Step::Told(Outcome::Started));
    let late = step(&rig.operation, None, &at(1_000 + 86_400));
    assert_eq!(late, Step::Told(Outcome::Expired));
}

#[test]
fn what_is_told_is_bounded() {
    let mut rig = Rig::started(of("{type: Read, path: /3/0/0}"));
    let plan = rig.tell(Outcome::Succeeded(answer(&[("/3/0/0", "Acme")])));
    assert_eq!(plan.status.results[0].value.as_deref(), Some("Acme"));
    assert_eq!(plan.status.results[0].endpoint_name, "urn:imei:1");

    let mut rig = Rig::started(of("{type: Read, path: /3}"));
    let paths: Vec<String> = (0..30).map(|id| format!("/3/0/{id}")).collect();
    let values: Vec<_> = paths.iter().map(|path| (path.as_str(), "x")).collect();
    let plan = rig.tell(Outcome::Succeeded(answer(&values)));
    assert_eq!(plan.status.results.len(), 20);
    assert_eq!(plan.status.results[1].value.as_deref(), Some("/3/0/1=x"));
    let mut conditions = plan.status.conditions.iter();
    let complete = conditions.find(|one| one.type_ == "Complete").unwrap();
    assert!(
        complete
            .message
            .ends_with("20 of 30 values are in status.results")
    );

    let long = "y".repeat(2_000);
    let values = [("/3/0/0", long.as_str()); 20];
    let plan = rig.tell(Outcome::Succeeded(answer(&values)));
    let results = plan.status.results.iter();
    let bytes: usize = results
        .filter_map(|one| one.value.as_ref().map(String::len))
        .sum();
    assert!(bytes <= 8_192, "{bytes}");
}

#[test]
fn what_is_secret_is_not_told() {
    for path in ["/0/0/5", "/11/0/6", "/12/0/17", "/21/0/0"] {
        let mut rig = Rig::started(of(&format!("{{type: Read, path: {path}}}")));
        let plan = rig.tell(Outcome::Succeeded(answer(&[(path, "hunter2")])));
        let value = plan.status.results[0].value.as_deref();
        assert_eq!(value, Some(&*format!("{path} is secret")));
    }
}

#[test]
fn a_device_that_refuses_has_failed() {
    let mut rig = Rig::started(reboot());
    let plan = rig.tell(Outcome::Failed {
        coap_code: "4.05".to_owned(),
        message: "the device answered 4.05".to_owned(),
        at: None,
    });
    assert_eq!(
        rig.says(),
        ["True/Complete", "True/DevicesFailed", "False/DevicesFailed"]
    );
    assert_eq!(plan.status.results[0].coap_code, "4.05");
}

#[test]
fn values_of_one_instance_need_no_composite_operation() {
    let request = |values: &str| {
        let action = format!("{{type: Write, values: [{values}]}}");
        Rig::started(of(&action)).ask().request
    };
    let offset = "{path: /3/0/14, value: '+01:00'}";
    assert!(matches!(
        request(offset),
        Request::Write { text, .. } if text == "+01:00"
    ));
    let request_of_two = request(&format!(
        "{offset}, {{path: /3/0/15, value: Europe/Berlin}}"
    ));
    let Request::WriteInstance { path, values } = request_of_two else {
        panic!("{request_of_two:?}");
    };
    assert_eq!((path.to_string().as_str(), values.len()), ("/3/0", 2));
    let request_of_two = request(&format!("{offset}, {{path: /1/0/1, value: '60'}}"));
    assert!(matches!(request_of_two, Request::WriteComposite(_)));
    // Only the state tier may know the object.
    let vendor = request("{path: /26241/0/0, value: '1'}");
    assert!(matches!(vendor, Request::Write { .. }));
}

#[test]
fn what_operations_cannot_do_is_refused_by_its_field() {
    let execute = "endpointName: a, action: {type: Execute, path: /3/0/4}";
    for (spec, begin) in [
        (
            format!("{{{execute}, executionGuarantee: AtLeastOnce}}"),
            "spec.executionGuarantee: AtLeastOnce: ",
        ),
        (
            "{endpointName: a, action: {type: Bootstrap}}".to_owned(),
            "spec.action.type: Bootstrap: use Execute with the path /1/0/9",
        ),
        (
            "{endpointName: a, dispatchPolicy: Immediate, action: {type: Observe, path: /3}}".to_owned(),
            "spec.dispatchPolicy: Immediate: ",
        ),
        (
            "{endpointName: a, action: {type: Write, values: [{path: /3/0/14, valueFrom: {secretKeyRef: {name: a, \
             key: b}}}]}}"
                .to_owned(),
            "spec.action.values[0].valueFrom: ",
        ),
    ] {
        let mut rig = Rig::new(operation(&spec));
        let Step::Told(Outcome::Refused(refusal)) = rig.step() else {
            panic!("{spec}: {:?}", rig.step());
        };
        assert_eq!(refusal.reason, Reason::Unsupported, "{spec}");
        assert!(refusal.message.starts_with(begin), "{}", refusal.message);
        // It ends, and goes as any other.
        let plan = rig.tell(Outcome::Refused(refusal));
        assert_eq!(
            rig.says(),
            ["True/Complete", "True/NotAccepted", "False/NotAccepted"]
        );
        assert_eq!(plan.again, Again::Within(Duration::from_secs(3_600)));
    }
    let wrong = of("{type: Write, values: [{path: /3/0/9, value: '5'}]}");
    let Step::Told(Outcome::Refused(refusal)) = Rig::new(wrong).step() else {
        panic!("accepted");
    };
    assert_eq!(refusal.reason, Reason::InvalidValue);
}
