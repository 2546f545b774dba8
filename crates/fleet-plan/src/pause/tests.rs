#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use crd::{Device, DeviceSpec, DeviceStatus};
use k8s_openapi::jiff::Timestamp;

use super::*;
use crate::announcement::announcements;
use crate::device::{Observed, Plan, Surroundings, plan};

fn at(second: i64) -> Time {
    Time(Timestamp::from_second(second).unwrap())
}

fn device() -> Device {
    let spec = DeviceSpec {
        endpoint_name: "meter-1".to_owned(),
        ..DeviceSpec::default()
    };
    let mut device = Device::new("meter-1", spec);
    device.metadata.namespace = Some("acme".to_owned());
    device.metadata.generation = Some(3);
    device
}

fn planned(device: &Device, second: i64) -> Plan {
    plan(
        device,
        &Surroundings::default(),
        &Observed::default(),
        &at(second),
    )
}

/// What the object is told to have, now that it is held.
fn held(pause: Pause, device: &Device, second: i64) -> Option<DeviceStatus> {
    let (metadata, known) = (&device.metadata, device.status.as_ref());
    let called = "devices.drover.dev meter-1";
    status_change(pause, called, metadata, known, &at(second))
}

fn paused(status: &DeviceStatus) -> (&str, &str, &str) {
    let paused = ConditionType::Paused.as_str();
    let mut conditions = status.conditions.iter();
    let one = conditions.find(|one| one.type_ == paused).unwrap();
    (&one.status, &one.reason, &one.message)
}

#[test]
fn the_annotation_holds_with_true_only() {
    let mut device = device();
    assert!(!is_paused(&device.metadata));
    for (value, expected) in [
        ("true", true),
        ("True", true),
        ("false", false),
        ("", false),
    ] {
        let annotation = (PAUSED.to_owned(), value.to_owned());
        device.metadata.annotations = Some([annotation].into());
        assert_eq!(is_paused(&device.metadata), expected, "{value}");
    }
}

#[test]
fn a_held_object_keeps_its_status_and_says_how_it_goes_on() {
    let mut device = device();
    let before = planned(&device, 1).status;
    device.status = Some(before.clone());
    let status = held(Pause::Object, &device, 5).unwrap();
    let (holds, reason, message) = paused(&status);
    assert_eq!((holds, reason), ("True", "PausedByAnnotation"));
    let way_on = "kubectl annotate -n acme devices.drover.dev meter-1 drover.dev/paused-";
    assert!(message.ends_with(way_on), "{message}");
    let mut otherwise = status.clone();
    otherwise.conditions.pop();
    assert_eq!(otherwise, before);

    // The same again is not written again.
    device.status = Some(status);
    assert_eq!(held(Pause::Object, &device, 9), None);
    // Whose annotation it is may change, and a deletion that waits is told.
    let status = held(Pause::Namespace, &device, 9).unwrap();
    let (_, reason, message) = paused(&status);
    assert_eq!(reason, "PausedByNamespace");
    assert!(message.ends_with("kubectl annotate namespace acme drover.dev/paused-"));
    device.metadata.deletion_timestamp = Some(at(9));
    let status = held(Pause::Object, &device, 9).unwrap();
    assert!(paused(&status).2.contains("its deletion waits"));
}

#[test]
fn an_object_that_nobody_has_looked_at_is_held_too() {
    let status = held(Pause::Object, &device(), 5).unwrap();
    assert_eq!(status.conditions.len(), 1);
    assert_eq!(status.observed_generation, None);
    let told = announcements(&[], &status.conditions);
    assert_eq!(told[0].reason, "PausedByAnnotation");
}

#[test]
fn the_next_plan_takes_it_back_once() {
    let mut device = device();
    device.status = Some(planned(&device, 1).status);
    device.status = held(Pause::Object, &device, 5);
    let plan = planned(&device, 7);
    let status = plan.status_change(&device).unwrap().clone();
    assert_eq!(paused(&status), ("False", "NotPaused", "nothing holds it"));
    for one in &status.conditions {
        crate::conditions::documented(Device::CONDITIONS, one);
    }
    device.status = Some(status);
    assert_eq!(planned(&device, 9).status_change(&device), None);
}
