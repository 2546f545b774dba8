use super::Table;

#[test]
fn a_device_profile() {
    Table {
        file: "device-profile.yaml",
        accepted: &[
            "{}",
            "{selector: null, groupRef: {name: g}}",
            "{selector: null}",
            "{resources: [{path: /3/0/7/0, value: a}]}",
            "{instances: [{path: /3311/0}, {path: /33/0, state: Absent}], resources: [{path: /3311/0/5850, value: '1'}]}",
            "{observations: [{path: /3303}, {path: /1/0/1/0, lessThan: '-10.5', maximumPeriodSeconds: 5}]}",
            "{observations: [{path: /3/0/9, minimumPeriodSeconds: 60, maximumPeriodSeconds: 60}]}",
            "{rollout: {windows: [{startTime: '22:00', endTime: '04:00'}]}}",
            "{rollout: {windows: [{startTime: '22:00', endTime: '04:00', timeZone: America/Argentina/Ushuaia}]}}",
            "{requires: {minimumLwm2mVersion: '1.0'}}",
        ],
        refused: &[
            ("{groupRef: {name: g}}", "at most one of selector and groupRef"),
            ("{selector: {matchExpressions: [{key: a, operator: In}]}}", "In and NotIn need values"),
            ("{resources: [{path: /3/0, value: a}]}", "path must be /object/instance/resource"),
            ("{resources: [{path: /3/0/014, value: a}]}", "path must be /object/instance/resource"),
            ("{resources: [{path: /3/0/14}]}", "exactly one of value and valueFrom"),
            ("{resources: [{path: /3/0/14, value: a, valueFrom: {secretKeyRef: {name: a, key: b}}}]}", "exactly one of value and valueFrom"),
            ("{instances: [{path: /3311}]}", "path must be /object/instance, for"),
            ("{instances: [{path: /3311/0/1}]}", "path must be /object/instance, for"),
            ("{instances: [{path: /5/0}]}", "path must not be of the objects 0, 1, 2, 3 and 5"),
            ("{instances: [{path: /3311/0, state: Absent}], resources: [{path: /3311/0/5850, value: '1'}]}", "an instance that should be absent has no resources"),
            ("{observations: [{path: 3303/0}]}", "path must have one to four numbers"),
            ("{observations: [{path: /1/2/3/4/5}]}", "path must have one to four numbers"),
            ("{observations: [{path: /3, minimumPeriodSeconds: 61, maximumPeriodSeconds: 60}]}", "minimumPeriodSeconds must not be greater"),
            ("{observations: [{path: /3, greaterThan: '4e1'}]}", "greaterThan must be a decimal number"),
            ("{observations: [{path: /3, lessThan: '.5'}]}", "lessThan must be a decimal number"),
            ("{observations: [{path: /3, step: '-1'}]}", "step must be a positive decimal number"),
            ("{rollout: {windows: [{startTime: '24:00', endTime: '04:00'}]}}", "startTime must be HH:MM"),
            ("{rollout: {windows: [{startTime: '01:00', endTime: '4:00'}]}}", "endTime must be HH:MM"),
            ("{rollout: {windows: [{startTime: '01:00', endTime: '01:00'}]}}", "startTime and endTime must differ"),
            ("{rollout: {windows: [{startTime: '01:00', endTime: '04:00', timeZone: ../etc}]}}", "timeZone must be an IANA name"),
            ("{requires: {minimumLwm2mVersion: '2.0'}}", "minimumLwm2mVersion must be 1.0, 1.1 or 1.2"),
        ],
        changed: &["{priority: 5, paused: true}", "{selector: null, groupRef: {name: g}}"],
        fixed: &[],
    }
    .check();
}
