use crd::DeviceSpec;

use super::*;

fn device(name: &str, endpoint: &str, uid: &str, generation: i64) -> Device {
    let mut device = Device::new(
        name,
        DeviceSpec {
            endpoint_name: endpoint.to_owned(),
            management_policy: ManagementPolicy::Managed,
            resources: Vec::new(),
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

#[test]
fn only_a_changed_spec_is_reconciled() {
    let index = Index::default();
    assert!(
        index
            .take_in(&Event::Apply(device("a", "ep", "1", 1)))
            .changed
            .is_some()
    );
    assert!(
        index
            .take_in(&Event::Apply(device("a", "ep", "1", 1)))
            .changed
            .is_none()
    );
    assert!(
        index
            .take_in(&Event::Apply(device("a", "ep", "1", 2)))
            .changed
            .is_some()
    );
    // Deleted and made anew between two events.
    let taken = index.take_in(&Event::Apply(device("a", "ep", "2", 2)));
    assert!(taken.changed.is_some());
    assert_eq!(taken.gone.len(), 1);
}

#[test]
fn rivals_are_told_when_one_comes_or_goes() {
    let index = Index::default();
    index.take_in(&Event::Apply(device("a", "ep", "1", 1)));
    let taken = index.take_in(&Event::Apply(device("b", "ep", "2", 1)));
    assert_eq!(names(&taken.touched), ["a"]);
    assert_eq!(index.rivals(&device("a", "ep", "1", 1))[0].name, "acme/b");
    let taken = index.take_in(&Event::Delete(device("a", "ep", "1", 1)));
    assert_eq!(names(&taken.touched), ["b"]);
    assert!(index.is_described("ep"));
}

#[test]
fn what_a_new_list_does_not_show_is_gone() {
    let index = Index::default();
    for event in [
        Event::Init,
        Event::InitApply(device("a", "ep-a", "1", 1)),
        Event::InitApply(device("b", "ep-b", "2", 1)),
    ] {
        assert!(index.take_in(&event).gone.is_empty());
    }
    assert!(index.take_in(&Event::InitDone).gone.is_empty());
    index.take_in(&Event::Init);
    index.take_in(&Event::InitApply(device("b", "ep-b", "2", 1)));
    let taken = index.take_in(&Event::InitDone);
    assert_eq!(taken.gone[0].name_any(), "a");
    assert_eq!(taken.devices, 1);
    assert!(!index.is_described("ep-a"));
}

#[test]
fn events_concern_described_endpoints_only() {
    let index = Index::default();
    index.take_in(&Event::Apply(device("a", "ep", "1", 1)));
    let event = |endpoint: &str, kind| api::Event {
        endpoint: endpoint.to_owned(),
        time: None,
        kind: Some(kind),
    };
    let expired = api::event::Kind::Expired(api::event::Deregistered::default());
    assert_eq!(
        names(&index.concerned(&event("ep", expired.clone()))),
        ["a"]
    );
    assert_eq!(index.ended("ep"), Some(RegistrationEnd::Expired));
    assert!(index.concerned(&event("other", expired)).is_empty());
    let reported = |child: &str| {
        let value = api::ReportedValue {
            child: child.to_owned(),
            ..api::ReportedValue::default()
        };
        let values = vec![value];
        api::event::Kind::ValuesReported(api::event::ValuesReported { values })
    };
    assert!(index.concerned(&event("ep", reported(""))).is_empty());
    let mut observed = device("a", "ep", "2", 1);
    observed.spec.management_policy = ManagementPolicy::ObserveOnly;
    index.take_in(&Event::Apply(observed));
    assert_eq!(names(&index.concerned(&event("ep", reported("")))), ["a"]);
    let behind = reported("dev0");
    assert!(index.concerned(&event("ep", behind)).is_empty());
}
