//! `DeviceOperation`: something that is asked of devices once, as a Job is run once.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct into a function body"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::{BRAKE, ConditionRow, ConditionType, Reason, conditions_schema};
use crate::desired_value::OperationValue;
use crate::failure_sample::{FailureSample, Ledger};
use crate::reference::ObjectReference;
use crate::selector::Selector;

/// What is asked of which devices. Only suspend, ttlSecondsAfterFinished and activeDeadlineSeconds
/// can be changed.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "drover.dev",
    version = "v1alpha1",
    kind = "DeviceOperation",
    plural = "deviceoperations",
    doc = "DeviceOperation asks something of a device or of a set of devices once: a read, a reboot, a discovery.",
    namespaced,
    status = "DeviceOperationStatus",
    shortname = "lwop",
    category = "lwm2m",
    derive = "PartialEq",
    cel,
    selectable = ".spec.action.type",
    selectable = ".spec.endpointName",
    printcolumn(name = "Action", type_ = "string", json_path = ".spec.action.type"),
    printcolumn(name = "Path", type_ = "string", json_path = ".spec.action.path"),
    printcolumn(name = "Total", type_ = "integer", json_path = ".status.counts.total"),
    printcolumn(
        name = "Succeeded",
        type_ = "integer",
        json_path = ".status.counts.succeeded"
    ),
    printcolumn(
        name = "Failed",
        type_ = "integer",
        json_path = ".status.counts.failed"
    ),
    printcolumn(
        name = "Complete",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Complete')].status"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.deviceRef), has(self.endpointName), has(self.selector), has(self.groupRef)].filter(given, given).size() == 1").message("exactly one of deviceRef, endpointName, selector and groupRef must be set"))]
#[x_kube(validation = Rule::new("has(self.deviceRef) == has(oldSelf.deviceRef) && has(self.endpointName) == has(oldSelf.endpointName) && has(self.selector) == has(oldSelf.selector) && has(self.groupRef) == has(oldSelf.groupRef)").message("the devices of an operation cannot be changed"))]
pub struct DeviceOperationSpec {
    /// The device of a Device object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("deviceRef is immutable"))]
    pub device_ref: Option<ObjectReference>,
    /// The device with this endpoint name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("endpointName is immutable"))]
    pub endpoint_name: Option<String>,
    /// The devices with these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("selector is immutable"))]
    pub selector: Option<Selector>,
    /// The devices of a DeviceGroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("groupRef is immutable"))]
    pub group_ref: Option<ObjectReference>,
    /// What is asked of each.
    #[x_kube(validation = Rule::new("self == oldSelf").message("action is immutable"))]
    pub action: Action,
    /// When it is sent.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("dispatchPolicy is immutable"))]
    pub dispatch_policy: DispatchPolicy,
    /// What happens when nobody knows whether a device has done it.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("executionGuarantee is immutable"))]
    pub execution_guarantee: ExecutionGuarantee,
    /// No more devices of a set are asked at the same time. One that sleeps gives its place to the next after a minute.
    #[serde(default = "fifty")]
    #[schemars(range(min = 1, max = 100_000))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("parallelism is immutable"))]
    pub parallelism: i32,
    /// How often a device is asked again that did not answer.
    #[serde(default = "three")]
    #[schemars(range(min = 0, max = 100))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("backoffLimit is immutable"))]
    pub backoff_limit: i32,
    /// Devices that have not answered so long after the start are not asked any more.
    #[serde(default = "day")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub active_deadline_seconds: i64,
    /// How long the object stays once it is finished.
    #[serde(default = "hour")]
    #[schemars(range(min = 0, max = 2_592_000))]
    pub ttl_seconds_after_finished: i64,
    /// With true no further device is asked.
    #[serde(default)]
    pub suspend: bool,
}

const fn fifty() -> i32 {
    50
}

const fn three() -> i32 {
    3
}

const fn hour() -> i64 {
    3_600
}

const fn day() -> i64 {
    86_400
}

/// What is asked of a device.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.path) == !(self.type in ['Write', 'RegistrationUpdateTrigger', 'Bootstrap'])").message("path belongs to every type but Write, RegistrationUpdateTrigger and Bootstrap"))]
#[x_kube(validation = Rule::new("self.type != 'Execute' || !has(self.path) || self.path.matches('^(/[0-9]+){3}$')").message("Execute needs the path of a resource, for example /3/0/4"))]
#[x_kube(validation = Rule::new("self.type != 'Discover' || !has(self.path) || self.path.matches('^(/[0-9]+){1,3}$')").message("Discover needs the path of an object, an instance or a resource"))]
#[x_kube(validation = Rule::new("self.type != 'CreateInstance' || !has(self.path) || self.path.matches('^(/[0-9]+){1,2}$')").message("CreateInstance needs the path of an object or of the new instance"))]
#[x_kube(validation = Rule::new("self.type != 'DeleteInstance' || !has(self.path) || self.path.matches('^(/[0-9]+){2}$')").message("DeleteInstance needs the path of an instance, for example /3311/0"))]
#[x_kube(validation = Rule::new("!has(self.arguments) || self.type == 'Execute'").message("arguments are for Execute"))]
#[x_kube(validation = Rule::new("has(self.values) ? self.type in ['Write', 'CreateInstance'] : self.type != 'Write'").message("values are for Write, which needs them, and CreateInstance"))]
pub struct Action {
    /// The operation.
    #[serde(rename = "type")]
    pub kind: ActionType,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 24))]
    #[x_kube(validation = Rule::new("self.matches('^(/(0|[1-9][0-9]{0,4})){1,4}$')").message("path must have one to four numbers, for example /3/0/4"))]
    pub path: Option<String>,
    /// The arguments of an Execute, for example 0='5'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("self.matches(\"^[0-9](='[^']*')?(,[0-9](='[^']*')?)*$\")").message("arguments must be digits with values in single quotes, for example 0='5',1"))]
    pub arguments: Option<String>,
    /// The values of a Write or of a new instance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["path".into()]))]
    pub values: Vec<OperationValue>,
}

/// An operation.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionType {
    /// Read an object, an instance, a resource or an instance of it.
    Read,
    /// Write values.
    Write,
    /// Execute a resource.
    Execute,
    /// Ask what there is.
    Discover,
    /// Create an object instance.
    CreateInstance,
    /// Delete an object instance.
    DeleteInstance,
    /// Begin to observe.
    Observe,
    /// End an observation.
    CancelObserve,
    /// Ask for an Update of the registration (/1/x/8).
    RegistrationUpdateTrigger,
    /// Ask the device to bootstrap again (/1/x/9).
    Bootstrap,
}

/// When an operation is sent.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DispatchPolicy {
    /// When the device is awake.
    #[default]
    OnNextWakeup,
    /// At once; a device that is asleep has failed.
    Immediate,
}

/// What happens when nobody knows whether a device has done something.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExecutionGuarantee {
    /// It is not asked again.
    #[default]
    AtMostOnce,
    /// It is asked again.
    AtLeastOnce,
}

/// How far an operation is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DeviceOperationStatus {
    /// The metadata.generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is known of the object itself; docs/resources.md has the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// When the first device was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When the last one was through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// How many devices are in which state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<OperationCounts>,
    /// The first results; the state tier has them all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub results: Vec<OperationResult>,
    /// Some of the devices of a set on which it failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub failure_samples: Vec<FailureSample>,
    /// The operation of the state tier; of a set of devices what the ids of their requests begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Ledger>,
    /// How far the devices of a set are. The operator goes on from here after a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<OperationProgress>,
}

/// Which devices of a set were asked. Written before any of them is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OperationProgress {
    /// Which devices are meant, as it was at the start; empty for every device of the namespace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 2048))]
    pub filter: String,
    /// Every device up to this endpoint name, in the order of their bytes, is through or under way; empty before the first.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 255))]
    pub asked_through: String,
    /// The devices that are not through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub under_way: Vec<DeviceUnderWay>,
    /// Of those that failed: of how many nobody knows whether they have done it.
    #[serde(default)]
    pub unknown: i64,
}

/// A device of a set that is not through.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DeviceUnderWay {
    /// The device.
    #[schemars(length(max = 255))]
    pub endpoint_name: String,
    /// Seconds after startTime from which on it may have been asked; none if it surely was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<i64>,
    /// The operation of the state tier, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub id: Option<String>,
    /// How often it did not answer, or had no room for another operation.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: i32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// How many devices are in which state; each is in one.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct OperationCounts {
    /// All of them.
    pub total: i64,
    /// Not yet asked.
    pub pending: i64,
    /// Asked.
    pub active: i64,
    /// Done.
    pub succeeded: i64,
    /// Refused, or without an answer.
    pub failed: i64,
    /// Not asked in time.
    pub expired: i64,
}

/// What one device said.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OperationResult {
    /// The device.
    #[schemars(length(max = 255))]
    pub endpoint_name: String,
    /// Its answer, for example 2.05.
    #[schemars(length(max = 8))]
    pub coap_code: String,
    /// The value, cut at 256 bytes; never that of a resource that is secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub value: Option<String>,
    /// When.
    pub time: Time,
}

impl DeviceOperation {
    /// Its conditions and their reasons.
    pub const CONDITIONS: &[ConditionRow] = &[
        (
            ConditionType::Accepted,
            &[
                Reason::Accepted,
                Reason::DeviceNotFound,
                Reason::InvalidValue,
                Reason::Unsupported,
                Reason::QuotaExceeded,
                Reason::GroupNotFound,
                Reason::InvalidFilter,
                Reason::SecretNotFound,
            ],
        ),
        (
            ConditionType::Suspended,
            &[Reason::UserPaused, Reason::NotPaused],
        ),
        (
            ConditionType::Complete,
            &[
                Reason::Complete,
                Reason::Running,
                Reason::AwaitingWakeup,
                Reason::Suspended,
                Reason::NotAccepted,
            ],
        ),
        (
            ConditionType::Failed,
            &[
                Reason::AsExpected,
                Reason::DevicesFailed,
                Reason::DeadlineExceeded,
                Reason::OutcomeUnknown,
                Reason::NotAccepted,
            ],
        ),
        (
            ConditionType::Succeeded,
            &[
                Reason::Complete,
                Reason::Running,
                Reason::AwaitingWakeup,
                Reason::Suspended,
                Reason::DevicesFailed,
                Reason::DeadlineExceeded,
                Reason::OutcomeUnknown,
                Reason::NotAccepted,
            ],
        ),
        BRAKE,
    ];
}
