//! `ObserveOnly`: what the device reported, compared with what the spec has.

use crd::{ConditionStatus, Drift, Reason, ResourceState};
use lwm2m::{Path, Value};

use super::Observed;
use super::status::{Report, cut};

/// A longer reported value is cut.
const MAX_VALUE_BYTES: usize = 128;

impl Report<'_> {
    pub(super) fn observed_only(&mut self, observed: &Observed, wanted: &[(Path, Value)]) {
        let mut drift = Drift::default();
        for (path, value) in wanted {
            drift.desired += 1;
            let reported = observed
                .values
                .iter()
                .find(|reported| reported.path == *path);
            match reported.map(|reported| reported.text.as_str()) {
                Some(text) if text == value.to_text() => drift.in_sync += 1,
                Some(text) => {
                    drift.drifted += 1;
                    if let Some(listed) = self.list(*path, ResourceState::Drifted) {
                        listed.observed_value = Some(cut(text, MAX_VALUE_BYTES).to_owned());
                    }
                }
                None => {
                    drift.pending += 1;
                    self.list(*path, ResourceState::NotReported);
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
    }
}
