//! What devices should report by themselves.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct into a function body"
)]

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A path that should be observed. Numbers with a fraction are texts.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.minimumPeriodSeconds) || !has(self.maximumPeriodSeconds) || self.minimumPeriodSeconds <= self.maximumPeriodSeconds").message("minimumPeriodSeconds must not be greater than maximumPeriodSeconds"))]
pub struct DesiredObservation {
    /// An object, an object instance, a resource or an instance of a resource.
    #[schemars(length(min = 2, max = 24))]
    #[x_kube(validation = Rule::new("self.matches('^(/(0|[1-9][0-9]{0,4})){1,4}$')").message("path must have one to four numbers, for example /3303/0/5700"))]
    pub path: String,
    /// The device reports no more often (pmin).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub minimum_period_seconds: Option<i64>,
    /// The device reports at least so often (pmax).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub maximum_period_seconds: Option<i64>,
    /// It reports when the value crosses this one upwards or downwards (gt).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^-?[0-9]+([.][0-9]+)?$')").message("greaterThan must be a decimal number, for example \"40.5\""))]
    pub greater_than: Option<String>,
    /// It reports when the value crosses this one upwards or downwards (lt).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^-?[0-9]+([.][0-9]+)?$')").message("lessThan must be a decimal number, for example \"-10\""))]
    pub less_than: Option<String>,
    /// It reports when the value has changed by so much (st).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]+([.][0-9]+)?$')").message("step must be a positive decimal number, for example \"0.5\""))]
    pub step: Option<String>,
}
