//! Images that the operator fetches, checks and stores, and that devices then get from the cluster.

use std::fs;
use std::path::Path;

use tests::openssl::{Curve, KeyPair, digest};
use tests::{HttpPackageServer, Operator, until};

use crate::rig::{Rig, SOON};

struct Package {
    server: HttpPackageServer,
    size: usize,
    digest: String,
    signature: String,
}

impl Package {
    /// For the simulated devices, signed by the key.
    fn start(folder: &Path, key: &KeyPair) -> Self {
        let mut bytes = b"meters 2.0.0\n".to_vec();
        bytes.resize(4_000, 0x5a);
        let file = folder.join("package");
        fs::write(&file, &bytes).unwrap();
        Self {
            server: HttpPackageServer::start(&bytes),
            size: bytes.len(),
            digest: digest(&file),
            signature: key.sign(&file),
        }
    }

    fn image(&self, name: &str, digest: &str, key: &str) -> String {
        format!(
            "---
apiVersion: drover.dev/v1alpha1
kind: FirmwareImage
metadata: {{name: {name}, namespace: default}}
spec:
  source: {{uri: '{uri}', fetchedBy: Cluster}}
  packageName: meters
  version: 2.0.0
  sizeBytes: {size}
  digest: {digest}
  signature:
    type: RawEd25519
    publicKeyRef: {{kind: ConfigMap, name: firmware-keys, key: {key}}}
    value: {signature}
",
            uri = self.server.uri(),
            size = self.size,
            signature = self.signature,
        )
    }
}

fn keys(release: &str, other: &str) -> String {
    let indented = |pem: &str| pem.trim().replace('\n', "\n    ");
    format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{name: firmware-keys, namespace: default}}
data:
  release.pem: |
    {}
  other.pem: |
    {}
",
        indented(release),
        indented(other)
    )
}

fn rollout(image: &str) -> String {
    format!(
        "---
apiVersion: drover.dev/v1alpha1
kind: FirmwareRollout
metadata: {{name: {image}, namespace: default}}
spec:
  imageRef: {{name: {image}}}
  selector: {{}}
  transfer: {{mode: Push}}
  strategy:
    waves:
    - {{name: all, size: 100%, promotion: Automatic}}
"
    )
}

#[test]
fn an_image_is_fetched_once_checked_and_brought_to_devices() {
    let rig = Rig::start(2);
    let folder = rig.drover.scratch();
    let key = |name| KeyPair::make(folder, name, Curve::Ed25519);
    let (release, other) = (key("release"), key("other"));
    let package = Package::start(folder, &release);
    let wrong = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let operator = Operator::start(&rig.kubernetes, &rig.drover, "images");

    rig.apply(&package.image("right", &package.digest, "release.pem"));
    rig.apply(&rollout("right"));
    let refused = rig.until_refused("fwi/right", "KeyNotFound");
    assert!(refused.contains("ConfigMap firmware-keys"), "{refused}");
    rig.until_refused("fwr/right", "ImageNotVerified");

    rig.apply(&keys(&release.pem(), &other.pem()));
    let right = rig.until("fwi/right", "Verified", "True", "Verified");
    assert_eq!(right["status"]["observedDigest"], package.digest);
    rig.until("fwi/right", "Available", "True", "Available");
    let stored = rig.drover.json(&["artefacts", "get", &package.digest]);
    assert_eq!(stored["title"], "meters 2.0.0");
    rig.until("fwr/right", "Ready", "True", "Complete");
    for device in rig.drover.devices() {
        assert_eq!(rig.value(&device, "/3/0/3"), "2.0.0");
    }
    let looked = "drover_operator_reconciliations_total";
    let before = operator.metric(looked);
    until(
        "the operator has looked at it again and again",
        SOON,
        || operator.metric(looked) >= before + 10.0,
    );
    assert_eq!(package.server.served(), 1);
    // What somebody removes is fetched again.
    let removed = rig.drover.run(&["artefacts", "remove", &package.digest]);
    assert_eq!(removed.code, 0, "{removed:?}");
    until("the package is back", SOON, || {
        let stored = rig.drover.run(&["artefacts", "get", &package.digest]);
        stored.code == 0
    });
    rig.until("fwi/right", "Available", "True", "Available");
    assert_eq!(package.server.served(), 2);

    rig.apply(&package.image("not-signed", &package.digest, "other.pem"));
    rig.until("fwi/not-signed", "Verified", "False", "SignatureInvalid");
    rig.apply(&package.image("wrong", &wrong, "release.pem"));
    let found = rig.until("fwi/wrong", "Verified", "False", "DigestMismatch");
    assert_eq!(found["status"]["observedDigest"], serde_json::Value::Null);
    rig.apply(&rollout("wrong"));
    let refused = rig.until_refused("fwr/wrong", "ImageNotVerified");
    assert!(refused.contains("DigestMismatch"), "{refused}");
    let missing = rig.drover.run(&["artefacts", "get", &wrong]);
    assert_eq!(missing.code, 3, "{missing:?}");
}
