//! How long values may take.

use crd::DeviceDelivery;

use super::*;

fn due(mut device: Device, seconds: i64) -> Device {
    device.spec.delivery = Some(DeviceDelivery {
        deadline_seconds: Some(seconds),
    });
    device
}

fn planned_at(device: &Device, observed: &Observed, second: i64) -> Plan {
    plan(device, &Surroundings::default(), observed, &at(second))
}

#[test]
fn what_is_outstanding_for_too_long_is_told_until_it_is_written() {
    let device = due(managed(&["/3/0/14=x", "/3/0/15=y"]), 60);
    let pending = stored(
        registered("UQ"),
        1,
        &["/3/0/14=x!in-sync", "/3/0/15=y!pending"],
    );
    let first = planned_at(&device, &pending, 1000);
    assert!(conditions(&first).ends_with("Ready=False/AwaitingWakeup"));
    assert_eq!(first.until_deadline, Some(Duration::from_secs(60)));
    // An operator that begins anew knows it from the status.
    let device = with_status(device, &first);
    let later = planned_at(&device, &pending, 1045);
    assert_eq!(later.until_deadline, Some(Duration::from_secs(15)));
    assert_eq!(later.status_change(&device), None);

    let over = planned_at(&device, &pending, 1060);
    assert!(conditions(&over).ends_with("Synced=False/Pending Ready=False/DeadlineExceeded"));
    for one in &over.status.conditions {
        crate::conditions::documented(Device::CONDITIONS, one);
    }
    let message = message(&over, "Ready");
    assert!(
        message.contains("/3/0/15, outstanding since 1970-01-01T00:16:40Z"),
        "{message}"
    );
    assert!(!message.contains("/3/0/14"), "{message}");
    assert_eq!((sent(&over), over.until_deadline), (vec![], None));
    let device = with_status(device, &over);
    assert_eq!(
        planned_at(&device, &pending, 9999).status_change(&device),
        None
    );

    let written = stored(
        registered("UQ"),
        1,
        &["/3/0/14=x!in-sync", "/3/0/15=y!in-sync"],
    );
    let done = planned_at(&device, &written, 9999);
    assert!(conditions(&done).ends_with("Ready=True/InSync"));
    assert_eq!(done.status.outstanding, None);
}

#[test]
fn another_generation_has_the_whole_time() {
    let device = due(managed(&["/3/0/14=x"]), 60);
    let pending = stored(registered("U"), 1, &["/3/0/14=x!pending"]);
    let device = with_status(device.clone(), &planned_at(&device, &pending, 1000));
    let mut other = device.clone();
    other.spec.resources[0].value = Some("z".to_owned());
    other.metadata.generation = Some(2);
    let plan = planned_at(&other, &pending, 1059);
    assert_eq!(sent(&plan), ["2 /3/0/14=z"]);
    assert_eq!(plan.until_deadline, Some(Duration::from_secs(60)));
    // More time for the same values is counted from where it began.
    let longer = due(device, 100);
    let plan = planned_at(&longer, &pending, 1060);
    assert_eq!(plan.until_deadline, Some(Duration::from_secs(40)));
}

#[test]
fn a_device_that_refuses_or_never_comes_is_late_as_well() {
    for observed in [
        stored(registered("U"), 1, &["/3/0/14=x!4.05"]),
        stored(Observed::default(), 1, &["/3/0/14=x!pending"]),
    ] {
        let device = due(managed(&["/3/0/14=x"]), 60);
        let device = with_status(device.clone(), &planned_at(&device, &observed, 1000));
        let over = planned_at(&device, &observed, 2000);
        assert!(conditions(&over).ends_with("Ready=False/DeadlineExceeded"));
    }
}

#[test]
fn without_a_deadline_it_takes_as_long_as_it_takes() {
    let device = managed(&["/3/0/14=x"]);
    let pending = stored(registered("U"), 1, &["/3/0/14=x!pending"]);
    let first = planned_at(&device, &pending, 1000);
    assert_eq!(first.until_deadline, None);
    let device = with_status(device, &first);
    let later = planned_at(&device, &pending, 999_999);
    assert!(conditions(&later).ends_with("Ready=False/Applying"));
    // What is only watched is not delivered.
    let mut watched = due(device, 60);
    watched.spec.management_policy = ManagementPolicy::ObserveOnly;
    assert_eq!(
        planned_at(&watched, &pending, 999_999).status.outstanding,
        None
    );
}
