//! How long something of what an object asks for is outstanding, and whether that is too long.
//!
//! It begins when values of a generation are first seen not to be written, and ends when all of them are. It stands in the
//! status, which outlives the operator. A deadline that is over changes nothing of what is desired: it is told.

use std::time::Duration;

use crd::{ConditionStatus, ConditionType, Device, Outstanding, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use lwm2m::Path;

use super::accept::Accepted;
use super::status::Report;
use super::{Observed, StoredResource, StoredState};

/// No more paths are named in one message.
const MAX_PATHS: usize = 4;

impl Report<'_> {
    /// Tells whether what is outstanding is so for too long, and returns how long it may be so still, if somebody has said.
    pub(super) fn delivered(
        &mut self,
        device: &Device,
        observed: &Observed,
        accepted: &Accepted,
    ) -> Option<Duration> {
        let paths = outstanding(observed, accepted);
        let since = self.outstanding_since(&paths)?;
        let deadline = device.spec.delivery?.deadline_seconds?;
        let end = since.0.as_second().saturating_add(deadline);
        let left = u64::try_from(end.saturating_sub(self.now().0.as_second())).unwrap_or_default();
        if left > 0 {
            return Some(Duration::from_secs(left));
        }
        let message = format!(
            "not written in {deadline} s (spec.delivery.deadlineSeconds): {}, outstanding since {}; they stay desired",
            named(&paths),
            since.0
        );
        let (is_not, why) = (ConditionStatus::False, Reason::DeadlineExceeded);
        self.set(ConditionType::Ready, is_not, why, message);
        None
    }

    /// Since when it is so; kept for as long as it is the same generation.
    fn outstanding_since(&mut self, paths: &[Path]) -> Option<Time> {
        let now = self.now().clone();
        let status = self.status_mut();
        let before = status.outstanding.take();
        let generation = status.desired_generation.filter(|_| !paths.is_empty())?;
        let same = before.filter(|before| before.generation == generation);
        let outstanding = same.unwrap_or(Outstanding {
            generation,
            since_time: now,
        });
        let since = outstanding.since_time.clone();
        status.outstanding = Some(outstanding);
        Some(since)
    }
}

/// What is not written yet, or was refused.
fn outstanding(observed: &Observed, accepted: &Accepted) -> Vec<Path> {
    let is_written = |path: Path, text: &str| {
        let is_this = |stored: &&StoredResource| stored.path == path && stored.text == text;
        let stored = observed.desired.iter().find(is_this);
        // One that drifted was written before.
        let written = [StoredState::InSync, StoredState::Drifted];
        stored.is_some_and(|stored| written.contains(&stored.state))
    };
    let wanted = accepted.resources.iter();
    wanted
        .filter(|one| !is_written(one.path, &one.goal.to_text()))
        .map(|one| one.path)
        .collect()
}

fn named(paths: &[Path]) -> String {
    let first = paths.iter().take(MAX_PATHS).map(ToString::to_string);
    let first = first.collect::<Vec<_>>().join(", ");
    match paths.len().saturating_sub(MAX_PATHS) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
