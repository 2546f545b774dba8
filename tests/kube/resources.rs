//! Every custom resource on a real API server: examples, refusals as a user sees them, what may be
//! changed, what kubectl shows, and who may approve a rollout.

mod refusals;
mod tables;

use std::time::Duration;

use tests::{Kubernetes, until_some};

use refusals::REFUSALS;
use tables::{CHANGES, COLUMNS, FIXED, RIGHTS, SELECTORS, STATUS};

const SOON: Duration = Duration::from_secs(60);

/// The file of an example; Device's lies above the others.
fn path(file: &str) -> String {
    match file {
        "device.yaml" => "../examples/device.yaml".to_owned(),
        other => format!("../examples/resources/{other}"),
    }
}

/// An example in which one piece of text is another one.
fn changed(file: &str, from: &str, to: &str) -> String {
    let text = std::fs::read_to_string(path(file)).unwrap();
    assert!(text.contains(from), "{file} has no {from:?}");
    text.replacen(from, to, 1)
}

fn said(output: &std::process::Output) -> String {
    let parts = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&parts).into_owned()
}

fn files() -> Vec<String> {
    let folder = std::fs::read_dir("../examples/resources").unwrap();
    let mut files: Vec<_> = folder
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .chain(["device.yaml".to_owned()])
        .collect();
    files.sort();
    files
}

fn remove_examples(kubernetes: &Kubernetes) {
    for file in files() {
        let delete = ["delete", "--ignore-not-found", "--wait", "-f", &path(&file)];
        let gone = kubernetes.kubectl(&delete);
        assert!(gone.status.success(), "{}", said(&gone));
    }
}

#[test]
fn resources_are_what_their_definitions_say() {
    let kubernetes = Kubernetes::start();
    kubernetes.install_definitions();
    remove_examples(&kubernetes);
    examples_are_accepted(&kubernetes);
    objects_that_cannot_be_are_refused(&kubernetes);
    changes_are_accepted_or_refused(&kubernetes);
    kubectl_shows_and_selects(&kubernetes);
    statuses_are_bounded(&kubernetes);
    a_rollout_is_approved_by_whom_may(&kubernetes);
    remove_examples(&kubernetes);
}

fn examples_are_accepted(kubernetes: &Kubernetes) {
    for file in files() {
        // Strict: a field that would be pruned is an error.
        let apply = ["apply", "--validate=strict", "-f", &path(&file)];
        let applied = kubernetes.kubectl(&apply);
        assert!(applied.status.success(), "{file}: {}", said(&applied));
    }
}

fn objects_that_cannot_be_are_refused(kubernetes: &Kubernetes) {
    for (file, from, to, message) in REFUSALS {
        let object = changed(file, from, to).replacen("  name: ", "  name: other-", 1);
        let create = ["create", "--dry-run=server", "-f", "-"];
        let refused = kubernetes.feed(&create, &object);
        assert!(!refused.status.success(), "{file} {to:?}: accepted");
        let said = said(&refused);
        assert!(said.contains(message), "{file} {to:?}: {said}");
    }
}

fn changes_are_accepted_or_refused(kubernetes: &Kubernetes) {
    let apply = ["apply", "--dry-run=server", "-f", "-"];
    for (file, from, to) in CHANGES {
        let applied = kubernetes.feed(&apply, &changed(file, from, to));
        assert!(
            applied.status.success(),
            "{file} {to:?}: {}",
            said(&applied)
        );
    }
    for (file, from, to, message) in FIXED {
        let refused = kubernetes.feed(&apply, &changed(file, from, to));
        assert!(!refused.status.success(), "{file} {to:?}: accepted");
        let said = said(&refused);
        assert!(said.contains(message), "{file} {to:?}: {said}");
    }
}

fn kubectl_shows_and_selects(kubernetes: &Kubernetes) {
    for (kind, columns, row) in COLUMNS {
        let shown = said(&kubernetes.kubectl(&["get", kind]));
        let mut lines = shown.lines();
        let header: Vec<_> = lines
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        assert_eq!(header.join(" "), *columns, "{kind}");
        let is_there = lines.any(|line| row.iter().all(|cell| line.contains(cell)));
        assert!(is_there, "{kind}: {shown}");
    }
    for (kind, selector, other) in SELECTORS {
        let get = ["get", kind, "-o", "name", "--field-selector"];
        let found = kubernetes.kubectl(&[&get[..], &[*selector]].concat());
        assert!(!found.stdout.is_empty(), "{selector}: {}", said(&found));
        let found = kubernetes.kubectl(&[&get[..], &[*other]].concat());
        assert!(found.status.success(), "{other}: {}", said(&found));
        assert!(found.stdout.is_empty(), "{other}: {}", said(&found));
    }
}

fn statuses_are_bounded(kubernetes: &Kubernetes) {
    let rollout = "firmwarerollouts.drover.dev/m200-2.3.1";
    let patch = [
        "patch",
        rollout,
        "--subresource=status",
        "--type=merge",
        "-p",
    ];
    let written = kubernetes.kubectl(&[&patch[..], &[STATUS]].concat());
    assert!(written.status.success(), "{}", said(&written));
    let shown = said(&kubernetes.kubectl(&["get", rollout]));
    for cell in ["canary", "100000", "17", "False", "Unknown"] {
        assert!(shown.contains(cell), "{cell}: {shown}");
    }
    let sample = r#"{"endpointName": "a", "reason": "OutOfMemory"}"#;
    let samples = [sample; 11].join(",");
    let many = format!(r#"{{"status": {{"failureSamples": [{samples}]}}}}"#);
    let refused = kubernetes.kubectl(&[&patch[..], &[&many]].concat());
    let said = said(&refused);
    assert!(said.contains("must have at most 10 items"), "{said}");
}

/// Two people may edit rollouts, and one of them may approve.
fn a_rollout_is_approved_by_whom_may(kubernetes: &Kubernetes) {
    let applied = kubernetes.apply(RIGHTS);
    assert!(applied.status.success(), "{}", said(&applied));
    let patch = |who: &str, change: &str| {
        let rollout = "firmwarerollouts.drover.dev/m200-2.3.1";
        let change = format!(r#"{{"spec": {change}}}"#);
        kubernetes.kubectl(&["--as", who, "patch", rollout, "--type=merge", "-p", &change])
    };
    // RBAC is read from a cache, and a policy is compiled in the background.
    until_some("an editor who may pause and not approve", SOON, || {
        let approved = patch("editor", r#"{"approvedThrough": "canary"}"#);
        if said(&approved).contains("the verb approve on firmwarerollouts.drover.dev") {
            return Ok(());
        }
        patch("approver", r#"{"approvedThrough": null}"#);
        Err(said(&approved))
    });
    let paused = patch("editor", r#"{"paused": true}"#);
    assert!(paused.status.success(), "{}", said(&paused));
    let aborted = patch("editor", r#"{"abort": true}"#);
    assert!(said(&aborted).contains("Forbidden"), "{}", said(&aborted));

    // A rollout that is born approved is none that somebody has approved.
    let born = changed(
        "firmware-rollout.yaml",
        "  membership: Snapshot",
        "  approvedThrough: rest",
    );
    let born = born.replacen("  name: ", "  name: other-", 1);
    let create = ["--as", "editor", "create", "--dry-run=server", "-f", "-"];
    let refused = said(&kubernetes.feed(&create, &born));
    assert!(refused.contains("the verb approve"), "{refused}");

    let approved = patch("approver", r#"{"approvedThrough": "canary"}"#);
    assert!(approved.status.success(), "{}", said(&approved));
    // What was approved does not keep the editor from the rest, and is not his to take back.
    let resumed = patch("editor", r#"{"paused": false}"#);
    assert!(resumed.status.success(), "{}", said(&resumed));
    let withdrawn = patch("editor", r#"{"approvedThrough": null}"#);
    assert!(
        said(&withdrawn).contains("Forbidden"),
        "{}",
        said(&withdrawn)
    );

    let aborted = patch("approver", r#"{"abort": true}"#);
    assert!(aborted.status.success(), "{}", said(&aborted));
    let taken_back = patch("approver", r#"{"abort": false}"#);
    let said = said(&taken_back);
    assert!(said.contains("abort cannot be taken back"), "{said}");
}
