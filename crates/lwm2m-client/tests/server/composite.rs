//! Operations on several paths, with devices that know them and with those that do not.

use std::time::Duration;

use coap::Code;
use device_state::{OperationOutcome, Quirks};
use lwm2m::{
    CompositePaths, ContentFormat, Entry, LwM2mVersion, Method, NotificationAttributes, Observed,
    Operation, Patch, Path, RawRequest, Value,
};
use lwm2m_client::{Config, Event, Fault, Profile};

use crate::system::{System, config};
use crate::{TEMPERATURE, delivered};

const MANUFACTURER: Path = Path::Resource(3, 0, 0);
const LIFETIME: Path = Path::Resource(1, 0, 1);

fn of_release(version: LwM2mVersion) -> Config {
    Config {
        version,
        ..config()
    }
}

fn read(paths: &[Path]) -> Operation {
    Operation::ReadComposite {
        paths: paths.to_vec(),
        accept: None,
    }
}

fn observe(observed: Observed, query: &[&str]) -> Operation {
    Operation::Observe {
        observed,
        parameters: NotificationAttributes::parse_query(query).unwrap(),
    }
}

fn both() -> Observed {
    Observed::Composite(CompositePaths::new(vec![MANUFACTURER, TEMPERATURE]).unwrap())
}

#[test]
fn several_paths_are_read_one_by_one_where_the_device_knows_no_other_way() {
    let mut system = System::registered(of_release(LwM2mVersion::V1_0));
    let absent = Path::Resource(3, 0, 9_999);
    let (code, values) = delivered(system.operate(read(&[MANUFACTURER, absent, TEMPERATURE])));
    assert_eq!(code, Code::CONTENT_2_05);
    assert_eq!(
        values,
        [
            (MANUFACTURER, Value::String("Drover".to_owned())),
            (TEMPERATURE, Value::Float(20.0))
        ]
    );
}

#[test]
fn several_paths_are_observed_one_by_one_where_the_device_knows_no_other_way() {
    let mut system = System::registered(of_release(LwM2mVersion::V1_0));
    let (_, values) = delivered(system.operate(observe(both(), &[])));
    assert_eq!(values.len(), 2);
    assert_eq!(system.device.observation_count(), 2);
    system.set(TEMPERATURE, Value::Float(21.5));
    system.drive(Duration::from_secs(1));
    assert_eq!(system.last_value(TEMPERATURE), Some(Value::Float(21.5)));
    system.operate(Operation::CancelObserve { observed: both() });
    system.drive(Duration::from_secs(1));
    assert_eq!(system.device.observation_count(), 0);
}

#[test]
fn parameters_of_an_observation_are_written_where_the_device_takes_none() {
    let mut system = System::registered(of_release(LwM2mVersion::V1_1));
    let observed = Observed::Path(TEMPERATURE);
    delivered(system.operate(observe(observed, &["pmin=60"])));
    for value in [21.0, 22.0] {
        system.set(TEMPERATURE, Value::Float(value));
        system.drive(Duration::from_secs(10));
    }
    assert_eq!(system.last_value(TEMPERATURE), None, "not before pmin");
    system.drive(Duration::from_secs(60));
    assert_eq!(system.last_value(TEMPERATURE), Some(Value::Float(22.0)));
}

#[test]
fn several_paths_are_not_written_one_by_one() {
    let mut system = System::registered(of_release(LwM2mVersion::V1_0));
    let patches = vec![Patch::Set(Entry::new(LIFETIME, Value::Integer(600)))];
    let failure = system.refuse(Operation::WriteComposite { patches });
    assert!(
        failure.to_string().contains("no composite operations"),
        "{failure}"
    );
}

fn with_fault(version: LwM2mVersion, fault: Fault) -> Config {
    Config {
        faults: vec![fault],
        ..of_release(version)
    }
}

#[test]
fn several_paths_are_read_observed_and_written_in_one_request_where_the_device_can() {
    for version in [LwM2mVersion::V1_1, LwM2mVersion::V1_2] {
        let mut system = System::registered(of_release(version));
        let absent = Path::Resource(3, 0, 9_999);
        let (code, values) = delivered(system.operate(read(&[TEMPERATURE, absent, MANUFACTURER])));
        assert_eq!((code, values.len()), (Code::CONTENT_2_05, 2), "{version}");

        delivered(system.operate(observe(both(), &[])));
        assert_eq!(system.device.observation_count(), 1, "{version}");
        system.set(TEMPERATURE, Value::Float(21.5));
        system.drive(Duration::from_secs(2));
        assert_eq!(system.last_value(TEMPERATURE), Some(Value::Float(21.5)));
        system.operate(Operation::CancelObserve { observed: both() });
        system.drive(Duration::from_secs(1));
        assert_eq!(system.device.observation_count(), 0, "{version}");

        let set = |path, value| Patch::Set(Entry::new(path, value));
        let fine = set(LIFETIME, Value::Integer(600));
        let spoilt = set(MANUFACTURER, Value::String("x".to_owned()));
        let refused = Operation::WriteComposite {
            patches: vec![fine.clone(), spoilt],
        };
        let outcome = system.operate(refused);
        assert!(
            matches!(outcome, OperationOutcome::Rejected { .. }),
            "{outcome:?}"
        );
        assert_ne!(system.device.value(LIFETIME), Some(&Value::Integer(600)));
        delivered(system.operate(Operation::WriteComposite {
            patches: vec![fine],
        }));
        assert_eq!(system.device.value(LIFETIME), Some(&Value::Integer(600)));
        assert_eq!(system.registration().unwrap().quirks, Quirks::default());
    }
}

#[test]
fn that_a_device_has_no_composite_operations_is_learnt_and_kept() {
    let config = with_fault(LwM2mVersion::V1_1, Fault::RefusesComposite);
    let mut system = System::registered(config);
    let (_, values) = delivered(system.operate(read(&[MANUFACTURER, TEMPERATURE])));
    assert_eq!(values.len(), 2);
    assert!(system.registration().unwrap().quirks.no_composite);
    // A device that registers again, with the same release, is known.
    let now = system.now;
    system.device.start(now);
    system.events.clear();
    system.wait_for(|event| matches!(event, Event::Registered { .. }));
    assert!(system.registration().unwrap().quirks.no_composite);
    // All or nothing cannot be made of pieces.
    let patches = vec![Patch::Set(Entry::new(LIFETIME, Value::Integer(600)))];
    let failure = system.refuse(Operation::WriteComposite { patches });
    assert!(
        failure.to_string().contains("no composite operations"),
        "{failure}"
    );
}

#[test]
fn that_a_device_refuses_a_composite_write_is_told_with_its_code() {
    let config = with_fault(LwM2mVersion::V1_1, Fault::RefusesComposite);
    let mut system = System::registered(config);
    let patches = vec![Patch::Set(Entry::new(LIFETIME, Value::Integer(600)))];
    let outcome = system.operate(Operation::WriteComposite { patches });
    assert!(
        matches!(outcome, OperationOutcome::Rejected { code, .. } if code == Code::METHOD_NOT_ALLOWED_4_05.as_byte()),
        "{outcome:?}"
    );
}

#[test]
fn that_a_device_never_answers_composite_operations_is_learnt_and_kept() {
    let config = with_fault(LwM2mVersion::V1_2, Fault::SwallowsComposite);
    let mut system = System::registered(config);
    let (_, values) = delivered(system.operate(observe(both(), &[])));
    assert_eq!(values.len(), 2);
    assert_eq!(system.device.observation_count(), 2);
    assert!(system.registration().unwrap().quirks.no_composite);
    let now = system.now;
    system.device.start(now);
    system.events.clear();
    system.wait_for(|event| matches!(event, Event::Registered { .. }));
    let began = system.now;
    let (_, values) = delivered(system.operate(read(&[MANUFACTURER, TEMPERATURE])));
    assert_eq!(values.len(), 2);
    assert!(system.now - began < Duration::from_secs(1), "known by now");
}

#[test]
fn a_resource_instance_is_removed_by_a_composite_write_beside_what_it_sets() {
    let mut system = System::registered(Config {
        profile: Profile::full("portfolio"),
        ..of_release(LwM2mVersion::V1_2)
    });
    let identity = |instance| Path::ResourceInstance(16, 0, 0, instance);
    let has = |system: &System, instance| system.device.value(identity(instance)).is_some();
    assert!(has(&system, 0) && has(&system, 1));
    let patches = vec![
        Patch::Remove(identity(1)),
        Patch::Set(Entry::new(LIFETIME, Value::Integer(600))),
    ];
    delivered(system.operate(Operation::WriteComposite { patches }));
    assert!(has(&system, 0) && !has(&system, 1));
    assert_eq!(system.device.value(LIFETIME), Some(&Value::Integer(600)));
}

#[test]
fn a_format_that_a_device_does_not_have_says_nothing_of_its_operations() {
    let mut system = System::registered(of_release(LwM2mVersion::V1_1));
    let asked = Operation::ReadComposite {
        paths: vec![MANUFACTURER, TEMPERATURE],
        accept: Some(ContentFormat::OPAQUE),
    };
    let outcome = system.operate(asked);
    assert!(
        matches!(outcome, OperationOutcome::Rejected { .. }),
        "{outcome:?}"
    );
    assert_eq!(system.registration().unwrap().quirks, Quirks::default());
}

#[test]
fn an_observation_of_nothing_is_refused() {
    let mut system = System::registered(of_release(LwM2mVersion::V1_0));
    let absent = vec![Path::Resource(3, 0, 9_998), Path::Resource(3, 0, 9_999)];
    let observed = Observed::Composite(CompositePaths::new(absent).unwrap());
    let outcome = system.operate(observe(observed, &[]));
    assert!(
        matches!(outcome, OperationOutcome::Rejected { .. }),
        "{outcome:?}"
    );
}

#[test]
fn payloads_that_are_labelled_right_are_read_beside_those_that_are_not() {
    // Everything is said to be text, and what is one value is text.
    let config = with_fault(
        LwM2mVersion::V1_0,
        Fault::MislabelsFormat(ContentFormat::TEXT),
    );
    let mut system = System::registered(config);
    let asked = |path, accept| Operation::Read {
        path,
        accept: Some(accept),
    };
    delivered(system.operate(asked(Path::ObjectInstance(3, 0), ContentFormat::TLV)));
    let (_, values) = delivered(system.operate(asked(TEMPERATURE, ContentFormat::TEXT)));
    assert_eq!(values, [(TEMPERATURE, Value::Float(20.0))]);
}

#[test]
fn that_a_device_takes_no_parameters_with_an_observe_is_learnt_and_kept() {
    let config = with_fault(LwM2mVersion::V1_2, Fault::RefusesObserveParameters);
    let mut system = System::registered(config);
    let observed = Observed::Path(TEMPERATURE);
    delivered(system.operate(observe(observed, &["pmin=60"])));
    let quirks = system.registration().unwrap().quirks;
    assert!(quirks.no_observe_parameters && !quirks.no_composite);
    assert_eq!(system.device.observation_count(), 1);
}

#[test]
fn a_format_that_is_labelled_wrongly_is_recognised_and_kept() {
    let config = with_fault(
        LwM2mVersion::V1_0,
        Fault::MislabelsFormat(ContentFormat::TEXT),
    );
    let mut system = System::registered(config);
    let device = Operation::Read {
        path: Path::ObjectInstance(3, 0),
        accept: Some(ContentFormat::TLV),
    };
    for _ in 0..2 {
        let (_, values) = delivered(system.operate(device.clone()));
        let manufacturer = (MANUFACTURER, Value::String("Drover".to_owned()));
        assert!(values.contains(&manufacturer), "{values:?}");
    }
    assert_eq!(
        system.registration().unwrap().quirks.mislabelled,
        Some((ContentFormat::TEXT, ContentFormat::TLV))
    );
}

#[test]
fn a_raw_request_goes_as_it_is_and_comes_back_with_what_the_device_says() {
    let mut system = System::registered(of_release(LwM2mVersion::V1_1));
    let mut ask = |method, target| {
        let raw = RawRequest::new(method, target).unwrap();
        match system.operate(Operation::Raw(raw)) {
            OperationOutcome::Answered { code, payload, .. } => (Code::from_byte(code), payload),
            other => panic!("{other:?}"),
        }
    };
    let (code, payload) = ask(Method::Get, "/3/0/0");
    assert_eq!(
        (code, payload.as_slice()),
        (Code::CONTENT_2_05, &b"Drover"[..])
    );
    assert_eq!(ask(Method::Delete, "/3/0").0, Code::METHOD_NOT_ALLOWED_4_05);
    assert_eq!(
        ask(Method::Put, "/3303/0/5700?pmin=5").0,
        Code::CHANGED_2_04
    );
}
