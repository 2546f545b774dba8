//! What becomes of observations when the device or the server does something else.

use std::time::Duration;

use coap::{Code, Message, MessageId, Reliability, Token, Type, number};
use lwm2m::{
    CompositePaths, LwM2mVersion, NotificationAttributes, Observed, Operation, Path, Value,
};
use lwm2m_client::{Config, Event, Fault};

use crate::system::{System, config};
use crate::{TEMPERATURE, delivered, execute, observe};

const BATTERY: Path = Path::Resource(3, 0, 9);
const MANUFACTURER: Path = Path::Resource(3, 0, 0);
const SECOND: Duration = Duration::from_secs(1);

fn confirmed() -> Config {
    Config {
        notifications: Reliability::Confirmable,
        ..config()
    }
}

fn with_parameters(query: &[&str]) -> Operation {
    Operation::Observe {
        observed: TEMPERATURE.into(),
        parameters: NotificationAttributes::parse_query(query).unwrap(),
    }
}

/// Observe option and token of the requests that have one.
fn observes(system: &mut System) -> Vec<(u8, Token)> {
    let requests = system.requests();
    let observe = |request: &Message| {
        let value = request.options.first(number::OBSERVE)?;
        Some((value.first().copied().unwrap_or(0), request.token))
    };
    requests.iter().filter_map(observe).collect()
}

/// The device reports a temperature, and the server keeps it.
fn report(system: &mut System, value: f64) {
    system.set(TEMPERATURE, Value::Float(value));
    system.drive(SECOND);
    assert_eq!(system.last_value(TEMPERATURE), Some(Value::Float(value)));
}

#[test]
fn a_device_is_asked_to_observe_once_at_each_registration_and_not_after() {
    let mut system = System::registered(confirmed());
    for path in [TEMPERATURE, BATTERY] {
        system.hold(path);
        system.operate(observe(path));
    }
    assert_eq!(observes(&mut system).len(), 2);
    report(&mut system, 21.0);
    system.update();
    report(&mut system, 22.0);
    assert_eq!(observes(&mut system), []);

    for _ in 0..2 {
        let now = system.now;
        system.events.clear();
        system.device.start(now);
        system.wait_for(|event| matches!(event, Event::Registered { .. }));
        system.drive(SECOND * 10);
        assert_eq!(observes(&mut system).len(), 2);
        assert_eq!(system.device.observation_count(), 2);
    }
    report(&mut system, 23.0);
}

#[test]
fn a_device_that_moves_goes_on_with_the_observations_that_it_has() {
    let mut system = System::registered(confirmed());
    for path in [TEMPERATURE, BATTERY] {
        system.hold(path);
        system.operate(observe(path));
    }
    let made = observes(&mut system);
    system.move_device();
    // It reports as soon as it may, before it is asked for anything.
    system.update();
    system.set(TEMPERATURE, Value::Float(21.0));
    system.uplink.clear();
    system.drive(SECOND * 5);
    assert_eq!(system.last_value(TEMPERATURE), Some(Value::Float(21.0)));
    let reset = |message: &Message| message.kind == Type::Reset;
    assert!(!system.sent_by_server().iter().any(reset));
    report(&mut system, 22.0);
    assert_eq!(system.device.observation_count(), 2);

    system.move_device();
    system.update();
    system.drive(SECOND * 5);
    let mut again = observes(&mut system);
    again.sort_unstable();
    let mut made = made;
    made.sort_unstable();
    assert_eq!(again, made, "by the tokens that it knows");
}

#[test]
fn a_deregistered_device_has_no_observations_left() {
    let mut system = System::registered(confirmed());
    system.operate(observe(TEMPERATURE));
    let token = observes(&mut system)[0].1;
    let now = system.now;
    system.device.deregister(now);
    system.wait_for(|event| *event == Event::Deregistered);
    let late = notification(token, 50_000, 9, Code::CONTENT_2_05);
    system.sent_by_server();
    system.receive(&late.to_datagram());
    let reset = Message::new(Type::Reset, Code::EMPTY, late.id);
    assert_eq!(system.sent_by_server(), [reset]);
}

fn notification(token: Token, id: u16, sequence: u32, code: Code) -> Message {
    let mut message = Message::new(Type::Confirmable, code, MessageId(id));
    message.token = token;
    message.options.push_uint(number::OBSERVE, sequence);
    message
}

#[test]
fn an_observation_that_is_asked_for_again_is_refreshed_and_not_doubled() {
    let mut system = System::registered(confirmed());
    for _ in 0..3 {
        let (_, values) = delivered(system.operate(observe(TEMPERATURE)));
        assert_eq!(values.len(), 1);
        assert_eq!(system.device.observation_count(), 1);
    }
    let asked = observes(&mut system);
    assert!(asked.iter().all(|one| *one == asked[0]), "{asked:?}");
    report(&mut system, 21.0);
    // Two that ask at the same time get both an answer.
    let tags = [(); 2].map(|()| system.begin(observe(TEMPERATURE)));
    for tag in tags {
        system.end(tag).unwrap();
    }
    report(&mut system, 22.0);
    report(&mut system, 23.0);
    assert_eq!(system.device.observation_count(), 1);
}

#[test]
fn other_parameters_end_the_observation_and_make_another() {
    let mut system = System::registered(Config {
        version: LwM2mVersion::V1_2,
        ..confirmed()
    });
    system.operate(with_parameters(&["pmin=60"]));
    let first = observes(&mut system)[0].1;
    system.operate(with_parameters(&["pmin=0"]));
    let asked = observes(&mut system);
    assert_eq!((asked[0], asked[1].0), ((1, first), 0));
    assert_ne!(asked[1].1, first);
    assert_eq!(system.device.observation_count(), 1);
    report(&mut system, 21.0);
}

#[test]
fn a_device_that_answers_an_observe_like_a_read_is_said_not_to_be_observable() {
    let several = CompositePaths::new(vec![TEMPERATURE, BATTERY]).unwrap();
    let composite = Operation::Observe {
        observed: Observed::Composite(several),
        parameters: NotificationAttributes::default(),
    };
    for version in [LwM2mVersion::V1_0, LwM2mVersion::V1_1] {
        for operation in [observe(TEMPERATURE), composite.clone()] {
            let mut system = System::registered(Config {
                version,
                faults: vec![Fault::OmitsObserve],
                ..confirmed()
            });
            let failure = system.refuse(operation).to_string();
            assert!(failure.contains("not observed"), "{failure}");
            // The device believes that it is observed, until its first report.
            system.set(TEMPERATURE, Value::Float(21.0));
            system.set(BATTERY, Value::Integer(7));
            system.drive(SECOND);
            assert_eq!(system.device.observation_count(), 0);
            assert_eq!(system.last_value(TEMPERATURE), None);
        }
    }
}

#[test]
fn a_device_that_rebooted_counts_from_the_start_and_is_heard() {
    let mut system = System::registered(confirmed());
    system.hold(TEMPERATURE);
    system.operate(observe(TEMPERATURE));
    for value in 0..20 {
        report(&mut system, f64::from(value));
    }
    system.operate(execute(Path::Resource(3, 0, 4)));
    system.wait_for(|event| *event == Event::Booted);
    system.wait_for(|event| matches!(event, Event::Registered { .. }));
    system.drive(SECOND);
    system.uplink.clear();
    report(&mut system, 40.0);
    let report = coap::decode(&system.uplink[0]).unwrap();
    let sequence = report.options.first(number::OBSERVE).unwrap();
    assert!(sequence.len() == 1 && sequence[0] < 5, "{sequence:?}");
}

#[test]
fn a_composite_observation_is_cancelled_by_the_request_that_made_it() {
    let mut system = System::registered(config());
    let several = CompositePaths::new(vec![TEMPERATURE, BATTERY, MANUFACTURER]).unwrap();
    let observed = Observed::Composite(several);
    system.operate(Operation::Observe {
        observed: observed.clone(),
        parameters: NotificationAttributes::default(),
    });
    system.operate(Operation::CancelObserve { observed });
    system.drive(SECOND);
    assert_eq!(system.device.observation_count(), 0);
    let [made, cancelled] = &system.requests()[..] else {
        panic!("an Observe and its end");
    };
    assert_eq!((made.code, cancelled.code), (Code::FETCH, Code::FETCH));
    assert_eq!(cancelled.token, made.token);
    assert_eq!(cancelled.payload, made.payload);
    let others = |message: &Message| -> Vec<(u16, Vec<u8>)> {
        let options = message.options.iter();
        options
            .filter(|(number, _)| *number != number::OBSERVE)
            .map(|(number, value)| (number, value.to_vec()))
            .collect()
    };
    assert_eq!(others(cancelled), others(made));
}

#[test]
fn a_valid_without_content_leaves_the_value_as_it_is() {
    let mut system = System::registered(confirmed());
    system.operate(observe(MANUFACTURER));
    let token = observes(&mut system)[0].1;
    system.set(MANUFACTURER, Value::String("Another".to_owned()));
    system.drive(SECOND);
    let valid = notification(token, 50_000, 100, Code::VALID_2_03);
    system.sent_by_server();
    system.receive(&valid.to_datagram());
    let acknowledgement = Message::new(Type::Acknowledgement, Code::EMPTY, valid.id);
    assert_eq!(system.sent_by_server(), [acknowledgement]);
    assert_eq!(
        system.last_value(MANUFACTURER),
        Some(Value::String("Another".to_owned()))
    );
    assert_eq!(system.device.observation_count(), 1);
}
