//! Firmware from kubectl to devices: images and rollouts on a real API server, an operator, and the state tier.

mod manifests;

use std::time::Duration;

use serde_json::Value;
use tests::{Drover, Options, until, until_some};

use crate::cluster::{Kubernetes, Operator};

use manifests::{image, rollout};

const SOON: Duration = Duration::from_secs(180);

/// One cluster of each, and what kubectl is asked.
struct Rig {
    kubernetes: Kubernetes,
    drover: Drover,
}

impl Rig {
    fn start() -> Self {
        let kubernetes = Kubernetes::start();
        kubernetes.install_definitions();
        let drover = Drover::start(&Options {
            devices: 3,
            ..Options::default()
        });
        for device in drover.devices() {
            let labelled = drover.run(&["label", &device, "site=north"]);
            assert_eq!(labelled.code, 0, "{labelled:?}");
        }
        Self { kubernetes, drover }
    }

    fn apply(&self, manifest: &str) {
        let applied = self.kubernetes.apply(manifest);
        assert!(applied.status.success(), "{applied:?}");
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.kubernetes.kubectl(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn rollout(&self, name: &str) -> Value {
        let text = self.kubectl(&["get", "fwr", name, "-o", "json"]);
        serde_json::from_str(&text).unwrap()
    }

    fn patch(&self, name: &str, spec: &str) {
        let patch = format!(r#"{{"spec": {spec}}}"#);
        self.kubectl(&["patch", "fwr", name, "--type=merge", "-p", &patch]);
    }

    /// Waits until a condition of a rollout has this status and reason.
    fn until(&self, name: &str, kind: &str, status: &str, reason: &str) -> Value {
        until_some(&format!("{name}: {kind} {status} {reason}"), SOON, || {
            let seen = self.rollout(name);
            let conditions = seen["status"]["conditions"].as_array();
            let found = conditions.and_then(|all| all.iter().find(|one| one["type"] == kind));
            match found {
                Some(one) if one["status"] == status && one["reason"] == reason => Ok(seen),
                _ => Err(seen["status"].to_string()),
            }
        })
    }

    /// What the devices run, so that a rollout of it has nothing to do.
    fn version(&self) -> String {
        let device = &self.drover.devices()[0];
        let read = self.drover.run(&["read", device, "/3/0/3", "-o", "json"]);
        let read: Value = serde_json::from_str(&read.stdout).unwrap();
        read["values"][0]["value"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_rollout_is_carried_out_as_it_is_declared() {
    let rig = Rig::start();
    let operator = Operator::start(&rig.kubernetes, &rig.drover, "rollouts");
    begins_with_its_image_and_goes_on_with_a_word(&rig);
    stops_when_devices_fail_and_ends_when_told(&rig);
    what_cannot_be_done_is_said(&rig);
    a_deleted_rollout_is_aborted(&rig);
    nothing_is_written_while_nothing_happens(&rig, &operator);
    the_command_line_takes_the_same_files(&rig);
}

fn begins_with_its_image_and_goes_on_with_a_word(rig: &Rig) {
    rig.apply(&rollout("current", "current", ""));
    rig.until("current", "Accepted", "False", "ImageNotFound");
    rig.apply(&image("current", &rig.version()));
    rig.until("current", "Accepted", "True", "Accepted");
    let waiting = rig.until("current", "Progressing", "False", "AwaitingApproval");
    assert_eq!(waiting["status"]["currentWave"], "canary");
    assert_eq!(waiting["status"]["membership"]["devices"], 3);
    until_some("an image with a reference", SOON, || {
        let references = [
            "get",
            "fwi",
            "current",
            "-o",
            "jsonpath={.status.references}",
        ];
        let seen = rig.kubectl(&references);
        if seen == "1" { Ok(()) } else { Err(seen) }
    });
    rig.patch("current", r#"{"approvedThrough": "canary"}"#);
    let wait = [
        "wait",
        "--for=condition=Succeeded",
        "--timeout=180s",
        "fwr/current",
    ];
    rig.kubectl(&wait);
    let through = rig.until("current", "Ready", "True", "Complete");
    assert_eq!(through["status"]["counts"]["total"], 3);
    assert_eq!(through["status"]["counts"]["skipped"], 3);
    assert_eq!(through["status"]["waves"][1]["state"], "Succeeded");
    let columns = rig.kubectl(&["get", "fwr", "current", "-o", "wide"]);
    for cell in ["IMAGE", "current", "rest", "True", "Complete"] {
        assert!(columns.contains(cell), "{cell}: {columns}");
    }
}

fn stops_when_devices_fail_and_ends_when_told(rig: &Rig) {
    rig.apply(&image("unreachable", "9.9.9"));
    rig.apply(&rollout("bad", "unreachable", ""));
    let stopped = rig.until("bad", "Paused", "True", "FailureThresholdExceeded");
    assert_eq!(stopped["status"]["counts"]["failed"], 1);
    assert_eq!(
        stopped["status"]["failureSamples"][0]["endpointName"]
            .as_str()
            .map(str::len),
        Some(8)
    );
    rig.until("bad", "Stalled", "True", "FailureThresholdExceeded");
    rig.patch("bad", r#"{"abort": true}"#);
    let ended = rig.until("bad", "Succeeded", "False", "FailureThresholdExceeded");
    assert_eq!(ended["status"]["counts"]["cancelled"], 2);
}

fn what_cannot_be_done_is_said(rig: &Rig) {
    rig.apply(&rollout("pushed", "current", "  transfer: {mode: Push}\n"));
    let refused = rig.until("pushed", "Accepted", "False", "Unsupported");
    let said = refused["status"]["conditions"][0]["message"]
        .as_str()
        .unwrap();
    assert!(said.starts_with("spec.transfer.mode: Push"), "{said}");
    assert!(refused["status"]["counts"].is_null(), "{refused}");
}

/// The name is free again once the campaign is aborted and gone.
fn a_deleted_rollout_is_aborted(rig: &Rig) {
    let later = "  schedule: {notBeforeTime: '2099-01-01T00:00:00Z'}\n";
    rig.apply(&rollout("later", "unreachable", later));
    let first = rig.until("later", "Progressing", "False", "OutsideWindow");
    let first = first["status"]["membership"]["snapshotID"].clone();
    rig.kubectl(&["delete", "fwr", "later", "--timeout=10s"]);
    rig.apply(&rollout("later", "unreachable", later));
    let second = rig.until("later", "Progressing", "False", "OutsideWindow");
    assert_ne!(second["status"]["membership"]["snapshotID"], first);
    rig.patch("later", r#"{"paused": true}"#);
    rig.until("later", "Paused", "True", "UserPaused");
    rig.kubectl(&["delete", "fwr", "later", "--timeout=10s"]);
}

fn nothing_is_written_while_nothing_happens(rig: &Rig, operator: &Operator) {
    let writes = || operator.metric("drover_operator_status_writes_total");
    let looked = || operator.metric("drover_operator_reconciliations_total");
    let versions = || {
        rig.kubectl(&[
            "get",
            "fwr,fwi",
            "-o",
            "jsonpath={.items[*].metadata.resourceVersion}",
        ])
    };
    // What the deletion has changed of its image is still to be written.
    let (before, from) = (looked(), versions());
    until("a look at everything", SOON, || looked() >= before + 20.0);
    let (quiet, settled, since) = (writes(), versions(), looked());
    until("another look", SOON, || looked() >= since + 20.0);
    assert!((writes() - quiet).abs() < f64::EPSILON, "{from}, {settled}");
    assert_eq!(versions(), settled);
}

fn the_command_line_takes_the_same_files(rig: &Rig) {
    let file = rig.drover.scratch().join("rollout.yaml");
    let apply = |text: &str| {
        std::fs::write(&file, text).unwrap();
        rig.drover.run(&["apply", "-f", &file.to_string_lossy()])
    };
    let later = "  schedule: {notBeforeTime: '2099-01-01T00:00:00Z'}\n";
    let files = |name: &str, rest: &str| {
        [
            image("unreachable", "9.9.9"),
            rollout(name, "unreachable", rest),
        ]
        .concat()
    };
    for (rest, result) in [
        ("", "created"),
        ("", "unchanged"),
        ("  paused: true\n", "configured"),
    ] {
        let rest = format!("{later}{rest}");
        let applied = apply(&files("by-hand", &rest));
        let wanted = format!("firmwarerollout.drover.dev/by-hand {result}\n");
        assert_eq!(applied.stdout, wanted, "{applied:?}");
    }
    // Another plan is another campaign.
    let refused = apply(&files("by-hand", ""));
    assert!(
        refused.stderr.contains("was made of something else"),
        "{refused:?}"
    );
    let refused = apply(&files("pushed", "  transfer: {mode: Push}\n"));
    assert!(
        refused.stderr.contains("spec.transfer.mode: Push"),
        "{refused:?}"
    );
    // Whose a campaign is stays so.
    rig.apply(&rollout("by-hand", "unreachable", later));
    rig.until("by-hand", "Accepted", "False", "IdentityConflict");
    let taken = apply(&files("current", ""));
    assert!(
        taken.stderr.contains("of another FirmwareRollout"),
        "{taken:?}"
    );
}
