//! What DTLS sessions are resumed by: RFC 5246 §7.3.
//!
//! A row stays when the credential that the device proved is removed: credentials are in shards of
//! their own. The ingress node asks for the credential again before it resumes, so such a row is of
//! no use to the device, and it ends by itself.

use super::Change;
use crate::command::{Outcome, Rejection};
use crate::limit::MAX_RESUMPTION_STATE;
use crate::query;
use crate::record::{Resumption, ResumptionId, Session, SessionCid};
use crate::table::{Expiring, Row, RowKey};

impl Change<'_> {
    pub(super) fn store_resumption(
        &mut self,
        resumption: &Resumption,
    ) -> Result<Outcome, Rejection> {
        self.check_resumption(resumption)?;
        self.put_resumption(resumption, None);
        Ok(Outcome::Done)
    }

    /// Refuses what cannot be stored.
    pub(super) fn check_resumption(&self, resumption: &Resumption) -> Result<(), Rejection> {
        if resumption.state.len() > MAX_RESUMPTION_STATE {
            return Err(Rejection::ResumptionTooLong);
        }
        match query::resumption(self.tables, resumption.id) {
            Some(_) => Err(Rejection::ResumptionTaken),
            None => Ok(()),
        }
    }

    /// Stores a resumption that [`Change::check_resumption`] let through.
    pub(super) fn put_resumption(&mut self, resumption: &Resumption, session: Option<SessionCid>) {
        self.tables.put(Row::Resumption(Resumption {
            session,
            stored_at: self.now,
            ..resumption.clone()
        }));
        self.reschedule(
            None,
            Some(resumption.expires_at),
            Expiring::Resumption(resumption.id),
        );
        self.counters.resumptions += 1;
    }

    /// Puts `session` in the place of the one before. Its end stays: the secret is as old as the
    /// full handshake.
    pub(super) fn resume(
        &mut self,
        id: ResumptionId,
        session: Option<&Session>,
    ) -> Result<Outcome, Rejection> {
        let mut resumption = query::resumption(self.tables, id)
            // What is due may still wait for its turn to be removed.
            .filter(|resumption| resumption.expires_at > self.now)
            .ok_or(Rejection::UnknownResumption)?;
        if let Some(session) = session {
            self.check_cid(session.cid)?;
        }
        let before = resumption
            .session
            .and_then(|cid| query::session(self.tables, cid))
            // A session that was removed gives its Connection ID free, perhaps for another device.
            .filter(|before| before.identity == resumption.identity);
        if let Some(before) = before {
            self.drop_session(&before);
        }
        if let Some(session) = session {
            self.put_session(session);
        }
        resumption.session = session.map(|session| session.cid);
        self.tables.put(Row::Resumption(resumption));
        Ok(Outcome::Done)
    }

    pub(super) fn remove_resumption(&mut self, id: ResumptionId) -> Result<Outcome, Rejection> {
        let resumption = query::resumption(self.tables, id).ok_or(Rejection::UnknownResumption)?;
        self.drop_resumption(&resumption);
        Ok(Outcome::Done)
    }

    pub(super) fn drop_resumption(&mut self, resumption: &Resumption) {
        let id = resumption.id;
        self.tables.delete(&RowKey::Resumption(id));
        self.reschedule(Some(resumption.expires_at), None, Expiring::Resumption(id));
        self.counters.resumptions = self.counters.resumptions.saturating_sub(1);
    }
}
