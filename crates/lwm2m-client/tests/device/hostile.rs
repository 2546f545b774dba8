//! Nothing that a server sends can break a device.

use std::time::{Duration, Instant};

use coap::{Code, Message, MessageId, Type, number};
use lwm2m::{ContentFormat, LwM2mVersion, Path, Value};
use lwm2m_client::{Config, Device, Fault, Output, Profile};
use proptest::prelude::*;

use crate::pair::config;

const FAULTS: [Fault; 8] = [
    Fault::SwallowsComposite,
    Fault::NeverAnswers(Path::Object(3)),
    Fault::AnswersAfter(Duration::from_millis(1500)),
    Fault::MislabelsFormat(ContentFormat::TLV),
    Fault::IgnoresAccept,
    Fault::OmitsObserve,
    Fault::IgnoresReset,
    Fault::WrongToken,
];

/// A device that has a registration, so that it takes requests.
fn started(version: LwM2mVersion, faults: &[Fault]) -> (Device, Instant) {
    let now = Instant::now();
    let mut device = Device::new(
        Config {
            version,
            profile: Profile::full("hostile"),
            faults: faults.to_vec(),
            ..config()
        },
        5,
    );
    device.start(now);
    let mut register = None;
    while let Some(output) = device.poll_output() {
        if let Output::Transmit(datagram) = output {
            register = Some(datagram);
        }
    }
    let register = coap::decode(&register.unwrap()).unwrap();
    let mut answer = Message::new(Type::Acknowledgement, Code::CREATED_2_01, register.id);
    answer.token = register.token;
    answer.options.push(number::LOCATION_PATH, b"rd");
    answer.options.push(number::LOCATION_PATH, b"a1");
    feed(&mut device, now, &answer.to_datagram());
    assert!(device.is_registered());
    (device, now)
}

/// How many answers there are. What the device asks for itself then is none: that an instance is gone, it tells by an Update.
fn feed(device: &mut Device, now: Instant, datagram: &[u8]) -> usize {
    device.handle_datagram(now, datagram);
    let mut answers = 0;
    while let Some(output) = device.poll_output() {
        if let Output::Transmit(datagram) = output {
            answers += usize::from(!coap::decode(&datagram).unwrap().code.is_request());
        }
    }
    answers
}

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![0_u16, 1, 2, 3, 4, 5, 6, 7, 8, 13, 14, 16, 20, 3303, 5605, 5700]).prop_map(|id| id.to_string()),
        1 => any::<u16>().prop_map(|id| id.to_string()),
        1 => "[a-z0-9]{0,4}",
    ]
}

/// SenML JSON that a composite operation might carry.
fn records() -> impl Strategy<Value = String> {
    let value = prop::sample::select(vec!["", ",\"v\":1", ",\"vs\":\"x\"", ",\"v\":null"]);
    let record = (prop::collection::vec(segment(), 0..5), value)
        .prop_map(|(path, value)| format!("{{\"n\":\"/{}\"{value}}}", path.join("/")));
    prop::collection::vec(record, 0..6).prop_map(|records| format!("[{}]", records.join(",")))
}

/// A request that looks like one of LwM2M.
fn message() -> impl Strategy<Value = Message> {
    let options = (
        prop::collection::vec(segment(), 0..5),
        prop::collection::vec("(pmin|pmax|gt|lt|st|depth|x)(=[0-9.]{0,3})?", 0..3),
        prop::option::of(prop::sample::select(vec![
            0_u32, 40, 42, 60, 110, 112, 320, 322, 11_542, 11_543, 11_544, 7,
        ])),
        prop::option::of(prop::sample::select(vec![
            0_u32, 40, 42, 60, 110, 112, 320, 322, 11_542, 11_543, 11_544, 7,
        ])),
        prop::option::of(0_u32..3),
    );
    let head = (0_u8..8, any::<u16>(), any::<bool>());
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..48),
        records().prop_map(String::into_bytes),
    ];
    (head, options, payload).prop_map(|((code, id, confirmable), options, payload)| {
        let kind = if confirmable {
            Type::Confirmable
        } else {
            Type::NonConfirmable
        };
        let mut message = Message::new(kind, Code::from_byte(code), MessageId(id));
        let (path, query, format, accept, observe) = options;
        for segment in &path {
            message.options.push(number::URI_PATH, segment.as_bytes());
        }
        for argument in &query {
            message.options.push(number::URI_QUERY, argument.as_bytes());
        }
        for (number, value) in [
            (number::CONTENT_FORMAT, format),
            (number::ACCEPT, accept),
            (number::OBSERVE, observe),
        ] {
            if let Some(value) = value {
                message.options.push_uint(number, value);
            }
        }
        message.payload = payload;
        message
    })
}

/// The device tells its server that it has the instance no more.
fn removal() -> Message {
    let mut message = Message::new(Type::NonConfirmable, Code::DELETE, MessageId(0));
    for segment in ["3303", "0"] {
        message.options.push(number::URI_PATH, segment.as_bytes());
    }
    message
}

proptest! {
    #[test]
    fn any_bytes_are_survived(datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 1..16)) {
        let (mut device, now) = started(LwM2mVersion::V1_1, &[]);
        for datagram in &datagrams {
            feed(&mut device, now, datagram);
        }
    }

    #[test]
    fn any_requests_are_answered_or_dropped(messages in prop::collection::vec(message(), 1..32), release in 0_u8..3, faults in prop::sample::subsequence(FAULTS.to_vec(), 0..4)) {
        let release = [LwM2mVersion::V1_0, LwM2mVersion::V1_1, LwM2mVersion::V1_2][usize::from(release)];
        let (mut device, mut now) = started(release, &faults);
        for (index, message) in messages.iter().enumerate() {
            feed(&mut device, now, &message.to_datagram());
            let value = Value::Float(index as f64);
            let _ = device.set_value(now, Path::Resource(3303, 0, 5700), value);
            now += Duration::from_secs(1);
            device.handle_timeout(now);
            while device.poll_output().is_some() {}
        }
    }

    #[test]
    fn a_request_has_at_most_one_answer(message in prop_oneof![9 => message(), 1 => Just(removal())]) {
        let (mut device, now) = started(LwM2mVersion::V1_2, &[]);
        let datagram = message.to_datagram();
        prop_assert!(feed(&mut device, now, &datagram) <= 1);
        prop_assert!(feed(&mut device, now, &datagram) <= 1);
    }
}
