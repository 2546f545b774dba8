//! How an image comes to devices, when, and what is granted to each.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct into a function body"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::window::Window;

/// How an image comes to devices.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.mode == 'Pull' || !has(self.protocol)").message("protocol is for mode Pull; a push goes through the device's own session"))]
pub struct Transfer {
    /// Who asks.
    #[serde(default)]
    pub mode: TransferMode,
    /// How devices fetch it; absent: by what each of them supports (/5/0/8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<TransferProtocol>,
    /// The size of CoAP blocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self in [16, 32, 64, 128, 256, 512, 1024]").message("blockSizeBytes must be 16, 32, 64, 128, 256, 512 or 1024"))]
    pub block_size_bytes: Option<i32>,
    /// Devices begin so far apart that all of them together begin to fetch no more bytes in a second on average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    pub bytes_per_second: Option<i64>,
}

/// Who asks for the image.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransferMode {
    /// The device fetches it from where Package URI (/5/0/1) says.
    #[default]
    Pull,
    /// It is written to Package (/5/0/0).
    Push,
}

/// How devices fetch an image.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferProtocol {
    /// CoAP over UDP.
    CoAP,
    /// CoAP over DTLS.
    CoAPS,
    /// HTTP/1.1.
    HTTP,
    /// HTTP/1.1 over TLS.
    HTTPS,
}

/// When a rollout may work. Only windows can be changed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Nothing begins before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("notBeforeTime is immutable"))]
    pub not_before_time: Option<Time>,
    /// When devices may begin; none: always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub windows: Vec<Window>,
    /// The rollout has failed when it has not succeeded so long after it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 157_680_000))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("deadlineSeconds is immutable"))]
    pub deadline_seconds: Option<i64>,
}

/// What is granted to each device.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DevicePolicy {
    /// A device that does not wake up in this time is counted as expired, not as failed.
    #[serde(default = "week")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub wakeup_deadline_seconds: i64,
    /// How long the transfer may take.
    #[serde(default = "day")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub download_timeout_seconds: i64,
    /// How long the device may be away to install it.
    #[serde(default = "half_an_hour")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub install_timeout_seconds: i64,
    /// How often a device tries; absent: once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// What must hold of a device before it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preconditions: Option<Preconditions>,
}

const fn week() -> i64 {
    604_800
}

const fn day() -> i64 {
    86_400
}

const fn half_an_hour() -> i64 {
    1_800
}

/// How often something is tried again.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// How often after the first time.
    #[schemars(range(min = 0, max = 20))]
    pub limit: i32,
    /// How long after the first failure; it doubles with each.
    #[serde(default = "ten_minutes")]
    #[schemars(range(min = 1, max = 86_400))]
    pub initial_backoff_seconds: i64,
}

const fn ten_minutes() -> i64 {
    600
}

/// What must hold of a device before it begins.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Preconditions {
    /// The battery level (/3/0/9); a device that reports none has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub minimum_battery_percent: Option<i32>,
}
