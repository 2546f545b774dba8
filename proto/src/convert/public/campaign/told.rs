//! What is told of a campaign.

use std::time::Duration;

use device_state::Timestamp;
use device_state::campaign::{
    Campaign, CampaignState, DevicePolicy, Failure, FailureSample, Image, Ledger, Membership,
    OnFailure, PauseReason, Phase, Plan, Promotion, Reach, Schedule, SkipReason, Tally, Transfer,
    Wave, WaveCourse, WaveState, Window,
};
use device_state::query::FirmwareCampaign;

use super::text::{day_names, minutes_text, percent_text, share_text};
use crate::convert::public::{coap_code, timestamp};
use crate::convert::{ConvertError, Reason};
use crate::drover::v1 as public;
use crate::drover::v1::campaign::wave_status::State as PublicWaveState;
use crate::drover::v1::campaign::{FailureCount, State, Stop, WaveStatus};
use crate::drover::v1::campaign_device::Phase as PublicPhase;

/// A campaign, with what its shards counted.
#[derive(Clone, Debug)]
pub struct Standing {
    pub campaign: Campaign,
    /// By wave.
    pub waves: Vec<Tally>,
    /// Those that wait and are of no wave in particular.
    pub common: Tally,
    /// When the next window begins, if none is open.
    pub window: Option<Timestamp>,
    /// Of all shards; nothing unless the plan asks for it.
    pub reach: Reach,
}

const LOST: &str = "too many devices are not registered any more";
const SOMEBODY_ABORTED: &str = "somebody aborted it";
const WAS_BAD: &str = "too many devices of a wave failed, or too few succeeded";

impl From<Standing> for public::Campaign {
    fn from(standing: Standing) -> Self {
        let Standing {
            campaign,
            waves,
            common,
            window,
            reach,
        } = standing;
        let mut total = common;
        for wave in &waves {
            total.add(wave);
        }
        let course = &campaign.course;
        let (state, reason) = state(&campaign);
        let stop = match state {
            State::Stopped => stop(course.state),
            _ => Stop::Unspecified,
        };
        let reason = match stop {
            Stop::Unreachable => lost_text(reach),
            _ => reason.to_owned(),
        };
        let statuses = campaign
            .plan
            .waves
            .iter()
            .zip(&course.waves)
            .zip(&waves)
            .map(|((wave, course), tally)| wave_status(wave, course, tally));
        Self {
            id: campaign.id.to_string(),
            state: state.into(),
            reason,
            stop: stop.into(),
            reach: (course.census > 0).then_some(public::campaign::Reach {
                counted: reach.counted,
                lost: reach.lost,
            }),
            create_time: timestamp(campaign.created_at),
            start_time: course.started_at.and_then(timestamp),
            end_time: course.ended_at.and_then(timestamp),
            members: course.members,
            paused: campaign.control.paused,
            aborted: campaign.control.aborted,
            approved_through: campaign.control.approved_through.clone(),
            waves: statuses.collect(),
            counts: Some(counts(&total)),
            failures: failures(&total),
            failure_samples: total.samples.iter().rev().map(sample).collect(),
            window_time: window.and_then(timestamp),
            name: campaign.name,
            plan: Some(campaign.plan.into()),
            owner: campaign.owner,
        }
    }
}

/// What people said counts from the moment at which they said it, also before the planner has seen it.
const fn state(campaign: &Campaign) -> (State, &'static str) {
    let control = &campaign.control;
    match campaign.course.state {
        CampaignState::Aborted if control.aborted => (State::Aborted, SOMEBODY_ABORTED),
        CampaignState::Aborted => (State::Aborted, WAS_BAD),
        CampaignState::Aborting if !control.aborted => (State::Aborting, WAS_BAD),
        CampaignState::Aborting => (State::Aborting, SOMEBODY_ABORTED),
        CampaignState::Enrolling | CampaignState::Running | CampaignState::Paused(_)
            if control.aborted =>
        {
            (State::Aborting, SOMEBODY_ABORTED)
        }
        CampaignState::Enrolling => (State::Enrolling, ""),
        CampaignState::Running => (State::Running, ""),
        CampaignState::Paused(PauseReason::Asked) => (State::Paused, "somebody paused it"),
        CampaignState::Paused(PauseReason::FailureThreshold) => {
            (State::Stopped, "too many devices of the wave failed")
        }
        CampaignState::Paused(PauseReason::SuccessThreshold) => {
            (State::Stopped, "too few devices of the wave succeeded")
        }
        CampaignState::Paused(PauseReason::Unreachable) => (State::Stopped, LOST),
        CampaignState::Succeeded => (State::Succeeded, ""),
        CampaignState::DeadlineExceeded => (
            State::DeadlineExceeded,
            "the deadline of the schedule came first",
        ),
    }
}

const fn stop(state: CampaignState) -> Stop {
    match state {
        CampaignState::Paused(PauseReason::FailureThreshold) => Stop::Failures,
        CampaignState::Paused(PauseReason::SuccessThreshold) => Stop::Successes,
        CampaignState::Paused(PauseReason::Unreachable) => Stop::Unreachable,
        _ => Stop::Unspecified,
    }
}

/// How many are lost now: they may have come back since it stopped.
fn lost_text(reach: Reach) -> String {
    format!("{LOST}: {} of {} now", reach.lost, reach.counted)
}

fn wave_status(wave: &Wave, course: &WaveCourse, tally: &Tally) -> WaveStatus {
    let (state, soak) = match course.state {
        WaveState::Pending => (PublicWaveState::Pending, None),
        WaveState::Running => (PublicWaveState::Running, None),
        WaveState::Soaking { until } => (PublicWaveState::Soaking, timestamp(until)),
        WaveState::AwaitingApproval => (PublicWaveState::AwaitingApproval, None),
        WaveState::Succeeded => (PublicWaveState::Succeeded, None),
        WaveState::Failed => (PublicWaveState::Failed, None),
        WaveState::Skipped => (PublicWaveState::Skipped, None),
    };
    WaveStatus {
        name: wave.name.clone(),
        state: state.into(),
        devices: course.size,
        counts: Some(counts(tally)),
        start_time: course.started_at.and_then(timestamp),
        end_time: course.ended_at.and_then(timestamp),
        soak_time: soak,
    }
}

const fn counts(tally: &Tally) -> public::CampaignCounts {
    public::CampaignCounts {
        waiting: tally.waiting,
        scheduled: tally.scheduled + tally.offered,
        downloading: tally.downloading,
        downloaded: tally.downloaded,
        updating: tally.updating + tally.verifying,
        retrying: tally.retrying,
        succeeded: tally.succeeded,
        failed: tally.failed,
        expired: tally.expired,
        skipped: tally.skipped,
        cancelled: tally.cancelled,
    }
}

fn failures(total: &Tally) -> Vec<FailureCount> {
    let mut failures = total.failures.clone();
    failures.sort_by_key(|(failure, devices)| (std::cmp::Reverse(*devices), *failure));
    let count = |(failure, devices)| FailureCount {
        reason: failure_text(failure),
        devices,
    };
    failures.into_iter().map(count).collect()
}

fn sample(sample: &FailureSample) -> public::CampaignDevice {
    public::CampaignDevice {
        endpoint: sample.endpoint.endpoint_str().to_owned(),
        phase: PublicPhase::Failed.into(),
        reason: failure_text(sample.failure),
        phase_time: timestamp(sample.at),
        ..Default::default()
    }
}

/// A row of the ledger. `waves` are those of the plan.
pub fn campaign_device(ledger: &Ledger, waves: &[Wave]) -> public::CampaignDevice {
    let wave = ledger.wave.and_then(|wave| waves.get(usize::from(wave)));
    let (phase, reason) = phase(ledger.phase);
    public::CampaignDevice {
        endpoint: ledger.endpoint.endpoint_str().to_owned(),
        wave: wave.map(|wave| wave.name.clone()).unwrap_or_default(),
        phase: phase.into(),
        reason,
        phase_time: timestamp(ledger.since),
        retries: u32::from(ledger.retries),
        version_before: ledger.version_before.clone().unwrap_or_default(),
    }
}

impl From<FirmwareCampaign> for public::FirmwareCampaign {
    fn from(campaign: FirmwareCampaign) -> Self {
        let (phase, reason) = phase(campaign.ledger.phase);
        Self {
            campaign: campaign.name,
            image: campaign.image,
            version: campaign.version,
            phase: phase.into(),
            reason,
            phase_time: timestamp(campaign.ledger.since),
        }
    }
}

/// What watchers are told.
pub(in crate::convert::public) fn campaign_moved(
    campaign: String,
    phase: Phase,
) -> public::CampaignMoved {
    let (phase, reason) = self::phase(phase);
    public::CampaignMoved {
        campaign,
        phase: phase.into(),
        reason,
    }
}

fn phase(phase: Phase) -> (PublicPhase, String) {
    match phase {
        Phase::Failed(failure) => (PublicPhase::Failed, failure_text(failure)),
        Phase::Skipped(reason) => (PublicPhase::Skipped, skip_text(reason).to_owned()),
        Phase::Expired => (PublicPhase::Expired, "did not wake up in time".to_owned()),
        other => (plain(other), String::new()),
    }
}

const fn plain(phase: Phase) -> PublicPhase {
    match phase {
        Phase::Waiting => PublicPhase::Waiting,
        Phase::Scheduled => PublicPhase::Scheduled,
        Phase::Offered => PublicPhase::Offered,
        Phase::Downloading => PublicPhase::Downloading,
        Phase::Downloaded => PublicPhase::Downloaded,
        Phase::Updating => PublicPhase::Updating,
        Phase::Verifying => PublicPhase::Verifying,
        Phase::Retrying => PublicPhase::Retrying,
        Phase::Succeeded => PublicPhase::Succeeded,
        Phase::Failed(_) => PublicPhase::Failed,
        Phase::Expired => PublicPhase::Expired,
        Phase::Skipped(_) => PublicPhase::Skipped,
        Phase::Cancelled => PublicPhase::Cancelled,
    }
}

/// Which rows of the ledger a caller wants to see, by phase.
pub fn phases(wanted: &[i32]) -> Result<impl Fn(Phase) -> bool + use<>, ConvertError> {
    let known = |number: &i32| match PublicPhase::try_from(*number) {
        Ok(PublicPhase::Unspecified) | Err(_) => {
            Err(ConvertError::new("phases", Reason::UnknownEnum(*number)))
        }
        Ok(phase) => Ok(phase),
    };
    let wanted: Vec<PublicPhase> = wanted.iter().map(known).collect::<Result<_, _>>()?;
    Ok(move |phase| wanted.is_empty() || wanted.contains(&plain(phase)))
}

// LwM2M Core 1.2 §E.6: the values of /5/0/5. 12 and 13 are of /33629/x/5, from 50 on of /9/x/9.
fn failure_text(failure: Failure) -> String {
    let result = match failure {
        Failure::Refused(class, detail) => {
            return format!("refused with {}", coap_code(class << 5 | detail));
        }
        Failure::DownloadTimeout => return "the download took too long".to_owned(),
        Failure::Interrupted => return "lost the download without a word".to_owned(),
        Failure::InstallTimeout => return "the installation took too long".to_owned(),
        Failure::VersionMismatch => return "runs another version after the update".to_owned(),
        Failure::UpdateResult(result) => result,
    };
    let meaning = match result {
        2 => "not enough flash memory",
        3 => "out of RAM",
        4 => "connection lost",
        5 => "integrity check failed",
        6 => "unsupported package type",
        7 => "invalid URI",
        8 => "update failed",
        9 => "unsupported protocol",
        10 => "cancelled on the device",
        11 => "deferred on the device",
        12 => "conflicts with a package for another component",
        13 => "needs another component to be updated",
        50 => "not enough storage",
        51 => "out of memory",
        52 => "connection lost",
        53 => "integrity check failed",
        54 => "unsupported package type",
        56 => "invalid URI",
        57 => "update failed",
        58 => "installation failed",
        59 => "removal of the version before failed",
        _ => "of its own kind",
    };
    format!("update result {result}: {meaning}")
}

const fn skip_text(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::UpToDate => "runs the version already",
        SkipReason::Unsupported => "has not the object that the image is for",
        SkipReason::Battery => "its battery is too low",
        SkipReason::Forgotten => "was deleted",
        SkipReason::Version => "the image cannot be put over what it runs",
        SkipReason::Hardware => "the image is not for its hardware",
    }
}

impl From<Plan> for public::CampaignPlan {
    fn from(plan: Plan) -> Self {
        use public::campaign_plan as wire;
        Self {
            image: Some(plan.image.into()),
            filter: plan.selector.text,
            group: String::new(),
            membership: match plan.membership {
                Membership::Dynamic => wire::Membership::Dynamic,
                Membership::Snapshot | Membership::UpdatedBy(_) => wire::Membership::Snapshot,
            }
            .into(),
            seed: plan.seed,
            waves: plan.waves.into_iter().map(Into::into).collect(),
            max_unavailable: plan.max_unavailable.map(share_text).unwrap_or_default(),
            schedule: Some(plan.schedule.into()),
            device: Some(plan.device.into()),
            on_failure: match plan.on_failure {
                OnFailure::Pause => wire::OnFailure::Pause,
                OnFailure::Abort => wire::OnFailure::Abort,
                OnFailure::Rollback => wire::OnFailure::Rollback,
            }
            .into(),
            rollback_image: plan.rollback_image.map(Into::into),
            pause_when_unreachable: plan
                .pause_when_unreachable
                .map(percent_text)
                .unwrap_or_default(),
            begin_every: plan.begin_every.map(wire_duration),
            transfer: match plan.transfer {
                Transfer::Pull => wire::Transfer::Pull,
                Transfer::Push => wire::Transfer::Push,
            }
            .into(),
        }
    }
}

impl From<Image> for public::CampaignImage {
    fn from(image: Image) -> Self {
        Self {
            name: image.name,
            version: image.version,
            uri: image.uri,
            object: image.object.to_string(),
            minimum_version: image.compatibility.minimum_version.unwrap_or_default(),
            maximum_version: image.compatibility.maximum_version.unwrap_or_default(),
            hardware_version: image.compatibility.hardware_version.unwrap_or_default(),
        }
    }
}

impl From<Wave> for public::CampaignWave {
    fn from(wave: Wave) -> Self {
        let threshold = wave.failure_threshold;
        let success = Some(wave.success_threshold).filter(|part| *part > 0);
        Self {
            name: wave.name,
            size: share_text(wave.size),
            filter: wave
                .selector
                .map(|selector| selector.text)
                .unwrap_or_default(),
            max_concurrent: share_text(wave.max_concurrent),
            success_threshold: success.map(percent_text).unwrap_or_default(),
            max_failed_devices: threshold.devices.unwrap_or(0),
            max_failed_percent: threshold.millionths.map(percent_text).unwrap_or_default(),
            minimum_results: wave.minimum_results,
            soak: Some(wire_duration(wave.soak)),
            needs_approval: wave.promotion == Promotion::Manual,
        }
    }
}

impl From<Schedule> for public::CampaignSchedule {
    fn from(schedule: Schedule) -> Self {
        Self {
            not_before: schedule.not_before.and_then(timestamp),
            windows: schedule.windows.into_iter().map(Into::into).collect(),
            deadline: schedule.deadline.map(wire_duration),
        }
    }
}

impl From<Window> for public::campaign_schedule::Window {
    fn from(window: Window) -> Self {
        Self {
            days: day_names(window.days),
            start: minutes_text(window.start),
            end: minutes_text(window.end),
            time_zone: window.time_zone,
        }
    }
}

impl From<DevicePolicy> for public::CampaignDevicePolicy {
    fn from(policy: DevicePolicy) -> Self {
        Self {
            wake_up_deadline: Some(wire_duration(policy.wake_up_deadline)),
            download_timeout: Some(wire_duration(policy.download_timeout)),
            install_timeout: Some(wire_duration(policy.install_timeout)),
            retries: Some(u32::from(policy.retries)),
            retry_backoff: Some(wire_duration(policy.retry_backoff)),
            minimum_battery_percent: u32::from(policy.minimum_battery),
        }
    }
}

fn wire_duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(duration).unwrap_or_default()
}
