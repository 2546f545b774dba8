//! What ends by itself. Only the leader proposes that time has passed; nothing ends before it does.

use super::Change;
use crate::command::Outcome;
use crate::event::Event;
use crate::id::Timestamp;
use crate::name::DeviceName;
use crate::query;
use crate::range;
use crate::record::{OperationOutcome, OperationState, ResumptionId, SessionCid};
use crate::table::{Expiring, Row, RowKey};

impl Change<'_> {
    /// Makes `what` end at `to` instead of `from`, where `None` and [`Timestamp::NEVER`] stand for
    /// not at all.
    pub(super) fn reschedule(
        &mut self,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        what: Expiring,
    ) {
        let from = from.filter(|at| *at != Timestamp::NEVER);
        let to = to.filter(|at| *at != Timestamp::NEVER);
        if from == to {
            return;
        }
        if let Some(at) = from {
            self.tables.delete(&RowKey::Expiry(at, what.clone()));
        }
        if let Some(at) = to {
            self.tables.put(Row::Expiry { at, what });
        }
    }

    pub(super) fn expire_up_to(&mut self, limit: u32) -> Outcome {
        let (from, to) = range::expiry(self.now);
        let due = self
            .tables
            .scan(&from, &to, usize::try_from(limit).unwrap_or(usize::MAX));
        let mut rows = 0;
        for row in due {
            self.tables.delete(&row.key());
            if let Row::Expiry { what, .. } = row
                && self.end(&what)
            {
                rows += 1;
            }
        }
        Outcome::Expired { rows }
    }

    /// Ends what is due by its own row: an expiry row that was left over ends nothing that was
    /// renewed since.
    fn end(&mut self, what: &Expiring) -> bool {
        match what {
            Expiring::Registration(endpoint) => self.end_registration(endpoint),
            Expiring::Session(cid) => self.end_session(*cid),
            Expiring::Resumption(id) => self.end_resumption(*id),
            Expiring::Operation(endpoint, sequence) => self.end_operation(endpoint, *sequence),
            Expiring::Member(node) => self.end_member(*node),
            Expiring::Hold(endpoint, observed, holder) => {
                self.end_hold(endpoint, observed, *holder)
            }
            Expiring::CampaignDevice(endpoint) => self.campaign_due(endpoint),
            Expiring::Correction(endpoint, path) => self.end_drift(endpoint, *path),
            Expiring::Artefact(name) => self.end_artefact(name),
        }
    }

    fn end_registration(&mut self, endpoint: &DeviceName) -> bool {
        let Some(registration) = query::registration(self.tables, endpoint) else {
            return false;
        };
        if registration.expires_at > self.now {
            return false;
        }
        self.remove_registration(&registration);
        self.emit(
            endpoint,
            Event::Expired {
                id: registration.id,
            },
        );
        true
    }

    fn end_session(&mut self, cid: SessionCid) -> bool {
        let Some(session) = query::session(self.tables, cid) else {
            return false;
        };
        if session.expires_at > self.now {
            return false;
        }
        self.drop_session(&session);
        true
    }

    fn end_resumption(&mut self, id: ResumptionId) -> bool {
        let Some(resumption) = query::resumption(self.tables, id) else {
            return false;
        };
        if resumption.expires_at > self.now {
            return false;
        }
        self.drop_resumption(&resumption);
        true
    }

    fn end_operation(&mut self, endpoint: &DeviceName, sequence: u64) -> bool {
        let Some(record) = query::operation_at(self.tables, endpoint, sequence) else {
            return false;
        };
        if record.ends_at() > self.now {
            return false;
        }
        if matches!(record.state, OperationState::Finished { .. }) {
            self.tables
                .delete(&RowKey::Operation(endpoint.clone(), sequence));
        } else {
            self.conclude(record, OperationOutcome::Expired);
            self.settle_queue(endpoint);
        }
        true
    }
}
