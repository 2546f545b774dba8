//! The status that follows from an observation.

use crd::device_profile::{ProfileConflict, ProfileCounts};
use crd::failure_sample::FailureSample;
use crd::{ConditionStatus, ConditionType, DeviceProfile, DeviceProfileStatus, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Counts, Hold, Rejected, Stored};
use crate::Refusal;
use crate::conditions::Conditions;
use crate::text::{cut, non_empty, word};

use ConditionStatus::{False, True, Unknown};
use ConditionType::{Accepted, Degraded, Paused, Progressing, Ready};

/// Conflicts that a status lists.
const MAX_CONFLICTS: usize = 10;
/// A longer message is cut.
const MAX_MESSAGE: usize = 256;
/// What a rollout that stopped by itself says.
const TOO_MANY: &str = "as many devices as spec.rollout.failureThreshold says have refused something; change the spec to begin anew";

/// A condition that is to be.
type Says = (ConditionStatus, Reason, String);

/// A status in the making.
pub(super) struct Report<'a> {
    generation: i64,
    conditions: Conditions<'a>,
}

impl<'a> Report<'a> {
    pub(super) fn new(profile: &DeviceProfile, now: &'a Time) -> Self {
        let generation = profile.metadata.generation.unwrap_or(1);
        let known = profile.status.as_ref();
        let known = known.map_or_else(Vec::new, |status| status.conditions.clone());
        Self {
            generation,
            conditions: Conditions::new(known, DeviceProfile::CONDITIONS, generation, now),
        }
    }

    fn set(&mut self, condition: ConditionType, (status, reason, message): Says) {
        self.conditions.set(condition, status, reason, message);
    }

    fn accepted(&mut self) {
        let message = "the spec is in force".to_owned();
        self.set(Accepted, (True, Reason::Accepted, message));
    }

    fn paused(&mut self, profile: &DeviceProfile, hold: Option<Hold>) {
        self.set(
            Paused,
            if profile.spec.paused {
                (True, Reason::UserPaused, "spec.paused is true".to_owned())
            } else if hold == Some(Hold::Failures) {
                (True, Reason::FailureThresholdExceeded, TOO_MANY.to_owned())
            } else {
                (False, Reason::NotPaused, "nothing holds it".to_owned())
            },
        );
    }

    /// The profile is about to be put.
    pub(super) fn begins(mut self, profile: &DeviceProfile) -> DeviceProfileStatus {
        self.accepted();
        let message = || "the profile is being put".to_owned();
        self.set(Progressing, (True, Reason::Applying, message()));
        self.set(Degraded, (False, Reason::AsExpected, message()));
        self.paused(profile, None);
        self.set(Ready, (False, Reason::Applying, message()));
        self.finish()
    }

    /// The state tier holds what the spec says.
    pub(super) fn follows(
        mut self,
        profile: &DeviceProfile,
        stored: &Stored,
        rejected: &[Rejected],
    ) -> DeviceProfileStatus {
        self.accepted();
        let text = counted(&stored.counts);
        let Counts {
            waiting,
            pending,
            unregistered,
            ..
        } = stored.counts;
        let goes_on = !stored.applied || waiting + pending + unregistered > 0;
        let held = goes_on && profile.spec.paused;
        self.set(
            Progressing,
            match (goes_on, held, stored.hold) {
                (_, true, _) => (
                    False,
                    Reason::Suspended,
                    format!("spec.paused is true: {text}"),
                ),
                (true, _, Some(Hold::Window)) => {
                    let message = format!("no window of spec.rollout is open: {text}");
                    (False, Reason::OutsideWindow, message)
                }
                (true, _, Some(Hold::Failures)) => {
                    let message = format!("{TOO_MANY}: {text}");
                    (False, Reason::FailureThresholdExceeded, message)
                }
                (true, ..) => (True, Reason::Applying, text.clone()),
                (false, ..) => (False, Reason::InSync, text.clone()),
            },
        );
        self.set(Degraded, degraded(stored, &text));
        self.paused(profile, stored.hold);
        self.set(Ready, ready(&stored.counts, goes_on, held, text));
        let samples = rejected.iter().take(FailureSample::MAX);
        let sample = |rejected: &Rejected| sample(profile, rejected);
        DeviceProfileStatus {
            counts: Some(counts(&stored.counts)),
            failure_samples: samples.map(sample).collect(),
            conflicts_with: conflicts(stored),
            state_revision: Some(stored.revision.to_string()),
            ..self.finish()
        }
    }

    /// The object selects nobody.
    pub(super) fn by_reference(mut self, profile: &DeviceProfile) -> DeviceProfileStatus {
        self.accepted();
        let message =
            || "it selects nobody: Devices have it that name it in profileRefs".to_owned();
        self.set(Progressing, (False, Reason::Accepted, message()));
        self.set(Degraded, (False, Reason::AsExpected, message()));
        self.paused(profile, None);
        self.set(Ready, (True, Reason::Accepted, message()));
        self.finish()
    }

    /// Nothing of this generation is in force.
    pub(super) fn refused(mut self, refusal: &Refusal) -> DeviceProfileStatus {
        let Refusal { reason, message } = refusal.clone();
        self.set(Accepted, (False, reason, message));
        let says = |status| {
            let message = "not accepted: see Accepted".to_owned();
            (status, Reason::NotAccepted, message)
        };
        self.set(Progressing, says(False));
        self.set(Degraded, says(Unknown));
        let message = "nothing holds it".to_owned();
        self.set(Paused, (False, Reason::NotPaused, message));
        self.set(Ready, says(False));
        self.finish()
    }

    fn finish(self) -> DeviceProfileStatus {
        DeviceProfileStatus {
            observed_generation: Some(self.generation),
            conditions: self.conditions.finish(),
            ..DeviceProfileStatus::default()
        }
    }
}

fn degraded(stored: &Stored, text: &str) -> Says {
    let counts = &stored.counts;
    // Of which path another profile counts for a device is not told; that it does for all of them is.
    let loses = stored.overlaps.iter().any(|overlap| overlap.wins) && counts.superseded > 0;
    if counts.rejected > 0 {
        (True, Reason::WriteRejected, text.to_owned())
    } else if counts.drifted > 0 {
        (True, Reason::Drifted, text.to_owned())
    } else if loses {
        (
            True,
            Reason::Conflicts,
            format!("{text}; see status.conflictsWith"),
        )
    } else {
        (
            False,
            Reason::AsExpected,
            "no device has refused anything".to_owned(),
        )
    }
}

fn ready(counts: &Counts, goes_on: bool, held: bool, text: String) -> Says {
    if counts.rejected > 0 {
        (False, Reason::WriteRejected, text)
    } else if held {
        (
            Unknown,
            Reason::Suspended,
            format!("spec.paused is true: {text}"),
        )
    } else if goes_on {
        (False, Reason::Applying, text)
    } else if counts.drifted > 0 {
        (False, Reason::Drifted, text)
    } else {
        (True, Reason::InSync, text)
    }
}

fn counted(counts: &Counts) -> String {
    let mut message = format!("{} of {} devices in sync", counts.in_sync, counts.matched);
    for (count, what) in [
        (counts.waiting, "waiting for their turn"),
        (counts.pending, "pending"),
        (counts.unregistered, "not registered"),
        (counts.rejected, "rejected"),
        (counts.drifted, "drifted"),
        (counts.unsupported, "unsupported"),
        (counts.superseded, "superseded"),
    ] {
        if count > 0 {
            message = format!("{message}, {count} {what}");
        }
    }
    message
}

fn counts(counts: &Counts) -> ProfileCounts {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    ProfileCounts {
        matched: number(counts.matched),
        in_sync: number(counts.in_sync),
        pending: number(counts.pending),
        drifted: number(counts.drifted),
        rejected: number(counts.rejected),
        unsupported: number(counts.unsupported),
        superseded: number(counts.superseded),
        waiting: number(counts.waiting),
        unregistered: number(counts.unregistered),
    }
}

fn sample(profile: &DeviceProfile, rejected: &Rejected) -> FailureSample {
    let mut resources = profile.spec.resources.iter();
    let is_secret = resources.any(|one| one.path == rejected.path && one.value_from.is_some());
    // A device may repeat what it was given.
    let diagnostic = if is_secret { "" } else { &rejected.diagnostic };
    let reason = match rejected.coap_code.as_str() {
        "" => word(diagnostic),
        code => word(&format!("refused with {code}")),
    };
    FailureSample {
        endpoint_name: rejected.endpoint.clone(),
        path: non_empty(&rejected.path),
        reason,
        coap_code: non_empty(&rejected.coap_code),
        message: non_empty(cut(diagnostic, MAX_MESSAGE)),
        time: rejected.since.clone(),
    }
}

fn conflicts(stored: &Stored) -> Vec<ProfileConflict> {
    let overlaps = stored.overlaps.iter().take(MAX_CONFLICTS);
    overlaps
        .map(|overlap| ProfileConflict {
            name: overlap.profile.clone(),
            path: overlap.path.clone(),
        })
        .collect()
}
