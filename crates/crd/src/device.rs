//! `Device`: one device that is described by an object.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct into a function body"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::{BRAKE, ConditionRow, ConditionType, Reason, conditions_schema};
use crate::desired_instance::DesiredInstance;
use crate::desired_observation::DesiredObservation;
use crate::desired_value::{DriftPolicy, ValueSource};
use crate::reference::ObjectReference;

/// What one device should be.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "drover.dev",
    version = "v1alpha1",
    kind = "Device",
    plural = "devices",
    doc = "Device describes one LwM2M device: who it is and which values its resources should have.",
    namespaced,
    status = "DeviceStatus",
    shortname = "lwd",
    category = "lwm2m",
    derive = "PartialEq",
    cel,
    selectable = ".spec.endpointName",
    selectable = ".spec.managementPolicy",
    selectable = ".status.registration.state",
    selectable = ".status.firmware.currentVersion",
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".spec.endpointName"),
    printcolumn(
        name = "Registered",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Registered')].status"
    ),
    printcolumn(
        name = "Synced",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Synced')].status"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(
        name = "Firmware",
        type_ = "string",
        json_path = ".status.firmware.currentVersion"
    ),
    printcolumn(
        name = "Mode",
        type_ = "string",
        json_path = ".spec.managementPolicy",
        priority = 1
    ),
    printcolumn(
        name = "Transport",
        type_ = "string",
        json_path = ".status.registration.transport",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.wipeDeadlineSeconds) || self.deletionPolicy == 'Wipe'").message("wipeDeadlineSeconds is for deletionPolicy Wipe"))]
#[x_kube(validation = Rule::new("!has(self.instances) || !has(self.resources) || self.instances.all(one, one.state != 'Absent' || !self.resources.exists(two, two.path.startsWith(one.path + '/')))").message("an instance that should be absent has no resources"))]
pub struct DeviceSpec {
    /// The name the device registers under, 1 to 255 bytes. It cannot be changed: another name is
    /// another device. Of two objects with the same name the older one counts.
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("endpointName is immutable"))]
    #[x_kube(validation = Rule::new("size(bytes(self)) <= 255").message("endpointName must have at most 255 bytes"))]
    pub endpoint_name: String,
    /// What may be done with the device.
    #[serde(default)]
    pub management_policy: ManagementPolicy,
    /// Whether the object may be about a device that is known already.
    #[serde(default)]
    pub adoption_policy: AdoptionPolicy,
    /// What becomes of the device when the object is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// How long a deletion waits for the device to be reset; absent: 86400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_592_000))]
    pub wipe_deadline_seconds: Option<i64>,
    /// DeviceProfiles whose resources and observations the device has as well. What the object itself says
    /// of a path counts before them, and a later one of the list before an earlier one. Which devices
    /// a profile selects does not matter here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    #[x_kube(validation = Rule::new("self.all(one, self.exists_one(other, other.name == one.name))").message("profileRefs must name each DeviceProfile once"))]
    pub profile_refs: Vec<ObjectReference>,
    /// The Secret with what the device proves itself by: `key`, a pre-shared key, and `identity`, else it is the
    /// endpoint name; or `publicKey`, in PEM; or `masterSecret`, `clientID` and `serverID` of an OSCORE context. With `.hex`
    /// behind its name a key of the Secret has its bytes in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_secret_ref: Option<ObjectReference>,
    /// The values that resources should have; whatever is not listed is left alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["path".into()]))]
    pub resources: Vec<DesiredResource>,
    /// The object instances that should be there, or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["path".into()]))]
    pub instances: Vec<DesiredInstance>,
    /// What the device should report by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["path".into()]))]
    pub observations: Vec<DesiredObservation>,
    /// How long values may take to come to the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeviceDelivery>,
}

impl DeviceSpec {
    /// How long a deletion waits for the device to be reset if nothing else is said.
    pub const WIPE_DEADLINE_SECONDS: i64 = 86_400;
}

impl Device {
    /// Holds an object of another deletion policy than `Retain` until that is carried out.
    pub const FINALIZER: &str = "drover.dev/device";
    /// With the value true somebody has said that the device may be reset: what `Wipe` needs.
    pub const ALLOW_WIPE: &str = "drover.dev/allow-wipe";

    /// Its conditions and their reasons, in the order in which they are written.
    pub const CONDITIONS: &[ConditionRow] = &[
        (
            ConditionType::Accepted,
            &[
                Reason::Accepted,
                Reason::IdentityConflict,
                Reason::AlreadyKnown,
                Reason::CredentialTaken,
                Reason::UnknownObjectModel,
                Reason::InvalidValue,
                Reason::SecretNotFound,
                Reason::ProfileNotFound,
                Reason::Unsupported,
                Reason::QuotaExceeded,
            ],
        ),
        (
            ConditionType::Registered,
            &[
                Reason::Registered,
                Reason::LifetimeExpired,
                Reason::ClientDeregistered,
                Reason::NotRegistered,
                Reason::NeverSeen,
                Reason::IdentityConflict,
                Reason::AlreadyKnown,
            ],
        ),
        (
            ConditionType::Synced,
            &[
                Reason::InSync,
                Reason::Pending,
                Reason::Rejected,
                Reason::PartiallyApplied,
                Reason::Drifted,
                Reason::NotReported,
                Reason::ObservedOtherwise,
                Reason::Suspended,
                Reason::IdentityConflict,
                Reason::AlreadyKnown,
                Reason::CredentialTaken,
                Reason::UnknownObjectModel,
                Reason::InvalidValue,
                Reason::SecretNotFound,
                Reason::ProfileNotFound,
                Reason::Unsupported,
                Reason::QuotaExceeded,
            ],
        ),
        (
            ConditionType::Ready,
            &[
                Reason::InSync,
                Reason::Applying,
                Reason::AwaitingWakeup,
                Reason::WriteRejected,
                Reason::DeadlineExceeded,
                Reason::Drifted,
                Reason::NotReported,
                Reason::NotRegistered,
                Reason::ObservedOtherwise,
                Reason::Wiping,
                Reason::Suspended,
                Reason::IdentityConflict,
                Reason::AlreadyKnown,
                Reason::CredentialTaken,
                Reason::UnknownObjectModel,
                Reason::InvalidValue,
                Reason::SecretNotFound,
                Reason::ProfileNotFound,
                Reason::Unsupported,
                Reason::QuotaExceeded,
            ],
        ),
        (
            ConditionType::FirmwareCurrent,
            &[
                Reason::UpToDate,
                Reason::UpdateScheduled,
                Reason::Updating,
                Reason::UpdateFailed,
                Reason::NotUpdated,
            ],
        ),
        BRAKE,
    ];
}

/// How long values may take to come to a device.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DeviceDelivery {
    /// After so long with something that is not written the object is not Ready for that reason
    /// (DeadlineExceeded). What is desired stays so. Absent: it takes as long as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub deadline_seconds: Option<i64>,
}

/// Whether an object may be about a device that is known already.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdoptionPolicy {
    /// It may; what others desired of the device is replaced.
    #[default]
    Adopt,
    /// An object of a device that is known before the object was in force is not accepted.
    FailIfExists,
}

/// What becomes of a device when its object is deleted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// What the object asked for ends; all else stays.
    #[default]
    Retain,
    /// What is known of the device is forgotten, but for its credentials. A device that goes on
    /// sending is told that it is not registered, and may register anew.
    Deregister,
    /// The device is reset to what it was made with (/3/0/5), then forgotten. The object has to
    /// have the annotation drover.dev/allow-wipe: "true".
    Wipe,
}

/// What may be done with a device.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ManagementPolicy {
    /// The desired values are written, and written again until the device confirms them.
    #[default]
    Managed,
    /// Nothing is written, and what this object had asked for is withdrawn. The values that the
    /// device reports are compared with the desired ones.
    ObserveOnly,
    /// Changes of this object have no effect. What was asked for before stays in force.
    Suspended,
}

/// A resource that should have a value.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.value) != has(self.valueFrom)").message("exactly one of value and valueFrom must be set"))]
pub struct DesiredResource {
    /// The resource: /object/instance/resource, or with a fourth number an instance of a resource
    /// that may have several.
    #[schemars(length(min = 6, max = 24))]
    #[x_kube(validation = Rule::new("self.matches('^(/(0|[1-9][0-9]{0,4})){3,4}$')").message("path must be /object/instance/resource, with /instance at the end for a resource that may have several, for example /3/0/14"))]
    pub path: String,
    /// The value as text in the form of the resource's type: a decimal number, 0 or 1, Base64,
    /// seconds since 1970, object:instance, or the string itself. At most 4096 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,
    /// Where the value stands, if it is secret. There it is a text as it would be in value; of an
    /// opaque resource it is the bytes themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueSource>,
    /// What happens when the device tells another value.
    #[serde(default)]
    pub drift_policy: DriftPolicy,
}

impl DesiredResource {
    /// A longer value is not accepted.
    pub const MAX_VALUE_BYTES: usize = 4096;
}

/// What is known of the device and of the way to its desired state.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DeviceStatus {
    /// The metadata.generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accepted, Registered, Synced and Ready; FirmwareCurrent once a rollout is about the device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The registration of the device, or the last one that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<RegistrationStatus>,
    /// Which firmware the device has, and which it should have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<FirmwareStatus>,
    /// How many desired resources are in which state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
    /// The generation under which this object's values stand in the state tier; absent when the
    /// state tier holds none of this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_generation: Option<i64>,
    /// Since when values of a generation are not written, or are refused; absent when all are in sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outstanding: Option<Outstanding>,
    /// The labels of the device that this object has set, by key; while they change, those before as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub labels: Vec<String>,
    /// The paths of the observations that this object has asked for; likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub observations: Vec<String>,
    /// The credentials of the device that this object has put into the state tier; likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub credentials: Vec<CredentialStatus>,
    /// The operation that resets the device, once the object is being deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub wipe_operation: Option<String>,
    /// The first 16 desired resources that are not in sync.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["path".into()]))]
    pub resources: Vec<ResourceStatus>,
}

impl DeviceStatus {
    /// No more labels are set.
    pub const MAX_LABELS: usize = 64;
    /// No more resources are listed.
    pub const MAX_RESOURCES: usize = 16;
}

/// A credential that an object has put into the state tier.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CredentialStatus {
    /// Of which kind it is.
    pub kind: CredentialKind,
    /// What the device shows: the PSK identity, the SHA-256 of the public key or the OSCORE Sender ID; the latter two, and an
    /// identity that is no text, as hex: and hex digits.
    #[schemars(length(max = 264))]
    pub identity: String,
    /// The resourceVersion of the Secret that it is of; absent while it is not known whether the state tier has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub secret_version: Option<String>,
    /// By which the state tier tells it apart from others with this identity; absent until it was known to have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub etag: Option<String>,
    /// The etag of what was there under this identity before, while it is not known whether this took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub replaces: Option<String>,
}

/// Of which kind a credential is.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// A pre-shared key.
    PSK,
    /// A public key, shown raw or in a certificate.
    RawPublicKey,
    /// An OSCORE context.
    OSCORE,
}

/// A registration as Kubernetes shows it. What changes with every Update is not in it: a status is
/// written on transitions only.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationStatus {
    /// Whether the device is registered.
    pub state: RegistrationState,
    /// The last segment of the registration's location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_id: Option<String>,
    /// When the device registered. When it last updated its registration is not told here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_time: Option<Time>,
    /// How long the registration lives without an Update; 0 is for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<i64>,
    /// 1.0, 1.1 or 1.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lwm2m_version: Option<String>,
    /// The binding as registered, for example U or UQ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<String>,
    /// UDP or DTLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
}

/// The firmware of a device.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FirmwareStatus {
    /// The version that the device told last (/3/0/3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub current_version: Option<String>,
    /// The version that the rollout brings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub target_version: Option<String>,
    /// The rollout that is about the device: the one that it is in, else one that it waits in, else the
    /// last one that was done with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub rollout: Option<String>,
}

/// Whether a device is registered.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RegistrationState {
    /// It is.
    Registered,
    /// It was, and its lifetime ran out.
    Expired,
    /// It was, and it deregistered.
    Deregistered,
    /// It was; how that ended was not seen.
    NotRegistered,
    /// It has not registered since the object exists.
    #[default]
    NeverSeen,
}

/// Since when something is outstanding of what an object asks for.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Outstanding {
    /// The generation of the values in the state tier (desiredGeneration).
    pub generation: i64,
    /// When it was first seen that something of it is outstanding.
    pub since_time: Time,
}

/// How many desired resources are in which state.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// All of them.
    pub desired: i32,
    /// Confirmed by the device, or with ObserveOnly reported as desired.
    pub in_sync: i32,
    /// Not yet written, or with ObserveOnly not yet reported.
    pub pending: i32,
    /// Refused by the device.
    pub rejected: i32,
    /// With ObserveOnly: reported with another value.
    pub drifted: i32,
}

/// A desired resource that is not in sync.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ResourceStatus {
    /// The path as in the spec.
    pub path: String,
    /// What is with it.
    pub state: ResourceState,
    /// The answer of the device that refused it, for example 4.05.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coap_code: Option<String>,
    /// What the device said about the refusal; left out if the desired value is of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The value that the device reported instead, cut at 128 bytes; "(redacted)" if the desired one
    /// is of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_value: Option<String>,
    /// When the device refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
}

/// Why a desired resource is not in sync.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceState {
    /// Not yet written.
    Pending,
    /// Refused by the device.
    Rejected,
    /// The device reported another value (ObserveOnly).
    Drifted,
    /// The device reported no value (ObserveOnly).
    NotReported,
}

#[cfg(test)]
mod tests;
