use super::Table;

#[test]
fn a_device() {
    Table {
        file: "../device.yaml",
        accepted: &[
            "{}",
            "{resources: [{path: /0/1/3, valueFrom: {secretKeyRef: {name: k, key: psk}}}]}",
            "{profileRefs: [{name: base}, {name: berlin}]}",
            "{resources: null, observations: null, profileRefs: [{name: base}]}",
            "{delivery: {}}",
            "{delivery: {deadlineSeconds: 604800}}",
            "{instances: [{path: /3311/0}, {path: /33/0, state: Absent}], resources: [{path: /3311/0/5850, value: '1'}]}",
            "{deletionPolicy: Wipe, wipeDeadlineSeconds: 60}",
        ],
        refused: &[
            ("{resources: [{path: /3/0, value: a}]}", "path must be /object/instance/resource"),
            ("{resources: [{path: /3/0/14}]}", "exactly one of value and valueFrom"),
            ("{resources: [{path: /3/0/14, value: a, valueFrom: {secretKeyRef: {name: a, key: b}}}]}", "exactly one of value and valueFrom"),
            ("{profileRefs: [{name: base}, {name: other}, {name: base}]}", "profileRefs must name each DeviceProfile once"),
            ("{instances: [{path: /3311}]}", "path must be /object/instance, for"),
            ("{instances: [{path: /5/0}]}", "path must not be of the objects 0, 1, 2, 3 and 5"),
            ("{instances: [{path: /3311/0, state: Absent}], resources: [{path: /3311/0/5850, value: '1'}]}", "an instance that should be absent has no resources"),
            ("{observations: [{path: 3303/0}]}", "path must have one to four numbers"),
            ("{observations: [{path: /3, minimumPeriodSeconds: 61, maximumPeriodSeconds: 60}]}", "minimumPeriodSeconds must not be greater"),
            ("{observations: [{path: /3, greaterThan: '4e1'}]}", "greaterThan must be a decimal number"),
            ("{observations: [{path: /3, lessThan: '.5'}]}", "lessThan must be a decimal number"),
            ("{observations: [{path: /3, step: '-1'}]}", "step must be a positive decimal number"),
            ("{wipeDeadlineSeconds: 60}", "wipeDeadlineSeconds is for deletionPolicy Wipe"),
        ],
        changed: &["{profileRefs: [{name: base}]}", "{delivery: {deadlineSeconds: 5}}"],
        fixed: &[("{endpointName: other}", "endpointName is immutable")],
    }
    .check_but(&["endpointName must have at most 255 bytes"]);
}
