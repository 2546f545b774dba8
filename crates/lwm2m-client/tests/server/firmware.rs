//! The Firmware Update object, as a server drives it.

use coap::Code;
use device_state::OperationOutcome;
use lwm2m::{Entry, Path, Value, WriteMode};
use lwm2m_client::{Config, Event, FirmwareBehaviour, FirmwareState};

use crate::system::{System, config};
use crate::{delivered, execute, observe, read, write};

const PACKAGE: Path = Path::Resource(5, 0, 0);
const ADDRESS: Path = Path::Resource(5, 0, 1);
const UPDATE: Path = Path::Resource(5, 0, 2);
const STATE: Path = Path::Resource(5, 0, 3);
const RESULT: Path = Path::Resource(5, 0, 5);
const VERSION: Path = Path::Resource(3, 0, 3);

fn set(system: &mut System, path: Path, value: Value) {
    let values = vec![Entry::new(path, value)];
    let outcome = system.operate(write(path, WriteMode::Replace, values));
    assert_eq!(delivered(outcome).0, Code::CHANGED_2_04);
}

fn value(system: &mut System, path: Path) -> Value {
    let (_, mut values) = delivered(system.operate(read(path)));
    values.remove(0).1
}

/// A device that holds a package.
fn downloaded(behaviour: FirmwareBehaviour) -> System {
    let mut system = System::registered(Config {
        firmware: behaviour,
        ..config()
    });
    push(&mut system);
    system
}

fn push(system: &mut System) {
    system.events.clear();
    let package = b"sim-firmware 2.0.0\n".to_vec();
    set(system, PACKAGE, Value::Opaque(package));
    system.wait_for(|event| is_in(event, FirmwareState::Downloaded));
}

fn is_in(event: &Event, wanted: FirmwareState) -> bool {
    matches!(event, Event::FirmwareChanged { state, .. } if *state == wanted)
}

#[test]
fn an_update_is_reset_by_one_zero_byte_or_by_an_empty_address() {
    let resets = [
        (PACKAGE, Value::Opaque(vec![0])),
        (ADDRESS, Value::String(String::new())),
    ];
    for (path, reset) in resets {
        let mut system = downloaded(FirmwareBehaviour::Succeeds);
        assert_eq!(value(&mut system, STATE), Value::Integer(2));
        set(&mut system, path, reset);
        assert_eq!(value(&mut system, STATE), Value::Integer(0), "{path}");
        assert_eq!(value(&mut system, RESULT), Value::Integer(0), "{path}");
    }
}

#[test]
fn an_update_in_another_state_than_downloaded_is_refused_and_the_state_says_what_goes_on() {
    let mut system = System::registered(config());
    let refused = |outcome: OperationOutcome| {
        matches!(outcome, OperationOutcome::Rejected { code, .. }
            if code == Code::METHOD_NOT_ALLOWED_4_05.as_byte())
    };
    assert!(refused(system.operate(execute(UPDATE))));
    assert_eq!(value(&mut system, STATE), Value::Integer(0));
    push(&mut system);
    assert_eq!(
        delivered(system.operate(execute(UPDATE))).0,
        Code::CHANGED_2_04
    );
    // The answer to the first was lost, say.
    assert!(refused(system.operate(execute(UPDATE))));
    assert_eq!(value(&mut system, STATE), Value::Integer(3));
}

#[test]
fn after_its_reboot_a_device_is_observed_again_and_tells_its_result_and_its_version() {
    let mut system = downloaded(FirmwareBehaviour::Succeeds);
    system.hold(STATE);
    system.operate(observe(STATE));
    system.events.clear();
    system.operate(execute(UPDATE));
    system.wait_for(|event| matches!(event, Event::Registered { .. }));
    assert_eq!(
        value(&mut system, VERSION),
        Value::String("2.0.0".to_owned())
    );
    assert_eq!(value(&mut system, RESULT), Value::Integer(1));
    assert_eq!(system.device.observation_count(), 1);
    assert_eq!(system.last_value(STATE), Some(Value::Integer(0)));
    push(&mut system);
    system.drive(std::time::Duration::from_secs(1));
    assert_eq!(system.last_value(STATE), Some(Value::Integer(2)));
}

#[test]
fn a_failed_update_keeps_the_version_and_tells_why() {
    let mut system = downloaded(FirmwareBehaviour::FailsUpdate);
    system.events.clear();
    system.operate(execute(UPDATE));
    system.wait_for(|event| is_in(event, FirmwareState::Downloaded));
    assert_eq!(value(&mut system, RESULT), Value::Integer(8));
    assert_eq!(
        value(&mut system, VERSION),
        Value::String("1.0.0".to_owned())
    );
}
