//! The status that follows from an observation.

use crd::{ConditionStatus, ConditionType, EnrollmentPolicy, EnrollmentPolicyStatus, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Counts;
use crate::Refusal;
use crate::conditions::Conditions;

use ConditionStatus::{False, True};
use ConditionType::{Accepted, Ready};

/// A status in the making.
pub(super) struct Report<'a> {
    generation: i64,
    conditions: Conditions<'a>,
}

impl<'a> Report<'a> {
    pub(super) fn new(policy: &EnrollmentPolicy, now: &'a Time) -> Self {
        let generation = policy.metadata.generation.unwrap_or(1);
        let known = policy.status.as_ref();
        let known = known.map_or_else(Vec::new, |status| status.conditions.clone());
        Self {
            generation,
            conditions: Conditions::new(known, EnrollmentPolicy::CONDITIONS, generation, now),
        }
    }

    /// The state tier decides by it.
    pub(super) fn in_force(mut self, counts: Counts, most: Option<u64>) -> EnrollmentPolicyStatus {
        self.accept();
        let devices = counts.registered.devices();
        match most.filter(|most| devices >= *most) {
            None => {
                let message = "the state tier decides by it";
                self.conditions.set(Ready, True, Reason::InForce, message);
            }
            Some(most) => {
                let message = format!(
                    "{devices} devices are registered, and no more than {most} may be: further ones are refused"
                );
                self.conditions
                    .set(Ready, False, Reason::QuotaExceeded, &message);
            }
        }
        EnrollmentPolicyStatus {
            admitted: Some(number(counts.registered.admitted)),
            quarantined: Some(number(counts.registered.quarantined)),
            denied: Some(number(counts.denied)),
            ..self.finish()
        }
    }

    /// It is about to be put.
    pub(super) fn applying(mut self) -> EnrollmentPolicyStatus {
        self.accept();
        let message = "it is being put into the state tier";
        self.conditions.set(Ready, False, Reason::Applying, message);
        self.finish()
    }

    pub(super) fn refused(mut self, refusal: &Refusal) -> EnrollmentPolicyStatus {
        let (reason, message) = (refusal.reason, refusal.message.as_str());
        self.conditions.set(Accepted, False, reason, message);
        let message = "not accepted: see Accepted; what was put there before still holds";
        self.conditions
            .set(Ready, False, Reason::NotAccepted, message);
        self.finish()
    }

    fn accept(&mut self) {
        let message = "the spec is in force";
        self.conditions
            .set(Accepted, True, Reason::Accepted, message);
    }

    fn finish(self) -> EnrollmentPolicyStatus {
        EnrollmentPolicyStatus {
            observed_generation: Some(self.generation),
            conditions: self.conditions.finish(),
            ..EnrollmentPolicyStatus::default()
        }
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
