//! DTLS sessions of a worker: from handshake to device.

use std::net::SocketAddr;

use device_state::{SecurityIdentity, SessionCid, Transport};
use dtls::{
    CloseReason, ConnectionId, HandshakeId, Output, PeerIdentity, PeerRejection, Psk, SessionId,
    StoreOutcome,
};
use forward::Channel;
use hashbrown::HashMap;
use lwm2m::EndpointName;
use lwm2m_server::{Now, Origin};

use super::take_over::Stray;
use super::{Driver, Peer, now};

/// What is kept per session beside the DTLS state.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// Handshakes under way whose key is known; as many as the DTLS server allows.
    handshakes: HashMap<HandshakeId, Bound>,
    bound: HashMap<SessionId, Bound>,
}

/// What a session is bound to.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    /// The endpoint of its credential.
    pub(super) endpoint: EndpointName,
    /// Under which it is stored.
    pub(super) cid: Option<SessionCid>,
}

impl Sessions {
    /// A session that is this worker's from now on.
    pub(super) fn bind(&mut self, session: SessionId, bound: Bound) {
        self.bound.insert(session, bound);
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
            } => self.fetch_credential(handshake, identity),
            // The node has no key of its own, so no client can get this far.
            Output::PeerKeyPresented { handshake, .. } => {
                let verdict = Err(PeerRejection::Unknown);
                self.dtls.accept_peer(now().instant, handshake, verdict);
            }
            Output::StoreSession { handshake, session } => {
                if let Some(bound) = self.sessions.handshakes.get_mut(&handshake) {
                    bound.cid = session_cid(session.cid());
                }
                self.store_session(handshake, &session);
            }
            Output::Plaintext {
                session,
                peer,
                data,
            } => {
                if let Some(origin) = self.origin(session, peer) {
                    self.engine
                        .handle_datagram(now(), Peer::Dtls(session), &origin, &data);
                }
            }
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

    pub(super) fn credential_fetched(
        &mut self,
        now: Now,
        handshake: HandshakeId,
        credential: Option<(EndpointName, Psk)>,
    ) {
        match credential {
            Some((endpoint, psk)) => {
                self.sessions.handshakes.insert(
                    handshake,
                    Bound {
                        endpoint,
                        cid: None,
                    },
                );
                self.dtls.provide_psk(now.instant, handshake, Some(&psk));
            }
            None => self.dtls.provide_psk(now.instant, handshake, None),
        }
    }

    pub(super) fn session_stored(
        &mut self,
        now: Now,
        handshake: HandshakeId,
        outcome: StoreOutcome,
    ) {
        let bound = self.sessions.handshakes.remove(&handshake);
        self.dtls.session_stored(now.instant, handshake, outcome);
        while let Some(output) = self.dtls.poll_output() {
            match (output, &bound) {
                (Output::Connected { session, .. }, Some(bound)) => {
                    self.metrics.handshakes.inc();
                    self.sessions.bind(session, bound.clone());
                }
                (output, _) => self.dtls_output(output),
            }
        }
    }

    fn session_closed(&mut self, session: SessionId, reason: CloseReason) {
        tracing::debug!(%reason, "session closed");
        let stored = self
            .sessions
            .bound
            .remove(&session)
            .and_then(|bound| bound.cid);
        self.engine.forget_peer(now(), Peer::Dtls(session));
        match (stored, reason) {
            // The device may go on with it: it stays stored.
            (None, _) | (_, CloseReason::Idle) => {}
            (Some(cid), _) => self.remove_session(cid),
        }
    }

    fn origin(&self, session: SessionId, peer: SocketAddr) -> Option<Origin> {
        let bound = self.sessions.bound.get(&session)?;
        Some(Origin {
            address: peer,
            transport: Transport::Dtls,
            identity: security_identity(self.dtls.identity(session)?)?,
            endpoint: Some(bound.endpoint.clone()),
            session: bound.cid,
        })
    }
}

/// An identity as the state tier knows it; `None` for keys that are not pre-shared.
pub(super) fn security_identity(identity: &PeerIdentity) -> Option<SecurityIdentity> {
    let identity = identity.as_psk()?.to_vec();
    Some(SecurityIdentity::PskIdentity(identity))
}

/// A Connection ID as the state tier knows it.
pub(super) fn session_cid(cid: Option<ConnectionId>) -> Option<SessionCid> {
    cid.map(|cid| SessionCid(*cid.as_bytes()))
}
