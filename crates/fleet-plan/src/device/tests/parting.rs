//! What becomes of a device while its object is being deleted.

use std::time::Duration;

use crd::DeletionPolicy;

use super::*;
use crate::announcement::Urgency;
use crate::operation::{Answer, Outcome, Request};

/// An object that was in force, and is being deleted since second 1000.
fn deleted(policy: DeletionPolicy) -> Device {
    let mut device = managed(&[]);
    device.spec.deletion_policy = policy;
    allow_wipe(&mut device);
    let plan = planned(&device, &registered("U"));
    assert!(conditions(&plan).contains("Accepted=True"));
    device = with_status(device, &plan);
    device.metadata.deletion_timestamp = Some(at(1000));
    device
}

fn allow_wipe(device: &mut Device) {
    let allowed = (Device::ALLOW_WIPE.to_owned(), "true".to_owned());
    device.metadata.annotations = Some([allowed].into());
}

#[test]
fn an_object_is_held_only_if_something_is_left_to_do() {
    for (policy, held) in [
        (DeletionPolicy::Retain, false),
        (DeletionPolicy::Deregister, true),
        (DeletionPolicy::Wipe, true),
    ] {
        let device = deleted(policy);
        let status = device.status.clone().unwrap();
        assert_eq!(wants_finalizer(&device, &status), held, "{policy:?}");
    }
}

#[test]
fn a_wipe_needs_somebody_who_says_that_it_is_meant() {
    let mut device = managed(&[]);
    device.spec.deletion_policy = DeletionPolicy::Wipe;
    let plan = planned(&device, &registered("U"));
    assert!(conditions(&plan).contains("Accepted=False/InvalidValue"));
    assert!(message(&plan, "Accepted").contains("drover.dev/allow-wipe"));
    assert!(!wants_finalizer(&device, &plan.status));
    allow_wipe(&mut device);
    let plan = planned(&device, &registered("U"));
    assert!(wants_finalizer(&device, &plan.status));

    // Who takes it back before the deletion keeps the device.
    let mut device = deleted(DeletionPolicy::Wipe);
    device.metadata.annotations = None;
    assert_eq!(farewell(&device, &[], &at(1000)), Farewell::Leave);
}

#[test]
fn an_object_stays_until_its_device_is_forgotten_though_its_secrets_went_first() {
    let mut device = managed(&[]);
    device.spec.deletion_policy = DeletionPolicy::Deregister;
    let name = "k".to_owned();
    device.spec.credential_secret_ref = Some(crd::reference::ObjectReference { name });
    let refused = planned(&device, &registered("U"));
    assert!(conditions(&refused).contains("Accepted=False/SecretNotFound"));
    // Never in force, it holds nothing.
    assert!(!wants_finalizer(&device, &refused.status));
    device.metadata.finalizers = Some(vec![Device::FINALIZER.to_owned()]);
    assert!(wants_finalizer(&device, &refused.status));
    device.status = Some(refused.status);
    assert_eq!(farewell(&device, &[], &at(1000)), Farewell::Forget);
}

#[test]
fn a_device_is_reset_once_then_forgotten() {
    let device = deleted(DeletionPolicy::Wipe);
    let Farewell::Reset(ask) = farewell(&device, &[], &at(1400)) else {
        panic!("no reset");
    };
    let Request::Execute { path, .. } = &ask.request else {
        panic!("no execute");
    };
    assert_eq!(path.to_string(), "/3/0/5");
    assert_eq!(ask.request_id, "wipe-uid-5");
    assert_eq!(ask.deadline, Duration::from_secs(86_000));

    let status = wiping(&device, "op-1", &at(1400));
    let wiping = with_status(
        device.clone(),
        &Plan {
            actions: Vec::new(),
            status,
            until_deadline: None,
        },
    );
    let follow = |overdue| Farewell::Follow {
        id: "op-1".to_owned(),
        overdue,
    };
    assert_eq!(farewell(&wiping, &[], &at(1500)), follow(false));
    assert_eq!(farewell(&wiping, &[], &at(87_400)), follow(true));
    // Nothing is asked of a device any more for which the time is over.
    assert_eq!(farewell(&device, &[], &at(87_400)), Farewell::Forget);
}

#[test]
fn only_the_object_that_a_device_is_of_forgets_it() {
    let mut device = deleted(DeletionPolicy::Deregister);
    assert_eq!(farewell(&device, &[], &at(1000)), Farewell::Forget);
    let older = Rival {
        created: Some(at(1)),
        uid: "uid-1".to_owned(),
        name: "acme/older".to_owned(),
    };
    assert_eq!(farewell(&device, &[older], &at(1000)), Farewell::Leave);
    device.spec.management_policy = ManagementPolicy::Suspended;
    assert_eq!(farewell(&device, &[], &at(1000)), Farewell::Leave);

    let mut never = managed(&[]);
    never.spec.deletion_policy = DeletionPolicy::Deregister;
    assert_eq!(farewell(&never, &[], &at(1000)), Farewell::Leave);
}

#[test]
fn no_deletion_waits_for_ever() {
    let device = deleted(DeletionPolicy::Deregister);
    assert!(!is_overdue(&device, &at(87_399)));
    assert!(is_overdue(&device, &at(87_400)));
}

#[test]
fn people_are_told_whether_a_device_was_reset() {
    let through = Outcome::Succeeded(Answer::default());
    for (outcome, expected) in [
        (through, (Urgency::Information, "DeviceReset")),
        (Outcome::Lost, (Urgency::Warning, "DeviceNotReset")),
    ] {
        let told = reset(&outcome);
        assert_eq!((told.urgency, told.reason), expected);
    }
    let told = not_forgotten("no leader");
    assert!(told.note.ends_with("is not forgotten: no leader"));
}
