//! Enrollment policies: rows of shard 0. In every shard: who is registered by which, and how many there are.

use super::Change;
use crate::command::{Outcome, Rejection};
use crate::enrollment::{Enrollment, EnrollmentPolicy};
use crate::event::Event;
use crate::label::Metadata;
use crate::name::{DeviceName, Namespace};
use crate::query;
use crate::table::{Row, RowKey};

impl Change<'_> {
    /// Adds a policy or replaces the one of its name. Who is registered already stays so until its next message.
    pub(super) fn put_enrollment_policy(
        &mut self,
        policy: &EnrollmentPolicy,
    ) -> Result<Outcome, Rejection> {
        let others = query::enrollment_policies(self.tables, &policy.namespace);
        let known = others.iter().any(|other| other.name == policy.name);
        if !known && others.len() >= EnrollmentPolicy::MAX_POLICIES {
            return Err(Rejection::TooManyEnrollmentPolicies);
        }
        self.tables
            .put(Row::EnrollmentPolicy(Box::new(policy.clone())));
        Ok(Outcome::Done)
    }

    pub(super) fn remove_enrollment_policy(
        &mut self,
        namespace: &Namespace,
        name: &str,
    ) -> Result<Outcome, Rejection> {
        query::enrollment_policy(self.tables, namespace, name)
            .ok_or(Rejection::UnknownEnrollmentPolicy)?;
        self.tables
            .delete(&RowKey::EnrollmentPolicy(namespace.qualify(name)));
        Ok(Outcome::Done)
    }

    /// Counts a device out of the policy that it was registered by, and into the one that it is registered by now.
    pub(super) fn count_enrollment(
        &mut self,
        endpoint: &DeviceName,
        before: Option<&Enrollment>,
        after: Option<&Enrollment>,
    ) {
        let place = |enrollment: &Enrollment| (enrollment.policy.clone(), enrollment.standing);
        if before.map(place) == after.map(place) {
            return;
        }
        if let Some(before) = before {
            self.counters.enrolled = self.counters.enrolled.saturating_sub(1);
            self.change_enrollment_tally(endpoint, before, |devices| devices.saturating_sub(1));
        }
        if let Some(after) = after {
            self.counters.enrolled += 1;
            self.change_enrollment_tally(endpoint, after, |devices| devices + 1);
        }
    }

    fn change_enrollment_tally(
        &mut self,
        endpoint: &DeviceName,
        enrollment: &Enrollment,
        change: impl Fn(u64) -> u64,
    ) {
        let namespace = endpoint.namespace();
        let mut tally = query::enrollment_tally(self.tables, &namespace, &enrollment.policy);
        let devices = tally.of(enrollment.standing);
        *devices = change(*devices);
        if tally.devices() == 0 {
            let key = namespace.qualify(&enrollment.policy);
            self.tables.delete(&RowKey::EnrollmentTally(key));
        } else {
            self.tables.put(Row::EnrollmentTally {
                namespace,
                policy: enrollment.policy.clone(),
                tally,
            });
        }
    }

    /// Gives a device the labels of its policy, but for those that it has already, as far as there is room.
    pub(super) fn label_enrolled(&mut self, endpoint: &DeviceName, enrollment: &Enrollment) {
        if enrollment.labels.is_empty() {
            return;
        }
        let stored = query::metadata(self.tables, endpoint);
        let before = stored.unwrap_or_else(|| Metadata::none(endpoint.clone()));
        let mut after = before.clone();
        for (key, value) in &enrollment.labels {
            let entry = after.labels.entry(key.clone());
            entry.or_insert_with(|| value.clone());
        }
        if after == before || after.fits().is_err() {
            return;
        }
        self.put_metadata(&before, after.clone());
        self.emit(endpoint, Event::MetadataChanged { metadata: after });
    }
}
