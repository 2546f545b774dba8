//! How far a rollout is.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct into a function body"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::conditions_schema;
use crate::failure_sample::{FailureSample, Ledger};

/// How far a rollout is. It does not grow with the number of devices.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FirmwareRolloutStatus {
    /// The metadata.generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is known of the object itself; docs/resources.md has the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// Who takes part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub membership: Option<RolloutMembership>,
    /// The wave that is running or waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub current_wave: Option<String>,
    /// Each wave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub waves: Vec<WaveStatus>,
    /// The devices of all waves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<RolloutCounts>,
    /// The 12 most frequent reasons of failures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 12))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["reason".into()]))]
    pub failure_reasons: Vec<FailureReason>,
    /// Some of the devices that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub failure_samples: Vec<FailureSample>,
    /// Where each device is listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Ledger>,
}

/// Who takes part in a rollout.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RolloutMembership {
    /// The set in the state tier.
    #[serde(rename = "snapshotID")]
    #[schemars(length(max = 64))]
    pub snapshot_id: String,
    /// How many devices are in it.
    pub devices: i64,
    /// When it was made.
    pub resolved_time: Time,
}

/// How far a wave is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WaveStatus {
    /// The wave.
    #[schemars(length(max = 63))]
    pub name: String,
    /// What it does.
    pub state: WaveState,
    /// Its devices.
    pub counts: RolloutCounts,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// Until when it is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak_until_time: Option<Time>,
}

/// What a wave does.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaveState {
    /// It has not begun.
    Pending,
    /// Devices are being updated.
    Running,
    /// All have a result, and it is being watched.
    Soaking,
    /// A person must let the next wave begin.
    AwaitingApproval,
    /// It is through.
    Succeeded,
    /// Too many devices failed.
    Failed,
    /// It had no devices.
    Skipped,
}

/// How many devices are in which state; each is in one.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RolloutCounts {
    /// All of them.
    pub total: i64,
    /// Not begun.
    pub scheduled: i64,
    /// Begun, and waiting for the device to wake up.
    pub asleep: i64,
    /// The image is on its way.
    pub downloading: i64,
    /// The device has it.
    pub downloaded: i64,
    /// The device installs it.
    pub updating: i64,
    /// The device runs it.
    pub succeeded: i64,
    /// The device refused it or did not come back.
    pub failed: i64,
    /// The device did not wake up in time.
    pub expired: i64,
    /// The device is not compatible, or runs it already.
    pub skipped: i64,
    /// The device waits to be tried again.
    #[serde(default)]
    pub retrying: i64,
    /// The rollout was aborted before the device had a result.
    #[serde(default)]
    pub cancelled: i64,
}

/// How often updates failed for one reason.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FailureReason {
    /// The reason, as one CamelCase word.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// The Update Result (/5/0/5) of the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lwm2m_result: Option<i32>,
    /// How many devices.
    pub devices: i64,
}
