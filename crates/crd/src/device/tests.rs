#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use super::*;
use crate::desired_instance::InstanceState;

fn device(endpoint: &str, paths: &[&str]) -> Device {
    let resources = paths
        .iter()
        .map(|path| DesiredResource {
            path: (*path).to_owned(),
            value: Some("1".to_owned()),
            ..DesiredResource::default()
        })
        .collect();
    Device::new(
        "meter-1",
        DeviceSpec {
            endpoint_name: endpoint.to_owned(),
            resources,
            ..DeviceSpec::default()
        },
    )
}

fn refusal(device: &Device) -> String {
    device
        .validate_cel()
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_resource_and_a_resource_instance_are_paths() {
    let device = device(
        "urn:imei:1",
        &["/3/0/14", "/3/0/7/0", "/33629/65534/65535/65535"],
    );
    assert!(device.validate_cel().is_ok());
}

#[test]
fn what_is_no_resource_path_is_refused_by_name() {
    for path in [
        "3/0/14",
        "/3/0/",
        "/3/0/014",
        "/3//14",
        "/3/0/14/",
        "/3/0/14/0/0",
        "/3/0/x",
    ] {
        let refusal = refusal(&device("urn:imei:1", &[path]));
        assert!(
            refusal.contains("path must be /object/instance/resource"),
            "{path}: {refusal}"
        );
    }
}

#[test]
fn instances_that_the_device_depends_on_and_contradictions_are_refused() {
    let with = |path: &str, state| {
        let mut device = device("urn:imei:1", &["/3311/0/5850"]);
        device.spec.instances.push(DesiredInstance {
            path: path.to_owned(),
            state,
        });
        device
    };
    assert!(
        with("/3311/0", InstanceState::Present)
            .validate_cel()
            .is_ok()
    );
    assert!(
        with("/3311/1", InstanceState::Absent)
            .validate_cel()
            .is_ok()
    );
    let contradiction = refusal(&with("/3311/0", InstanceState::Absent));
    assert!(
        contradiction.contains("has no resources"),
        "{contradiction}"
    );
    for path in ["/0/0", "/1/0", "/2/0", "/3/0", "/5/0"] {
        let refusal = refusal(&with(path, InstanceState::Present));
        assert!(
            refusal.contains("must not be of the objects"),
            "{path}: {refusal}"
        );
    }
}

#[test]
fn the_endpoint_name_never_changes() {
    let old = device("urn:imei:1", &[]);
    let mut new = old.clone();
    new.spec.management_policy = ManagementPolicy::ObserveOnly;
    assert!(new.validate_cel_update(&old).is_ok());
    new.spec.endpoint_name = "urn:imei:2".to_owned();
    let refusals = new.validate_cel_update(&old).unwrap_err();
    assert!(
        refusals
            .iter()
            .any(|one| one.to_string().contains("endpointName is immutable"))
    );
}

#[test]
fn the_endpoint_name_is_bounded_in_bytes() {
    assert!(device(&"x".repeat(255), &[]).validate_cel().is_ok());
    assert!(device(&"ü".repeat(127), &[]).validate_cel().is_ok());
    assert!(refusal(&device(&"ü".repeat(128), &[])).contains("at most 255 bytes"));
}

#[test]
fn a_policy_that_is_not_given_is_managed() {
    let spec: DeviceSpec = serde_yaml_ng::from_str("endpointName: ep").unwrap();
    assert_eq!(spec.management_policy, ManagementPolicy::Managed);
    assert!(
        serde_yaml_ng::from_str::<DeviceSpec>("{endpointName: ep, managementPolicy: Off}").is_err()
    );
}
