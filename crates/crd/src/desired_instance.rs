//! Object instances that should be there, or not.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct into a function body"
)]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An object instance that should be there, or not.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DesiredInstance {
    /// The instance: /object/instance.
    #[schemars(length(min = 4, max = 12))]
    #[x_kube(validation = Rule::new("self.matches('^(/(0|[1-9][0-9]{0,4})){2}$')").message("path must be /object/instance, for example /3311/0"))]
    pub path: String,
    /// Whether it should be there.
    #[serde(default)]
    pub state: InstanceState,
}

/// Whether an object instance should be there.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InstanceState {
    /// It is created if it is not there.
    #[default]
    Present,
    /// It is deleted if it is there.
    Absent,
}
