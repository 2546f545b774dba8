//! `DeviceProfile`: what each device of a set should be.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct into a function body"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::amount::{Amount, amount_schema};
use crate::condition::{ConditionRow, ConditionType, Reason, conditions_schema};
use crate::desired_instance::DesiredInstance;
use crate::desired_observation::DesiredObservation;
use crate::desired_value::{DriftPolicy, ProfileResource};
use crate::failure_sample::FailureSample;
use crate::reference::ObjectReference;
use crate::selector::Selector;
use crate::window::Window;

/// What each device of a set should be.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "drover.dev",
    version = "v1alpha1",
    kind = "DeviceProfile",
    plural = "deviceprofiles",
    doc = "DeviceProfile describes which values, object instances and observations each device of a set should have.",
    namespaced,
    status = "DeviceProfileStatus",
    shortname = "lwp",
    category = "lwm2m",
    derive = "PartialEq",
    cel,
    selectable = ".spec.groupRef.name",
    printcolumn(name = "Priority", type_ = "integer", json_path = ".spec.priority"),
    printcolumn(
        name = "Matched",
        type_ = "integer",
        json_path = ".status.counts.matched"
    ),
    printcolumn(
        name = "In Sync",
        type_ = "integer",
        json_path = ".status.counts.inSync"
    ),
    printcolumn(
        name = "Rejected",
        type_ = "integer",
        json_path = ".status.counts.rejected"
    ),
    printcolumn(
        name = "Paused",
        type_ = "boolean",
        json_path = ".spec.paused",
        priority = 1
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
#[x_kube(validation = Rule::new("!(has(self.selector) && has(self.groupRef))").message("at most one of selector and groupRef may be set"))]
#[x_kube(validation = Rule::new("!has(self.instances) || !has(self.resources) || self.instances.all(one, one.state != 'Absent' || !self.resources.exists(two, two.path.startsWith(one.path + '/')))").message("an instance that should be absent has no resources"))]
pub struct DeviceProfileSpec {
    /// Where profiles say different things of one path, the higher one counts, then the name that
    /// comes first; the other is told of it.
    #[serde(default = "hundred")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub priority: i32,
    /// The devices, by labels. With neither selector nor groupRef the profile is for those Devices only
    /// that name it (profileRefs).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// The devices, as a DeviceGroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_ref: Option<ObjectReference>,
    /// Whether changes of this object wait.
    #[serde(default)]
    pub paused: bool,
    /// The values that resources should have; whatever is not listed is left alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["path".into()]))]
    pub resources: Vec<ProfileResource>,
    /// The object instances that should be there, or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["path".into()]))]
    pub instances: Vec<DesiredInstance>,
    /// What should be observed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["path".into()]))]
    pub observations: Vec<DesiredObservation>,
    /// What happens when a device has another value.
    #[serde(default)]
    pub drift_policy: DriftPolicy,
    /// How a change of this object goes through the set; absent: to all at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<ProfileRollout>,
    /// What a device must have; one that has not is counted as unsupported, not as failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires: Option<ProfileRequirements>,
}

const fn hundred() -> i32 {
    100
}

/// How a change goes through a set of devices.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ProfileRollout {
    /// No more devices are changed at the same time: 20 or "2%".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "amount_schema")]
    pub max_concurrent: Option<Amount>,
    /// With so many failures it stops: 20 or "1%".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "amount_schema")]
    pub failure_threshold: Option<Amount>,
    /// When changes may begin; none: always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub windows: Vec<Window>,
}

/// What a device must have for a profile.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ProfileRequirements {
    /// Objects that it must have registered.
    #[serde(default, rename = "objectIDs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(range(min = 0, max = 65_535)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub object_ids: Vec<i32>,
    /// 1.0, 1.1 or 1.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 3))]
    #[x_kube(validation = Rule::new("self in ['1.0', '1.1', '1.2']").message("minimumLwm2mVersion must be 1.0, 1.1 or 1.2"))]
    pub minimum_lwm2m_version: Option<String>,
}

/// How far the devices of a profile are.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DeviceProfileStatus {
    /// The metadata.generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is known of the object itself; docs/resources.md has the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// How many devices are in which state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<ProfileCounts>,
    /// Some of the devices that refused something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub failure_samples: Vec<FailureSample>,
    /// Profiles that say something else of the same path for the same device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub conflicts_with: Vec<ProfileConflict>,
    /// The revision of the state tier that the counts were computed at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    pub state_revision: Option<String>,
    /// The versions of the Secrets whose values are in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub secrets: Vec<SecretVersion>,
}

/// A Secret as it was when its values were taken.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretVersion {
    /// Its metadata.name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its metadata.resourceVersion.
    #[schemars(length(max = 64))]
    pub resource_version: String,
}

/// How many devices of a profile are in which state.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ProfileCounts {
    /// All of the set.
    pub matched: i64,
    /// Everything is confirmed.
    pub in_sync: i64,
    /// Something is not yet written.
    pub pending: i64,
    /// Something is reported with another value.
    pub drifted: i64,
    /// Something was refused.
    pub rejected: i64,
    /// They lack what the profile requires.
    pub unsupported: i64,
    /// Another profile counts for them.
    pub superseded: i64,
    /// With spec.rollout: it was not their turn yet.
    #[serde(default)]
    pub waiting: i64,
    /// With spec.rollout: it was their turn, and they get what they lack when they register.
    #[serde(default)]
    pub unregistered: i64,
}

/// A path of which two profiles say different things.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ProfileConflict {
    /// The other profile.
    #[schemars(length(max = 253))]
    pub name: String,
    /// The path.
    #[schemars(length(max = 24))]
    pub path: String,
}

impl DeviceProfile {
    /// Its conditions and their reasons.
    pub const CONDITIONS: &[ConditionRow] = &[
        (
            ConditionType::Accepted,
            &[
                Reason::Accepted,
                Reason::UnknownObjectModel,
                Reason::InvalidValue,
                Reason::InvalidFilter,
                Reason::Unsupported,
                Reason::GroupNotFound,
                Reason::IdentityConflict,
                Reason::QuotaExceeded,
                Reason::SecretNotFound,
            ],
        ),
        (
            ConditionType::Progressing,
            &[
                Reason::Applying,
                Reason::InSync,
                Reason::Accepted,
                Reason::Suspended,
                Reason::NotAccepted,
                Reason::OutsideWindow,
                Reason::FailureThresholdExceeded,
            ],
        ),
        (
            ConditionType::Degraded,
            &[
                Reason::WriteRejected,
                Reason::Drifted,
                Reason::Conflicts,
                Reason::AsExpected,
                Reason::NotAccepted,
            ],
        ),
        (
            ConditionType::Paused,
            &[
                Reason::UserPaused,
                Reason::PausedByAnnotation,
                Reason::PausedByNamespace,
                Reason::NotPaused,
                Reason::FailureThresholdExceeded,
            ],
        ),
        (
            ConditionType::Ready,
            &[
                Reason::InSync,
                Reason::Accepted,
                Reason::Applying,
                Reason::WriteRejected,
                Reason::Drifted,
                Reason::Suspended,
                Reason::NotAccepted,
                Reason::AwaitingWakeup,
            ],
        ),
    ];
}
