//! An operation on a set of devices: who is asked next, when it is over, and what the status says.
//!
//! ```text
//! open ─▶ Round ─ members, if some may not be asked yet
//!           │ visits: ask, follow, give up ─▶ the operator, which does them and notes what it has seen
//!           ▼
//!         finish ─▶ status: who ended, who is asked next ─▶ written, and only then the next round
//! ```
//!
//! 1. The members are listed in the order of the bytes of their endpoint names, and counted before anything is asked.
//!    The status has a mark up to which every member was dealt with, and by name those of them that are not through. The
//!    mark only moves on: nobody is entered twice.
//! 2. A device is entered with the time from which on it may have been asked, and is asked in the round after that status
//!    was written. So of each device that was asked the status, as it stands, says so, whatever ends the operator.
//! 3. The id of a request comes of the uid of the object, the device and how often the state tier had no room for it. The
//!    state tier takes it once for [`REMEMBERED`](super::REMEMBERED). What must not be done twice and has no id of an
//!    operation by then is not asked again: nobody knows what became of it.
//! 4. `unasked` are devices of which the one who asks knows that nobody has asked them since they were entered. It is not
//!    kept: without it nothing is done twice, but some of which it is not known were surely not asked.
//! 5. A device that sleeps holds its place among `parallelism` for [`GRACE`] seconds, and its room in the status for its
//!    share of the time while others wait for room. Then it is given up.

mod ledger;
mod outcome;
mod report;
mod room;
mod round;

use std::collections::BTreeSet;
use std::ops::Bound;

use crd::{DeviceGroup, DeviceOperation};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::compile::{Target, compile, target};
use super::{Ask, Deafness, Outcome, Plan, Request, passed};
use crate::selection::{ReadFilter, Selection};
use crate::{Refusal, text};

use ledger::Ledger;

/// No object asks more devices.
pub const MAX_DEVICES: usize = 10_000;

/// For how many seconds a device that sleeps counts among those that are asked.
pub const GRACE: i64 = 60;

/// The devices of a set, as far as they are to be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    names: BTreeSet<String>,
    are_too_many: bool,
}

impl Members {
    /// Adds a device. Of too many, those are kept that come first.
    pub fn add(&mut self, endpoint: String) {
        self.names.insert(endpoint);
        if self.names.len() > MAX_DEVICES {
            self.names.pop_last();
            self.are_too_many = true;
        }
    }

    /// Whether there are more than one object may ask.
    pub const fn are_too_many(&self) -> bool {
        self.are_too_many
    }

    /// Those that come after `mark`.
    fn after<'a>(&'a self, mark: &'a str) -> impl Iterator<Item = &'a String> {
        // No endpoint name is empty.
        self.names
            .range::<str, _>((Bound::Excluded(mark), Bound::Unbounded))
    }
}

/// What is to be done for one device.
#[derive(Clone, Debug, PartialEq)]
pub enum Visit {
    /// Ask it.
    Ask(Box<Ask>),
    /// Look at what it was asked.
    Follow {
        /// Which device.
        endpoint: String,
        /// The operation of the state tier.
        id: String,
    },
    /// Cancel what it was asked, if it waits still.
    GiveUp {
        /// Which device.
        endpoint: String,
        /// The operation of the state tier.
        id: String,
    },
}

impl Visit {
    /// Which device.
    pub fn endpoint(&self) -> &str {
        match self {
            Self::Ask(ask) => &ask.endpoint,
            Self::Follow { endpoint, .. } | Self::GiveUp { endpoint, .. } => endpoint,
        }
    }
}

/// What came of a visit.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// So it is. Of a device that waits, nothing is kept anywhere.
    Is(Outcome),
    /// It did not answer what may be asked again.
    Silent,
    /// The state tier has not taken it, and may later.
    TurnedAway {
        /// Whether it has surely never taken it.
        certain: bool,
        /// Why, for people.
        why: String,
    },
    /// There was no answer: nobody knows.
    Unclear,
}

/// What is next for an operation on a set.
#[derive(Debug)]
pub enum Opening<'a> {
    /// Delete the object.
    Delete,
    /// Nothing: this is how it is.
    Told(Box<Plan>),
    /// A round of visits.
    Round(Box<Round<'a>>),
}

/// One look at the devices that are under way.
#[derive(Debug)]
pub struct Round<'a> {
    operation: &'a DeviceOperation,
    now: &'a Time,
    request: Request,
    ledger: Ledger,
}

/// What follows from a round.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// The status, and when to look again.
    pub plan: Plan,
    /// Devices that the status enters: not to be asked before it is written.
    pub entered: Vec<String>,
}

/// The operations of a set that the state tier may still have, as far as the status says: of which device, and the id.
pub fn unfinished(operation: &DeviceOperation) -> Vec<(String, String)> {
    let status = operation.status.as_ref();
    let open = status.filter(|status| status.completion_time.is_none());
    let progress = open.and_then(|status| status.progress.as_ref());
    let under_way = progress.map(|progress| progress.under_way.iter());
    let taken = under_way.into_iter().flatten();
    taken
        .filter_map(|one| Some((one.endpoint_name.clone(), one.id.clone()?)))
        .collect()
}

/// The `DeviceGroup` that has to be read before the devices can be known, if one has.
pub fn group_to_read(operation: &DeviceOperation) -> Option<&str> {
    let status = operation.status.as_ref();
    let is_decided = status
        .is_some_and(|status| status.start_time.is_some() || status.completion_time.is_some());
    match target(&operation.spec) {
        Ok(Target::Group(name)) if !is_decided => Some(name),
        _ => None,
    }
}

/// Decides what is next. `group` is the one that was to be read, if it is there.
pub fn open<'a>(
    operation: &'a DeviceOperation,
    group: Option<&DeviceGroup>,
    read_filter: ReadFilter,
    now: &'a Time,
) -> Opening<'a> {
    let (spec, status) = (&operation.spec, operation.status.as_ref());
    let told = |plan| Opening::Told(Box::new(plan));
    if let Some(completed) = status.and_then(|status| status.completion_time.as_ref()) {
        return if passed(completed, now) >= spec.ttl_seconds_after_finished {
            Opening::Delete
        } else {
            told(report::through(operation, now))
        };
    }
    let refused = |refusal: &Refusal| told(report::refused(operation, refusal, now));
    let request = match compile(spec) {
        Ok(request) => request,
        Err(refusal) => return refused(&refusal),
    };
    let ledger = match status.and_then(|status| Some((status, status.start_time.as_ref()?))) {
        Some((status, start)) => match Ledger::of(status, start) {
            Some(ledger) => ledger,
            None => return told(report::without_progress(operation, now)),
        },
        None if spec.suspend => return told(report::held(operation, now)),
        None => {
            let made = operation.metadata.creation_timestamp.as_ref();
            if made.is_some_and(|made| passed(made, now) >= spec.active_deadline_seconds) {
                return told(report::too_late(operation, now));
            }
            match filter(operation, group, read_filter) {
                Ok(filter) => Ledger::new(filter, now),
                Err(refusal) => return refused(&refusal),
            }
        }
    };
    Opening::Round(Box::new(Round {
        operation,
        now,
        request,
        ledger,
    }))
}

/// Which devices are meant, in the language of filters.
fn filter(
    operation: &DeviceOperation,
    group: Option<&DeviceGroup>,
    read_filter: ReadFilter,
) -> Result<String, Refusal> {
    let (selection, field) = match target(&operation.spec)? {
        Target::Group(name) => {
            let field = "spec.groupRef";
            let selection = Selection::default();
            (selection.named_group(group, name, field)?, field)
        }
        Target::Labels(selector) => {
            let field = "spec.selector";
            (Selection::default().labels(selector, field)?, field)
        }
        Target::Endpoint(_) | Target::Device(_) => {
            let why = "an operation on one device has no set";
            return Err(Refusal::invalid("spec.selector", why));
        }
    };
    Ok(selection.finish(field, read_filter)?.text)
}

/// By which the state tier knows a repetition: 64 bytes at most.
fn request_id(operation: &DeviceOperation, endpoint: &str, attempts: i32) -> String {
    // FNV-1a. Two devices of one object that have the same are told apart by the state tier, which refuses the second.
    let hash = endpoint
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let uid = operation.metadata.uid.as_deref().unwrap_or_default();
    format!("{}-{hash:016x}-{attempts}", text::cut(uid, 36))
}

#[cfg(test)]
mod tests;
