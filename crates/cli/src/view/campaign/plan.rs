//! The plan of a campaign: as `-o json` shows it, and as `rollout create -f` takes it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use proto::drover::v1::campaign_plan as wire;
use proto::drover::v1::campaign_schedule::Window;
use proto::drover::v1::{
    CampaignDevicePolicy, CampaignImage, CampaignPlan, CampaignSchedule, CampaignWave,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::rfc3339;

/// What is to be done. What is left out is as the API has it by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct PlanView {
    pub(crate) image: ImageView,
    pub(crate) filter: String,
    pub(crate) membership: Membership,
    pub(crate) seed: String,
    pub(crate) waves: Vec<WaveView>,
    pub(crate) max_unavailable: String,
    pub(crate) pause_when_unreachable: String,
    pub(crate) begin_every: Option<Span>,
    pub(crate) schedule: ScheduleView,
    pub(crate) device: PolicyView,
    pub(crate) on_failure: OnFailure,
    pub(crate) rollback_image: Option<ImageView>,
    pub(crate) transfer: Transfer,
}

/// A firmware or a software.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct ImageView {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) uri: String,
    /// The object instance that gets it; empty for /5/0.
    pub(crate) object: String,
    pub(crate) minimum_version: String,
    pub(crate) maximum_version: String,
    pub(crate) hardware_version: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct WaveView {
    pub(crate) name: String,
    pub(crate) size: String,
    pub(crate) filter: String,
    pub(crate) max_concurrent: String,
    pub(crate) success_threshold: String,
    pub(crate) max_failed_devices: u64,
    pub(crate) max_failed_percent: String,
    pub(crate) minimum_results: u64,
    pub(crate) soak: Option<Span>,
    pub(crate) needs_approval: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct ScheduleView {
    pub(crate) not_before: Option<Moment>,
    pub(crate) windows: Vec<WindowView>,
    pub(crate) deadline: Option<Span>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct WindowView {
    pub(crate) days: Vec<String>,
    pub(crate) start: String,
    pub(crate) end: String,
    pub(crate) time_zone: String,
}

impl WindowView {
    /// As it is typed: `Sat,Sun 22:00-04:00 Europe/Berlin`.
    pub(crate) fn text(&self) -> String {
        let days = match self.days.len() {
            0 | 7 => String::new(),
            _ => format!("{} ", self.days.join(",")),
        };
        let zone = match self.time_zone.as_str() {
            "" => "UTC",
            zone => zone,
        };
        format!("{days}{}-{} {zone}", self.start, self.end)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct PolicyView {
    pub(crate) wake_up_deadline: Option<Span>,
    pub(crate) download_timeout: Option<Span>,
    pub(crate) install_timeout: Option<Span>,
    pub(crate) retries: Option<u32>,
    pub(crate) retry_backoff: Option<Span>,
    pub(crate) minimum_battery_percent: u32,
}

/// Who takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Membership {
    /// Who meets the filter when the campaign begins
    #[default]
    Snapshot,
    /// Also who meets it later, until the campaign ends
    Dynamic,
}

/// How a firmware comes to a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Transfer {
    /// By its URI, such as in /5/0/1
    #[default]
    Pull,
    /// It is written to it, such as to /5/0/0
    Push,
}

/// What a bad wave leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum OnFailure {
    /// The campaign stops until somebody says how it goes on
    #[default]
    Pause,
    /// The campaign ends
    Abort,
    /// The campaign ends, and another one brings the rollback image to those that have the new one
    Rollback,
}

/// A duration: `1h30m`, or `5400s` as JSON of protocol buffers has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let duration = humantime::parse_duration(text);
        duration
            .map(Self)
            .map_err(|error| format!("{error}; a time is 90s, 30m, 12h or 7d"))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.subsec_nanos() {
            0 => write!(f, "{}s", self.0.as_secs()),
            _ => humantime::format_duration(self.0).fmt(f),
        }
    }
}

impl From<Span> for prost_types::Duration {
    fn from(span: Span) -> Self {
        // Longer than the API takes, which says so.
        Self::try_from(span.0).unwrap_or(Self {
            seconds: i64::MAX,
            nanos: 0,
        })
    }
}

/// A time in RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) prost_types::Timestamp);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = text.parse().map(Self);
        time.map_err(|_| "not a time such as 2026-12-24T20:00:00Z or …T21:00:00+01:00".to_owned())
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&rfc3339(Some(&self.0)).unwrap_or_default())
    }
}

macro_rules! as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

as_text!(Span);
as_text!(Moment);

fn span(duration: Option<prost_types::Duration>) -> Option<Span> {
    duration.and_then(|duration| Duration::try_from(duration).ok().map(Span))
}

impl From<CampaignPlan> for PlanView {
    fn from(plan: CampaignPlan) -> Self {
        let membership = match plan.membership() {
            wire::Membership::Dynamic => Membership::Dynamic,
            wire::Membership::Unspecified | wire::Membership::Snapshot => Membership::Snapshot,
        };
        let on_failure = match plan.on_failure() {
            wire::OnFailure::Abort => OnFailure::Abort,
            wire::OnFailure::Rollback => OnFailure::Rollback,
            wire::OnFailure::Unspecified | wire::OnFailure::Pause => OnFailure::Pause,
        };
        let transfer = match plan.transfer() {
            wire::Transfer::Push => Transfer::Push,
            wire::Transfer::Unspecified | wire::Transfer::Pull => Transfer::Pull,
        };
        Self {
            image: plan.image.unwrap_or_default().into(),
            filter: plan.filter,
            membership,
            seed: plan.seed,
            waves: plan.waves.into_iter().map(WaveView::from).collect(),
            max_unavailable: plan.max_unavailable,
            pause_when_unreachable: plan.pause_when_unreachable,
            begin_every: span(plan.begin_every),
            schedule: plan.schedule.unwrap_or_default().into(),
            device: plan.device.unwrap_or_default().into(),
            on_failure,
            rollback_image: plan.rollback_image.map(ImageView::from),
            transfer,
        }
    }
}

impl From<PlanView> for CampaignPlan {
    fn from(plan: PlanView) -> Self {
        let membership = match plan.membership {
            Membership::Snapshot => wire::Membership::Snapshot,
            Membership::Dynamic => wire::Membership::Dynamic,
        };
        let on_failure = match plan.on_failure {
            OnFailure::Pause => wire::OnFailure::Pause,
            OnFailure::Abort => wire::OnFailure::Abort,
            OnFailure::Rollback => wire::OnFailure::Rollback,
        };
        let transfer = match plan.transfer {
            Transfer::Pull => wire::Transfer::Pull,
            Transfer::Push => wire::Transfer::Push,
        };
        Self {
            image: Some(plan.image.into()),
            filter: plan.filter,
            group: String::new(),
            membership: membership.into(),
            seed: plan.seed,
            waves: plan.waves.into_iter().map(CampaignWave::from).collect(),
            max_unavailable: plan.max_unavailable,
            pause_when_unreachable: plan.pause_when_unreachable,
            begin_every: plan.begin_every.map(Into::into),
            schedule: Some(plan.schedule.into()),
            device: Some(plan.device.into()),
            on_failure: on_failure.into(),
            rollback_image: plan.rollback_image.map(CampaignImage::from),
            transfer: transfer.into(),
        }
    }
}

/// The same fields on both sides, some of them converted.
macro_rules! alike {
    ($view:ident, $message:ident, { $($same:ident),* $(,)? } $(, spans { $($span:ident),* })?) => {
        impl From<$message> for $view {
            fn from(message: $message) -> Self {
                Self { $($same: message.$same,)* $($($span: span(message.$span),)*)? }
            }
        }

        impl From<$view> for $message {
            fn from(view: $view) -> Self {
                Self { $($same: view.$same,)* $($($span: view.$span.map(Into::into),)*)? }
            }
        }
    };
}

alike!(ImageView, CampaignImage, {
    name,
    version,
    uri,
    object,
    minimum_version,
    maximum_version,
    hardware_version,
});
alike!(WaveView, CampaignWave, {
    name, size, filter, max_concurrent, success_threshold, max_failed_devices, max_failed_percent, minimum_results,
    needs_approval
}, spans { soak });
alike!(PolicyView, CampaignDevicePolicy, { retries, minimum_battery_percent }, spans {
    wake_up_deadline, download_timeout, install_timeout, retry_backoff
});
alike!(WindowView, Window, { days, start, end, time_zone });

impl From<CampaignSchedule> for ScheduleView {
    fn from(schedule: CampaignSchedule) -> Self {
        Self {
            not_before: schedule.not_before.map(Moment),
            windows: schedule.windows.into_iter().map(Into::into).collect(),
            deadline: span(schedule.deadline),
        }
    }
}

impl From<ScheduleView> for CampaignSchedule {
    fn from(schedule: ScheduleView) -> Self {
        Self {
            not_before: schedule.not_before.map(|moment| moment.0),
            windows: schedule.windows.into_iter().map(Into::into).collect(),
            deadline: schedule.deadline.map(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn a_plan_that_is_shown_can_be_taken_again() {
        let text = "\
image: {name: m, version: 2.1.0, uri: coap://h/fw}
filter: labels.site = north
membership: Dynamic
waves:
- {name: canary, size: 5%, maxFailedDevices: 2, soak: 1h30m, needsApproval: true}
- {name: rest, maxConcurrent: '200'}
schedule: {notBefore: '2026-12-24T20:00:00Z', windows: [{days: [Sat], start: '22:00', end: '04:00'}]}
device: {retries: 0, installTimeout: 10m}
onFailure: Abort
pauseWhenUnreachable: 20%
beginEvery: 500ms
";
        let plan: PlanView = serde_yaml_ng::from_str(text).unwrap();
        let again = PlanView::from(CampaignPlan::from(plan.clone()));
        assert_eq!(again, plan);
        let json = serde_json::to_string(&plan).unwrap();
        assert!(json.contains(r#""soak":"5400s""#), "{json}");
        assert_eq!(serde_json::from_str::<PlanView>(&json).unwrap(), plan);
    }

    #[test]
    fn what_a_plan_does_not_have_is_named() {
        let error =
            serde_yaml_ng::from_str::<PlanView>("waves: [{name: a, sise: 5%}]").unwrap_err();
        assert!(
            error.to_string().contains("unknown field `sise`"),
            "{error}"
        );
        let error =
            serde_yaml_ng::from_str::<PlanView>("device: {retryBackoff: soon}").unwrap_err();
        assert!(error.to_string().contains("30m"), "{error}");
    }
}
