//! From the hello flight to a session: the driver's answers and the client's second flight.

use std::net::SocketAddr;
use std::time::Instant;

use crate::alert::{Alert, AlertDescription, AlertLevel};
use crate::cid::ConnectionId;
use crate::error::{CloseReason, HandshakeFailure};
use crate::flight::{self, Part, Sealer};
use crate::handshake::{Fragment, MessageType, finished};
use crate::identity::PeerRejection;
use crate::key_schedule::Psk;
use crate::protection::Opened;
use crate::reassembly::Acceptance;
use crate::record::{self, ContentType, EPOCH_PLAIN, EPOCH_PROTECTED, Record};
use crate::resumption::HandshakeKind;
use crate::server::Server;
use crate::server::established::Effect;
use crate::server::handshakes::Handshake;
use crate::server::output::{HandshakeId, Output, StoreOutcome};
use crate::server::pending::{Awaiting, Course, Pending, Step};
use crate::session::{FinalFlight, Rejection, Session, SessionId, open_fresh};
use crate::wire::Reader;

/// A wrong key makes every Finished fail, a stray record of the address's previous session makes
/// one record fail: the first of them is forgiven.
const MAX_UNDECRYPTABLE: u8 = 2;

impl Server {
    /// Whether a handshake is still under way: what was asked for in it may come late.
    pub fn is_handshaking(&self, handshake: HandshakeId) -> bool {
        self.handshakes.contains(handshake)
    }

    /// Answers [`Output::PskNeeded`]. With `None` the handshake goes on under a random key, so
    /// that the client cannot tell an unknown identity from a wrong key.
    pub fn provide_psk(&mut self, now: Instant, handshake: HandshakeId, psk: Option<&Psk>) {
        // Drawn in either case, so that the work does not tell the two apart.
        let random: [u8; 16] = self.random.bytes();
        let Some(pending) = self.handshakes.get_mut(handshake) else {
            return;
        };
        let early = match psk {
            Some(psk) => pending.set_psk(psk),
            None => match Psk::new(&random) {
                Ok(psk) => pending.set_psk(&psk),
                Err(_) => return,
            },
        };
        self.read_early(now, handshake, early.unwrap_or_default());
    }

    /// Answers [`Output::PeerKeyPresented`].
    pub fn accept_peer(
        &mut self,
        now: Instant,
        handshake: HandshakeId,
        verdict: Result<(), PeerRejection>,
    ) {
        let Some(pending) = self.handshakes.get_mut(handshake) else {
            return;
        };
        match pending.set_verdict(verdict) {
            Some(Ok(early)) => self.read_early(now, handshake, early),
            Some(Err(reason)) => self.fail(handshake, reason),
            None => {}
        }
    }

    /// Reads the protected records that came before their keys.
    fn read_early(&mut self, now: Instant, handshake: HandshakeId, early: Vec<Vec<u8>>) {
        for mut bytes in early {
            if let Some((record, _)) = record::split_first(&mut bytes, ConnectionId::LENGTH) {
                self.on_handshake_record(now, handshake, record);
            }
        }
        self.handshakes.reschedule(handshake);
    }

    /// Answers [`Output::StoreSession`]. Only now the client learns that the session exists.
    pub fn session_stored(&mut self, now: Instant, handshake: HandshakeId, outcome: StoreOutcome) {
        let Some(pending) = self.handshakes.get_mut(handshake) else {
            return;
        };
        let Awaiting::Store(session) = &pending.awaiting else {
            return;
        };
        if outcome == StoreOutcome::Refused {
            self.fail(handshake, HandshakeFailure::StoreRefused);
            return;
        }
        if let Some(before) = self.sessions.conflict(session) {
            // RFC 6347 §4.2.8: the old session of the address ends when the new one is complete.
            if session.cids.is_some() {
                self.fail(handshake, HandshakeFailure::NoRoom);
                return;
            }
            self.sessions.remove(before);
            self.closed(before, CloseReason::Superseded);
        }
        if self.sessions.len() >= self.config.max_sessions {
            self.fail(handshake, HandshakeFailure::NoRoom);
            return;
        }
        let Some(Handshake::Pending(pending)) = self.handshakes.remove(handshake) else {
            return;
        };
        let Pending {
            awaiting, course, ..
        } = *pending;
        if let Awaiting::Store(session) = awaiting {
            let peer = session.peer;
            match course {
                Course::Full { .. } => {
                    self.connect(now, *session, HandshakeKind::Full);
                }
                Course::Abbreviated { kept, .. } => {
                    self.counters.handshakes_resumed += 1;
                    let id = self.connect(now, *session, HandshakeKind::Abbreviated);
                    for effect in kept.into_effects() {
                        self.take_effect(id, peer, effect);
                    }
                }
            }
        }
    }

    fn connect(&mut self, now: Instant, mut session: Session, how: HandshakeKind) -> SessionId {
        session.last_heard = now;
        let peer = session.peer;
        let identity = session.identity.clone();
        let cid = session.cids.as_ref().map(|cids| cids.server);
        let id = self.sessions.insert(session);
        self.send_final_flight(id);
        self.start_sweep(now);
        self.counters.handshakes_completed += 1;
        self.outputs.push_back(Output::Connected {
            session: id,
            peer,
            identity,
            cid,
            how,
        });
        id
    }

    /// Sends ChangeCipherSpec and Finished, for the first time or again.
    pub(super) fn send_final_flight(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let Session {
            peer,
            keys,
            cids,
            write,
            final_flight: Some(last),
            ..
        } = session
        else {
            return;
        };
        let FinalFlight {
            plain,
            message_seq,
            verify_data,
        } = &mut **last;
        let parts = [
            Part::ChangeCipherSpec,
            Part::Sealed(finished::encode(*message_seq, verify_data)),
        ];
        let sealer = Sealer {
            keys,
            cid: cids.as_ref().map_or(&[], |cids| &cids.client),
            write,
        };
        let (peer, outputs) = (*peer, &mut self.outputs);
        flight::transmit(&parts, plain, Some(sealer), self.config.mtu, |datagram| {
            outputs.push_back(Output::Transmit { peer, datagram });
        });
    }

    /// A plaintext fragment other than a hello.
    pub(super) fn on_plain_fragment(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        fragment: &Fragment<'_>,
    ) {
        let id = self.handshakes.by_peer(peer);
        let waits = |pending: &mut Pending| matches!(pending.course, Course::Full { .. });
        match id {
            Some(id) if self.handshakes.get_mut(id).is_some_and(waits) => {
                self.push_fragment(id, EPOCH_PLAIN, fragment);
                self.advance(now, id);
            }
            // For example a client's second flight, repeated after the handshake. In an abbreviated
            // one only a protected Finished is waited for.
            _ => self.counters.out_of_place += 1,
        }
    }

    fn push_fragment(&mut self, id: HandshakeId, epoch: u16, fragment: &Fragment<'_>) {
        let Some(pending) = self.handshakes.get_mut(id) else {
            return;
        };
        match pending.reassembly.push(epoch, fragment) {
            Acceptance::Kept => {}
            Acceptance::Repeated => self.counters.repeated_messages += 1,
            Acceptance::Refused => self.counters.refused_fragments += 1,
        }
    }

    /// Handles the messages that are complete, up to the next question to the driver.
    fn advance(&mut self, now: Instant, id: HandshakeId) {
        while let Some(pending) = self.handshakes.get_mut(id)
            && pending.reads_messages()
            && let Some(message) = pending.reassembly.pop()
        {
            let peer = pending.peer;
            let step = pending.on_message(now, &message);
            self.handshakes.reschedule(id);
            match step {
                Ok(Step::Continue) => {}
                Ok(Step::LookUp { identity }) => self.outputs.push_back(Output::PskNeeded {
                    handshake: id,
                    peer,
                    identity,
                }),
                Ok(Step::Judge { key, identity }) => {
                    self.outputs.push_back(Output::PeerKeyPresented {
                        handshake: id,
                        peer,
                        key,
                        identity,
                    });
                }
                Ok(Step::Store { session, origin }) => {
                    self.outputs.push_back(Output::StoreSession {
                        handshake: id,
                        session,
                        origin,
                    });
                }
                Err(reason) => self.fail(id, reason),
            }
        }
    }

    /// A protected record of a peer whose handshake is under way.
    pub(super) fn on_handshake_record(
        &mut self,
        now: Instant,
        id: HandshakeId,
        record: Record<'_>,
    ) {
        let Some(pending) = self.handshakes.get_mut(id) else {
            return;
        };
        // RFC 9146 §3: with a Connection ID negotiated, records have to carry it.
        let expected: &[u8] = match &pending.cids {
            Some(cids) => cids.server.as_bytes(),
            None => &[],
        };
        if record.cid() != expected {
            self.counters.unknown_session += 1;
            return;
        }
        match (&mut pending.awaiting, &pending.course) {
            (Awaiting::Finished(waiting), course) => {
                let is_full = matches!(course, Course::Full { .. });
                match open_fresh(&waiting.keys, &mut waiting.window, record) {
                    Ok((_, opened)) => self.on_handshake_content(now, id, &opened),
                    Err(rejection) => {
                        self.reject(rejection);
                        // A client that resumes has seen our Finished: its key is right, and
                        // whatever fails to open comes from somebody else.
                        if rejection == Rejection::Unauthentic && is_full {
                            self.on_undecryptable(id);
                        }
                    }
                }
            }
            (Awaiting::Store(session), Course::Abbreviated { .. }) => {
                match open_fresh(&session.keys, &mut session.window, record) {
                    Ok((_, opened)) => self.keep(id, Effect::of(&opened)),
                    Err(rejection) => self.reject(rejection),
                }
            }
            (Awaiting::Store(_), Course::Full { .. }) => self.counters.repeated_messages += 1,
            _ => {
                if record.epoch != EPOCH_PROTECTED {
                    self.counters.unknown_epoch += 1;
                } else if !pending.keep_early(record.bytes) {
                    self.counters.repeated_messages += 1;
                }
            }
        }
    }

    fn on_undecryptable(&mut self, id: HandshakeId) {
        let Some(pending) = self.handshakes.get_mut(id) else {
            return;
        };
        if let Awaiting::Finished(waiting) = &mut pending.awaiting {
            waiting.undecryptable += 1;
            if waiting.undecryptable >= MAX_UNDECRYPTABLE {
                self.fail(id, HandshakeFailure::Undecryptable);
            }
        }
    }

    fn on_handshake_content(&mut self, now: Instant, id: HandshakeId, opened: &Opened<'_>) {
        match opened.content_type {
            ContentType::Handshake => {
                let mut reader = Reader::new(opened.content);
                while !reader.is_empty() {
                    let Ok(fragment) = Fragment::read(&mut reader) else {
                        self.counters.malformed_messages += 1;
                        return;
                    };
                    if fragment.kind == MessageType::ClientHello {
                        self.counters.out_of_place += 1;
                        continue;
                    }
                    self.push_fragment(id, EPOCH_PROTECTED, &fragment);
                    self.advance(now, id);
                }
            }
            ContentType::Alert => self.on_handshake_alert(id, EPOCH_PROTECTED, opened.content),
            // It overtook the Finished.
            ContentType::ApplicationData => self.keep(id, Effect::of(opened)),
            ContentType::ChangeCipherSpec | ContentType::Tls12Cid => {
                self.counters.out_of_place += 1;
            }
        }
    }

    /// Puts aside what a client that resumes has to say before its session is stored.
    fn keep(&mut self, id: HandshakeId, effect: Effect) {
        let Some(pending) = self.handshakes.get_mut(id) else {
            return;
        };
        match effect {
            // The client repeats its Finished when it hears ours again.
            Effect::Handshake(MessageType::Finished) => self.counters.repeated_messages += 1,
            effect => {
                if !pending.keep(effect) {
                    self.counters.out_of_place += 1;
                }
            }
        }
    }

    /// An alert of the peer whose handshake is under way, protected or not.
    pub(super) fn on_handshake_alert(&mut self, id: HandshakeId, epoch: u16, content: &[u8]) {
        let Some(alert) = Alert::decode(content) else {
            self.counters.malformed_messages += 1;
            return;
        };
        let pending = self.handshakes.get_mut(id);
        let heeded = pending.is_some_and(|pending| pending.heeds_alerts(epoch));
        let ends =
            alert.level == AlertLevel::Fatal || alert.description == AlertDescription::CLOSE_NOTIFY;
        if ends && heeded {
            self.fail(id, HandshakeFailure::PeerAlert(alert.description));
        } else {
            self.counters.ignored_alerts += 1;
        }
    }

    /// Ends a handshake, telling the peer and the driver.
    pub(super) fn fail(&mut self, id: HandshakeId, reason: HandshakeFailure) {
        let Some(mut handshake) = self.handshakes.remove(id) else {
            return;
        };
        let peer = handshake.peer();
        let alert = reason.alert().map(Alert::fatal);
        if let Some(datagram) = alert.and_then(|alert| handshake.alert(alert)) {
            self.outputs.push_back(Output::Transmit { peer, datagram });
        }
        self.counters.handshakes_failed += 1;
        self.outputs.push_back(Output::HandshakeFailed {
            handshake: Some(id),
            peer,
            reason,
        });
    }
}
