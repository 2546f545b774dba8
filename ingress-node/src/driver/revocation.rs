//! Sessions end with what their devices were believed for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use device_state::{CredentialId, SecurityIdentity};
use dtls::SessionId;
use hashbrown::{HashMap, HashSet};
use lwm2m_server::Principal;

use super::state_tier::Resolved;
use super::{Driver, Peer, now};
use crate::tcp::event::StreamId;
use crate::trust::Trust;

/// Seconds in which the credential of every session is looked at once, for revocations that this node was not told of.
const ROUND: usize = 3600;
/// The share of those that are gone that is dropped in a second.
const GONE_AT_ONCE: usize = 16;
/// How long a handshake, a claim or a look-up that was under way at a revocation may take to end.
const RECENT: Duration = Duration::from_mins(2);

/// Who is to be looked at.
#[derive(Debug, Default)]
pub(super) struct Revocations {
    /// Told of, and not looked for yet.
    told: HashSet<CredentialId>,
    /// Told of lately: somebody may be on the way in who was believed before that.
    recent: HashMap<CredentialId, Instant>,
    /// Sessions, connections, and contexts by the names under which they came, in the order in which their credentials
    /// are looked at.
    round: VecDeque<Peer>,
}

impl Revocations {
    pub(super) fn told(&mut self, id: CredentialId) {
        self.recent.insert(id.clone(), now().instant);
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
        let streams = self.streams.of(|proved| is_told(&proved.principal));
        self.end_streams(&streams);
        for context in self.contexts.of(is_told) {
            self.metrics.sessions_revoked.inc();
            self.release_context(context);
        }
    }

    /// Goes by new keys and certificates from now on.
    pub(super) fn renew_trust(&mut self, trust: Arc<Trust>) {
        self.dtls.set_credentials(trust.credentials.clone());
        self.streams.set_tls(trust.tls.clone());
        self.trust = trust;
        let anchors = &self.trust.anchors;
        let streams = self.streams.of(|proved| {
            let certificate = proved.certificate.as_ref();
            certificate.is_some_and(|certificate| anchors.is_revoked(certificate))
        });
        self.end_streams(&streams);
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

    /// Looks at a credential of somebody new from now on; at once if it may have been revoked on the way in.
    pub(super) fn watch(&mut self, peer: Peer) {
        let Some(principal) = self.principal(peer) else {
            return;
        };
        let SecurityIdentity::Credential(id) = &principal.identity else {
            return;
        };
        self.revocations.round.push_back(peer);
        if self.revocations.recent.contains_key(id) {
            self.look_at(peer, &principal);
        }
    }

    /// To be called once a second.
    pub(super) fn look_for_revocations(&mut self) {
        let now = now().instant;
        let recent = &mut self.revocations.recent;
        recent.retain(|_, told| now.saturating_duration_since(*told) < RECENT);
        let held = self.sessions.len() + self.contexts.len() + self.streams.len();
        let round = self.revocations.round.len();
        // Those that are gone are dropped faster than anybody can come and go.
        let gone = round.saturating_sub(held) / GONE_AT_ONCE;
        for _ in 0..round.div_ceil(ROUND) + gone {
            let Some(peer) = self.revocations.round.pop_front() else {
                return;
            };
            if let Some(principal) = self.principal(peer) {
                self.revocations.round.push_back(peer);
                self.look_at(peer, &principal);
            }
        }
    }

    fn look_at(&self, peer: Peer, principal: &Arc<Principal>) {
        let SecurityIdentity::Credential(id) = principal.identity.clone() else {
            return;
        };
        let (client, timeout) = (self.client.clone(), self.limits.commit_timeout);
        let principal = principal.clone();
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

    pub(super) fn end_sessions(&mut self, sessions: &[SessionId]) {
        for session in sessions {
            self.metrics.sessions_revoked.inc();
            self.dtls.close(*session);
        }
    }

    fn end_streams(&mut self, streams: &[StreamId]) {
        for stream in streams {
            self.metrics.sessions_revoked.inc();
            let reason = "the credential of this connection was revoked";
            self.streams.abort(now().instant, *stream, reason);
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
            Peer::Stream(stream) => self.end_streams(&[stream]),
            Peer::Udp(_) => {}
        }
    }

    fn principal(&self, peer: Peer) -> Option<Arc<Principal>> {
        match peer {
            Peer::Dtls(session) => self.sessions.principal(session),
            Peer::Oscore(first) => self.contexts.principal(self.contexts.current(first)),
            Peer::Stream(stream) => self.streams.principal(stream),
            Peer::Udp(_) => None,
        }
    }
}
