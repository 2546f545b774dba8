//! An operator that looks at nothing for an hour, and is told.

use serde_json::Value;
use tests::{Drover, Kubernetes, Operator, until_some};

use crate::SOON;

const PREFIX: &str = "told-";

const OBJECTS: &str = "\
apiVersion: drover.dev/v1alpha1
kind: Device
metadata: {name: told, namespace: default}
spec:
  endpointName: told-000000
  resources:
  - {path: /3/0/14, value: '+03:00'}
---
apiVersion: drover.dev/v1alpha1
kind: DeviceOperation
metadata: {name: told, namespace: default}
spec:
  endpointName: told-000000
  action: {type: Write, values: [{path: /3/0/15, value: Europe/Berlin}]}
";

/// Waits until a condition of an object has this status.
fn until_condition(kubernetes: &Kubernetes, object: &str, kind: &str, status: &str) {
    until_some(&format!("{object}: {kind} is {status}"), SOON, || {
        let shown = kubernetes.kubectl(&["get", object, "-o", "json"]);
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap_or_default();
        let conditions = shown["status"]["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        let holds = conditions.any(|one| one["type"] == kind && one["status"] == status);
        if holds {
            Ok(())
        } else {
            Err(shown["status"].to_string())
        }
    });
}

/// Nothing of this would be seen by looking before the test has long failed.
pub(crate) fn what_happens_to_a_device_is_seen(kubernetes: &Kubernetes, drover: &Drover) {
    let operator = Operator::that_looks_every(3_600, kubernetes, drover, "told");
    let applied = kubernetes.apply(OBJECTS);
    assert!(applied.status.success(), "{applied:?}");
    until_condition(
        kubernetes,
        "devices.drover.dev/told",
        "Registered",
        "Unknown",
    );
    until_condition(kubernetes, "lwop/told", "Succeeded", "Unknown");
    until_some("streams of events", SOON, || {
        let live = operator.metric("drover_operator_event_streams{state=\"live\"}");
        if live >= 1.0 { Ok(()) } else { Err(live) }
    });

    let (_simulator, endpoint) = drover.full_device(PREFIX);
    assert_eq!(endpoint, "told-000000");
    until_condition(kubernetes, "devices.drover.dev/told", "Registered", "True");
    until_condition(kubernetes, "devices.drover.dev/told", "Ready", "True");
    until_condition(kubernetes, "lwop/told", "Succeeded", "True");
    for object in ["devices.drover.dev/told", "lwop/told"] {
        let gone = kubernetes.kubectl(&["delete", object, "--timeout=10s"]);
        assert!(gone.status.success(), "{gone:?}");
    }
}
