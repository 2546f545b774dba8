//! Sessions end with what their devices were believed for.

use std::collections::VecDeque;
use std::sync::Arc;

use device_state::{CredentialId, SecurityIdentity};
use dtls::SessionId;
use hashbrown::HashSet;
use lwm2m_server::Principal;

use super::state_tier::Resolved;
use super::{Driver, Peer};
use crate::trust::Trust;

/// Seconds in which the credential of every session is looked at once, for revocations that this node was not told of.
const ROUND: usize = 3600;

/// Who is to be looked at.
#[derive(Debug, Default)]
pub(super) struct Revocations {
    /// Told of, and not looked for yet.
    told: HashSet<CredentialId>,
    /// Sessions, and contexts by the names under which they came, in the order in which their credentials are looked at.
    round: VecDeque<Peer>,
}

impl Revocations {
    pub(super) fn watch(&mut self, peer: Peer) {
        self.round.push_back(peer);
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
        let is_told = |principal: &Principal| matches!(&principal.identity, SecurityIdentity::Credential(id) if told.contains(id));
        let sessions = self.sessions.of(is_told);
        self.end_sessions(&sessions);
        for context in self.contexts.of(is_told) {
            self.metrics.sessions_revoked.inc();
            self.release_context(context);
        }
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
        let identity = self.dtls.identity(session);
        identity.is_some_and(|identity| self.is_certificate_revoked(identity))
    }

    /// To be called once a second.
    pub(super) fn look_for_revocations(&mut self) {
        for _ in 0..self.revocations.round.len().div_ceil(ROUND) {
            let Some(peer) = self.revocations.round.pop_front() else {
                return;
            };
            let Some(principal) = self.principal(peer) else {
                continue;
            };
            self.revocations.watch(peer);
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
                Resolved::LookedAt { peer, stands }
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
    pub(super) fn looked_at(&mut self, peer: Peer, stands: bool) {
        if stands || self.principal(peer).is_none() {
            return;
        }
        match peer {
            Peer::Dtls(session) => self.end_sessions(&[session]),
            Peer::Oscore(first) => {
                self.metrics.sessions_revoked.inc();
                self.release_context(self.contexts.current(first));
            }
            Peer::Udp(_) | Peer::Stream(_) => {}
        }
    }

    fn principal(&self, peer: Peer) -> Option<Arc<Principal>> {
        match peer {
            Peer::Dtls(session) => self.sessions.principal(session),
            Peer::Oscore(first) => self.contexts.principal(self.contexts.current(first)),
            Peer::Udp(_) | Peer::Stream(_) => None,
        }
    }
}
