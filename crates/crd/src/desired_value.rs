//! What a resource should have: a value, or the place of one that is secret.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct into a function body"
)]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reference::SecretKeyReference;

/// A resource that each device of a set should have a value for.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.value) != has(self.valueFrom)").message("exactly one of value and valueFrom must be set"))]
pub struct ProfileResource {
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
    /// opaque resource that the OMA defines it is the bytes themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueSource>,
    /// What happens when a device has another value; absent: what the profile says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift_policy: Option<DriftPolicy>,
}

/// A value that an operation writes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.value) != has(self.valueFrom)").message("exactly one of value and valueFrom must be set"))]
pub struct OperationValue {
    /// The resource: /object/instance/resource, or with a fourth number an instance of it.
    #[schemars(length(min = 6, max = 24))]
    #[x_kube(validation = Rule::new("self.matches('^(/(0|[1-9][0-9]{0,4})){3,4}$')").message("path must be /object/instance/resource, with /instance at the end for a resource that may have several, for example /3/0/14"))]
    pub path: String,
    /// The value as text in the form of the resource's type. At most 4096 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,
    /// Where the value stands, if it is secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueSource>,
}

/// Where a value stands.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ValueSource {
    /// A key of a Secret of the same namespace.
    pub secret_key_ref: SecretKeyReference,
}

/// What happens when a device has another value than it should.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriftPolicy {
    /// The value is written again.
    #[default]
    Enforce,
    /// It is told, and nothing is written.
    Report,
    /// The value is written once; what becomes of it later is the device's own business.
    InitOnly,
}
