//! `ObserveOnly`: what the device reported, compared with what the spec has.

use crd::{ConditionStatus, Drift, Reason, ResourceState};
use device_state::Presence;

use super::accept::Accepted;
use super::status::Report;
use super::{Observed, WantedResource};

impl Report<'_> {
    pub(super) fn observed_only(&mut self, observed: &Observed, accepted: &Accepted) {
        let mut drift = Drift::default();
        for wanted in &accepted.resources {
            drift.desired += 1;
            match reported(observed, wanted) {
                Some(text) if text == wanted.goal.to_text() => drift.in_sync += 1,
                Some(_) => {
                    drift.drifted += 1;
                    self.drifted(observed, wanted);
                }
                None => {
                    drift.pending += 1;
                    self.list(wanted.path, ResourceState::NotReported);
                }
            }
        }
        let synced = if drift.drifted > 0 {
            (ConditionStatus::False, Reason::Drifted)
        } else if drift.pending > 0 {
            (ConditionStatus::Unknown, Reason::NotReported)
        } else {
            (ConditionStatus::True, Reason::InSync)
        };
        self.compared(drift, synced, observed.registration.is_some());
        self.hindered(observed, accepted);
    }
}

/// What the device says of it: a value, or whether it is among the instances that it registered with.
fn reported<'o>(observed: &'o Observed, wanted: &WantedResource) -> Option<&'o str> {
    if wanted.goal.presence().is_none() {
        let mut values = observed.values.iter();
        let reported = values.find(|reported| reported.path == wanted.path);
        return reported.map(|reported| reported.text.as_str());
    }
    observed.registration.as_ref()?;
    let is_there = observed.instances.contains(&wanted.path);
    let presence = if is_there {
        Presence::Present
    } else {
        Presence::Absent
    };
    Some(presence.name())
}
