//! `ObserveOnly`: what the device reported, compared with what the spec has.

use crd::{ConditionStatus, Drift, Reason, ResourceState};

use super::Observed;
use super::accept::Accepted;
use super::status::Report;

impl Report<'_> {
    pub(super) fn observed_only(&mut self, observed: &Observed, accepted: &Accepted) {
        let mut drift = Drift::default();
        for wanted in &accepted.resources {
            drift.desired += 1;
            let reported = observed
                .values
                .iter()
                .find(|reported| reported.path == wanted.path);
            match reported.map(|reported| reported.text.as_str()) {
                Some(text) if text == wanted.value.to_text() => drift.in_sync += 1,
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
