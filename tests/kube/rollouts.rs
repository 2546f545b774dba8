//! Firmware from kubectl to devices: images and rollouts on a real API server, an operator, and the state tier.

mod manifests;

use tests::{Operator, until, until_some};

use crate::gitops;
use crate::rig::{Rig, SOON};

use manifests::{image, rollout};

#[test]
fn a_rollout_is_carried_out_as_it_is_declared() {
    let rig = Rig::start(3);
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
    let device = &rig.drover.devices()[0];
    rig.apply(&format!(
        "apiVersion: drover.dev/v1alpha1\nkind: Device\nmetadata: {{name: one, namespace: default}}\nspec: {{endpointName: {device}}}\n"
    ));
    let refused = rig.until("fwr/current", "Accepted", "False", "ImageNotFound");
    gitops::expect(&refused, "Degraded", "failed");
    // What the devices run, so that a rollout of it has nothing to do.
    let version = rig.value(device, "/3/0/3");
    rig.apply(&image("current", &version));
    rig.until("fwr/current", "Accepted", "True", "Accepted");
    let waiting = rig.until("fwr/current", "Progressing", "False", "AwaitingApproval");
    gitops::expect(&waiting, "Suspended", "in progress");
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
    rig.until("lwd/one", "Registered", "True", "Registered");
    rig.patch("fwr/current", r#"{"approvedThrough": "canary"}"#);
    let wait = [
        "wait",
        "--for=condition=Succeeded",
        "--timeout=180s",
        "fwr/current",
    ];
    rig.kubectl(&wait);
    let through = rig.until("fwr/current", "Ready", "True", "Complete");
    gitops::expect(&through, "Healthy", "current");
    assert_eq!(through["status"]["counts"]["total"], 3);
    assert_eq!(through["status"]["counts"]["skipped"], 3);
    assert_eq!(through["status"]["waves"][1]["state"], "Succeeded");
    let updated = rig.until("lwd/one", "FirmwareCurrent", "True", "UpToDate");
    assert_eq!(updated["status"]["firmware"]["rollout"], "current");
    let field = format!("status.firmware.currentVersion={version}");
    let listed = rig.kubectl(&["get", "lwd", "--field-selector", &field]);
    assert!(
        listed.contains("FIRMWARE") && listed.contains(&version),
        "{listed}"
    );
    let columns = rig.kubectl(&["get", "fwr", "current", "-o", "wide"]);
    for cell in ["IMAGE", "current", "rest", "True", "Complete"] {
        assert!(columns.contains(cell), "{cell}: {columns}");
    }
}

fn stops_when_devices_fail_and_ends_when_told(rig: &Rig) {
    rig.apply(&image("unreachable", "9.9.9"));
    rig.apply(&rollout("bad", "unreachable", ""));
    let stopped = rig.until("fwr/bad", "Paused", "True", "FailureThresholdExceeded");
    assert_eq!(stopped["status"]["counts"]["failed"], 1);
    assert_eq!(
        stopped["status"]["failureSamples"][0]["endpointName"]
            .as_str()
            .map(str::len),
        Some(8)
    );
    let stalled = rig.until("fwr/bad", "Stalled", "True", "FailureThresholdExceeded");
    gitops::expect(&stalled, "Degraded", "failed");
    rig.patch("fwr/bad", r#"{"abort": true}"#);
    rig.until("fwr/bad", "Succeeded", "False", "Aborted");
    let ended = rig.until("fwr/bad", "Reconciling", "False", "Aborted");
    assert_eq!(ended["status"]["counts"]["cancelled"], 2);
}

fn what_cannot_be_done_is_said(rig: &Rig) {
    rig.apply(&rollout("pushed", "current", "  transfer: {mode: Push}\n"));
    let said = rig.until_refused("fwr/pushed", "InvalidValue");
    assert!(said.starts_with("spec.transfer.mode: Push"), "{said}");
    let refused = rig.object("fwr/pushed");
    assert!(refused["status"]["counts"].is_null(), "{refused}");
}

/// The name is free again once the campaign is aborted and gone.
fn a_deleted_rollout_is_aborted(rig: &Rig) {
    let later = "  schedule: {notBeforeTime: '2099-01-01T00:00:00Z'}\n";
    rig.apply(&rollout("later", "unreachable", later));
    let first = rig.until("fwr/later", "Progressing", "False", "OutsideWindow");
    let first = first["status"]["membership"]["snapshotID"].clone();
    rig.kubectl(&["delete", "fwr", "later", "--timeout=10s"]);
    rig.apply(&rollout("later", "unreachable", later));
    let second = rig.until("fwr/later", "Progressing", "False", "OutsideWindow");
    assert_ne!(second["status"]["membership"]["snapshotID"], first);
    rig.patch("fwr/later", r#"{"paused": true}"#);
    let paused = rig.until("fwr/later", "Paused", "True", "UserPaused");
    gitops::expect(&paused, "Suspended", "in progress");
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
    rig.until("fwr/by-hand", "Accepted", "False", "IdentityConflict");
    let taken = apply(&files("current", ""));
    assert!(
        taken.stderr.contains("of another FirmwareRollout"),
        "{taken:?}"
    );
}
