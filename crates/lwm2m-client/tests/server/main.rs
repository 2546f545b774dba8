//! The device against the server engine and a state machine in memory, over an emulated network.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]
#![expect(clippy::disallowed_methods, reason = "a test needs a first instant")]

mod attributes;
mod composite;
mod firmware;
mod messages;
mod observing;
mod queue_mode;
mod streams;
mod system;
mod transfers;

use std::time::Duration;

use coap::{Code, Reliability};
use device_state::OperationOutcome;
use lwm2m::{
    ContentFormat, Entry, ExecuteArguments, LwM2mVersion, NotificationAttributes, ObjectModel,
    ObjectVersion, Operation, Operations, Path, Registry, ResourceModel, Value, ValueType,
    WriteMode,
};
use lwm2m_client::{Config, Event, Fault, FirmwareState, Profile, ProfileId};
use system::{System, config};

pub(crate) const TEMPERATURE: Path = Path::Resource(3303, 0, 5700);
const RELEASES: [LwM2mVersion; 3] = [LwM2mVersion::V1_0, LwM2mVersion::V1_1, LwM2mVersion::V1_2];

pub(crate) fn read(path: Path) -> Operation {
    Operation::Read { path, accept: None }
}

pub(crate) fn write(path: Path, mode: WriteMode, values: Vec<Entry>) -> Operation {
    Operation::Write { path, mode, values }
}

pub(crate) fn execute(path: Path) -> Operation {
    Operation::Execute {
        path,
        arguments: ExecuteArguments::default(),
    }
}

pub(crate) fn observe(path: Path) -> Operation {
    Operation::Observe {
        observed: path.into(),
        parameters: NotificationAttributes::default(),
    }
}

pub(crate) fn cancel(path: Path) -> Operation {
    Operation::CancelObserve {
        observed: path.into(),
    }
}

pub(crate) fn delivered(outcome: OperationOutcome) -> (Code, Vec<(Path, Value)>) {
    match outcome {
        OperationOutcome::Delivered { code, values } => (Code::from_byte(code), values),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_release_registers_and_is_managed() {
    for version in RELEASES {
        let mut system = System::registered(Config {
            version,
            ..config()
        });
        assert_eq!(system.registration().unwrap().version, version);
        let (code, values) = delivered(system.operate(read(Path::ObjectInstance(3, 0))));
        assert_eq!(code, Code::CONTENT_2_05);
        let battery = (Path::Resource(3, 0, 9), Value::Integer(100));
        assert!(values.contains(&battery), "{values:?}");

        let offset = Entry::new(Path::Resource(3, 0, 14), Value::String("+01:00".to_owned()));
        for (path, mode) in [
            (offset.path, WriteMode::Replace),
            (Path::ObjectInstance(3, 0), WriteMode::Update),
        ] {
            let outcome = system.operate(write(path, mode, vec![offset.clone()]));
            assert_eq!(delivered(outcome).0, Code::CHANGED_2_04, "{version:?}");
        }
        let (_, values) = delivered(system.operate(read(offset.path)));
        assert_eq!(values, [(offset.path, offset.value)]);
    }
}

#[test]
fn loss_duplicates_and_reordering_are_survived() {
    for seed in 0..8 {
        let mut system = System::rough(config(), seed);
        system.wait_for(|event| matches!(event, Event::Registered { .. }));
        for round in 0..5 {
            system.operate(execute(Path::Resource(3303, 0, 5605)));
            let executed = |event: &&Event| matches!(event, Event::Executed { .. });
            let count = system.events.iter().filter(executed).count();
            assert_eq!(count, round + 1, "seed {seed}: executed once each");
        }
        system.drive(Duration::from_mins(10));
        assert!(system.device.is_registered(), "seed {seed}");
        assert!(system.registration().is_some(), "seed {seed}");
    }
}

#[test]
fn observed_values_reach_the_state() {
    for notifications in [Reliability::Confirmable, Reliability::NonConfirmable] {
        let mut system = System::registered(Config {
            notifications,
            ..config()
        });
        let (_, values) = delivered(system.operate(observe(TEMPERATURE)));
        assert_eq!(values, [(TEMPERATURE, Value::Float(20.0))]);
        for value in [21.5, 22.5] {
            system.set(TEMPERATURE, Value::Float(value));
            system.drive(Duration::from_secs(1));
            assert_eq!(system.last_value(TEMPERATURE), Some(Value::Float(value)));
        }
        system.operate(cancel(TEMPERATURE));
        system.set(TEMPERATURE, Value::Float(30.0));
        system.drive(Duration::from_secs(1));
        assert_eq!(system.last_value(TEMPERATURE), Some(Value::Float(22.5)));
        assert_eq!(system.device.observation_count(), 0);
    }
}

#[test]
fn sent_values_reach_the_state() {
    let mut system = System::registered(config());
    let now = system.now;
    system.device.send(now, &[TEMPERATURE]).unwrap();
    system.wait_for(|event| *event == Event::Sent);
    assert_eq!(system.last_value(TEMPERATURE), Some(Value::Float(20.0)));
}

#[test]
fn an_instance_without_an_id_gets_one_from_the_device() {
    let mut system = System::registered(config());
    let create = Operation::Create {
        path: Path::Object(3303),
        instance: None,
        values: vec![Entry::new(
            Path::Resource(3303, 0, 5701),
            Value::String("K".to_owned()),
        )],
    };
    assert_eq!(delivered(system.operate(create)).0, Code::CREATED_2_01);
    system.wait_for(|event| *event == Event::Updated);
    let links = system.registration().unwrap().links;
    assert!(links.contains("</3303/1>"), "{links}");
}

#[test]
fn objects_are_created_discovered_and_deleted() {
    let mut system = System::registered(config());
    let unit = Entry::new(Path::Resource(3303, 1, 5701), Value::String("K".to_owned()));
    let create = Operation::Create {
        path: Path::Object(3303),
        instance: Some(1),
        values: vec![unit],
    };
    assert_eq!(delivered(system.operate(create)).0, Code::CREATED_2_01);
    system.wait_for(|event| *event == Event::Updated);
    let links = system.registration().unwrap().links;
    assert!(links.contains("</3303/1>"), "{links}");
    let path = Path::ObjectInstance(3303, 1);
    let discover = Operation::Discover { path, depth: None };
    assert_eq!(delivered(system.operate(discover)).0, Code::CONTENT_2_05);
    let delete = Operation::Delete { path };
    assert_eq!(delivered(system.operate(delete)).0, Code::DELETED_2_02);
    let gone = system.operate(read(path));
    assert!(
        matches!(gone, OperationOutcome::Rejected { code, .. } if code == Code::NOT_FOUND_4_04.as_byte())
    );
}

#[test]
fn an_update_of_a_resource_keeps_its_instances_and_a_replace_drops_them() {
    for version in RELEASES {
        let mut system = System::registered(Config {
            version,
            profile: Profile::full("portfolio"),
            ..config()
        });
        let identity = |instance| Path::ResourceInstance(16, 0, 0, instance);
        let has = |system: &System, instance| system.device.value(identity(instance)).is_some();
        let new = vec![Entry::new(identity(9), Value::String("new".to_owned()))];
        let resource = Path::Resource(16, 0, 0);
        let update = write(resource, WriteMode::Update, new.clone());
        assert_eq!(delivered(system.operate(update)).0, Code::CHANGED_2_04);
        assert!(has(&system, 0) && has(&system, 9), "{version}");
        let replace = write(resource, WriteMode::Replace, new);
        assert_eq!(delivered(system.operate(replace)).0, Code::CHANGED_2_04);
        assert!(!has(&system, 0) && has(&system, 9), "{version}");
    }
}

#[test]
fn a_create_of_what_exists_changes_nothing_of_it() {
    let unit = Path::Resource(3303, 0, 5701);
    for (faults, code) in [
        (vec![], Code::BAD_REQUEST_4_00),
        (vec![Fault::RefusesKnownInstance], Code::NOT_ACCEPTABLE_4_06),
    ] {
        let mut system = System::registered(Config { faults, ..config() });
        let before = system.device.value(unit).cloned();
        let create = Operation::Create {
            path: Path::Object(3303),
            instance: Some(0),
            values: vec![Entry::new(unit, Value::String("K".to_owned()))],
        };
        let outcome = system.operate(create);
        assert!(
            matches!(outcome, OperationOutcome::Rejected { code: told, .. } if told == code.as_byte()),
            "{outcome:?}"
        );
        assert_eq!(system.device.value(unit).cloned(), before);
    }
}

#[test]
fn firmware_goes_all_the_way() {
    let mut system = System::registered(config());
    let mut package = b"sim-firmware 3.1.4\n".to_vec();
    package.resize(20_000, 1);
    let path = Path::Resource(5, 0, 0);
    let push = write(
        path,
        WriteMode::Replace,
        vec![Entry::new(path, Value::Opaque(package))],
    );
    assert_eq!(delivered(system.operate(push)).0, Code::CHANGED_2_04);
    system.wait_for(|event| {
        matches!(
            event,
            Event::FirmwareChanged {
                state: FirmwareState::Downloaded,
                ..
            }
        )
    });
    system.operate(execute(Path::Resource(5, 0, 2)));
    system.events.clear();
    system.wait_for(|event| matches!(event, Event::Registered { .. }));
    let (_, values) = delivered(system.operate(read(Path::Resource(3, 0, 3))));
    let installed = Value::String("3.1.4".to_owned());
    assert_eq!(values, [(Path::Resource(3, 0, 3), installed)]);
}

#[test]
fn a_deregistered_device_is_gone_from_the_state() {
    let mut system = System::registered(config());
    let now = system.now;
    system.device.deregister(now);
    system.wait_for(|event| *event == Event::Deregistered);
    assert_eq!(system.registration(), None);
}

#[test]
fn an_unavailable_state_tier_only_delays_a_registration() {
    let mut system = System::new(config(), 1);
    system.fail_commits();
    system.drive(Duration::from_secs(30));
    assert_eq!(system.registration(), None);
    system.restore_commits();
    system.wait_for(|event| matches!(event, Event::Registered { .. }));
    assert!(system.registration().is_some());
}

/// A device takes no request before its Register is answered: one that was sent when the answer was lost comes too early,
/// and is answered all the same once the Register is.
#[test]
fn a_read_outlives_the_loss_of_the_answer_to_a_register() {
    let mut system = System::new(config(), 1);
    // The Register is under way by now.
    system.cut();
    system.drive(Duration::from_millis(20));
    assert!(system.registration().is_some());
    assert!(!system.device.is_registered());
    system.mend();
    let (code, values) = delivered(system.operate(read(TEMPERATURE)));
    assert_eq!(code, Code::CONTENT_2_05);
    assert_eq!(values, [(TEMPERATURE, Value::Float(20.0))]);
    let registered = |event: &&Event| matches!(event, Event::Registered { .. });
    assert_eq!(system.events.iter().filter(registered).count(), 1);
}

fn tcp() -> Config {
    Config {
        binding: "T".parse().unwrap(),
        ..config()
    }
}

/// 1.1-int-106 and more: registration, operations, observation and deregistration over TCP.
#[test]
fn a_device_on_tcp_registers_and_is_managed() {
    for max_message_size in [1152, 20_000] {
        let mut system = System::on_streams(tcp(), max_message_size);
        let registration = system.registration().unwrap();
        assert_eq!(registration.transport, device_state::Transport::Tcp);
        assert_eq!(registration.binding.to_string(), "T");

        let (code, values) = delivered(system.operate(read(Path::ObjectInstance(3, 0))));
        assert_eq!(code, Code::CONTENT_2_05);
        assert!(values.contains(&(Path::Resource(3, 0, 9), Value::Integer(100))));
        // Larger than a message on the small connection.
        let package = Entry::new(Path::Resource(5, 0, 0), Value::Opaque(vec![7; 10_000]));
        let outcome = system.operate(write(package.path, WriteMode::Replace, vec![package]));
        assert_eq!(delivered(outcome).0, Code::CHANGED_2_04);

        system.operate(observe(TEMPERATURE));
        system.set(TEMPERATURE, Value::Float(21.5));
        assert_eq!(system.last_value(TEMPERATURE), Some(Value::Float(21.5)));
        system.operate(cancel(TEMPERATURE));
        assert_eq!(system.device.observation_count(), 0);
    }
}

#[test]
fn observations_are_established_anew_on_another_connection() {
    let mut system = System::on_streams(tcp(), 1152);
    system.hold(TEMPERATURE);
    system.operate(observe(TEMPERATURE));
    system.reconnect(1152);
    system.wait_for(|event| matches!(event, Event::Registered { .. }));
    system.set(TEMPERATURE, Value::Float(23.0));
    assert_eq!(system.last_value(TEMPERATURE), Some(Value::Float(23.0)));
    assert_eq!(system.device.observation_count(), 1);

    // A device may also go on with its registration.
    let codes = system.update_over_another_connection();
    assert_eq!(codes, [Code::CHANGED_2_04, Code::GET]);
}

#[test]
fn a_written_lifetime_holds_before_the_next_update() {
    let mut system = System::registered(Config {
        update_interval: Some(Duration::from_hours(1)),
        ..config()
    });
    let lifetime = Path::Resource(1, 0, 1);
    let value = vec![Entry::new(lifetime, Value::Integer(3_000))];
    delivered(system.operate(write(lifetime, WriteMode::Replace, value)));
    let registration = system.registration().unwrap();
    assert_eq!(registration.lifetime.as_secs(), 3_000);
    system.drive(Duration::from_mins(30));
    let (_, values) = delivered(system.operate(read(lifetime)));
    assert_eq!(values, [(lifetime, Value::Integer(3_000))]);
}

/// A device of LwM2M 1.2 with a profile that the server does not know, and objects besides.
fn with_profile(besides: Vec<u16>) -> System {
    System::registered(Config {
        version: LwM2mVersion::V1_2,
        profile_id: Some(ProfileId {
            id: "6:27354b9a".to_owned(),
            besides,
        }),
        ..config()
    })
}

#[test]
fn a_device_that_registers_by_a_profile_is_asked_for_its_objects() {
    let mut system = with_profile(Vec::new());
    let links = system.registration().unwrap().links;
    assert!(links.contains("</3303/0>"), "{links}");
    let (_, values) = delivered(system.operate(read(TEMPERATURE)));
    assert_eq!(values.len(), 1);
}

/// What it lists counts; its other objects can be asked for all the same.
#[test]
fn what_a_device_lists_besides_an_unknown_profile_is_taken() {
    let mut system = with_profile(vec![3]);
    let links = system.registration().unwrap().links;
    assert!(links.contains("</3/0>"), "{links}");
    assert!(!links.contains("</3303/0>"), "{links}");
    let (_, values) = delivered(system.operate(read(TEMPERATURE)));
    assert_eq!(values.len(), 1);
}

#[test]
fn values_are_typed_by_the_newest_definitions_that_the_server_was_given() {
    let mut system = System::registered(config());
    let read = || Operation::Read {
        path: TEMPERATURE,
        accept: Some(ContentFormat::TLV),
    };
    let (_, before) = delivered(system.operate(read()));
    assert_eq!(before, [(TEMPERATURE, Value::Float(20.0))]);
    let opaque = ResourceModel {
        id: 5700,
        name: "Sensor Value".into(),
        operations: Operations::parse("R").unwrap(),
        multiple: false,
        mandatory: true,
        value_type: Some(ValueType::Opaque),
        range: None,
        units: None,
        description: None,
    };
    let model = ObjectModel::new(3303, ObjectVersion::new(9, 0), "Temperature")
        .with_resources(vec![opaque])
        .unwrap();
    system.define(Registry::oma().with([model]));
    let (_, after) = delivered(system.operate(read()));
    assert!(
        matches!(after.as_slice(), [(TEMPERATURE, Value::Opaque(_))]),
        "{after:?}"
    );
}
