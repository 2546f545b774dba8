use serde_json::json;

use super::{Table, example, refusals};

const FILE: &str = "device-operation.yaml";

#[test]
fn a_device_operation() {
    Table {
        file: FILE,
        accepted: &[
            "{}",
            "{endpointName: 'urn:imei:1'}",
            "{endpointName: null, groupRef: {name: g}}",
            "{endpointName: null, deviceRef: {name: meter-1}}",
            "{endpointName: null, selector: {matchLabels: {a: b}}}",
            "{action: {arguments: \"0='5',1,2='a b'\"}}",
            "{action: {type: Read, path: /3}}",
            "{action: {type: Discover, path: /3/0}}",
            "{action: {type: CreateInstance, path: /3311}}",
            "{action: {type: CreateInstance, path: /3311/0, values: [{path: /3311/0/5850, value: '1'}]}}",
            "{action: {type: DeleteInstance, path: /3311/0}}",
            "{action: {type: Write, path: null, values: [{path: /3/0/14, value: '+01:00'}]}}",
            "{action: {type: RegistrationUpdateTrigger, path: null}}",
            "{action: {type: Bootstrap, path: null}}",
            "{action: {type: Observe, path: /3303/0/5700}}",
        ],
        refused: &[
            ("{endpointName: null}", "exactly one of deviceRef, endpointName"),
            ("{groupRef: {name: a}}", "exactly one of deviceRef, endpointName"),
            ("{endpointName: null, selector: {matchExpressions: [{key: a, operator: In}]}}", "In and NotIn need values"),
            ("{action: {path: null}}", "path belongs to every type but"),
            ("{action: {type: Bootstrap}}", "path belongs to every type but"),
            ("{action: {type: Write, values: [{path: /3/0/14, value: a}]}}", "path belongs to every type but"),
            ("{action: {path: 3/0/4}}", "path must have one to four numbers"),
            ("{action: {path: /3/0}}", "Execute needs the path of a resource"),
            ("{action: {type: Discover, path: /3/0/1/2}}", "Discover needs the path of"),
            ("{action: {type: CreateInstance, path: /3/0/1}}", "CreateInstance needs the path of"),
            ("{action: {type: DeleteInstance, path: /3}}", "DeleteInstance needs the path of"),
            ("{action: {type: Read, arguments: '0'}}", "arguments are for Execute"),
            ("{action: {arguments: '0=5'}}", "arguments must be digits"),
            ("{action: {values: [{path: /3/0/14, value: a}]}}", "values are for Write"),
            ("{action: {type: Write, path: null}}", "values are for Write"),
            ("{action: {type: Write, path: null, values: [{path: /3/0, value: a}]}}", "path must be /object/instance/resource"),
            ("{action: {type: Write, path: null, values: [{path: /3/0/14}]}}", "exactly one of value and valueFrom"),
        ],
        changed: &["{suspend: true, ttlSecondsAfterFinished: 5, activeDeadlineSeconds: 5}"],
        fixed: &[
            ("{endpointName: other}", "endpointName is immutable"),
            ("{endpointName: null, groupRef: {name: a}}", "the devices of an operation cannot be changed"),
            ("{action: {path: /3/0/5}}", "action is immutable"),
            ("{dispatchPolicy: Immediate}", "dispatchPolicy is immutable"),
            ("{executionGuarantee: AtLeastOnce}", "executionGuarantee is immutable"),
            ("{parallelism: 5}", "parallelism is immutable"),
            ("{backoffLimit: 5}", "backoffLimit is immutable"),
        ],
    }
    .check_but(&[
        "deviceRef is immutable",
        "groupRef is immutable",
        "selector is immutable",
    ]);
}

#[test]
fn the_devices_of_an_operation_stay_the_same() {
    for (field, old, new) in [
        ("deviceRef", json!({"name": "a"}), json!({"name": "b"})),
        ("groupRef", json!({"name": "a"}), json!({"name": "b"})),
        (
            "selector",
            json!({"matchLabels": {"a": "b"}}),
            json!({"matchLabels": {}}),
        ),
    ] {
        let with = |value| {
            let mut object = example(FILE);
            let spec = object["spec"].as_object_mut();
            assert!(spec.is_some_and(|spec| spec.remove("endpointName").is_some()));
            object["spec"][field] = value;
            object
        };
        let found = refusals(&with(new), Some(&with(old)));
        assert_eq!(found, [format!("{field} is immutable")]);
    }
}
