#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use crd::DeviceSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::reflector;
use kube::runtime::watcher::Event;

use super::*;
use crate::controller::{now, rig, take_in};
use crate::feed::{Feed, Sight};
use crate::state_tier::{Credentials, StateTier};

fn context() -> Context {
    let state_tier = StateTier::new(&["127.0.0.1:1".to_owned()], &Credentials::none()).unwrap();
    let (shared, _) = rig::shared(state_tier);
    let (profiles, _) = reflector::store();
    Context::new(shared, Feed::default(), profiles)
}

/// An object of the same name as its device, that is as it should be or not.
fn device(name: &str, ready: ConditionStatus) -> Device {
    let mut device = Device::new(
        name,
        DeviceSpec {
            endpoint_name: name.to_owned(),
            ..DeviceSpec::default()
        },
    );
    device.metadata.namespace = Some(rig::NAMESPACE.to_owned());
    device.metadata.uid = Some(name.to_owned());
    let condition = Condition {
        type_: ConditionType::Ready.as_str().to_owned(),
        status: ready.as_str().to_owned(),
        reason: "InSync".to_owned(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: now(),
    };
    device.status = Some(DeviceStatus {
        conditions: vec![condition],
        ..DeviceStatus::default()
    });
    device
}

fn expired(endpoint: &str) -> api::Event {
    let kind = api::event::Kind::Expired(api::event::Deregistered::default());
    api::Event {
        endpoint: endpoint.to_owned(),
        time: None,
        kind: Some(kind),
    }
}

#[tokio::test]
async fn an_event_triggers_the_objects_of_its_device() {
    let context = context();
    take_in(&context, &Event::Apply(device("a", ConditionStatus::True)));
    let here = Namespace::new(rig::NAMESPACE).unwrap();
    assert_eq!(context.hear(&here, &expired("a")), 1);
    assert_eq!(context.hear(&here, &expired("a")), 1);
    assert_eq!(context.hear(&here, &expired("b")), 0);
    // The device of another tenant.
    let elsewhere = Namespace::default();
    assert_eq!(context.hear(&elsewhere, &expired("a")), 0);
    assert_eq!(context.shared.triggers.taken(), ["a"]);
}

#[tokio::test]
async fn nothing_is_told_of_what_was_missed_so_all_is_looked_at() {
    let context = context();
    for (name, ready) in [("a", ConditionStatus::True), ("b", ConditionStatus::False)] {
        take_in(&context, &Event::Apply(device(name, ready)));
    }
    context.shared.triggers.taken();
    let here = Namespace::new(rig::NAMESPACE).unwrap();
    context.miss(&here);
    assert_eq!(context.shared.triggers.taken(), ["a", "b"]);
    // Without a stream those are looked at that wait for something.
    context.lose_sight(&here);
    assert_eq!(context.shared.triggers.taken(), ["b"]);
    let settings = context.shared.settings;
    assert_eq!(context.feed.sight(&here), Sight::Untold);
    let until_next = |ready| context.until_next(&here, &device("a", ready).status.unwrap());
    assert_eq!(until_next(ConditionStatus::True), settings.resync);
    assert_eq!(until_next(ConditionStatus::False), settings.recount);
}
