//! What a visit comes to.

use crd::DeviceOperation;

use super::ledger::{Ends, Entry, Ledger, State};
use super::{Deafness, Outcome, Seen, report};
use crate::operation::status::Report;

/// What was seen in one round.
pub(super) struct Intake {
    /// How often a device may be silent.
    backoff_limit: i32,
    now: i64,
    /// For how many seconds a device that does not listen may take up room.
    share: Option<i64>,
    reads: bool,
    /// The answer is missing of somebody.
    is_unclear: bool,
    /// The state tier has no room: why.
    turned_away: Option<String>,
}

/// What becomes of a device in the ledger.
enum Fate {
    Stays,
    Ends(Ends),
}

impl Intake {
    pub(super) const fn new(
        operation: &DeviceOperation,
        now: i64,
        share: Option<i64>,
        reads: bool,
    ) -> Self {
        Self {
            backoff_limit: operation.spec.backoff_limit,
            now,
            share,
            reads,
            is_unclear: false,
            turned_away: None,
        }
    }

    /// Whether nobody else is to be asked for now.
    pub(super) const fn is_held(&self) -> bool {
        self.is_unclear || self.turned_away.is_some()
    }

    /// Why the state tier does not take more.
    pub(super) fn turned_away(&self) -> Option<&str> {
        self.turned_away.as_deref()
    }

    /// `total` is how many devices there are: the more, the fewer results of each are told.
    pub(super) fn take_in(
        &mut self,
        ledger: &mut Ledger,
        report: &mut Report<'_>,
        endpoint: &str,
        seen: Seen,
        total: i64,
    ) {
        let mut entries = ledger.entries.iter_mut();
        let Some(place) = entries.position(|entry| entry.endpoint == endpoint) else {
            return;
        };
        let fate = match seen {
            Seen::Is(outcome) => self.outcome(&mut ledger.entries[place], report, outcome, total),
            Seen::Silent => self.silent(&mut ledger.entries[place], report),
            Seen::TurnedAway { certain, why } => {
                let entry = &mut ledger.entries[place];
                if certain && !self.reads {
                    // Refusals are remembered as well: the next time it is another request.
                    entry.attempts = entry.attempts.saturating_add(1);
                    entry.state = State::Planned;
                }
                self.turned_away.get_or_insert(why);
                Fate::Stays
            }
            Seen::Unclear => {
                self.is_unclear = true;
                Fate::Stays
            }
        };
        if let Fate::Ends(ends) = fate {
            ledger.entries.remove(place);
            let all = &mut ledger.ends;
            all.succeeded += ends.succeeded;
            all.failed += ends.failed;
            all.expired += ends.expired;
            all.unknown += ends.unknown;
        }
    }

    fn outcome(
        &mut self,
        entry: &mut Entry,
        report: &mut Report<'_>,
        outcome: Outcome,
        total: i64,
    ) -> Fate {
        let mut ends = Ends::default();
        match outcome {
            Outcome::Running { id, in_flight } => {
                let at = entry.asked().unwrap_or(self.now);
                entry.state = State::Taken { at, id };
                entry.waits = !in_flight;
                return Fate::Stays;
            }
            Outcome::Waiting(deafness) => {
                let age = self.now - entry.asked().unwrap_or(self.now);
                if self.share.is_none_or(|share| age < share) {
                    entry.waits = deafness != Deafness::Busy;
                    return Fate::Stays;
                }
                ends.expired = 1;
            }
            Outcome::Succeeded(answer) => {
                ends.succeeded = 1;
                report::succeeded(report, &entry.endpoint, &answer, total);
            }
            Outcome::Failed {
                coap_code,
                message,
                at,
            } => {
                ends.failed = 1;
                report::failed(report, &entry.endpoint, (&coap_code, &message), at);
            }
            Outcome::Expired => ends.expired = 1,
            Outcome::Lost => {
                ends.failed = 1;
                ends.unknown = 1;
                report::lost(report, &entry.endpoint);
            }
            // Of one device these say nothing.
            Outcome::Refused(_) | Outcome::Held | Outcome::Started | Outcome::Through => {
                self.is_unclear = true;
                return Fate::Stays;
            }
        }
        Fate::Ends(ends)
    }

    fn silent(&self, entry: &mut Entry, report: &mut Report<'_>) -> Fate {
        entry.attempts = entry.attempts.saturating_add(1);
        if entry.attempts <= self.backoff_limit {
            return Fate::Stays;
        }
        let why = format!("no answer: asked {} times", entry.attempts);
        report::failed(report, &entry.endpoint, ("", &why), None);
        Fate::Ends(Ends {
            failed: 1,
            ..Ends::default()
        })
    }
}
