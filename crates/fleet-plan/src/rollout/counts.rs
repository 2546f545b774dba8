//! How many devices are where, as a status shows it.

use crd::failure_sample::FailureSample;
use crd::firmware_rollout::{FailureReason, RolloutCounts, WaveState, WaveStatus};
use device_state::Timestamp;
use device_state::campaign::{self, Tally, Wave, WaveCourse};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff;

use super::{Sample, Seen};
use crate::text::{cut, word};

/// Reasons of failures that a status lists.
const MAX_REASONS: usize = 12;
/// A longer message is cut.
const MAX_MESSAGE: usize = 256;

pub(super) fn all(tally: &Tally) -> RolloutCounts {
    counts(tally, tally.waiting)
}

/// Of a wave that has begun, who has not had a turn yet is scheduled; one that has not has nobody of its own.
fn of_wave(course: &WaveCourse, tally: &Tally) -> RolloutCounts {
    counts(tally, course.size.saturating_sub(tally.admitted()))
}

fn counts(tally: &Tally, waiting: u64) -> RolloutCounts {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    RolloutCounts {
        total: number(waiting + tally.admitted()),
        scheduled: number(waiting),
        asleep: number(tally.scheduled + tally.offered),
        downloading: number(tally.downloading),
        downloaded: number(tally.downloaded),
        updating: number(tally.updating + tally.verifying),
        succeeded: number(tally.succeeded),
        failed: number(tally.failed),
        expired: number(tally.expired),
        skipped: number(tally.skipped),
        retrying: number(tally.retrying),
        cancelled: number(tally.cancelled),
    }
}

pub(super) fn waves(seen: &Seen) -> Vec<WaveStatus> {
    let campaign = &seen.campaign;
    let parts = campaign.plan.waves.iter().zip(&campaign.course.waves);
    let parts = parts.zip(&seen.waves);
    parts
        .map(|((wave, course), tally)| one(wave, course, tally))
        .collect()
}

fn one(wave: &Wave, course: &WaveCourse, tally: &Tally) -> WaveStatus {
    let mut soak_until_time = None;
    let state = match course.state {
        campaign::WaveState::Pending => WaveState::Pending,
        campaign::WaveState::Running => WaveState::Running,
        campaign::WaveState::Soaking { until } => {
            soak_until_time = time(until);
            WaveState::Soaking
        }
        campaign::WaveState::AwaitingApproval => WaveState::AwaitingApproval,
        campaign::WaveState::Succeeded => WaveState::Succeeded,
        campaign::WaveState::Failed => WaveState::Failed,
        campaign::WaveState::Skipped => WaveState::Skipped,
    };
    WaveStatus {
        name: wave.name.clone(),
        state,
        counts: of_wave(course, tally),
        start_time: course.started_at.and_then(time),
        completion_time: course.ended_at.and_then(time),
        soak_until_time,
    }
}

pub(super) fn failure_reasons(failures: &[(String, u64)]) -> Vec<FailureReason> {
    let mut reasons: Vec<FailureReason> = Vec::new();
    for (text, devices) in failures {
        let (reason, devices) = (word(text), i64::try_from(*devices).unwrap_or(i64::MAX));
        // Words are the keys of the list.
        if let Some(known) = reasons.iter_mut().find(|known| known.reason == reason) {
            known.devices = known.devices.saturating_add(devices);
        } else if reasons.len() < MAX_REASONS {
            reasons.push(FailureReason {
                reason,
                lwm2m_result: None,
                devices,
            });
        }
    }
    reasons
}

pub(super) fn failure_samples(samples: &[Sample]) -> Vec<FailureSample> {
    let sample = |sample: &Sample| FailureSample {
        endpoint_name: sample.endpoint.clone(),
        path: None,
        reason: word(&sample.reason),
        coap_code: None,
        message: Some(cut(&sample.reason, MAX_MESSAGE).to_owned()),
        time: sample.at.and_then(time),
    };
    samples
        .iter()
        .take(FailureSample::MAX)
        .map(sample)
        .collect()
}

/// Whole seconds: that is what a status in etcd carries.
pub(super) fn time(at: Timestamp) -> Option<Time> {
    let seconds = i64::try_from(at.0 / 1_000).ok()?;
    jiff::Timestamp::from_second(seconds).ok().map(Time)
}
