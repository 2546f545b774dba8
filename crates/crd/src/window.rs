//! When work may begin.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct into a function body"
)]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A time of the day in which work may begin; what has begun goes on after it. A window whose end
/// is before its start ends on the next day.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.startTime != self.endTime").message("startTime and endTime must differ"))]
pub struct Window {
    /// The days on which it starts; none: every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub days: Vec<Weekday>,
    /// The first minute, for example "01:00".
    #[schemars(length(max = 5))]
    #[x_kube(validation = Rule::new("self.matches('^([01][0-9]|2[0-3]):[0-5][0-9]$')").message("startTime must be HH:MM, from 00:00 to 23:59"))]
    pub start_time: String,
    /// The minute with which it is over.
    #[schemars(length(max = 5))]
    #[x_kube(validation = Rule::new("self.matches('^([01][0-9]|2[0-3]):[0-5][0-9]$')").message("endTime must be HH:MM, from 00:00 to 23:59"))]
    pub end_time: String,
    /// A name of the IANA time zone database, or Device for what the device reports as its own.
    #[serde(default = "utc")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$')").message("timeZone must be an IANA name such as Europe/Berlin, UTC, or Device"))]
    pub time_zone: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// A day of the week.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}
