//! Drover's custom resources on a real Kubernetes API, driven by a real kubectl.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

mod access;
mod canary;
mod devices;
mod enrollment;
mod events;
mod gitops;
mod images;
mod kinds;
mod resources;
mod rig;
mod rollouts;

use std::time::Duration;

use tests::{Drover, Kubernetes, Operator, Options, until, until_some};

const SOON: Duration = Duration::from_secs(60);

fn manifest(name: &str, endpoint: &str, value: &str) -> String {
    format!(
        "apiVersion: drover.dev/v1alpha1\nkind: Device\nmetadata:\n  name: {name}\n  namespace: default\nspec:\n  \
         endpointName: {endpoint}\n  resources:\n  - path: /3/0/14\n    value: \"{value}\"\n"
    )
}

fn offset_of(drover: &Drover, device: &str) -> String {
    let answer = drover.run(&["read", device, "/3/0/14", "-o", "json"]);
    serde_json::from_str::<serde_json::Value>(&answer.stdout)
        .ok()
        .and_then(|read| Some(read["values"][0]["value"].as_str()?.to_owned()))
        .unwrap_or(answer.stderr)
}

#[test]
fn declared_device_is_kept_as_declared() {
    let kubernetes = Kubernetes::start();
    kubernetes.install_definitions();
    let drover = Drover::start(&Options {
        devices: 1,
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    });
    let device = drover.devices()[0].clone();
    let operator = Operator::start(&kubernetes, &drover, "first");

    // A declared value arrives.
    let applied = kubernetes.apply(&manifest("pinned", &device, "+07:00"));
    assert!(applied.status.success(), "{applied:?}");
    kubernetes.wait_for_ready("pinned");
    assert_eq!(offset_of(&drover, &device), "+07:00");
    let pinned = kubernetes.kubectl(&["get", "devices.drover.dev", "pinned", "-o", "json"]);
    let pinned = serde_json::from_slice(&pinned.stdout).unwrap();
    gitops::expect(&pinned, "Healthy", "current");

    // A changed value arrives.
    let applied = kubernetes.apply(&manifest("pinned", &device, "+08:00"));
    assert!(applied.status.success(), "{applied:?}");
    until_some("the changed value", SOON, || {
        let found = offset_of(&drover, &device);
        if found == "+08:00" {
            Ok(())
        } else {
            Err(found)
        }
    });
    kubernetes.wait_for_ready("pinned");

    // What kubectl shows.
    let shown = kubernetes.kubectl(&["get", "devices.drover.dev", "pinned"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.contains("ENDPOINT") && shown.contains("True"),
        "{shown}"
    );

    // An invalid object is refused by the API server itself.
    let refused = kubernetes.apply(&manifest("pinned", "another-endpoint", "+08:00"));
    assert!(!refused.status.success(), "{refused:?}");
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("immutable"),
        "{refused:?}"
    );
    let refused = kubernetes.apply(&manifest("bad", "bad", "x").replace("/3/0/14", "3/0/14"));
    assert!(!refused.status.success(), "{refused:?}");
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("path"),
        "{refused:?}"
    );

    // A restarted operator finds everything as it should be and writes nothing.
    drop(operator);
    let before = kubernetes.resource_version("pinned");
    let operator = Operator::start(&kubernetes, &drover, "second");
    until(
        "the restarted operator has looked at the device again and again",
        SOON,
        || operator.metric("drover_operator_reconciliations_total") >= 5.0,
    );
    assert!((operator.metric("drover_operator_status_writes_total")).abs() < f64::EPSILON);
    assert_eq!(kubernetes.resource_version("pinned"), before);
    drop(operator);

    events::what_happens_to_a_device_is_seen(&kubernetes, &drover);
}
