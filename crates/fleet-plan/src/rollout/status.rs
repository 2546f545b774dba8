//! The status that follows from an observation.
//!
//! `Ready`, `Reconciling` and `Stalled` say one thing together, so that kstatus (and with it Flux, Argo CD and
//! `kubectl wait`) tells a rollout that is through from one that goes on and from one that needs a person.

use crd::failure_sample::Ledger;
use crd::firmware_rollout::{FailureAction, RolloutMembership};
use crd::{ConditionStatus, ConditionType, FirmwareRollout, FirmwareRolloutStatus, Reason};
use device_state::campaign::{CampaignState, Membership, PauseReason, WaveState};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Seen, counts};
use crate::Refusal;
use crate::conditions::Conditions;

use ConditionStatus::{False, True, Unknown};

/// Why no further device begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    No,
    /// `spec.paused`
    ByUser,
    /// The image was yanked.
    ByImage,
}

/// What it comes to.
enum Verdict {
    /// What the spec asks for is so.
    Ready,
    /// It will be.
    Going,
    /// Somebody has to do something.
    Stuck,
}

/// A condition that is to be.
type Says = (ConditionStatus, Reason, String);

/// A status in the making: starts as what the object has, ends as what it should have.
pub(super) struct Report<'a> {
    conditions: Conditions<'a>,
    status: FirmwareRolloutStatus,
}

impl<'a> Report<'a> {
    pub(super) fn new(rollout: &FirmwareRollout, now: &'a Time) -> Self {
        let mut status = rollout.status.clone().unwrap_or_default();
        let generation = rollout.metadata.generation.unwrap_or(1);
        let known = std::mem::take(&mut status.conditions);
        status.observed_generation = Some(generation);
        let rows = FirmwareRollout::CONDITIONS;
        Self {
            conditions: Conditions::new(known, rows, generation, now),
            status,
        }
    }

    pub(super) fn finish(mut self) -> FirmwareRolloutStatus {
        self.status.conditions = self.conditions.finish();
        self.status
    }

    /// Whether the campaign was there before.
    pub(super) const fn was_made(&self) -> bool {
        self.status.ledger.is_some()
    }

    fn set(&mut self, condition: ConditionType, (status, reason, message): Says) {
        self.conditions.set(condition, status, reason, message);
    }

    fn verdict(&mut self, verdict: &Verdict, reason: Reason, message: &str) {
        let [ready, reconciling, stalled] = match verdict {
            Verdict::Ready => [True, False, False],
            Verdict::Going => [False, True, False],
            Verdict::Stuck => [False, False, True],
        };
        for (condition, status) in [
            (ConditionType::Ready, ready),
            (ConditionType::Reconciling, reconciling),
            (ConditionType::Stalled, stalled),
        ] {
            self.conditions.set(condition, status, reason, message);
        }
    }

    pub(super) fn accepted(&mut self) {
        let message = "the spec is in force".to_owned();
        self.set(ConditionType::Accepted, (True, Reason::Accepted, message));
    }

    /// Nothing of the spec is in force.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        let Refusal { reason, message } = refusal.clone();
        self.set(ConditionType::Accepted, (False, reason, message));
        let message = || "not accepted: see Accepted".to_owned();
        let reason = Reason::NotAccepted;
        self.set(ConditionType::Progressing, (False, reason, message()));
        self.not_paused();
        self.set(ConditionType::Succeeded, (Unknown, reason, message()));
        let verdict = if refusal.may_pass() {
            Verdict::Going
        } else {
            Verdict::Stuck
        };
        self.verdict(&verdict, reason, &message());
    }

    /// The campaign is about to be made.
    pub(super) fn begins(&mut self) {
        let message = || "the campaign is being made".to_owned();
        self.set(
            ConditionType::Progressing,
            (True, Reason::Evaluating, message()),
        );
        self.not_paused();
        self.set(
            ConditionType::Succeeded,
            (Unknown, Reason::Running, message()),
        );
        self.verdict(&Verdict::Going, Reason::Running, &message());
    }

    fn not_paused(&mut self) {
        let message = "nothing holds it".to_owned();
        self.set(ConditionType::Paused, (False, Reason::NotPaused, message));
    }

    /// It was aborted before it began.
    pub(super) fn aborted_before(&mut self) {
        self.not_paused();
        self.ended(Reason::Aborted, "it was aborted before it began");
    }

    /// Somebody deleted the campaign. What came of it stays as it was known.
    pub(super) fn gone(&mut self) {
        let is_known = |status| matches!(status, Some("True" | "False"));
        if is_known(self.conditions.get(ConditionType::Succeeded)) {
            return;
        }
        self.accepted();
        self.not_paused();
        let message = "the campaign was deleted before it ended, and is not made a second time; make \
                       another FirmwareRollout";
        self.ended(Reason::Aborted, message);
    }

    fn ended(&mut self, reason: Reason, message: &str) {
        let message = message.to_owned();
        self.set(ConditionType::Progressing, (False, reason, message.clone()));
        self.set(ConditionType::Succeeded, (False, reason, message.clone()));
        self.verdict(&Verdict::Stuck, reason, &message);
    }

    /// What a campaign does. `change` is what it cannot follow.
    pub(super) fn follows(&mut self, seen: &Seen, held: Held, change: Option<&Refusal>) {
        self.counted(seen);
        let progress = progress(seen, held);
        let summary = counted_text(seen);
        self.set(ConditionType::Progressing, progress.clone());
        self.paused(seen, held);
        let campaign = &seen.campaign;
        match campaign.course.state {
            CampaignState::Succeeded => self.succeeded(seen, &summary),
            CampaignState::Aborted if failed_by_itself(seen) => {
                self.ended(Reason::FailureThresholdExceeded, &stopped_text(seen));
            }
            CampaignState::Aborted => self.ended(Reason::Aborted, "it was aborted"),
            CampaignState::Aborting => self.aborting(seen, &progress.2),
            CampaignState::DeadlineExceeded => {
                let message = "not every device had a result by spec.schedule.deadlineSeconds";
                self.ended(Reason::ProgressDeadlineExceeded, message);
            }
            _ => self.going(seen, held, progress, &summary),
        }
        if let Some(refusal) = change {
            let Refusal { reason, message } = refusal.clone();
            self.set(ConditionType::Accepted, (False, reason, message));
            let message = "a change of the spec is not in force: see Accepted";
            self.verdict(&Verdict::Stuck, Reason::NotAccepted, message);
        }
    }

    /// What comes of it is known, though its last devices have not come to their end.
    fn aborting(&mut self, seen: &Seen, text: &str) {
        let reason = if failed_by_itself(seen) {
            Reason::FailureThresholdExceeded
        } else {
            Reason::Aborted
        };
        self.set(ConditionType::Succeeded, (False, reason, text.to_owned()));
        self.verdict(&Verdict::Going, reason, text);
    }

    fn going(&mut self, seen: &Seen, held: Held, (_, why, text): Says, summary: &str) {
        let running = (Unknown, Reason::Running, summary.to_owned());
        self.set(ConditionType::Succeeded, running);
        let (verdict, reason) = match (seen.campaign.course.state, held) {
            (CampaignState::Paused(_), Held::No) if is_stopped(seen) => {
                (Verdict::Stuck, stop_reason(seen))
            }
            (CampaignState::Paused(_), _) | (_, Held::ByUser | Held::ByImage) => {
                (Verdict::Going, Reason::Suspended)
            }
            _ if why == Reason::AwaitingApproval => (Verdict::Going, why),
            _ => (Verdict::Going, Reason::Running),
        };
        self.verdict(&verdict, reason, &text);
    }

    fn succeeded(&mut self, seen: &Seen, summary: &str) {
        let campaign = &seen.campaign;
        let complete = (True, Reason::Complete, summary.to_owned());
        self.set(ConditionType::Succeeded, complete);
        let is_snapshot = campaign.plan.membership != Membership::Dynamic;
        if campaign.course.members == 0 && is_snapshot {
            let message = "no device of the namespace was selected when it began; make another \
                           FirmwareRollout";
            let empty = (False, Reason::SelectorEmpty, message.to_owned());
            self.set(ConditionType::Accepted, empty);
            return self.verdict(&Verdict::Stuck, Reason::SelectorEmpty, message);
        }
        self.verdict(&Verdict::Ready, Reason::Complete, summary);
    }

    fn paused(&mut self, seen: &Seen, held: Held) {
        let state = seen.campaign.course.state;
        let is_ending = state.is_final() || state == CampaignState::Aborting;
        let says = match held {
            _ if is_ending => return self.not_paused(),
            Held::ByUser => (True, Reason::UserPaused, "spec.paused is true".to_owned()),
            Held::ByImage => (True, Reason::Yanked, yanked_text()),
            Held::No if is_stopped(seen) => (True, stop_reason(seen), stopped_text(seen)),
            Held::No => return self.not_paused(),
        };
        self.set(ConditionType::Paused, says);
    }

    fn counted(&mut self, seen: &Seen) {
        let campaign = &seen.campaign;
        let status = &mut self.status;
        status.ledger = Some(Ledger {
            id: campaign.name.clone(),
            revision: None,
        });
        if campaign.course.state == CampaignState::Enrolling {
            return;
        }
        let made = status
            .membership
            .as_ref()
            .map(|known| known.resolved_time.clone());
        let made = made.or_else(|| counts::time(campaign.created_at));
        status.membership = made.map(|resolved_time| RolloutMembership {
            snapshot_id: campaign.id.to_string(),
            devices: i64::try_from(campaign.course.members).unwrap_or(i64::MAX),
            resolved_time,
        });
        status.current_wave = current(seen).map(|(name, _)| name.to_owned());
        status.waves = counts::waves(seen);
        status.counts = Some(counts::all(&seen.counts));
        status.failure_reasons = counts::failure_reasons(&seen.failures);
        status.failure_samples = counts::failure_samples(&seen.samples);
    }

    /// Whether devices are still going back, after a wave that failed.
    pub(super) fn goes_back(
        &mut self,
        rollout: &FirmwareRollout,
        seen: &Seen,
        way_back: Option<&Seen>,
    ) -> bool {
        let is_asked = rollout.spec.on_failure == FailureAction::Rollback;
        let is_over = seen.campaign.course.state == CampaignState::Aborted;
        if !(is_asked && is_over && failed_by_itself(seen)) {
            self.conditions.remove(ConditionType::RolledBack);
            return false;
        }
        let state = way_back.map(|back| back.campaign.course.state);
        let counted = way_back.map(counted_text);
        let message =
            counted.unwrap_or_else(|| "the campaign that goes back is awaited".to_owned());
        let (status, reason) = match state {
            Some(CampaignState::Succeeded) => (True, Reason::Complete),
            Some(CampaignState::Aborted) => (False, Reason::Aborted),
            Some(CampaignState::DeadlineExceeded) => (False, Reason::ProgressDeadlineExceeded),
            Some(CampaignState::Paused(_)) => (False, Reason::FailureThresholdExceeded),
            _ => (False, Reason::Running),
        };
        self.set(ConditionType::RolledBack, (status, reason, message));
        reason == Reason::Running
    }
}

/// What `Progressing` says.
fn progress(seen: &Seen, held: Held) -> Says {
    let summary = counted_text(seen);
    match (seen.campaign.course.state, held) {
        (CampaignState::Succeeded, _) => (False, Reason::Complete, summary),
        (CampaignState::Aborted, _) => (False, Reason::Aborted, summary),
        (CampaignState::DeadlineExceeded, _) => (False, Reason::ProgressDeadlineExceeded, summary),
        (CampaignState::Aborting, _) => {
            let message = "aborted: devices that have begun come to their end".to_owned();
            (True, Reason::Aborted, message)
        }
        (_, Held::ByUser) => (False, Reason::UserPaused, "spec.paused is true".to_owned()),
        (_, Held::ByImage) => (False, Reason::Yanked, yanked_text()),
        (CampaignState::Paused(_), Held::No) if is_stopped(seen) => {
            (False, stop_reason(seen), stopped_text(seen))
        }
        (CampaignState::Enrolling, _) => {
            let message = "every device is asked whether it takes part".to_owned();
            (True, Reason::Evaluating, message)
        }
        (CampaignState::Running | CampaignState::Paused(_), _) => running(seen, summary),
    }
}

fn running(seen: &Seen, summary: String) -> Says {
    let (name, state) = current(seen).unwrap_or(("", WaveState::Pending));
    match state {
        WaveState::AwaitingApproval => {
            let message = format!(
                "the wave {name} is good; what comes after it begins with spec.approvedThrough: {name}"
            );
            (False, Reason::AwaitingApproval, message)
        }
        WaveState::Soaking { until } => {
            let until = counts::time(until).map(|time| time.0.to_string());
            let message = format!(
                "the wave {name} is being watched until {}",
                until.unwrap_or_default()
            );
            (True, Reason::Soaking, message)
        }
        _ => match seen.window.and_then(counts::time) {
            Some(begins) => {
                let message = format!("no window is open; the next one begins at {}", begins.0);
                (False, Reason::OutsideWindow, message)
            }
            None => (True, Reason::WaveRunning, format!("wave {name}: {summary}")),
        },
    }
}

/// The wave that is running or waited for; of a campaign at its end the last one that began.
fn current(seen: &Seen) -> Option<(&str, WaveState)> {
    let campaign = &seen.campaign;
    let waves = campaign.plan.waves.iter().zip(&campaign.course.waves);
    let waves = waves.map(|(wave, course)| (wave.name.as_str(), course.state));
    let is_open = |state: WaveState| {
        !matches!(
            state,
            WaveState::Succeeded | WaveState::Failed | WaveState::Skipped
        )
    };
    let has_begun = |state: WaveState| !matches!(state, WaveState::Pending | WaveState::Skipped);
    let last = || waves.clone().rfind(|(_, state)| has_begun(*state));
    if campaign.course.state.is_final() || is_stopped(seen) {
        return last();
    }
    let mut open = waves.clone().filter(|(_, state)| is_open(*state));
    open.next().or_else(last)
}

/// Whether it stopped by itself.
const fn is_stopped(seen: &Seen) -> bool {
    seen.campaign.course.state.has_stopped()
}

/// What stopped it.
const fn stop_reason(seen: &Seen) -> Reason {
    match seen.campaign.course.state {
        CampaignState::Paused(PauseReason::Unreachable) => Reason::FleetUnhealthy,
        _ => Reason::FailureThresholdExceeded,
    }
}

/// Whether a wave was bad, and nobody asked for the end. Of an abort, a wave that was stopped by it is `Failed` as well.
fn failed_by_itself(seen: &Seen) -> bool {
    let mut waves = seen.campaign.course.waves.iter();
    !seen.campaign.control.aborted && waves.any(|wave| wave.state == WaveState::Failed)
}

fn stopped_text(seen: &Seen) -> String {
    let waves = seen
        .campaign
        .plan
        .waves
        .iter()
        .zip(&seen.campaign.course.waves);
    let mut failed = waves.filter(|(_, course)| course.state == WaveState::Failed);
    let name = match stop_reason(seen) {
        Reason::FleetUnhealthy => current(seen).map_or("", |(name, _)| name),
        _ => failed
            .next_back()
            .map_or("", |(wave, _)| wave.name.as_str()),
    };
    let reason = match seen.reason.as_str() {
        "" => "too many devices failed, or too few succeeded",
        told => told,
    };
    let message = format!("wave {name}: {reason}: {}", counted_text(seen));
    if is_stopped(seen) {
        let how = "it goes on once spec.paused was set to true and then to false";
        return format!("{message}; {how}");
    }
    message
}

fn yanked_text() -> String {
    "the image is yanked or gone: no further device begins".to_owned()
}

fn counted_text(seen: &Seen) -> String {
    let counts = counts::all(&seen.counts);
    let mut message = format!("{} of {} devices succeeded", counts.succeeded, counts.total);
    for (count, what) in [
        (counts.failed, "failed"),
        (counts.expired, "expired"),
        (counts.skipped, "skipped"),
        (counts.cancelled, "cancelled"),
    ] {
        if count > 0 {
            message = format!("{message}, {count} {what}");
        }
    }
    message
}
