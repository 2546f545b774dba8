//! `DeviceGroup`: a set of devices with a name.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct into a function body"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::condition::{BRAKE, ConditionRow, ConditionType, Reason, conditions_schema};
use crate::selector::Selector;

/// Which devices are in the group.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "drover.dev",
    version = "v1alpha1",
    kind = "DeviceGroup",
    plural = "devicegroups",
    doc = "DeviceGroup names a set of devices of the state tier, for profiles, rollouts and operations.",
    namespaced,
    status = "DeviceGroupStatus",
    shortname = "lwg",
    category = "lwm2m",
    derive = "PartialEq",
    cel,
    printcolumn(name = "Devices", type_ = "integer", json_path = ".status.devices"),
    printcolumn(
        name = "Registered",
        type_ = "integer",
        json_path = ".status.registered"
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
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.selector) || has(self.filter)").message("selector or filter must be set; selector: {} means every device of the namespace"))]
pub struct DeviceGroupSpec {
    /// By labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// By what is known of a device, in the language of `drover devices --filter`. With a selector,
    /// both must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub filter: Option<String>,
}

/// How many devices are in the group, and how they are.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DeviceGroupStatus {
    /// The metadata.generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is known of the object itself; docs/resources.md has the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// How many devices are in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<i64>,
    /// How many of them are registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered: Option<i64>,
    /// How many of those are asleep: in queue mode, and not heard from within their awake window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asleep: Option<i64>,
    /// How many of the devices cannot be reached, as they are not registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<i64>,
    /// The 16 most frequent versions of firmware; all others are counted as "other".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 17))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["version".into()]))]
    pub firmware_versions: Vec<VersionCount>,
    /// When this was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_evaluation_time: Option<Time>,
}

/// How many devices have a version of firmware.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct VersionCount {
    /// The version as devices report it.
    #[schemars(length(max = 255))]
    pub version: String,
    /// How many have it.
    pub devices: i64,
}

impl DeviceGroup {
    /// Its conditions and their reasons.
    pub const CONDITIONS: &[ConditionRow] = &[
        (
            ConditionType::Accepted,
            &[
                Reason::Accepted,
                Reason::InvalidFilter,
                Reason::InvalidValue,
                Reason::IdentityConflict,
                Reason::QuotaExceeded,
            ],
        ),
        (
            ConditionType::Ready,
            &[
                Reason::Evaluated,
                Reason::Evaluating,
                Reason::InvalidFilter,
                Reason::InvalidValue,
                Reason::IdentityConflict,
                Reason::QuotaExceeded,
            ],
        ),
        BRAKE,
    ];
}
