//! DTLS sessions of a worker: from handshake to device.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use device_state::{CredentialId, Secret, SessionCid, Transport};
use dtls::{
    CloseReason, ConnectionId, Fingerprint, HandshakeId, HandshakeKind, Output, PeerIdentity,
    PeerKey, PeerRejection, Psk, SessionId, StoreOutcome, SubjectNames,
};
use forward::Channel;
use hashbrown::HashMap;
use lwm2m::EndpointName;
use lwm2m_server::{Now, Origin, Principal};
use oscore::Disposition;

use super::carrier::Carrier;
use super::take_over::Stray;
use super::{Driver, Peer, now, principal};
use crate::trust::{Judgement, judge};

/// How a handshake is authenticated.
#[derive(Clone, Copy, Debug)]
pub(super) enum Proof {
    Psk,
    /// By a key that is a credential; if not, `otherwise` is why it is refused.
    Key {
        otherwise: PeerRejection,
    },
}

/// What is kept per session beside the DTLS state.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// Handshakes under way whose key is known; as many as the DTLS server allows.
    handshakes: HashMap<HandshakeId, Bound>,
    /// Whom their peers claim to be, whether or not it is true; as many.
    claims: HashMap<HandshakeId, EndpointName>,
    bound: HashMap<SessionId, Bound>,
}

/// What a session is bound to.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) principal: Arc<Principal>,
    /// Under which it is stored.
    pub(super) cid: Option<SessionCid>,
}

impl Sessions {
    /// A handshake of somebody who is known.
    pub(super) fn begin(&mut self, handshake: HandshakeId, principal: Principal) {
        self.claim(handshake, principal.endpoints.first().cloned());
        let bound = Bound {
            principal: Arc::new(principal),
            cid: None,
        };
        self.handshakes.insert(handshake, bound);
    }

    /// A handshake of somebody who claims to be an endpoint.
    fn claim(&mut self, handshake: HandshakeId, endpoint: Option<EndpointName>) {
        if let Some(endpoint) = endpoint {
            self.claims.insert(handshake, endpoint);
        }
    }

    fn bind(&mut self, session: SessionId, bound: Bound) {
        self.bound.insert(session, bound);
    }

    pub(super) fn principal(&self, session: SessionId) -> Option<Arc<Principal>> {
        self.bound
            .get(&session)
            .map(|bound| bound.principal.clone())
    }

    /// The sessions of those that `wanted` picks.
    pub(super) fn of(&self, wanted: impl Fn(&Principal) -> bool) -> Vec<SessionId> {
        let picked = self
            .bound
            .iter()
            .filter(|(_, bound)| wanted(&bound.principal));
        picked.map(|(session, _)| *session).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.bound.len()
    }

    /// Who makes a handshake, as far as that is known.
    pub(super) fn handshaking(&self, handshake: HandshakeId) -> Option<Arc<Principal>> {
        let bound = self.handshakes.get(&handshake);
        bound.map(|bound| bound.principal.clone())
    }
}

impl Driver {
    pub(super) fn dtls_output(&mut self, output: Output) {
        match output {
            Output::Transmit { peer, datagram } => {
                self.transmit(Channel::Secured, peer, datagram);
            }
            Output::PskNeeded {
                handshake,
                identity,
                ..
            } => {
                // Many name a device and its credential alike.
                let named = str::from_utf8(&identity).ok();
                let claimed = named.and_then(|name| EndpointName::new(name).ok());
                self.sessions.claim(handshake, claimed);
                self.fetch_credential(handshake, CredentialId::PskIdentity(identity), Proof::Psk);
            }
            Output::PeerKeyPresented {
                handshake,
                key,
                identity,
                ..
            } => self.key_presented(handshake, &key, identity),
            Output::ResumptionNeeded { handshake, id, .. } => self.seek_resumption(handshake, id),
            Output::StoreSession {
                handshake,
                session,
                origin,
            } => {
                if let Some(bound) = self.sessions.handshakes.get_mut(&handshake) {
                    bound.cid = session_cid(session.cid());
                }
                self.store_session(handshake, &session, origin);
            }
            Output::Plaintext {
                session,
                peer,
                data,
            } => self.secured(session, peer, &data),
            Output::Closed { session, reason } => self.session_closed(session, reason),
            Output::UnknownCid {
                cid,
                peer,
                datagram,
            } => {
                let arrival = self.routes.last_arrival(Channel::Secured, peer);
                self.stray(Stray::new(cid, arrival, datagram));
            }
            Output::HandshakeFailed {
                handshake,
                peer,
                reason,
            } => {
                tracing::debug!(%peer, %reason, "handshake failed");
                self.metrics.handshakes_failed.inc();
                let claimed =
                    handshake.and_then(|handshake| self.sessions.claims.remove(&handshake));
                if let Some(endpoint) = claimed {
                    self.handshake_refused(endpoint, peer, reason);
                }
                let bound =
                    handshake.and_then(|handshake| self.sessions.handshakes.remove(&handshake));
                if let Some(cid) = bound.and_then(|bound| bound.cid) {
                    // It was stored, or is being stored, for nothing.
                    self.remove_session(cid);
                }
            }
            // The origin of each message is read from the session, so a move needs nothing here.
            Output::PeerMoved { .. } => {}
            // Comes only out of `session_stored`, which knows the endpoint.
            Output::Connected { session, .. } => self.dtls.close(session),
        }
    }

    /// A message in a session, which OSCORE may protect as well.
    fn secured(&mut self, session: SessionId, peer: SocketAddr, datagram: &[u8]) {
        let (now, carrier) = (now(), Carrier::Dtls(session));
        let layer = &mut self.contexts.layer;
        if layer.handle_datagram(now.instant, carrier, datagram) == Disposition::Taken {
            return;
        }
        if let Some(origin) = self.origin(session, peer) {
            let peer = Peer::Dtls(session);
            self.application
                .handle_datagram(now, peer, &origin, datagram);
        }
    }

    /// A raw key is believed if it is a credential; a certificate also if an authority vouches for it.
    fn key_presented(&mut self, handshake: HandshakeId, key: &PeerKey, identity: PeerIdentity) {
        let now = now();
        let judgement = match (key, identity) {
            (PeerKey::Certificates(chain), PeerIdentity::Certificate(identity)) => {
                self.sessions
                    .claim(handshake, principal::claimed_by(&identity));
                self.judge(now, chain, identity.key)
            }
            (PeerKey::RawPublicKey(_), PeerIdentity::RawPublicKey(fingerprint)) => {
                Judgement::ByKey {
                    key: *fingerprint,
                    otherwise: PeerRejection::Unknown,
                }
            }
            _ => Judgement::Refused(PeerRejection::Invalid),
        };
        match judgement {
            Judgement::Certified(names) => self.certified(now, handshake, names),
            Judgement::ByKey { key, otherwise } => {
                let id = CredentialId::PublicKey(key.0);
                self.fetch_credential(handshake, id, Proof::Key { otherwise });
            }
            Judgement::Refused(reason) => {
                self.dtls.accept_peer(now.instant, handshake, Err(reason));
            }
        }
    }

    /// What a chain is worth whose end entity has this key.
    pub(super) fn judge(&self, now: Now, chain: &[Vec<u8>], key: Fingerprint) -> Judgement {
        let at = Duration::from_millis(now.wall.0);
        judge(&self.trust.anchors, chain, key, at)
    }

    fn certified(&mut self, now: Now, handshake: HandshakeId, names: SubjectNames) {
        let principal = principal::of_certificate(principal::names_in_order(names));
        let verdict = principal
            .is_some()
            .then_some(())
            .ok_or(PeerRejection::Unknown);
        if let Some(principal) = principal {
            self.sessions.begin(handshake, principal);
        }
        self.dtls.accept_peer(now.instant, handshake, verdict);
    }

    pub(super) fn credential_fetched(
        &mut self,
        now: Now,
        handshake: HandshakeId,
        found: Option<(Principal, Secret)>,
        proof: Proof,
    ) {
        // It may have ended meanwhile, and nothing would take back what is noted of it.
        if !self.dtls.is_handshaking(handshake) {
            return;
        }
        let (principal, secret) = found.unzip();
        match proof {
            Proof::Psk => {
                // A key of a length that no TLS stack takes is as good as none.
                let psk = secret.and_then(|secret| match secret {
                    Secret::PreSharedKey(key) => Psk::new(&key).ok(),
                    Secret::PublicKey | Secret::Oscore(_) => None,
                });
                if let (Some(principal), Some(_)) = (principal, &psk) {
                    self.sessions.begin(handshake, principal);
                }
                self.dtls.provide_psk(now.instant, handshake, psk.as_ref());
            }
            Proof::Key { otherwise } => {
                let verdict = principal.is_some().then_some(()).ok_or(otherwise);
                if let Some(principal) = principal {
                    self.sessions.begin(handshake, principal);
                }
                self.dtls.accept_peer(now.instant, handshake, verdict);
            }
        }
    }

    pub(super) fn session_stored(
        &mut self,
        now: Now,
        handshake: HandshakeId,
        outcome: StoreOutcome,
    ) {
        let bound = self.sessions.handshakes.remove(&handshake);
        if outcome == StoreOutcome::Stored {
            self.sessions.claims.remove(&handshake);
        }
        self.dtls.session_stored(now.instant, handshake, outcome);
        while let Some(output) = self.dtls.poll_output() {
            match (output, &bound) {
                (Output::Connected { session, how, .. }, Some(bound)) => {
                    self.metrics.handshakes.inc();
                    if how == HandshakeKind::Abbreviated {
                        self.metrics.resumptions.inc();
                    }
                    self.bind(session, bound.clone());
                }
                (output, _) => self.dtls_output(output),
            }
        }
    }

    /// A session that is this worker's from now on.
    pub(super) fn bind(&mut self, session: SessionId, bound: Bound) {
        self.sessions.bind(session, bound);
        self.watch(Peer::Dtls(session));
        // A revocation list may have come while its handshake or its take-over was under way.
        if self.is_revoked(session) {
            self.end_sessions(&[session]);
        }
    }

    fn session_closed(&mut self, session: SessionId, reason: CloseReason) {
        tracing::debug!(%reason, "session closed");
        let stored = self
            .sessions
            .bound
            .remove(&session)
            .and_then(|bound| bound.cid);
        self.application.forget_peer(now(), Peer::Dtls(session));
        self.contexts.layer.forget_peer(Carrier::Dtls(session));
        match (stored, reason) {
            // The device may go on with it: it stays stored.
            (None, _) | (_, CloseReason::Idle) => {}
            (Some(cid), _) => self.remove_session(cid),
        }
    }

    pub(super) fn origin(&self, session: SessionId, peer: SocketAddr) -> Option<Origin> {
        let bound = self.sessions.bound.get(&session)?;
        Some(Origin {
            address: peer,
            transport: Transport::Dtls,
            principal: bound.principal.clone(),
            session: bound.cid,
        })
    }
}

/// A Connection ID as the state tier knows it.
pub(super) fn session_cid(cid: Option<ConnectionId>) -> Option<SessionCid> {
    cid.map(|cid| SessionCid(*cid.as_bytes()))
}
