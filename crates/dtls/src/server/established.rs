//! Records of established sessions.

use std::net::SocketAddr;
use std::time::Instant;

use crate::alert::{Alert, AlertDescription, AlertLevel};
use crate::error::CloseReason;
use crate::handshake::{Fragment, MessageType};
use crate::protection::Opened;
use crate::record::{ContentType, Record};
use crate::server::Server;
use crate::server::output::Output;
use crate::session::{Rejection, SessionId, open_fresh};
use crate::wire::Reader;
use replay::Freshness;

/// What an authenticated record makes necessary once its bytes are let go of.
pub(super) enum Effect {
    Plaintext(Vec<u8>),
    Alert(Alert),
    /// The first message of the record.
    Handshake(MessageType),
    Malformed,
    OutOfPlace,
    Nothing,
}

impl Effect {
    pub(super) fn of(opened: &Opened<'_>) -> Self {
        match opened.content_type {
            ContentType::ApplicationData if opened.content.is_empty() => Self::Nothing,
            ContentType::ApplicationData => Self::Plaintext(opened.content.to_vec()),
            ContentType::Alert => {
                Alert::decode(opened.content).map_or(Self::Malformed, Self::Alert)
            }
            ContentType::Handshake => Fragment::read(&mut Reader::new(opened.content))
                .map_or(Self::Malformed, |fragment| Self::Handshake(fragment.kind)),
            ContentType::ChangeCipherSpec | ContentType::Tls12Cid => Self::OutOfPlace,
        }
    }

    /// Bytes that it holds.
    pub(super) const fn length(&self) -> usize {
        match self {
            Self::Plaintext(data) => data.len(),
            _ => 0,
        }
    }
}

impl Server {
    /// Whether the record authenticated.
    pub(super) fn on_session_record(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        id: SessionId,
        record: Record<'_>,
    ) -> Result<(), Rejection> {
        let Some(session) = self.sessions.get_mut(id) else {
            return Ok(());
        };
        let (freshness, opened) = open_fresh(&session.keys, &mut session.window, record)?;
        session.last_heard = now;
        // RFC 9146 §6: only an authenticated record that is the newest moves the address.
        if freshness == Freshness::Newest && session.peer != peer && session.cids.is_some() {
            session.peer = peer;
            self.counters.peers_moved += 1;
            self.outputs
                .push_back(Output::PeerMoved { session: id, peer });
        }
        if opened.content_type == ContentType::ApplicationData {
            // The client has our Finished: there is nothing left to repeat.
            session.final_flight = None;
        }
        let effect = Effect::of(&opened);
        let peer = session.peer;
        self.take_effect(id, peer, effect);
        Ok(())
    }

    pub(super) fn take_effect(&mut self, session: SessionId, peer: SocketAddr, effect: Effect) {
        match effect {
            Effect::Plaintext(data) => self.outputs.push_back(Output::Plaintext {
                session,
                peer,
                data,
            }),
            Effect::Alert(alert) => self.on_session_alert(session, alert),
            Effect::Handshake(kind) => self.on_session_handshake(session, kind),
            Effect::Malformed => self.counters.malformed_messages += 1,
            Effect::OutOfPlace => self.counters.out_of_place += 1,
            Effect::Nothing => {}
        }
    }

    fn on_session_alert(&mut self, id: SessionId, alert: Alert) {
        let reason = match (alert.level, alert.description) {
            (_, AlertDescription::CLOSE_NOTIFY) => {
                // RFC 5246 §7.2.1: answered with one of our own.
                self.send_alert(id, Alert::warning(AlertDescription::CLOSE_NOTIFY));
                CloseReason::PeerClosed
            }
            (AlertLevel::Fatal, description) => CloseReason::PeerAlert(description),
            (AlertLevel::Warning, _) => {
                self.counters.ignored_alerts += 1;
                return;
            }
        };
        if self.sessions.remove(id).is_some() {
            self.closed(id, reason);
        }
    }

    fn on_session_handshake(&mut self, id: SessionId, kind: MessageType) {
        let has_final_flight = self
            .sessions
            .get(id)
            .is_some_and(|session| session.final_flight.is_some());
        match kind {
            MessageType::ClientHello => {
                // RFC 5246 §7.2.2: renegotiation is refused with a warning; the session lives on.
                self.counters.renegotiations_refused += 1;
                self.send_alert(id, Alert::warning(AlertDescription::NO_RENEGOTIATION));
            }
            MessageType::Finished if has_final_flight => {
                // RFC 6347 §4.2.4: our last flight got lost.
                self.counters.retransmissions += 1;
                self.send_final_flight(id);
            }
            _ => self.counters.out_of_place += 1,
        }
    }

    pub(super) fn send_alert(&mut self, id: SessionId, alert: Alert) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let peer = session.peer;
        if let Some(datagram) = session.seal(ContentType::Alert, &alert.encode()) {
            self.outputs.push_back(Output::Transmit { peer, datagram });
        }
    }

    pub(super) fn reject(&mut self, rejection: Rejection) {
        let counter = match rejection {
            Rejection::UnknownEpoch => &mut self.counters.unknown_epoch,
            Rejection::Replayed => &mut self.counters.replayed,
            Rejection::Unauthentic => &mut self.counters.unauthentic,
        };
        *counter += 1;
    }

    pub(super) fn closed(&mut self, session: SessionId, reason: CloseReason) {
        self.outputs.push_back(Output::Closed { session, reason });
    }
}
