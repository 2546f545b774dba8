//! A round: who is visited, and who is asked next.

use std::collections::BTreeSet;
use std::time::Duration;

use crd::device_operation::{DispatchPolicy, ExecutionGuarantee};

use super::ledger::{Entry, State, count};
use super::outcome::Intake;
use super::room::has_room_for;
use super::{Finished, GRACE, MAX_DEVICES, Members, Round, Seen, Visit, report, request_id};
use crate::operation::status::Report;
use crate::operation::{Ask, REMEMBERED, Request, passed};

/// How much the clocks of two operators may differ, in seconds: what the API promises of requests is so much longer.
const MAX_SKEW: i64 = 30;

impl Round<'_> {
    /// Which devices are meant, in the language of filters; empty for every device of the namespace.
    pub fn filter(&self) -> &str {
        &self.ledger.filter
    }

    /// Whether a member may be asked that the status does not name: then they have to be listed.
    pub fn needs_members(&self) -> bool {
        let is_open = !self.operation.spec.suspend && !self.is_overdue();
        !self.ledger.is_begun || (self.ledger.rest > 0 && is_open)
    }

    /// Members up to this one need not be listed.
    pub fn mark(&self) -> &str {
        &self.ledger.mark
    }

    /// Whether members are counted before anybody is asked: more than may be need not be listed then.
    pub const fn counts_only(&self) -> bool {
        !self.ledger.is_begun
    }

    /// For whom something is to be done now. `members` is empty if they need not be listed.
    pub fn visits(&self, members: &Members) -> Vec<Visit> {
        let (now, share) = (self.second(), self.share(members));
        let visit = |entry: &Entry| match &entry.state {
            State::Planned => None,
            State::Asked { at } => self
                .may_ask(now - at)
                .then(|| Visit::Ask(Box::new(self.ask(entry)))),
            State::Taken { at, id } => {
                let (endpoint, id) = (entry.endpoint.clone(), id.clone());
                let is_given_up = self.is_overdue() || share.is_some_and(|share| now - at >= share);
                Some(if is_given_up {
                    Visit::GiveUp { endpoint, id }
                } else {
                    Visit::Follow { endpoint, id }
                })
            }
        };
        self.ledger.entries.iter().filter_map(visit).collect()
    }

    /// Takes in what was seen, and decides who is asked next.
    pub fn finish(
        mut self,
        members: &Members,
        unasked: &BTreeSet<String>,
        seen: Vec<(String, Seen)>,
    ) -> Finished {
        if !self.ledger.is_begun && members.are_too_many() {
            return Finished {
                plan: report::refused(self.operation, &report::too_many(), self.now),
                entered: Vec::new(),
            };
        }
        let (needs_members, share) = (self.needs_members(), self.share(members));
        let planned: Vec<String> = self.planned();
        let mut intake = Intake::new(self.operation, self.second(), share, self.reads());
        let mut report = Report::new(self.operation, "", self.now);
        let total = self.ledger.counts(self.second()).total;
        for (endpoint, seen) in seen {
            intake.take_in(&mut self.ledger, &mut report, &endpoint, seen, total);
        }
        self.judge(unasked, &mut report);
        if needs_members {
            self.ledger.rest = self.rest(members);
        }
        let mut entered = Vec::new();
        if self.is_overdue() {
            self.ledger.ends.expired += count(self.ledger.rest);
            self.ledger.rest = 0;
        } else if !self.operation.spec.suspend {
            entered = self.enter(&planned, members, intake.is_held());
        }
        let plan = report::finished(report, &self, &intake, !entered.is_empty());
        Finished { plan, entered }
    }

    pub(super) fn second(&self) -> i64 {
        passed(&self.ledger.start, self.now)
    }

    fn is_overdue(&self) -> bool {
        self.ledger.is_begun && self.second() >= self.operation.spec.active_deadline_seconds
    }

    /// Whether the answer is all that comes of it: nothing is kept anywhere.
    const fn reads(&self) -> bool {
        matches!(self.request, Request::Read(_) | Request::Discover(_))
    }

    /// Whether a device may be asked that may have been asked so many seconds ago.
    fn may_ask(&self, age: i64) -> bool {
        let is_open = !self.operation.spec.suspend && !self.is_overdue();
        is_open && (self.may_repeat() || is_remembered(age))
    }

    fn may_repeat(&self) -> bool {
        let guarantee = self.operation.spec.execution_guarantee;
        self.request.is_repeatable() || guarantee == ExecutionGuarantee::AtLeastOnce
    }

    fn ask(&self, entry: &Entry) -> Ask {
        let spec = &self.operation.spec;
        let left = spec.active_deadline_seconds - self.second();
        Ask {
            endpoint: entry.endpoint.clone(),
            request: self.request.clone(),
            deadline: Duration::from_secs(left.max(1).unsigned_abs()),
            immediate: spec.dispatch_policy == DispatchPolicy::Immediate,
            // Those that read count who does not answer; others are refused under an id for as long as it is remembered.
            request_id: request_id(self.operation, &entry.endpoint, entry.attempts),
        }
    }

    /// For how many seconds a device that does not listen may take up room, if somebody waits for that: the time there is,
    /// shared out among as many as have room one after the other.
    fn share(&self, members: &Members) -> Option<i64> {
        let next = members.after(&self.ledger.mark).next()?;
        let entries = &self.ledger.entries;
        if has_room_for(entries, next) {
            return None;
        }
        let turns = self
            .ledger
            .counts(self.second())
            .total
            .unsigned_abs()
            .div_ceil(entries.len().max(1) as u64);
        let turns = i64::try_from(turns.max(1)).unwrap_or(i64::MAX);
        Some((self.operation.spec.active_deadline_seconds / turns).max(GRACE))
    }

    fn planned(&self) -> Vec<String> {
        let entries = self.ledger.entries.iter();
        let planned = entries.filter(|entry| entry.state == State::Planned);
        planned.map(|entry| entry.endpoint.clone()).collect()
    }

    /// How many members are still to be asked.
    fn rest(&self, members: &Members) -> usize {
        let dealt_with = self.ledger.ends.sum() + count(self.ledger.entries.len());
        let left = MAX_DEVICES.saturating_sub(usize::try_from(dealt_with).unwrap_or(usize::MAX));
        members.after(&self.ledger.mark).take(left).count()
    }

    /// Ends those of which nothing more can be known, and those that came too late.
    fn judge(&mut self, unasked: &BTreeSet<String>, report: &mut Report<'_>) {
        let (now, is_overdue) = (self.second(), self.is_overdue());
        let (may_repeat, is_repeatable) = (self.may_repeat(), self.request.is_repeatable());
        let is_suspended = self.operation.spec.suspend;
        let ledger = &mut self.ledger;
        let mut left = Vec::with_capacity(ledger.entries.len());
        for mut entry in std::mem::take(&mut ledger.entries) {
            if let State::Asked { at } = entry.state {
                let is_old = !is_remembered(now - at);
                let is_unasked = unasked.contains(&entry.endpoint);
                if is_unasked && (is_suspended || is_old || is_overdue) {
                    entry.state = State::Planned;
                } else if (is_old && !may_repeat) || (is_overdue && !is_repeatable) {
                    ledger.ends.failed += 1;
                    ledger.ends.unknown += 1;
                    report::lost(report, &entry.endpoint);
                    continue;
                }
            }
            if is_overdue && !matches!(entry.state, State::Taken { .. }) {
                ledger.ends.expired += 1;
                continue;
            }
            left.push(entry);
        }
        ledger.entries = left;
    }

    /// Enters who is asked next: those first that were turned away before.
    fn enter(&mut self, planned: &[String], members: &Members, is_held: bool) -> Vec<String> {
        let now = self.second();
        let busy = self.ledger.entries.iter().filter(|one| one.is_busy(now));
        let parallelism = usize::try_from(self.operation.spec.parallelism).unwrap_or(1);
        let mut places = parallelism.max(1).saturating_sub(busy.count());
        let mut entered = Vec::new();
        for entry in &mut self.ledger.entries {
            if places > 0 && entry.state == State::Planned && planned.contains(&entry.endpoint) {
                entry.state = State::Asked { at: now };
                entered.push(entry.endpoint.clone());
                places -= 1;
            }
        }
        while !is_held && places > 0 && self.ledger.rest > 0 {
            let Some(next) = members.after(&self.ledger.mark).next().cloned() else {
                break;
            };
            if !has_room_for(&self.ledger.entries, &next) {
                break;
            }
            self.ledger.entries.push(Entry {
                endpoint: next.clone(),
                attempts: 0,
                state: State::Asked { at: now },
                waits: false,
            });
            self.ledger.mark.clone_from(&next);
            self.ledger.rest -= 1;
            entered.push(next);
            places -= 1;
        }
        entered
    }
}

/// Whether the state tier surely knows again what it was asked so many seconds ago. Times that lie further ahead than clocks
/// differ are of a clock that was set back since, and say nothing.
fn is_remembered(age: i64) -> bool {
    let remembered = i64::try_from(REMEMBERED.as_secs()).unwrap_or(i64::MAX);
    (-MAX_SKEW..remembered).contains(&age)
}
