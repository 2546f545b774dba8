//! Devices that sleep, and what the server knows of that.

use std::time::Duration;

use lwm2m::{Binding, Lifetime, Path, QueueMode, Value};
use lwm2m_client::{Config, Event, Profile};
use lwm2m_server::OperationFailure;

use crate::read;
use crate::system::{System, config};

const MANUFACTURER: Path = Path::Resource(3, 0, 0);
const ACTIVE_TIMER: Path = Path::Resource(10, 0, 5);
const ACTIVE_MODES: Path = Path::Resource(10, 0, 13);
/// What the device's modem says, `/10/0/5`.
const T3324: Duration = Duration::from_secs(16);
/// MAX_TRANSMIT_WAIT (RFC 7252 §4.8.2).
const STANDARD: Duration = Duration::from_secs(93);
const SECOND: Duration = Duration::from_secs(1);

/// A device whose modem sleeps 16 s after its last message.
fn modem() -> System {
    System::registered(Config {
        binding: Binding::UDP.with_queue_mode(QueueMode::On),
        lifetime: Lifetime::from_secs(86_400),
        queue_window: T3324,
        profile: Profile::full("modem"),
        ..config()
    })
}

fn wake(system: &mut System) {
    system.events.clear();
    system.device.update(system.now);
    system.wait_for(|event| *event == Event::Updated);
}

#[test]
fn a_device_that_says_nothing_of_its_sleep_is_asked_for_as_long_as_the_standard_has_it() {
    let mut system = modem();
    system.drive(STANDARD.saturating_sub(SECOND));
    // The server believes that it listens.
    let silence = system.refuse(read(MANUFACTURER));
    assert_eq!(silence, OperationFailure::Timeout);
    assert_eq!(system.refuse(read(MANUFACTURER)), OperationFailure::Asleep);
    wake(&mut system);
    system.operate(read(MANUFACTURER));
}

#[test]
fn a_modem_in_psm_is_asked_nothing_after_its_active_timer_has_run_out() {
    let mut system = modem();
    system.operate(read(Path::ObjectInstance(10, 0)));
    system.drive(T3324.saturating_sub(SECOND));
    system.operate(read(MANUFACTURER));
    // Each message begins the wait anew.
    system.drive(T3324.saturating_sub(SECOND));
    system.operate(read(MANUFACTURER));
    system.drive(T3324 + SECOND);
    assert_eq!(system.refuse(read(MANUFACTURER)), OperationFailure::Asleep);
    wake(&mut system);
    system.operate(read(MANUFACTURER));
}

#[test]
fn what_a_modem_sends_of_its_sleep_counts_as_what_is_read() {
    let mut system = modem();
    let paths = [ACTIVE_TIMER, ACTIVE_MODES];
    system.device.send(system.now, &paths).unwrap();
    system.wait_for(|event| *event == Event::Sent);
    system.drive(T3324 + SECOND);
    assert_eq!(system.refuse(read(MANUFACTURER)), OperationFailure::Asleep);

    // Without PSM the timer does not run.
    system.set(ACTIVE_MODES, Value::Unsigned(0));
    system.device.send(system.now, &paths).unwrap();
    system.events.clear();
    system.wait_for(|event| *event == Event::Sent);
    system.drive(T3324 + SECOND);
    let silence = system.refuse(read(MANUFACTURER));
    assert_eq!(silence, OperationFailure::Timeout);
}
