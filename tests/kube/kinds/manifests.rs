//! What is applied.

pub(super) const MODEL: &str = "---
apiVersion: drover.dev/v1alpha1
kind: ObjectModel
metadata: {name: pump}
spec:
  objectID: 26241
  definition:
    inline:
      name: Pump
      resources:
      - {id: 0, name: Running, operations: ReadWrite, type: Boolean}
      - {id: 1, name: Vent, operations: Execute}
";

pub(super) const BOOTSTRAP: &str = "---
apiVersion: drover.dev/v1alpha1
kind: BootstrapProfile
metadata: {name: servers, namespace: default}
spec:
  servers:
  - {shortServerID: 1, uri: 'coaps://lwm2m.example.com', securityProfileRef: {name: psk}}
";

pub(super) const SECURITY: &str = "---
apiVersion: drover.dev/v1alpha1
kind: SecurityProfile
metadata: {name: psk, namespace: default}
spec: {mode: PSK}
";

/// `spec` is its lines.
pub(super) fn group(name: &str, spec: &str) -> String {
    format!(
        "---
apiVersion: drover.dev/v1alpha1
kind: DeviceGroup
metadata: {{name: {name}, namespace: default}}
spec:
  {spec}
"
    )
}

/// What devices have as their UTC offset. `spec` is further lines of the spec.
pub(super) fn profile(name: &str, spec: &str, offset: &str) -> String {
    format!(
        "---
apiVersion: drover.dev/v1alpha1
kind: DeviceProfile
metadata: {{name: {name}, namespace: default}}
spec:
  resources: [{{path: /3/0/14, value: '{offset}'}}]
  {spec}
"
    )
}

/// `spec` is further lines of the spec.
pub(super) fn operation(name: &str, spec: &str, action: &str) -> String {
    format!(
        "---
apiVersion: drover.dev/v1alpha1
kind: DeviceOperation
metadata: {{name: {name}, namespace: default}}
spec:
  action: {action}
  {spec}
"
    )
}
