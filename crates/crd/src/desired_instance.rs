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
    /// The instance: /object/instance, but none of the objects 0, 1, 2, 3 and 5.
    #[schemars(length(min = 4, max = 12))]
    #[x_kube(validation = Rule::new("self.matches('^(/(0|[1-9][0-9]{0,4})){2}$')").message("path must be /object/instance, for example /3311/0"))]
    #[x_kube(validation = Rule::new("!self.matches('^/[01235]/')").message("path must not be of the objects 0, 1, 2, 3 and 5: the device itself depends on their instances"))]
    pub path: String,
    /// Whether it should be there.
    #[serde(default)]
    pub state: InstanceState,
}

/// Whether an object instance should be there.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InstanceState {
    /// It is created if it is not there, with the values that are desired below it.
    #[default]
    Present,
    /// It is deleted if it is there.
    Absent,
}
