//! What is tried: pieces of examples, and what the API server says of them.

type Change = (&'static str, &'static str, &'static str);
/// File, piece, what stands there instead, and a part of the refusal.
pub(super) type Refusal = (&'static str, &'static str, &'static str, &'static str);

/// What may be changed: file, piece, what stands there instead.
pub(super) const CHANGES: &[Change] = &[
    ("device.yaml", "Managed\n", "ObserveOnly\n"),
    (
        "device.yaml",
        "  deletionPolicy: Retain",
        "  profileRefs: [{name: base}, {name: berlin}]",
    ),
    (
        "device.yaml",
        "      value: Europe/Berlin\n",
        "      valueFrom: {secretKeyRef: {name: k, key: zone}}\n",
    ),
    (
        "device.yaml",
        "  deletionPolicy: Retain",
        "  delivery: {deadlineSeconds: 604800}",
    ),
    (
        "device-profile.yaml",
        "  selector:\n    matchLabels:\n      model: m200\n",
        "",
    ),
    ("device-group.yaml", "state = REGISTERED", "state = EXPIRED"),
    (
        "device-profile.yaml",
        "  driftPolicy: Enforce",
        "  paused: true",
    ),
    (
        "enrollment-policy.yaml",
        "action: Admit",
        "action: Quarantine",
    ),
    (
        "firmware-image.yaml",
        "  description: Reads the meter every 15 minutes",
        "  yanked: true",
    ),
    (
        "firmware-rollout.yaml",
        "maxConcurrent: 500",
        "maxConcurrent: 5%",
    ),
    (
        "firmware-rollout.yaml",
        "maxConcurrent: 500",
        "maxConcurrent: 50",
    ),
    (
        "firmware-rollout.yaml",
        "startTime: \"01:00\"",
        "startTime: \"02:00\"",
    ),
    (
        "device-operation.yaml",
        "ttlSecondsAfterFinished: 3600",
        "suspend: true",
    ),
    (
        "device-operation.yaml",
        "activeDeadlineSeconds: 86400",
        "activeDeadlineSeconds: 5",
    ),
    (
        "security-profile.yaml",
        "connectionID: Preferred",
        "connectionID: Required",
    ),
    (
        "bootstrap-profile.yaml",
        "deleteAll: false",
        "deleteAll: true",
    ),
    ("object-model.yaml", "name: Vent", "name: Bleed"),
];

/// What may not be changed: file, piece, what stands there instead, and a part of the refusal.
pub(super) const FIXED: &[Refusal] = &[
    (
        "device.yaml",
        "sim-0001",
        "sim-0002",
        "endpointName is immutable",
    ),
    (
        "firmware-image.yaml",
        "object: /5/0",
        "object: /9/0",
        "object is immutable",
    ),
    (
        "firmware-image.yaml",
        "sizeBytes: 1843200",
        "sizeBytes: 1843201",
        "sizeBytes is immutable",
    ),
    (
        "firmware-image.yaml",
        "version: 2.3.1",
        "version: 2.3.2",
        "version is immutable",
    ),
    (
        "firmware-image.yaml",
        "  credentialsSecretRef:\n    name: firmware-server\n",
        "",
        "an image cannot be changed, except description and yanked",
    ),
    (
        "firmware-rollout.yaml",
        "    name: m200-2.3.1\n  selector",
        "    name: other\n  selector",
        "imageRef is immutable",
    ),
    (
        "firmware-rollout.yaml",
        "model: m200",
        "model: m300",
        "selector is immutable",
    ),
    (
        "firmware-rollout.yaml",
        "soakSeconds: 86400",
        "soakSeconds: 5",
        "soakSeconds is immutable",
    ),
    (
        "firmware-rollout.yaml",
        "        promotion: Manual",
        "        promotion: Automatic",
        "promotion is immutable",
    ),
    (
        "firmware-rollout.yaml",
        "          devices: 100\n",
        "",
        "failureThreshold is immutable",
    ),
    (
        "firmware-rollout.yaml",
        "        successThreshold: 99%\n",
        "",
        "of a wave only maxConcurrent can be changed",
    ),
    (
        "firmware-rollout.yaml",
        "- name: tenth",
        "- name: more",
        "waves cannot be added, removed, renamed or reordered",
    ),
    (
        "firmware-rollout.yaml",
        "    deadlineSeconds: 2592000\n",
        "",
        "of schedule only windows can be changed",
    ),
    (
        "firmware-rollout.yaml",
        "  orderingSeed: fw231\n",
        "",
        "orderingSeed is immutable",
    ),
    (
        "firmware-rollout.yaml",
        "onFailure: Rollback",
        "onFailure: Pause",
        "onFailure is immutable",
    ),
    (
        "device-operation.yaml",
        "path: /3/0/4",
        "path: /3/0/5",
        "action is immutable",
    ),
    (
        "device-operation.yaml",
        "parallelism: 1",
        "parallelism: 51",
        "parallelism is immutable",
    ),
    (
        "device-operation.yaml",
        "  endpointName: sim-0001",
        "  groupRef: {name: a}",
        "the devices of an operation cannot be changed",
    ),
    (
        "security-profile.yaml",
        "mode: Certificate",
        "mode: RawPublicKey",
        "mode is immutable",
    ),
    (
        "object-model.yaml",
        "objectID: 26241",
        "objectID: 26242",
        "objectID is immutable",
    ),
];

/// What `kubectl get` shows: the name it is called by, its columns, and cells of the example's row.
pub(super) const COLUMNS: &[(&str, &str, &[&str])] = &[
    (
        "lwd",
        "NAME ENDPOINT REGISTERED SYNCED READY REASON FIRMWARE AGE",
        &["meter-0001", "sim-0001"],
    ),
    (
        "lwg",
        "NAME DEVICES REGISTERED READY REASON AGE",
        &["berlin-old"],
    ),
    (
        "lwp",
        "NAME PRIORITY MATCHED IN SYNC REJECTED READY REASON AGE",
        &["m200", "100"],
    ),
    (
        "fwi",
        "NAME PACKAGE VERSION SIZE VERIFIED AVAILABLE YANKED AGE",
        &["m200-app", "2.3.1", "1843200", "false"],
    ),
    (
        "fwr",
        "NAME IMAGE WAVE TOTAL DONE FAILED PAUSED SUCCEEDED AGE",
        &["m200-2.3.1"],
    ),
    (
        "lwop",
        "NAME ACTION PATH TOTAL SUCCEEDED FAILED COMPLETE AGE",
        &["Execute", "/3/0/4"],
    ),
    (
        "lwom",
        "NAME OBJECT VERSION SOURCE RESOURCES ACCEPTED AGE",
        &["pump", "26241", "1.0", "Vendor"],
    ),
    (
        "enrollmentpolicies.drover.dev",
        "NAME PRIORITY ACTION ADMITTED DENIED READY REASON AGE",
        &["meters", "10", "Admit"],
    ),
    (
        "securityprofiles.drover.dev",
        "NAME MODE SOURCE READY REASON AGE",
        &["Certificate", "StateTier"],
    ),
    (
        "bootstrapprofiles.drover.dev",
        "NAME PRIORITY SERVERS BOOTSTRAPPED READY REASON AGE",
        &["coaps://lwm2m.example.com:5684"],
    ),
];

/// Kind, a field selector that finds the example, and one that finds nothing.
pub(super) const SELECTORS: &[(&str, &str, &str)] = &[
    (
        "devices.drover.dev",
        "spec.endpointName=sim-0001",
        "spec.endpointName=sim-0002",
    ),
    (
        "devices.drover.dev",
        "spec.managementPolicy=Managed",
        "status.registration.state=Registered",
    ),
    (
        "deviceprofiles.drover.dev",
        "spec.groupRef.name=",
        "spec.groupRef.name=a",
    ),
    (
        "enrollmentpolicies.drover.dev",
        "spec.action=Admit",
        "spec.action=Deny",
    ),
    (
        "firmwareimages.drover.dev",
        "spec.packageName=m200-app,spec.version=2.3.1",
        "spec.version=2.3.0",
    ),
    (
        "firmwarerollouts.drover.dev",
        "spec.imageRef.name=m200-2.3.1,spec.paused=false",
        "status.currentWave=canary",
    ),
    (
        "deviceoperations.drover.dev",
        "spec.action.type=Execute",
        "spec.endpointName=a",
    ),
    (
        "securityprofiles.drover.dev",
        "spec.mode=Certificate",
        "spec.mode=OSCORE",
    ),
    (
        "objectmodels.drover.dev",
        "spec.objectID=26241",
        "spec.version=1.1",
    ),
];

/// A rollout in its first wave.
pub(super) const STATUS: &str = r#"{"status": {
    "observedGeneration": 1, "currentWave": "canary",
    "counts": {"total": 100000, "scheduled": 99980, "asleep": 0, "downloading": 0, "downloaded": 0,
               "updating": 3, "succeeded": 17, "failed": 0, "expired": 0, "skipped": 0},
    "conditions": [
        {"type": "Paused", "status": "False", "reason": "NotPaused", "message": "",
         "lastTransitionTime": "2026-12-01T00:00:00Z"},
        {"type": "Succeeded", "status": "Unknown", "reason": "Running", "message": "",
         "lastTransitionTime": "2026-12-01T00:00:00Z"}
    ]}}"#;

/// An editor of rollouts, and an approver who may edit them as well.
pub(super) const RIGHTS: &str = "\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: rollout-editor, namespace: default}
rules:
- {apiGroups: [drover.dev], resources: [firmwarerollouts], verbs: [get, create, update, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: rollout-approver, namespace: default}
rules:
- {apiGroups: [drover.dev], resources: [firmwarerollouts], verbs: [approve]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: rollout-editors, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: rollout-editor}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: editor}
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: approver}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: rollout-approvers, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: rollout-approver}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: approver}
";
