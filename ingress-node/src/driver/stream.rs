//! Peers on TCP and TLS (RFC 8323).

use std::sync::Arc;

use coap::{Code, Message, reliable};
use device_state::{CredentialId, SecurityIdentity};
use dtls::{CertifiedIdentity, PeerRejection};
use lwm2m_server::{Now, Principal};
use oscore::Disposition;

use super::carrier::{Carrier, refusal};
use super::state_tier::Resolved;
use super::{Driver, Peer, Unsecured, now, principal};
use crate::tcp::event::{Event, StreamId};
use crate::tcp::streams::Proved;
use crate::trust::Judgement;

impl Driver {
    pub(super) fn stream_event(&mut self, event: Event) {
        self.streams.handle_event(now().instant, event);
        while let Some((id, chain)) = self.streams.poll_shown() {
            self.certificate_shown(id, &chain);
        }
    }

    /// Decides as in DTLS who has a certificate.
    fn certificate_shown(&mut self, id: StreamId, chain: &[Vec<u8>]) {
        let identity = chain
            .first()
            .and_then(|der| CertifiedIdentity::of_certificate(der));
        let Some(certificate) = identity.map(Arc::new) else {
            return self.turn_away(id, None, PeerRejection::Invalid);
        };
        match self.judge(now(), chain, certificate.key) {
            Judgement::Certified(names) => {
                match principal::of_certificate(principal::names_in_order(names)) {
                    Some(principal) => self.admit(id, certificate, principal),
                    None => self.turn_away(id, None, PeerRejection::Unknown),
                }
            }
            Judgement::Refused(reason) => self.turn_away(id, Some(&certificate), reason),
            Judgement::ByKey { key, otherwise } => {
                let (client, timeout) = (self.client.clone(), self.limits.commit_timeout);
                self.calls.push(Box::pin(async move {
                    let key = CredentialId::PublicKey(key.0);
                    let found = principal::of_credential(&client, key, timeout).await;
                    Resolved::KeyHolder {
                        id,
                        certificate,
                        found: found.map(|(principal, _)| principal),
                        otherwise,
                    }
                }));
            }
        }
    }

    pub(super) fn admit(
        &mut self,
        id: StreamId,
        certificate: Arc<CertifiedIdentity>,
        principal: Principal,
    ) {
        // A revocation list may have come while the state tier was asked.
        if self.trust.anchors.is_revoked(&certificate) {
            return self.turn_away(id, Some(&certificate), PeerRejection::Revoked);
        }
        let proved = Proved {
            principal: Arc::new(principal),
            certificate: Some(certificate),
        };
        self.streams.admit(now().instant, id, proved);
        self.watch(Peer::Stream(id));
    }

    pub(super) fn stream_output(&mut self, id: StreamId, output: reliable::Output) {
        let (now, peer) = (now(), Peer::Stream(id));
        match output {
            reliable::Output::Ready(capabilities) => {
                if !self.application.open_stream(now, peer, capabilities) {
                    self.streams.release(now.instant, id);
                }
            }
            reliable::Output::Message(message) => {
                self.metrics.messages_received.inc();
                self.stream_message(now, id, message);
            }
            reliable::Output::Closed(reason) => {
                tracing::debug!(%reason, "connection closed");
                self.stream_gone(id);
            }
        }
    }

    fn stream_message(&mut self, now: Now, id: StreamId, message: Message) {
        let carrier = Carrier::Stream(id);
        let layer = &mut self.contexts.layer;
        if layer.handle_message(now.instant, carrier, &message) == Disposition::Taken {
            return;
        }
        let Some(origin) = self.streams.origin(id) else {
            return;
        };
        let is_unknown = origin.principal.identity == SecurityIdentity::Unauthenticated;
        if is_unknown && self.limits.unsecured == Unsecured::Refused {
            if let Some(refusal) = refusal(&message, Code::UNAUTHORIZED_4_01) {
                self.send_on_stream(id, &refusal);
            }
            return;
        }
        let peer = Peer::Stream(id);
        self.application.handle_message(now, peer, &origin, message);
    }

    pub(super) fn send_on_stream(&mut self, id: StreamId, message: &Message) {
        self.metrics.messages_sent.inc();
        if !self.streams.send(id, message) {
            self.stream_gone(id);
        }
    }

    /// A connection has ended. The engine may hold a device there later as well, because a commit or a fetch was under
    /// way when it did.
    pub(super) fn stream_gone(&mut self, id: StreamId) {
        self.application.forget_peer(now(), Peer::Stream(id));
        self.contexts.layer.forget_peer(Carrier::Stream(id));
    }
}
