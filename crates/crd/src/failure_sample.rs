//! Examples of devices on which something failed.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct into a function body"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// One of the devices on which something failed; the state tier has them all.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FailureSample {
    /// The device.
    #[schemars(length(max = 255))]
    pub endpoint_name: String,
    /// The path that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub path: Option<String>,
    /// Why, as one CamelCase word.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// The answer of the device, for example 4.05.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub coap_code: Option<String>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub message: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
}

impl FailureSample {
    /// No more are listed in a status.
    pub const MAX: usize = 10;
}

/// Where the state tier keeps what became of each device.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// The id to ask the state tier with.
    #[schemars(length(max = 64))]
    pub id: String,
    /// The revision of the state tier that the status was computed at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    pub revision: Option<String>,
}
