//! Which devices were asked, and what became of them: what a status keeps, as what is decided upon.

use crd::DeviceOperationStatus;
use crd::device_operation::{DeviceUnderWay, OperationCounts, OperationProgress};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Starts as what the object has, ends as what it should have.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ledger {
    /// When the first device was entered. All other times are seconds after it.
    pub(super) start: Time,
    /// Which devices are meant.
    pub(super) filter: String,
    /// Everybody up to this one was entered.
    pub(super) mark: String,
    /// Those that are not through, in the order in which they were entered.
    pub(super) entries: Vec<Entry>,
    pub(super) ends: Ends,
    /// Members that come after the mark, as far as the status knows.
    pub(super) rest: usize,
    /// Whether a status says all this already.
    pub(super) is_begun: bool,
}

/// A device that is not through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) endpoint: String,
    /// How often it did not answer, or had no room for another operation.
    pub(super) attempts: i32,
    pub(super) state: State,
    /// Whether it was just seen to wait for its device to listen.
    pub(super) waits: bool,
}

/// How far a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It surely was not asked.
    Planned,
    /// It may have been asked since.
    Asked { at: i64 },
    /// The state tier has its operation.
    Taken { at: i64, id: String },
}

/// How many devices ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) succeeded: i64,
    pub(super) failed: i64,
    pub(super) expired: i64,
    /// Of those that failed: of how many nobody knows.
    pub(super) unknown: i64,
}

impl Ends {
    pub(super) const fn sum(self) -> i64 {
        self.succeeded + self.failed + self.expired
    }
}

impl Ledger {
    /// Nobody was asked.
    pub(super) fn new(filter: String, now: &Time) -> Self {
        Self {
            start: now.clone(),
            filter,
            mark: String::new(),
            entries: Vec::new(),
            ends: Ends::default(),
            rest: 0,
            is_begun: false,
        }
    }

    /// What a status keeps; `None` if it has lost it.
    pub(super) fn of(status: &DeviceOperationStatus, start: &Time) -> Option<Self> {
        let progress = status.progress.as_ref()?;
        let counts = status.counts?;
        let ends = Ends {
            succeeded: counts.succeeded,
            failed: counts.failed,
            expired: counts.expired,
            unknown: progress.unknown,
        };
        let entries: Vec<Entry> = progress.under_way.iter().map(Entry::of).collect();
        let dealt_with = ends.sum() + count(entries.len());
        Some(Self {
            start: start.clone(),
            filter: progress.filter.clone(),
            mark: progress.asked_through.clone(),
            entries,
            ends,
            rest: usize::try_from(counts.total - dealt_with).unwrap_or(0),
            is_begun: true,
        })
    }

    pub(super) fn progress(&self) -> OperationProgress {
        OperationProgress {
            filter: self.filter.clone(),
            asked_through: self.mark.clone(),
            under_way: self.entries.iter().map(Entry::told).collect(),
            unknown: self.ends.unknown,
        }
    }

    /// Each device in one state.
    pub(super) fn counts(&self, now: i64) -> OperationCounts {
        let active = self.entries.iter().filter(|one| one.is_busy(now)).count();
        OperationCounts {
            total: self.ends.sum() + count(self.entries.len() + self.rest),
            pending: count(self.entries.len() - active + self.rest),
            active: count(active),
            succeeded: self.ends.succeeded,
            failed: self.ends.failed,
            expired: self.ends.expired,
        }
    }

    /// Whether everybody is through.
    pub(super) const fn is_over(&self) -> bool {
        self.entries.is_empty() && self.rest == 0
    }
}

impl Entry {
    fn of(told: &DeviceUnderWay) -> Self {
        let at = told.asked.unwrap_or_default();
        Self {
            endpoint: told.endpoint_name.clone(),
            attempts: told.attempts,
            state: match (&told.id, told.asked) {
                (Some(id), _) => State::Taken { at, id: id.clone() },
                (None, Some(at)) => State::Asked { at },
                (None, None) => State::Planned,
            },
            waits: false,
        }
    }

    fn told(&self) -> DeviceUnderWay {
        let (asked, id) = match &self.state {
            State::Planned => (None, None),
            State::Asked { at } => (Some(*at), None),
            State::Taken { at, id } => (Some(*at), Some(id.clone())),
        };
        DeviceUnderWay {
            endpoint_name: self.endpoint.clone(),
            asked,
            id,
            attempts: self.attempts,
        }
    }

    /// Since when it may have been asked.
    pub(super) const fn asked(&self) -> Option<i64> {
        match &self.state {
            State::Planned => None,
            State::Asked { at } | State::Taken { at, .. } => Some(*at),
        }
    }

    /// Whether it counts among those that are asked at the same time.
    pub(super) fn is_busy(&self, now: i64) -> bool {
        let lasts = |at: i64| !self.waits || now - at < super::GRACE;
        self.asked().is_some_and(lasts)
    }
}

pub(super) fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
