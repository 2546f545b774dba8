//! Who may register, by `EnrollmentPolicy` objects.

use std::time::Duration;

use lwm2m::{EndpointName, Lifetime};
use lwm2m_client::{Config, Event, Retry};
use serde_json::Value;
use tests::{LiveDevice, Operator, Options, until_some};

use crate::rig::{Rig, SOON};

const POLICY: &str = "apiVersion: drover.dev/v1alpha1
kind: EnrollmentPolicy
metadata: {name: meters, namespace: default}
spec:
  priority: 5
  match: {endpointNamePattern: \"^meter-[0-9]+$\"}
  action: Quarantine
  labels: {kind: meter}
  limits: {maximumDevices: 10}
";
const NOBODY_ELSE: &str = "apiVersion: drover.dev/v1alpha1
kind: EnrollmentPolicy
metadata: {name: nobody-else, namespace: default}
spec:
  match: {endpointNamePattern: \"^.*$\"}
  action: Deny
";
const METERS: &str = "enrollmentpolicies.drover.dev/meters";

#[test]
fn who_registers_is_said_by_objects() {
    let rig = Rig::of(&Options {
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    });
    let _operator = Operator::start(&rig.kubernetes, &rig.drover, "enrollment");
    rig.apply(POLICY);
    rig.apply(NOBODY_ELSE);
    for object in [METERS, "enrollmentpolicies.drover.dev/nobody-else"] {
        rig.until(object, "Ready", "True", "InForce");
    }
    let meter = device(&rig, "meter-1");
    let stranger = device(&rig, "stranger-1");
    meter.wait_for("a registration", 1, registered);
    until_shown(&rig, |shown| {
        shown["quarantined"] == true
            && shown["enrollmentPolicy"] == "meters"
            && shown["labels"]["kind"] == "meter"
    });
    until_some("the device in the status", SOON, || {
        let status = rig.object(METERS)["status"].clone();
        if status["quarantined"] == 1 {
            Ok(())
        } else {
            Err(status)
        }
    });
    assert_eq!(stranger.count(registered), 0);

    rig.patch(METERS, r#"{"action": "Admit"}"#);
    until_shown(&rig, |shown| {
        shown["state"] == "Registered" && shown["quarantined"] == false
    });
    rig.patch(
        METERS,
        r#"{"materialize": "OnRegistration", "maximumObjects": 1}"#,
    );
    // The name of the endpoint is one for an object.
    is_made(&rig, "lwd/meter-1");
    rig.until("lwd/meter-1", "Registered", "True", "Registered");
    rig.until(METERS, "Degraded", "False", "AsExpected");
    let made = rig.object("lwd/meter-1");
    assert_eq!(
        made["metadata"]["labels"]["drover.dev/enrollment-policy"],
        "meters"
    );
    let second = device(&rig, "meter-2");
    second.wait_for("a registration", 1, registered);
    rig.until(METERS, "Degraded", "True", "QuotaExceeded");
    rig.patch(METERS, r#"{"maximumObjects": 2}"#);
    is_made(&rig, "lwd/meter-2");
    rig.until("lwd/meter-2", "Registered", "True", "Registered");
    until_some("two objects in the status", SOON, || {
        let status = rig.object(METERS)["status"].clone();
        if status["objects"] == 2 {
            Ok(())
        } else {
            Err(status)
        }
    });

    // What is no pattern changes nothing: the device stays as it is.
    rig.patch(
        METERS,
        r#"{"match": {"endpointNamePattern": "^meter-(1$"}}"#,
    );
    let why = rig.until_refused(METERS, "InvalidPattern");
    assert!(why.contains("unclosed group"), "{why}");
    let kept = rig.drover.json(&["enrollment", "get", "meters"]);
    assert_eq!(kept["endpointPattern"], "^meter-[0-9]+$", "{kept}");

    rig.kubectl(&["delete", "enrollmentpolicies.drover.dev", "--all"]);
    until_some("no policy", SOON, || {
        let listed = rig.drover.json(&["enrollment", "list"])["policies"].clone();
        if listed == Value::Array(Vec::new()) {
            Ok(())
        } else {
            Err(listed)
        }
    });
    stranger.wait_for("a registration", 1, registered);
    until_shown(&rig, |shown| shown["enrollmentPolicy"].is_null());
}

/// Waits until there is such an object.
fn is_made(rig: &Rig, object: &str) {
    rig.kubectl(&["wait", "--for=create", "--timeout=60s", object]);
}

fn device(rig: &Rig, name: &str) -> LiveDevice {
    let config = Config {
        lifetime: Lifetime::from_secs(60),
        update_interval: Some(Duration::from_secs(1)),
        retry: Retry {
            shortest: Duration::from_millis(500),
            longest: Duration::from_secs(1),
        },
        ..Config::new(EndpointName::new(name).unwrap())
    };
    let server = rig.drover.endpoint("/ingress/0/coap").parse().unwrap();
    LiveDevice::start(config, server)
}

fn registered(event: &Event) -> bool {
    matches!(event, Event::Registered { .. })
}

/// Waits until `meter-1` is as it should be.
fn until_shown(rig: &Rig, holds: impl Fn(&Value) -> bool) {
    until_some("the device as it should be", SOON, || {
        let answer = rig.drover.run(&["device", "meter-1", "-o", "json"]);
        let shown: Value = serde_json::from_str(&answer.stdout).unwrap_or_default();
        if holds(&shown) { Ok(()) } else { Err(shown) }
    });
}
