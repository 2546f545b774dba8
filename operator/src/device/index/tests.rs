use crd::DeviceSpec;
use kube::runtime::watcher::Event;

use super::*;

fn device(name: &str, endpoint: &str, uid: &str, generation: i64) -> Device {
    let mut device = Device::new(
        name,
        DeviceSpec {
            endpoint_name: endpoint.to_owned(),
            ..DeviceSpec::default()
        },
    );
    device.metadata.namespace = Some("acme".to_owned());
    device.metadata.uid = Some(uid.to_owned());
    device.metadata.generation = Some(generation);
    device
}

fn names(devices: &[DeviceRef]) -> Vec<&str> {
    devices.iter().map(|one| one.name.as_str()).collect()
}

/// What the watch has shown.
#[derive(Default)]
struct Seen {
    known: Known<Device>,
    index: Index,
}

impl Seen {
    /// What an event came to, and whose rivals have changed.
    fn take_in(&self, event: &Event<Device>) -> (TakenIn<Device>, Vec<DeviceRef>) {
        let taken = self.known.take_in(event);
        let touched = self.index.take_in(&taken);
        (taken, touched)
    }
}

impl Seen {
    fn is_described(&self, endpoint: &str) -> bool {
        let gone = device("gone", endpoint, "0", 1);
        self.index.heir(&gone, &self.known).is_some()
    }
}

#[test]
fn rivals_are_told_when_one_comes_or_goes() {
    let seen = Seen::default();
    seen.take_in(&Event::Apply(device("a", "ep", "1", 1)));
    let (_, touched) = seen.take_in(&Event::Apply(device("b", "ep", "2", 1)));
    assert_eq!(names(&touched), ["a"]);
    let rivals = seen.index.rivals(&device("a", "ep", "1", 1), &seen.known);
    assert_eq!(rivals[0].name, "acme/b");
    let (_, touched) = seen.take_in(&Event::Delete(device("a", "ep", "1", 1)));
    assert_eq!(names(&touched), ["b"]);
    assert!(seen.is_described("ep"));
}

#[test]
fn an_object_of_the_same_name_may_be_of_another_endpoint() {
    let seen = Seen::default();
    seen.take_in(&Event::Apply(device("a", "old", "1", 1)));
    let (taken, _) = seen.take_in(&Event::Apply(device("a", "new", "2", 1)));
    assert_eq!(taken.gone.len(), 1);
    assert!(seen.is_described("new"));
    assert!(!seen.is_described("old"));
}

#[test]
fn what_a_new_list_does_not_show_is_not_described() {
    let seen = Seen::default();
    for event in [
        Event::Init,
        Event::InitApply(device("a", "ep-a", "1", 1)),
        Event::InitApply(device("b", "ep-b", "2", 1)),
        Event::InitDone,
        Event::Init,
        Event::InitApply(device("b", "ep-b", "2", 1)),
    ] {
        assert!(seen.take_in(&event).0.gone.is_empty());
    }
    let (taken, _) = seen.take_in(&Event::InitDone);
    assert_eq!(taken.gone[0].name_any(), "a");
    assert!(!seen.is_described("ep-a"));
    assert!(seen.is_described("ep-b"));
}

#[test]
fn events_concern_described_endpoints_only() {
    let seen = Seen::default();
    let concerned = |event| seen.index.concerned("acme", &event, &seen.known);
    seen.take_in(&Event::Apply(device("a", "ep", "1", 1)));
    let event = |endpoint: &str, kind| api::Event {
        endpoint: endpoint.to_owned(),
        time: None,
        kind: Some(kind),
    };
    let expired = api::event::Kind::Expired(api::event::Deregistered::default());
    assert_eq!(names(&concerned(event("ep", expired.clone()))), ["a"]);
    assert_eq!(
        seen.index.ended("acme", "ep"),
        Some(RegistrationEnd::Expired)
    );
    assert!(concerned(event("other", expired)).is_empty());
    let reported = |child: &str| {
        let value = api::ReportedValue {
            child: child.to_owned(),
            ..api::ReportedValue::default()
        };
        let values = vec![value];
        api::event::Kind::ValuesReported(api::event::ValuesReported { values })
    };
    assert!(concerned(event("ep", reported(""))).is_empty());
    let mut observed = device("a", "ep", "2", 1);
    observed.spec.management_policy = ManagementPolicy::ObserveOnly;
    seen.take_in(&Event::Apply(observed));
    assert_eq!(names(&concerned(event("ep", reported("")))), ["a"]);
    assert!(concerned(event("ep", reported("dev0"))).is_empty());
}
