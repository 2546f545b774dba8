//! Messages of the server as they are, and messages to it.

use std::time::Duration;

use coap::{Code, Message, MessageId, Token, Type, number};
use lwm2m::{
    CompositePaths, Entry, NotificationAttributes, Observed, Operation, Patch, Path, Value,
    WriteMode,
};
use lwm2m_client::Event;

use crate::system::{System, config};
use crate::{TEMPERATURE, cancel, execute, observe, read, write};

const OFFSET: Path = Path::Resource(3, 0, 14);

#[test]
fn a_register_that_comes_twice_makes_one_registration_at_one_location() {
    let mut system = System::new(config(), 1);
    system.wait_for(|event| matches!(event, Event::Registered { .. }));
    let (register, registration) = (system.uplink[0].clone(), system.registration());
    let created = |system: &mut System| {
        let mut sent = system.sent_by_server();
        sent.retain(|message| message.code == Code::CREATED_2_01);
        assert_eq!(sent.len(), 1);
        sent.remove(0)
    };
    let answer = created(&mut system);
    system.drive(Duration::from_secs(60));
    system.sent_by_server();
    system.receive(&register);
    assert_eq!(created(&mut system), answer);
    assert_eq!(system.registration(), registration);
}

/// One of each kind, with the temperature sensor.
fn operations() -> Vec<Operation> {
    let instance = Path::ObjectInstance(3303, 1);
    let unit = Entry::new(Path::Resource(3303, 1, 5701), Value::String("K".to_owned()));
    let offset = Entry::new(OFFSET, Value::String("+01:00".to_owned()));
    let both = CompositePaths::new(vec![TEMPERATURE, OFFSET]).unwrap();
    let parameters = NotificationAttributes::default();
    let root = vec![Path::Root];
    vec![
        read(TEMPERATURE),
        write(OFFSET, WriteMode::Replace, vec![offset.clone()]),
        execute(Path::Resource(3303, 0, 5605)),
        Operation::Create {
            path: Path::Object(3303),
            instance: Some(1),
            values: vec![unit],
        },
        Operation::Discover {
            path: instance,
            depth: None,
        },
        Operation::Delete { path: instance },
        Operation::WriteAttributes {
            path: TEMPERATURE,
            attributes: NotificationAttributes::parse_query(&["pmin=1"]).unwrap(),
        },
        observe(TEMPERATURE),
        cancel(TEMPERATURE),
        Operation::Observe {
            observed: Observed::Composite(both),
            parameters,
        },
        Operation::ReadComposite {
            paths: root,
            accept: None,
        },
        Operation::WriteComposite {
            patches: vec![Patch::Set(offset)],
        },
    ]
}

#[test]
fn whatever_is_asked_of_a_device_is_confirmable_and_has_no_empty_segment() {
    let mut system = System::registered(config());
    let mut count = 0;
    for operation in operations() {
        system.operate(operation);
        for request in system.requests() {
            count += 1;
            assert_eq!(request.kind, Type::Confirmable);
            let mut path = request
                .options
                .iter()
                .filter(|(number, _)| *number == number::URI_PATH);
            assert!(path.all(|(_, segment)| !segment.is_empty()), "{request:?}");
        }
    }
    assert!(count >= operations().len());
}

#[test]
fn a_path_that_only_looks_like_the_registration_interface_is_none() {
    let mut system = System::registered(config());
    let segments: [&[&str]; 5] = [&["rd", ""], &["", "rd"], &["r%64"], &["rd", "", ""], &[""]];
    for (segments, id) in segments.into_iter().zip(40_000..) {
        let mut message = Message::new(Type::Confirmable, Code::POST, MessageId(id));
        message.token = Token::new(&[1]).unwrap();
        for segment in segments {
            message.options.push(number::URI_PATH, segment.as_bytes());
        }
        for argument in ["ep=another", "lwm2m=1.1", "lt=60"] {
            message.options.push(number::URI_QUERY, argument.as_bytes());
        }
        system.sent_by_server();
        system.receive(&message.to_datagram());
        let answers = system.sent_by_server();
        let codes: Vec<Code> = answers.iter().map(|answer| answer.code).collect();
        assert_eq!(codes, [Code::NOT_FOUND_4_04], "{segments:?}");
    }
}

#[test]
fn one_request_to_a_device_is_under_way_and_the_next_waits_for_it() {
    let mut system = System::registered(config());
    system.sent_by_server();
    let tags: Vec<_> = (0..5).map(|_| system.begin(read(TEMPERATURE))).collect();
    assert_eq!(system.requests().len(), 1);
    for (asked, tag) in tags.into_iter().enumerate() {
        system.end(tag).unwrap();
        assert_eq!(system.requests().len(), usize::from(asked < 4), "{asked}");
    }
}
