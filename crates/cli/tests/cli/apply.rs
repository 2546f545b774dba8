//! `drover apply`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use proto::drover::v1::PreSharedKey;
use proto::drover::v1::put_credential_request::Credential as NewSecret;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;

use crate::api::FakeApi;
use crate::{drover, parts, run};

fn manifest(endpoint: &str, policy: &str, resources: &[(&str, &str)]) -> String {
    let resources: String = resources
        .iter()
        .map(|(path, value)| format!("    - {{path: {path}, value: \"{value}\"}}\n"))
        .collect();
    let resources = if resources.is_empty() {
        "    []\n".to_owned()
    } else {
        resources
    };
    format!(
        "apiVersion: drover.dev/v1alpha1\nkind: Device\nmetadata:\n  name: meter-1\nspec:\n  \
         endpointName: {endpoint}\n  managementPolicy: {policy}\n  resources:\n{resources}"
    )
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

async fn apply(api: &FakeApi, path: &Path) -> (i32, String, String) {
    run(api, &["apply", "-f", path.to_str().unwrap()]).await
}

#[tokio::test]
async fn what_is_applied_again_is_unchanged() {
    let (api, folder) = (FakeApi::start().await, Folder::new());
    let file = folder.file(
        "a.yaml",
        &manifest(
            "dev-1",
            "Managed",
            &[("/3/0/14", "+02:00"), ("/1/0/1", "600")],
        ),
    );
    let (code, out, err) = apply(&api, &file).await;
    assert_eq!(
        (code, out.as_str()),
        (0, "device.drover.dev/meter-1 configured\n"),
        "{err}"
    );
    let stored = vec![
        ("/1/0/1".to_owned(), "600".to_owned()),
        ("/3/0/14".to_owned(), "+02:00".to_owned()),
    ];
    assert_eq!(api.desired(), (1, stored));
    let (code, out, _) = apply(&api, &file).await;
    assert_eq!(
        (code, out.as_str()),
        (0, "device.drover.dev/meter-1 unchanged\n")
    );
}

#[tokio::test]
async fn what_is_no_longer_declared_is_no_longer_kept() {
    let (api, folder) = (FakeApi::start().await, Folder::new());
    let declared = manifest("dev-1", "Managed", &[("/3/0/14", "+02:00")]);
    apply(&api, &folder.file("a.yaml", &declared)).await;
    let (_, out, _) = apply(
        &api,
        &folder.file("a.yaml", &manifest("dev-1", "Managed", &[])),
    )
    .await;
    assert_eq!(out, "device.drover.dev/meter-1 configured\n");
    assert!(api.desired().1.is_empty());
    apply(&api, &folder.file("a.yaml", &declared)).await;
    let observed = manifest("dev-1", "ObserveOnly", &[("/3/0/14", "+02:00")]);
    apply(&api, &folder.file("a.yaml", &observed)).await;
    assert_eq!(api.desired(), (0, Vec::new()));
}

#[tokio::test]
async fn a_suspended_device_is_left_alone() {
    let (api, folder) = (FakeApi::start().await, Folder::new());
    let declared = manifest("dev-1", "Managed", &[("/3/0/14", "+02:00")]);
    apply(&api, &folder.file("a.yaml", &declared)).await;
    let before = api.desired();
    let suspended = manifest("dev-1", "Suspended", &[("/3/0/14", "+05:00")]);
    let (_, out, _) = apply(&api, &folder.file("a.yaml", &suspended)).await;
    assert_eq!(out, "device.drover.dev/meter-1 unchanged\n");
    assert_eq!(api.desired(), before);
}

#[tokio::test]
async fn a_manifest_that_cannot_be_is_refused_before_anything_changes() {
    let (api, folder) = (FakeApi::start().await, Folder::new());
    let good = manifest("dev-1", "Managed", &[("/3/0/14", "+02:00")]);
    for (bad, said) in [
        (
            manifest("dev-2", "Managed", &[("3/0/14", "x")]),
            "path must be /object/instance/resource",
        ),
        (
            good.clone(),
            "more than one object has the endpointName \"dev-1\"",
        ),
        (
            "kind: Pod\napiVersion: v1\n".to_owned(),
            "kind \"Pod\" of \"v1\" is not known here",
        ),
        ("a: [".to_owned(), "a.yaml"),
    ] {
        let file = folder.file("a.yaml", &format!("{good}---\n{bad}"));
        let (code, out, err) = apply(&api, &file).await;
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        assert!(err.contains(said), "{err}");
        assert_eq!(api.desired(), (0, Vec::new()));
    }
}

#[tokio::test]
async fn a_value_of_the_wrong_type_names_its_path() {
    let (api, folder) = (FakeApi::start().await, Folder::new());
    let file = folder.file(
        "a.yaml",
        &manifest("dev-1", "Managed", &[("/1/0/1", "soon")]),
    );
    let (code, _, err) = apply(&api, &file).await;
    assert_eq!(code, 2);
    assert!(err.contains("meter-1: ") && err.contains("/1/0/1"), "{err}");
}

#[tokio::test]
async fn what_was_applied_before_a_failure_is_told() {
    let (api, folder) = (FakeApi::start().await, Folder::new());
    folder.file(
        "a.yaml",
        &manifest("dev-1", "Managed", &[("/3/0/14", "+02:00")]),
    );
    folder.file(
        "b.yml",
        &manifest("unreachable", "Managed", &[("/3/0/14", "+02:00")]),
    );
    folder.file("ignored.txt", "not YAML: [");
    let (code, out, err) = apply(&api, folder.0.path()).await;
    assert_eq!(
        (code, out.as_str()),
        (4, "device.drover.dev/meter-1 configured\n")
    );
    assert!(
        err.starts_with("error: cannot apply unreachable: no leader"),
        "{err}"
    );
}

#[tokio::test]
async fn manifests_are_read_from_standard_input() {
    let api = FakeApi::start().await;
    let mut command = drover(&["apply", "-f", "-", "-o", "json"]);
    command.env("DROVER_API", api.address());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = manifest("dev-1", "Managed", &[("/3/0/14", "+02:00")]);
    input.write_all(text.as_bytes()).await.unwrap();
    drop(input);
    let (code, out, err) = parts(&child.wait_with_output().await.unwrap());
    assert_eq!(code, 0, "{err}");
    let applied: serde_json::Value = serde_json::from_str(&out).unwrap();
    let expected = serde_json::json!({
        "models": [],
        "groups": [],
        "profiles": [],
        "enrollmentPolicies": [],
        "devices": [{"name": "meter-1", "endpoint": "dev-1", "result": "configured"}],
        "bootstrapProfiles": [],
        "images": [],
        "rollouts": [],
        "operations": [],
    });
    assert_eq!(applied, expected);
}

fn operation(name: &str, endpoint: &str, action: &str) -> String {
    format!(
        "apiVersion: drover.dev/v1alpha1\nkind: DeviceOperation\nmetadata: {{name: {name}}}\nspec:\n  \
         endpointName: {endpoint}\n  action: {action}\n---\n"
    )
}

#[tokio::test]
async fn an_operation_is_asked_and_its_result_is_told() {
    let (api, folder) = (FakeApi::start().await, Folder::new());
    let write = "{type: Write, values: [{path: /3/0/14, value: \"+02:00\"}]}";
    let both = operation("zone", "dev-1", write)
        + &operation("battery", "dev-1", "{type: Read, path: /3/0/9}");
    let file = folder.file("a.yaml", &both);
    let (code, out, err) = apply(&api, &file).await;
    assert_eq!(code, 0, "{err}");
    let (zone, battery) = out.split_once('\n').unwrap();
    let expected = "deviceoperation.drover.dev/zone succeeded: written: the device answered 2.04";
    assert!(zone.starts_with(expected), "{out}");
    assert_eq!(
        battery,
        "deviceoperation.drover.dev/battery succeeded: read: the device answered 2.05\n  88\n"
    );
    // The same again is the same operation to the state tier, which does it once.
    let first = api.last_write().delivery.unwrap().request_id;
    apply(&api, &file).await;
    let again = api.last_write().delivery.unwrap().request_id;
    assert!(first.starts_with("apply-"), "{first}");
    assert_eq!(first, again);
    let file = folder.file("a.yaml", &operation("zone", "dev-2", write));
    apply(&api, &file).await;
    assert_ne!(api.last_write().delivery.unwrap().request_id, first);
}

#[tokio::test]
async fn an_operation_that_fails_keeps_no_other_from_being_asked() {
    let (api, folder) = (FakeApi::start().await, Folder::new());
    let text = operation("absent", "dev-1", "{type: Read, path: /3/0/0}")
        + &operation("asleep", "gone", "{type: Read, path: /3/0/9}")
        + &operation("battery", "dev-1", "{type: Read, path: /3/0/9}");
    let file = folder.file("a.yaml", &text);
    let arguments = ["apply", "-f", file.to_str().unwrap(), "--timeout", "500ms"];
    let (code, out, err) = run(&api, &[&arguments[..], &["-o", "json"]].concat()).await;
    assert_eq!(code, 1, "{err}");
    assert!(
        err.contains("the DeviceOperation absent: the device answered 4.04"),
        "{err}"
    );
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    let results: Vec<&str> = told["operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["result"].as_str().unwrap())
        .collect();
    assert_eq!(results, ["failed", "unheard", "succeeded"]);
    assert_eq!(
        told["operations"][2]["values"],
        serde_json::json!([{"coapCode": "2.05", "value": "88"}])
    );
}

/// A device that has one value of its own, one of a profile, and one of a Secret of that.
fn named() -> [&'static str; 3] {
    [
        "apiVersion: drover.dev/v1alpha1\nkind: Device\nmetadata: {name: meter-1}\nspec:\n  endpointName: dev-1\n  \
         profileRefs: [{name: base}]\n  resources: [{path: /3/0/14, value: \"+02:00\"}]\n",
        "---\napiVersion: drover.dev/v1alpha1\nkind: DeviceProfile\nmetadata: {name: base}\nspec:\n  \
         resources: [{path: /3/0/14, value: other}, {path: /3/0/15, valueFrom: \
         {secretKeyRef: {name: k, key: zone}}}]\n",
        "---\napiVersion: v1\nkind: Secret\nmetadata: {name: k}\nstringData: {zone: hunter2}\n",
    ]
}

#[tokio::test]
async fn what_a_device_proves_itself_by_is_taken_from_a_secret_of_the_call() {
    let (api, folder) = (FakeApi::start().await, Folder::new());
    let device = "apiVersion: drover.dev/v1alpha1\nkind: Device\nmetadata: {name: m}\nspec: {endpointName: meter-1, \
                  credentialSecretRef: {name: psk}}\n";
    let (code, _, err) = apply(&api, &folder.file("a.yaml", device)).await;
    assert_eq!(code, 2);
    let said = "names the Secret \"psk\", which is not in this call";
    assert!(err.contains(said), "{err}");
    let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: psk}\nstringData: {key.hex: \"0a0b\"}\n";
    let file = folder.file("b.yaml", &format!("{device}{secret}"));
    let (code, out, err) = apply(&api, &file).await;
    assert_eq!(code, 0, "{err}");
    assert_eq!(out, "device.drover.dev/m configured\n");
    let put = api.last_credential();
    assert!(put.only_if_free);
    let expected = PreSharedKey {
        identity: b"meter-1".to_vec(),
        key: vec![10, 11],
    };
    assert_eq!(put.credential, Some(NewSecret::PreSharedKey(expected)));
}

#[tokio::test]
async fn what_is_named_and_not_in_the_call_is_said_before_anything_changes() {
    let (api, folder) = (FakeApi::start().await, Folder::new());
    let [device, profile, _] = named();
    for (text, said) in [
        (
            device.to_owned(),
            "names the DeviceProfile \"base\", which is not in this call",
        ),
        (
            format!("{device}{profile}"),
            "names the Secret \"k\", which is not in this call",
        ),
        (
            device.replace(
                "profileRefs: [{name: base}]",
                "delivery: {deadlineSeconds: 60}",
            ),
            "spec.delivery.deadlineSeconds",
        ),
    ] {
        let (code, out, err) = apply(&api, &folder.file("a.yaml", &text)).await;
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        assert!(err.contains(said), "{err}");
        assert_eq!(api.desired(), (0, Vec::new()));
    }
}

#[tokio::test]
async fn a_device_has_what_profiles_and_secrets_of_the_call_say() {
    let (api, folder) = (FakeApi::start().await, Folder::new());
    let [device, profile, secret] = named();
    let file = folder.file("a.yaml", &format!("{device}{profile}{secret}"));
    let (code, out, err) = apply(&api, &file).await;
    assert_eq!(code, 0, "{err}");
    assert!(!format!("{out}{err}").contains("hunter2"), "{out}{err}");
    let value = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let both = vec![value("/3/0/14", "+02:00"), value("/3/0/15", "hunter2")];
    assert_eq!(api.desired(), (1, both));
}
