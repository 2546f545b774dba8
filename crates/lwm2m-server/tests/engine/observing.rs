//! What is wanted of a device is asked for until it has it, or says no.

use std::time::Duration;

use coap::{Code, Request, Response};
use lwm2m::{NotificationAttributes, Path};

use crate::scripted::{Scripted, text};

const OBJECTS: &str = "</1/0>,</3/0>,</3303/0>";
const TEMPERATURE: Path = Path::Resource(3303, 0, 5700);

fn observed(_: &Request) -> Option<Response> {
    Some(Response {
        observe: Some(0),
        ..text("21.5")
    })
}

/// A device of which the temperature is wanted, and that answers by `script` when it registers again.
fn wanted(script: impl FnMut(&Request) -> Option<Response> + 'static) -> Scripted {
    let mut device = Scripted::registered("1.1", OBJECTS, |_| None);
    device.hold(TEMPERATURE.into());
    device.answer_by(script);
    device.register("1.1", OBJECTS);
    assert_eq!(asked(&device), 1);
    device
}

/// How often the device was asked to report.
fn asked(device: &Scripted) -> usize {
    let observes = |request: &&Request| request.observe == Some(0);
    device.asked.iter().filter(observes).count()
}

#[test]
fn a_device_that_was_not_reached_is_asked_again_when_it_says_something() {
    let mut device = wanted(|_| None);
    device.drive(Duration::from_secs(300));
    device.answer_by(observed);
    device.update(None);
    assert_eq!(asked(&device), 1);
    device.notify(text("22.5"));
    assert!(device.last_value(TEMPERATURE).is_some());

    device.drive(Duration::from_secs(300));
    device.update(None);
    assert_eq!(asked(&device), 1, "it reports");
}

#[test]
fn a_device_that_refuses_is_not_asked_again_until_it_lists_other_objects() {
    let mut device = wanted(|_| Some(Response::new(Code::NOT_FOUND_4_04)));
    device.drive(Duration::from_secs(60));
    device.update(None);
    assert_eq!(asked(&device), 1);
    device.update(Some("</1/0>,</3/0>,</3303/0>,</3303/1>"));
    assert_eq!(asked(&device), 2);
}

#[test]
fn a_device_that_reads_instead_of_observing_is_not_asked_again() {
    let mut device = wanted(|_| Some(text("21.5")));
    device.drive(Duration::from_secs(60));
    device.update(None);
    assert_eq!(asked(&device), 1);
}

#[test]
fn a_device_that_has_no_time_is_left_alone_for_a_while() {
    let mut device = wanted(|_| Some(Response::new(Code::SERVICE_UNAVAILABLE_5_03)));
    device.update(None);
    let so_far = asked(&device);
    device.drive(Duration::from_secs(5));
    device.update(None);
    assert_eq!(asked(&device), so_far);
    device.drive(Duration::from_secs(6));
    device.update(None);
    assert_eq!(asked(&device), so_far + 1);
}

#[test]
fn a_device_that_is_silent_for_longer_than_it_may_be_is_asked_again() {
    let mut device = Scripted::registered("1.1", OBJECTS, observed);
    let minute = NotificationAttributes::parse_query(&["pmax=60"]).unwrap();
    device.hold_with(TEMPERATURE.into(), minute);
    device.register("1.1", OBJECTS);
    let so_far = asked(&device);
    device.drive(Duration::from_secs(100));
    device.notify(text("22.5"));
    device.drive(Duration::from_secs(100));
    device.update(None);
    assert_eq!(asked(&device), so_far);
    device.drive(Duration::from_secs(30));
    device.update(None);
    assert_eq!(asked(&device), so_far + 1);
    // With the same token the observation is refreshed, with another there would be two.
    let observes = device.asked.iter().filter(|asked| asked.observe == Some(0));
    let mut tokens = observes.rev().map(|asked| asked.token);
    assert_eq!(tokens.next(), tokens.next());
}
