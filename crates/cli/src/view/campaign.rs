//! Firmware campaigns.

pub(crate) mod device;
pub(crate) mod plan;
pub(crate) mod tree;

use std::time::SystemTime;

use proto::drover::v1::campaign::wave_status::State as WaveState;
use proto::drover::v1::campaign::{State, WaveStatus};
use proto::drover::v1::campaign_plan::Transfer;
use proto::drover::v1::{Campaign, CampaignCounts, CampaignPlan};
use serde::Serialize;

use crate::table;
use crate::time::{age, rfc3339};
use device::DeviceView;
use plan::PlanView;

/// A campaign. `state` is `Enrolling`, `Running`, `Paused`, `Stopped`, `Aborting`, `Succeeded`, `Aborted` or
/// `DeadlineExceeded`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CampaignView {
    name: String,
    id: String,
    owner: String,
    state: &'static str,
    reason: String,
    paused: bool,
    aborted: bool,
    approved_through: String,
    create_time: Option<String>,
    start_time: Option<String>,
    end_time: Option<String>,
    window_time: Option<String>,
    members: u64,
    reach: Option<ReachView>,
    counts: CountsView,
    waves: Vec<WaveView>,
    failures: Vec<FailureView>,
    failure_samples: Vec<DeviceView>,
    plan: PlanView,
}

/// A wave. `state` is `Pending`, `Running`, `Soaking`, `AwaitingApproval`, `Succeeded`, `Failed` or `Skipped`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct WaveView {
    name: String,
    state: &'static str,
    devices: u64,
    start_time: Option<String>,
    end_time: Option<String>,
    soak_time: Option<String>,
    counts: CountsView,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct FailureView {
    reason: String,
    devices: u64,
}

/// Devices that were registered when the wave began, and those of them that are not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct ReachView {
    counted: u64,
    lost: u64,
}

/// How many devices are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct CountsView {
    waiting: u64,
    scheduled: u64,
    downloading: u64,
    downloaded: u64,
    updating: u64,
    retrying: u64,
    succeeded: u64,
    failed: u64,
    expired: u64,
    skipped: u64,
    cancelled: u64,
}

impl From<Campaign> for CampaignView {
    fn from(campaign: Campaign) -> Self {
        let failures = campaign.failures.into_iter().map(|failure| FailureView {
            reason: failure.reason,
            devices: failure.devices,
        });
        let samples = campaign.failure_samples.into_iter();
        Self {
            state: state_name(State::try_from(campaign.state).unwrap_or_default()),
            name: campaign.name,
            id: campaign.id,
            owner: campaign.owner,
            reason: campaign.reason,
            paused: campaign.paused,
            aborted: campaign.aborted,
            approved_through: campaign.approved_through,
            create_time: rfc3339(campaign.create_time.as_ref()),
            start_time: rfc3339(campaign.start_time.as_ref()),
            end_time: rfc3339(campaign.end_time.as_ref()),
            window_time: rfc3339(campaign.window_time.as_ref()),
            members: campaign.members,
            reach: campaign.reach.map(|reach| ReachView {
                counted: reach.counted,
                lost: reach.lost,
            }),
            counts: campaign.counts.unwrap_or_default().into(),
            waves: campaign.waves.into_iter().map(WaveView::from).collect(),
            failures: failures.collect(),
            failure_samples: samples.map(DeviceView::from).collect(),
            plan: campaign.plan.unwrap_or_default().into(),
        }
    }
}

impl From<WaveStatus> for WaveView {
    fn from(wave: WaveStatus) -> Self {
        Self {
            state: wave_state_name(wave.state()),
            name: wave.name,
            devices: wave.devices,
            start_time: rfc3339(wave.start_time.as_ref()),
            end_time: rfc3339(wave.end_time.as_ref()),
            soak_time: rfc3339(wave.soak_time.as_ref()),
            counts: wave.counts.unwrap_or_default().into(),
        }
    }
}

impl From<CampaignCounts> for CountsView {
    fn from(counts: CampaignCounts) -> Self {
        Self {
            waiting: counts.waiting,
            scheduled: counts.scheduled,
            downloading: counts.downloading,
            downloaded: counts.downloaded,
            updating: counts.updating,
            retrying: counts.retrying,
            succeeded: counts.succeeded,
            failed: counts.failed,
            expired: counts.expired,
            skipped: counts.skipped,
            cancelled: counts.cancelled,
        }
    }
}

pub(crate) const fn state_name(state: State) -> &'static str {
    match state {
        State::Unspecified => "Unknown",
        State::Enrolling => "Enrolling",
        State::Running => "Running",
        State::Paused => "Paused",
        State::Stopped => "Stopped",
        State::Aborting => "Aborting",
        State::Succeeded => "Succeeded",
        State::Aborted => "Aborted",
        State::DeadlineExceeded => "DeadlineExceeded",
    }
}

/// Whether nothing more happens.
pub(crate) const fn is_final(state: State) -> bool {
    matches!(
        state,
        State::Succeeded | State::Aborted | State::DeadlineExceeded
    )
}

pub(crate) const fn wave_state_name(state: WaveState) -> &'static str {
    match state {
        WaveState::Unspecified => "Unknown",
        WaveState::Pending => "Pending",
        WaveState::Running => "Running",
        WaveState::Soaking => "Soaking",
        WaveState::AwaitingApproval => "AwaitingApproval",
        WaveState::Succeeded => "Succeeded",
        WaveState::Failed => "Failed",
        WaveState::Skipped => "Skipped",
    }
}

/// The wave in which something happens, or happened last.
pub(crate) fn present_wave(campaign: &Campaign) -> Option<&WaveStatus> {
    let mut begun = campaign.waves.iter().rev();
    begun.find(|wave| !matches!(wave.state(), WaveState::Pending | WaveState::Skipped))
}

/// Devices with a result.
pub(crate) const fn ended(counts: &CampaignCounts) -> u64 {
    counts.succeeded + counts.failed + counts.expired + counts.skipped + counts.cancelled
}

/// What devices get, and how: `2.0.0 from coap://h/2`, or `2.0.0 for /9/1 from coap://h/2`.
pub(crate) fn firmware(plan: &CampaignPlan) -> String {
    let image = plan.image.clone().unwrap_or_default();
    let pushed = match plan.transfer() {
        Transfer::Push => ", pushed",
        Transfer::Unspecified | Transfer::Pull => "",
    };
    let object = match image.object.as_str() {
        "" | "/5/0" => String::new(),
        other => format!(" for {other}"),
    };
    format!("{}{object} from {}{pushed}", image.version, image.uri)
}

/// Where devices are, without what is nowhere: `3 succeeded, 1 failed`.
pub(crate) fn counted(counts: &CampaignCounts) -> String {
    let named = [
        (counts.succeeded, "succeeded"),
        (counts.failed, "failed"),
        (counts.expired, "expired"),
        (counts.skipped, "skipped"),
        (counts.cancelled, "cancelled"),
        (counts.updating, "updating"),
        (counts.downloaded, "downloaded"),
        (counts.downloading, "downloading"),
        (counts.retrying, "retrying"),
        (counts.scheduled, "scheduled"),
        (counts.waiting, "waiting"),
    ];
    let some = named.iter().filter(|(devices, _)| *devices > 0);
    let texts: Vec<String> = some
        .map(|(devices, name)| format!("{devices} {name}"))
        .collect();
    texts.join(", ")
}

/// One line for a change: `TIME  NAME  STATE  WAVE …`.
pub(crate) fn line(campaign: &Campaign) -> String {
    let mut parts = vec![state_name(campaign.state()).to_owned()];
    if !campaign.reason.is_empty() {
        parts.push(format!("({})", campaign.reason));
    }
    if let Some(wave) = present_wave(campaign) {
        let counts = wave.counts.unwrap_or_default();
        parts.push(format!("{} {}", wave.name, wave_state_name(wave.state())));
        parts.push(format!("{}/{}", ended(&counts), wave.devices));
    }
    let counts = campaign.counts.unwrap_or_default();
    let line = format!("{}  {}", parts.join(" "), counted(&counts));
    table::printable(line.trim_end())
}

/// Every campaign, as `{"campaigns": […]}`.
#[derive(Debug, Serialize)]
pub(crate) struct CampaignsView {
    campaigns: Vec<CampaignView>,
    #[serde(skip)]
    messages: Vec<Campaign>,
}

impl CampaignsView {
    pub(crate) fn new(campaigns: Vec<Campaign>) -> Self {
        Self {
            messages: campaigns.clone(),
            campaigns: campaigns.into_iter().map(CampaignView::from).collect(),
        }
    }

    pub(crate) fn table(&self, now: SystemTime) -> String {
        let row = |campaign: &Campaign| {
            let counts = campaign.counts.unwrap_or_default();
            let image = campaign.plan.as_ref().and_then(|plan| plan.image.as_ref());
            let wave = present_wave(campaign).map(|wave| {
                let place = campaign
                    .waves
                    .iter()
                    .position(|known| known.name == wave.name);
                let number = place.map_or(0, |place| place + 1);
                format!("{} ({number}/{})", wave.name, campaign.waves.len())
            });
            vec![
                campaign.name.clone(),
                state_name(campaign.state()).to_owned(),
                image.map(|image| image.version.clone()).unwrap_or_default(),
                wave.unwrap_or_default(),
                campaign.members.to_string(),
                counts.succeeded.to_string(),
                counts.failed.to_string(),
                age(campaign.create_time.as_ref(), now),
            ]
        };
        table::render(
            &[
                "NAME",
                "STATE",
                "VERSION",
                "WAVE",
                "DEVICES",
                "SUCCEEDED",
                "FAILED",
                "AGE",
            ],
            self.messages.iter().map(row),
        )
    }
}
