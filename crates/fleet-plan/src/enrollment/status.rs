//! The status that follows from an observation.

use crd::{ConditionStatus, ConditionType, EnrollmentPolicy, EnrollmentPolicyStatus, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Counts;
use super::materialize::{Materialized, most_objects};
use crate::Refusal;
use crate::conditions::Conditions;

use ConditionStatus::{False, True};
use ConditionType::{Accepted, Degraded, Ready};

/// A status in the making.
pub(super) struct Report<'a> {
    generation: i64,
    conditions: Conditions<'a>,
    /// Of the policy, if it makes some.
    objects: Option<i64>,
}

impl<'a> Report<'a> {
    pub(super) fn new(policy: &EnrollmentPolicy, now: &'a Time) -> Self {
        let generation = policy.metadata.generation.unwrap_or(1);
        let known = policy.status.as_ref();
        let objects = known.and_then(|status| status.objects);
        let known = known.map_or_else(Vec::new, |status| status.conditions.clone());
        let mut conditions = Conditions::new(known, EnrollmentPolicy::CONDITIONS, generation, now);
        let makes_objects = most_objects(policy).is_some();
        if !makes_objects {
            conditions.remove(Degraded);
        }
        Self {
            generation,
            conditions,
            objects: objects.filter(|_| makes_objects),
        }
    }

    /// The state tier decides by it. What is known of its objects stays told if nothing else is.
    pub(super) fn in_force(
        mut self,
        counts: Counts,
        most: Option<u64>,
        materialized: Option<&Materialized>,
    ) -> EnrollmentPolicyStatus {
        self.accept();
        if let Some(made) = materialized {
            self.tell_of_objects(made);
        }
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

    fn tell_of_objects(&mut self, made: &Materialized) {
        self.objects = Some(i64::try_from(made.objects).unwrap_or(i64::MAX));
        let (status, reason, message) = match &made.refused {
            Some(refused) => {
                let message = format!(
                    "{} Device objects could not be made, the first because {}",
                    refused.objects, refused.first
                );
                (True, Reason::ObjectsRefused, message)
            }
            None if made.is_full => {
                let message = format!(
                    "there are {} Device objects with its label, and it makes no more than spec.maximumObjects: further devices \
                     have none",
                    made.objects
                );
                (True, Reason::QuotaExceeded, message)
            }
            None => {
                let message = "devices get objects when they register";
                (False, Reason::AsExpected, message.to_owned())
            }
        };
        self.conditions.set(Degraded, status, reason, &message);
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
            objects: self.objects,
            conditions: self.conditions.finish(),
            ..EnrollmentPolicyStatus::default()
        }
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
