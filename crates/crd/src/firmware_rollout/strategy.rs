//! Waves, and what stops them.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct into a function body"
)]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::amount::{Amount, amount_schema};
use crate::selector::Selector;

/// The waves of a rollout. Of a wave only maxConcurrent can be changed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.waves.map(wave, wave.name) == oldSelf.waves.map(wave, wave.name)").message("waves cannot be added, removed, renamed or reordered"))]
#[x_kube(validation = Rule::new("self.waves[size(self.waves) - 1].size == '100%'").message("the last wave must have size 100%"))]
#[x_kube(validation = Rule::new("has(self.maxUnavailable) == has(oldSelf.maxUnavailable) && has(self.pauseWhenUnreachable) == has(oldSelf.pauseWhenUnreachable)").message("maxUnavailable and pauseWhenUnreachable are immutable"))]
pub struct Strategy {
    /// In the order in which they run.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub waves: Vec<Wave>,
    /// No more devices of the whole rollout are being updated at the same time: 500 or "1%".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "amount_schema")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("maxUnavailable is immutable"))]
    pub max_unavailable: Option<Amount>,
    /// With so many devices that do not answer, for whatever reason, no further one begins: "20%".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    #[x_kube(validation = Rule::new("self.matches('^(100|[0-9]{1,2}([.][0-9]{1,3})?)%$')").message("pauseWhenUnreachable must be a percentage such as 20%"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("pauseWhenUnreachable is immutable"))]
    pub pause_when_unreachable: Option<String>,
}

/// A part of the devices that is updated before the next part begins.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.selector) == has(oldSelf.selector) && has(self.successThreshold) == has(oldSelf.successThreshold) && has(self.failureThreshold) == has(oldSelf.failureThreshold)").message("of a wave only maxConcurrent can be changed"))]
pub struct Wave {
    /// Its name among the waves.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("the name of a wave has lower-case letters, digits and - only"))]
    pub name: String,
    /// How many devices it takes, in devices or in percent of all: 20 or 5%. The last wave has 100%:
    /// it takes all that are left.
    #[schemars(length(max = 10))]
    #[x_kube(validation = Rule::new("self.matches('^([1-9][0-9]{0,8}|(100|[1-9][0-9]?([.][0-9]{1,3})?|0[.]0{0,2}[1-9][0-9]{0,2})%)$')").message("size must be a number of devices or a percentage, for example 20 or 5%"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("size is immutable"))]
    pub size: String,
    /// Only devices with these labels; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("selector is immutable"))]
    pub selector: Option<Selector>,
    /// No more devices of the wave are being updated at the same time: 20 or "2%".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "amount_schema")]
    pub max_concurrent: Option<Amount>,
    /// The wave has succeeded when so many of its devices that have a result have the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    #[x_kube(validation = Rule::new("self.matches('^(100|[0-9]{1,2}([.][0-9]{1,3})?)%$')").message("successThreshold must be a percentage such as 99%"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("successThreshold is immutable"))]
    pub success_threshold: Option<String>,
    /// With so many failures the wave fails; absent: with the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("failureThreshold is immutable"))]
    pub failure_threshold: Option<FailureThreshold>,
    /// Percentages are not judged before so many devices have a result.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("minimumResults is immutable"))]
    pub minimum_results: i32,
    /// How long the wave is watched once all its devices have a result.
    #[serde(default)]
    #[schemars(range(min = 0, max = 31_536_000))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("soakSeconds is immutable"))]
    pub soak_seconds: i64,
    /// Who lets the next wave begin.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("promotion is immutable"))]
    pub promotion: Promotion,
}

/// How many failures are too many; whichever is reached first counts.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.devices) || has(self.percent)").message("failureThreshold needs devices or percent"))]
pub struct FailureThreshold {
    /// So many devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub devices: Option<i32>,
    /// So many of the devices that have a result: "1%".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    #[x_kube(validation = Rule::new("self.matches('^(100|[0-9]{1,2}([.][0-9]{1,3})?)%$')").message("percent must be a percentage such as 1%"))]
    pub percent: Option<String>,
}

/// Who lets the next step begin.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Promotion {
    /// A person.
    #[default]
    Manual,
    /// It begins by itself.
    Automatic,
}
