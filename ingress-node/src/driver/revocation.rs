//! Sessions end with what their devices were believed for.

use std::collections::VecDeque;
use std::sync::Arc;

use device_state::{CredentialId, SecurityIdentity};
use dtls::{PeerIdentity, SessionId};
use hashbrown::HashSet;

use super::Driver;
use super::state_tier::Resolved;
use crate::trust::Trust;

/// Seconds in which the credential of every session is looked at once, for revocations that this node was not told of.
const ROUND: usize = 3600;

/// Who is to be looked at.
#[derive(Debug, Default)]
pub(super) struct Revocations {
    /// Told of, and not looked for yet.
    told: HashSet<CredentialId>,
    /// Sessions in the order in which their credentials are looked at.
    round: VecDeque<SessionId>,
}

impl Revocations {
    pub(super) fn watch(&mut self, session: SessionId) {
        self.round.push_back(session);
    }

    pub(super) fn told(&mut self, id: CredentialId) {
        self.told.insert(id);
    }
}

impl Driver {
    /// Ends the sessions of credentials that were revoked. All at once: each look takes time with all sessions.
    pub(super) fn end_revoked(&mut self) {
        if self.revocations.told.is_empty() {
            return;
        }
        let told = std::mem::take(&mut self.revocations.told);
        let sessions = self.sessions.of(|principal| {
            matches!(&principal.identity, SecurityIdentity::Credential(id) if told.contains(id))
        });
        self.end_sessions(&sessions);
    }

    /// Goes by new keys and certificates from now on.
    pub(super) fn renew_trust(&mut self, trust: Arc<Trust>) {
        self.dtls.set_credentials(trust.credentials.clone());
        self.trust = trust;
        let certified = self
            .sessions
            .of(|principal| matches!(&principal.identity, SecurityIdentity::CertificateNames(_)));
        let revoked: Vec<_> = certified
            .into_iter()
            .filter(|session| self.is_revoked(*session))
            .collect();
        self.end_sessions(&revoked);
    }

    pub(super) fn is_revoked(&self, session: SessionId) -> bool {
        match self.dtls.identity(session) {
            Some(PeerIdentity::Certificate(identity)) => self.trust.anchors.is_revoked(identity),
            _ => false,
        }
    }

    /// To be called once a second.
    pub(super) fn look_for_revocations(&mut self) {
        for _ in 0..self.revocations.round.len().div_ceil(ROUND) {
            let Some(session) = self.revocations.round.pop_front() else {
                return;
            };
            let Some(principal) = self.sessions.principal(session) else {
                continue;
            };
            self.revocations.watch(session);
            let SecurityIdentity::Credential(id) = principal.identity.clone() else {
                continue;
            };
            let (client, timeout) = (self.client.clone(), self.limits.commit_timeout);
            self.calls.push(Box::pin(async move {
                // Without an answer nothing is known; the next round asks again.
                let stands = match client.credential(&id, timeout).await {
                    Ok(Some(found)) => principal.endpoints.contains(&found.endpoint),
                    Ok(None) => false,
                    Err(_) => true,
                };
                Resolved::LookedAt { session, stands }
            }));
        }
    }

    pub(super) fn end_sessions(&mut self, sessions: &[SessionId]) {
        for session in sessions {
            self.metrics.sessions_revoked.inc();
            self.dtls.close(*session);
        }
    }

    /// The same with one that may have ended meanwhile.
    pub(super) fn looked_at(&mut self, session: SessionId, stands: bool) {
        if !stands && self.sessions.principal(session).is_some() {
            self.end_sessions(&[session]);
        }
    }
}
