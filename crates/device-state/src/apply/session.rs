//! DTLS sessions and who may send on them.

use super::Change;
use crate::command::{Outcome, Rejection};
use crate::effect::Effect;
use crate::id::{NodeId, SessionGeneration};
use crate::query;
use crate::record::{Resumption, Session, SessionCid};
use crate::table::{Expiring, Row, RowKey};

impl Change<'_> {
    pub(super) fn store_session(
        &mut self,
        session: &Session,
        resumption: Option<&Resumption>,
    ) -> Result<Outcome, Rejection> {
        self.check_cid(session.cid)?;
        if let Some(resumption) = resumption {
            self.check_resumption(resumption)?;
            self.put_resumption(resumption, Some(session.cid));
        }
        self.put_session(session);
        Ok(Outcome::Done)
    }

    /// Refuses a Connection ID that another session has.
    pub(super) fn check_cid(&self, cid: SessionCid) -> Result<(), Rejection> {
        match query::session(self.tables, cid) {
            Some(_) => Err(Rejection::CidTaken),
            None => Ok(()),
        }
    }

    pub(super) fn put_session(&mut self, session: &Session) {
        self.tables.put(Row::Session(Session {
            stored_at: self.now,
            ..session.clone()
        }));
        self.reschedule(
            None,
            Some(session.expires_at),
            Expiring::Session(session.cid),
        );
        self.counters.sessions += 1;
    }

    /// Moves the session to `owner` and the next generation. A session whose generations are used
    /// up is refused as unknown: every further record would repeat a nonce, so the device has to
    /// shake hands again.
    pub(super) fn claim_session(
        &mut self,
        cid: SessionCid,
        owner: NodeId,
        expected: SessionGeneration,
    ) -> Result<Outcome, Rejection> {
        let mut session = query::session(self.tables, cid).ok_or(Rejection::UnknownSession)?;
        if session.generation != expected {
            return Err(Rejection::GenerationMoved);
        }
        let generation = expected.0.checked_add(1).ok_or(Rejection::UnknownSession)?;
        session.generation = SessionGeneration(generation);
        let from = std::mem::replace(&mut session.owner, owner);
        self.tables.put(Row::Session(session.clone()));
        if from != owner {
            self.effects.push(Effect::SessionMoved {
                cid,
                from,
                to: owner,
            });
        }
        Ok(Outcome::Claimed {
            session: Box::new(session),
        })
    }

    pub(super) fn remove_session(&mut self, cid: SessionCid) -> Result<Outcome, Rejection> {
        let session = query::session(self.tables, cid).ok_or(Rejection::UnknownSession)?;
        self.drop_session(&session);
        Ok(Outcome::Done)
    }

    pub(super) fn drop_session(&mut self, session: &Session) {
        let cid = session.cid;
        self.tables.delete(&RowKey::Session(cid));
        self.reschedule(Some(session.expires_at), None, Expiring::Session(cid));
        self.counters.sessions = self.counters.sessions.saturating_sub(1);
        self.effects.push(Effect::SessionRemoved {
            cid,
            owner: session.owner,
        });
    }
}
