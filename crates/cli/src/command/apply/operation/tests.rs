#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use super::*;

const EXAMPLE: &str = include_str!("../../../../../../examples/resources/device-operation.yaml");
const DEVICE: &str = include_str!("../../../../../../examples/device.yaml");

/// The example with other text in it.
fn with(from: &str, to: &str) -> DeviceOperation {
    assert!(EXAMPLE.contains(from), "{from}");
    serde_yaml_ng::from_str(&EXAMPLE.replace(from, to)).unwrap()
}

fn example() -> DeviceOperation {
    serde_yaml_ng::from_str(EXAMPLE).unwrap()
}

fn id(operation: &DeviceOperation, endpoint: &str) -> String {
    fresh(operation, endpoint).metadata.uid.unwrap()
}

#[test]
fn a_request_is_known_by_what_it_asks_of_whom() {
    let known = id(&example(), "sim-0001");
    // The state tier takes 64 bytes.
    assert_eq!(known.len(), "apply-".len() + 2 * ID);
    assert_eq!(id(&with("3600", "60"), "sim-0001"), known);
    for other in [
        with("reboot", "reboot-again"),
        with("/3/0/4", "/3/0/5"),
        with("path: /3/0/4", "path: /3/0/4\n    arguments: 0='5'"),
    ] {
        assert_ne!(id(&other, "sim-0001"), known);
    }
    assert_ne!(id(&example(), "sim-0002"), known);
}

#[test]
fn a_device_is_meant_by_its_name_or_by_its_object() {
    let device: Device = serde_yaml_ng::from_str(DEVICE).unwrap();
    let named = device.metadata.name.clone().unwrap();
    assert_eq!(endpoint(&example(), &[]), Ok("sim-0001"));
    let by_object = with(
        "endpointName: sim-0001",
        &format!("deviceRef: {{name: {named}}}"),
    );
    let devices = [device];
    let expected = devices[0].spec.endpoint_name.as_str();
    assert_eq!(endpoint(&by_object, &devices), Ok(expected));
    let refused = check(&by_object, &[]).unwrap_err().to_string();
    assert!(refused.contains("is not in this call"), "{refused}");
}

#[test]
fn many_devices_are_asked_by_other_commands() {
    for (target, action, expected) in [
        (
            "groupRef: {name: north}",
            "type: Execute",
            "`drover devices --group north` lists them, and `drover exec ENDPOINT /3/0/4`",
        ),
        (
            "selector: {}",
            "type: Read",
            "`drover devices -l LABELS` lists them, and `drover read ENDPOINT /3/0/4`",
        ),
        (
            "groupRef: {name: north}",
            "type: Observe",
            "`drover profiles put NAME --group north --observe /3/0/4`",
        ),
    ] {
        let text = EXAMPLE.replace("endpointName: sim-0001", target);
        let text = text.replace("type: Execute", action);
        let operation: DeviceOperation = serde_yaml_ng::from_str(&text).unwrap();
        let refused = check(&operation, &[]).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
}

#[test]
fn what_the_planner_refuses_is_refused_in_its_words() {
    let operation = with("AtMostOnce", "AtLeastOnce");
    let refused = check(&operation, &[]).unwrap_err().to_string();
    assert_eq!(
        refused,
        "reboot: spec.executionGuarantee: AtLeastOnce: devices are asked to execute and to create at most once; leave it out"
    );
    assert!(check(&example(), &[]).is_ok());
}

#[test]
fn what_nobody_asks_again_is_no_success() {
    let told = |result| AppliedOperation {
        name: "reboot".to_owned(),
        endpoint: "sim-0001".to_owned(),
        result,
        message: "the device sleeps".to_owned(),
        operation: None,
        values: Vec::new(),
    };
    for good in [Asked::Succeeded, Asked::Pending, Asked::Suspended] {
        assert!(told(good).failure().is_none(), "{good:?}");
    }
    for bad in [Asked::Failed, Asked::Expired, Asked::Unheard] {
        let failure = told(bad).failure().unwrap().to_string();
        assert_eq!(failure, "the DeviceOperation reboot: the device sleeps");
    }
}
