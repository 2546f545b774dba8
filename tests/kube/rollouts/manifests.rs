//! What is applied.

pub(super) fn image(name: &str, version: &str) -> String {
    format!(
        "---
apiVersion: drover.dev/v1alpha1
kind: FirmwareImage
metadata: {{name: {name}, namespace: default}}
spec:
  source: {{uri: 'http://127.0.0.1:9/{name}.bin'}}
  packageName: sim
  version: \"{version}\"
  versionScheme: Opaque
  sizeBytes: 1024
  digest: sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
"
    )
}

/// One device first, then a person's word, then all others. `rest` is further lines of the spec.
pub(super) fn rollout(name: &str, image: &str, rest: &str) -> String {
    format!(
        "---
apiVersion: drover.dev/v1alpha1
kind: FirmwareRollout
metadata: {{name: {name}, namespace: default}}
spec:
  imageRef: {{name: {image}}}
  selector: {{matchLabels: {{site: north}}}}
  strategy:
    waves:
    - {{name: canary, size: \"1\"}}
    - {{name: rest, size: 100%}}
{rest}"
    )
}
