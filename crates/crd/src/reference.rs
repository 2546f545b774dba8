//! How one object names another.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct into a function body"
)]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An object of the same namespace, of the kind that the field's name says.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    /// Its metadata.name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A key of a Secret of the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyReference {
    /// The metadata.name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in its data.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A key of a Secret or a ConfigMap of the same namespace, for what is not secret: a certificate, a
/// public key.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PublicKeyReference {
    /// What holds it.
    pub kind: PublicKeyHolder,
    /// Its metadata.name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in its data; what stands there is PEM.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// What holds something that is not secret.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicKeyHolder {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}
