//! Bodies larger than a message.

use std::time::Duration;

use coap::{Code, number};
use lwm2m::{Entry, ObjectLinks, Path, Value, WriteMode};
use lwm2m_client::{Config, Event, Profile};

use crate::system::{System, config};
use crate::{TEMPERATURE, delivered, write};

const PACKAGE: Path = Path::Resource(5, 0, 0);

/// A device with more sensors than one message can list.
fn crowded() -> Config {
    Config {
        profile: Profile {
            temperature_sensors: 300,
            ..Profile::new("1")
        },
        ..config()
    }
}

fn blocks_to(system: &System, path: &[&str]) -> usize {
    let sent = system.uplink.iter().map(|datagram| coap::decode(datagram));
    sent.flatten()
        .filter(|message| {
            let segments: Vec<&[u8]> = message
                .options
                .iter()
                .filter(|(number, _)| *number == number::URI_PATH)
                .map(|(_, segment)| segment)
                .collect();
            segments
                == path
                    .iter()
                    .map(|segment| segment.as_bytes())
                    .collect::<Vec<_>>()
                && message.options.first(number::BLOCK1).is_some()
        })
        .count()
}

#[test]
fn a_register_that_is_larger_than_a_block_arrives_whole() {
    let system = System::registered(crowded());
    assert!(blocks_to(&system, &["rd"]) > 1);
    let links = ObjectLinks::parse(&system.registration().unwrap().links).unwrap();
    assert_eq!(links.instances(3303).count(), 300);
}

#[test]
fn a_send_that_is_larger_than_a_block_arrives_whole() {
    let mut system = System::registered(crowded());
    let paths: Vec<Path> = (0..200)
        .map(|sensor| Path::Resource(3303, sensor, 5700))
        .collect();
    let now = system.now;
    system.device.send(now, &paths).unwrap();
    system.wait_for(|event| *event == Event::Sent);
    assert!(blocks_to(&system, &["dp"]) > 1);
    for path in paths {
        assert_eq!(system.last_value(path), Some(Value::Float(20.0)), "{path}");
    }
}

#[test]
fn a_device_is_answered_in_the_middle_of_a_transfer_to_it() {
    let mut system = System::registered(config());
    let mut package = b"sim-firmware 3.1.4\n".to_vec();
    package.resize(40_000, 1);
    let values = vec![Entry::new(PACKAGE, Value::Opaque(package))];
    let push = system.begin(write(PACKAGE, WriteMode::Replace, values));
    system.drive(Duration::from_millis(200));
    system.update();
    let now = system.now;
    system.device.send(now, &[TEMPERATURE]).unwrap();
    system.wait_for(|event| *event == Event::Sent);
    assert_eq!(system.last_value(TEMPERATURE), Some(Value::Float(20.0)));
    system.events.clear();
    system.device.start(now);
    assert!(system.is_under_way(push));
    system.wait_for(|event| matches!(event, Event::Registered { .. }));

    let mut system = System::registered(config());
    let mut package = b"sim-firmware 3.1.4\n".to_vec();
    package.resize(40_000, 1);
    let values = vec![Entry::new(PACKAGE, Value::Opaque(package))];
    let push = system.begin(write(PACKAGE, WriteMode::Replace, values));
    system.drive(Duration::from_millis(200));
    system.update();
    assert!(system.is_under_way(push));
    let outcome = system.end(push).unwrap().outcome;
    assert_eq!(delivered(outcome).0, Code::CHANGED_2_04);
    system.wait_for(|event| matches!(event, Event::FirmwareChanged { result: 0, .. }));
}
