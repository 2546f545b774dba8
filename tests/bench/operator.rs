//! The operator with ten thousand objects: a real API server, and the state tier on the same machine.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use tests::{Drover, Kubernetes, Operator, Options, resident_bytes, until};

use crate::figure;

const OBJECTS: usize = 10_000;
/// In one call of kubectl.
const PART: usize = 1_000;
const CHANGES: usize = 200;
/// How long nothing may happen before it counts as over, and how long an idle operator is watched.
const QUIET: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(60);
/// Ten thousand objects are made one after the other.
const LIMIT: Duration = Duration::from_secs(1_800);
/// So long that no object is looked at because of its age.
const RESYNC_SECONDS: u32 = 86_400;

pub(crate) fn ten_thousand_objects() {
    eprintln!("operator: {OBJECTS} Device objects, one state node, none of the devices registered");
    let kubernetes = Kubernetes::start();
    kubernetes.install_definitions();
    let drover = Drover::start(&Options {
        state_nodes: 1,
        ..Options::default()
    });
    declare(&kubernetes);
    let start = |name| {
        let begun = Instant::now();
        let operator = Operator::that_looks_every(RESYNC_SECONDS, &kubernetes, &drover, name);
        let seconds = until_all_are_looked_at(&operator, begun);
        eprintln!("  {name}: all looked at after {seconds:.1} s");
        (operator, seconds)
    };
    let (operator, seconds) = start("first");
    figure("operator-first", seconds);
    drop(operator);
    let (operator, seconds) = start("again");
    figure("operator-start", seconds);
    let bytes = resident_bytes(operator.pid()).expect("the operator runs");
    figure("operator-memory", bytes as f64);
    let before = operator.metric("drover_operator_status_writes_total");
    let quiet = Instant::now();
    until("a minute", LIMIT, || quiet.elapsed() > IDLE);
    let written = operator.metric("drover_operator_status_writes_total") - before;
    figure("operator-idle-writes", written);
    figure("operator-change-p99", changed(&kubernetes));
}

fn object(number: usize, offset: &str) -> String {
    format!(
        "apiVersion: drover.dev/v1alpha1\nkind: Device\nmetadata: {{name: meter-{number:05}, namespace: default, labels: \
         {{site: north}}}}\nspec: {{endpointName: \"urn:meter:{number:05}\", resources: [{{path: /3/0/14, value: \
         \"{offset}\"}}, {{path: /1/0/1, value: \"86400\"}}]}}\n---\n"
    )
}

fn declare(kubernetes: &Kubernetes) {
    for first in (0..OBJECTS).step_by(PART) {
        let manifest = (first..first + PART).fold(String::new(), |mut all, number| {
            let _ = write!(all, "{}", object(number, "+01:00"));
            all
        });
        let made = kubernetes.feed(&["create", "-f", "-"], &manifest);
        assert!(made.status.success(), "{made:?}");
        eprintln!("  {} objects", first + PART);
    }
}

/// Seconds from `begun` to the last reconciliation.
fn until_all_are_looked_at(operator: &Operator, begun: Instant) -> f64 {
    let mut last = (0.0, begun);
    until("all objects are looked at", LIMIT, || {
        let looked = operator.metric("drover_operator_reconciliations_total");
        if looked > last.0 {
            last = (looked, Instant::now());
        }
        looked >= OBJECTS as f64 && last.1.elapsed() > QUIET
    });
    (last.1 - begun).as_secs_f64()
}

/// Milliseconds until the status is about a changed spec, with the start of kubectl: the 99th of 100.
fn changed(kubernetes: &Kubernetes) -> f64 {
    let mut times: Vec<f64> = (0..CHANGES)
        .map(|change| {
            let object = format!("lwd/meter-{:05}", change * (OBJECTS / CHANGES));
            let patch = r#"{"spec": {"resources": [{"path": "/3/0/14", "value": "+02:00"}]}}"#;
            let patched = kubernetes.kubectl(&["patch", &object, "--type=merge", "-p", patch]);
            assert!(patched.status.success(), "{patched:?}");
            let begun = Instant::now();
            let seen = "--for=jsonpath={.status.observedGeneration}=2";
            let waited = kubernetes.kubectl(&["wait", seen, "--timeout=60s", &object]);
            assert!(waited.status.success(), "{waited:?}");
            begun.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    times[CHANGES * 99 / 100]
}
