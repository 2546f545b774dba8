//! The conditions of an object in the making.

use crd::condition::{ConditionRow, set_condition};
use crd::{ConditionStatus, ConditionType, Observation, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Starts as what the object has, ends as what it should have.
pub(crate) struct Conditions<'a> {
    generation: i64,
    now: &'a Time,
    list: Vec<Condition>,
}

impl<'a> Conditions<'a> {
    /// `known` are those of the object; conditions that other controllers have set are not ours to repeat. What is planned is
    /// not paused.
    pub(crate) fn new(
        known: Vec<Condition>,
        rows: &[ConditionRow],
        generation: i64,
        now: &'a Time,
    ) -> Self {
        let mut conditions = Self::as_known(known, rows, generation, now);
        if conditions.list.iter().any(is_brake) {
            let (is_not, why) = (ConditionStatus::False, Reason::NotPaused);
            conditions.set(ConditionType::Paused, is_not, why, "nothing holds it");
        }
        conditions
    }

    /// The same, of an object for which nothing is planned.
    pub(crate) fn as_known(
        known: Vec<Condition>,
        rows: &[ConditionRow],
        generation: i64,
        now: &'a Time,
    ) -> Self {
        let mut list = known;
        retain_own(&mut list, rows);
        Self {
            generation,
            now,
            list,
        }
    }

    pub(crate) fn set(
        &mut self,
        condition: ConditionType,
        status: ConditionStatus,
        reason: Reason,
        message: impl Into<String>,
    ) {
        let observation = Observation {
            condition,
            status,
            reason,
            message: message.into(),
        };
        set_condition(&mut self.list, observation, self.generation, self.now);
    }

    /// Leaves a condition out that says nothing any more.
    pub(crate) fn remove(&mut self, condition: ConditionType) {
        self.list.retain(|one| one.type_ != condition.as_str());
    }

    /// The status of a condition.
    pub(crate) fn get(&self, condition: ConditionType) -> Option<&str> {
        let mut list = self.list.iter();
        let found = list.find(|one| one.type_ == condition.as_str())?;
        Some(&found.status)
    }

    pub(crate) fn finish(self) -> Vec<Condition> {
        self.list
    }
}

/// Whether a condition says that an annotation holds the object.
fn is_brake(one: &Condition) -> bool {
    let reasons = [Reason::PausedByAnnotation, Reason::PausedByNamespace];
    one.type_ == ConditionType::Paused.as_str()
        && reasons.iter().any(|reason| reason.as_str() == one.reason)
}

/// Leaves those of a kind, which are the ones of its controller.
fn retain_own(list: &mut Vec<Condition>, rows: &[ConditionRow]) {
    list.retain(|one| rows.iter().any(|(own, _)| own.as_str() == one.type_));
}

/// Whether a status is another one than the object has. Conditions that other controllers have set do not count;
/// `conditions` says where they are.
pub(crate) fn differs<S: Clone + PartialEq>(
    known: Option<&S>,
    wanted: &S,
    rows: &[ConditionRow],
    conditions: fn(&mut S) -> &mut Vec<Condition>,
) -> bool {
    known.is_none_or(|known| {
        let mut known = known.clone();
        retain_own(conditions(&mut known), rows);
        known != *wanted
    })
}

/// Whether a condition, as it was written, is one that its kind is said to have.
#[cfg(test)]
pub(crate) fn documented(rows: &[ConditionRow], one: &Condition) {
    let row = rows.iter().find(|(kind, _)| kind.as_str() == one.type_);
    let reasons = row.map_or(&[][..], |(_, reasons)| reasons);
    let is_known = reasons.iter().any(|reason| reason.as_str() == one.reason);
    assert!(is_known, "{}: {}", one.type_, one.reason);
}
