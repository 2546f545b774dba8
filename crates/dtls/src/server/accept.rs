//! Hellos: the stateless cookie exchange, and what a hello may begin (RFC 6347 §4.2.1).

use std::net::SocketAddr;
use std::time::Instant;

use crate::alert::Alert;
use crate::error::HandshakeFailure;
use crate::flight::{self, RetransmitTimer, Sealer};
use crate::handshake::client_hello::ClientHello;
use crate::handshake::{Fragment, hello_verify_request};
use crate::rate::count_of;
use crate::record::{ContentType, PlainSequence, put_plain};
use crate::server::Server;
use crate::server::agree::{Terms, agree};
use crate::server::handshakes::plain_alert;
use crate::server::output::{HandshakeId, Output};
use crate::server::pending::{Awaiting, Pending};

/// A hello with a valid cookie.
pub(super) struct Arrival<'a> {
    pub(super) peer: SocketAddr,
    /// Of our records.
    pub(super) plain: PlainSequence,
    pub(super) message_seq: u16,
    /// The whole message, for the transcript.
    pub(super) raw: &'a [u8],
    pub(super) hello: ClientHello<'a>,
    pub(super) terms: Terms<'a>,
    /// When its handshake is given up.
    pub(super) expires: Instant,
}

impl Server {
    /// `sequence` is the number of the hello's record.
    pub(super) fn on_client_hello(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        sequence: u64,
        fragment: &Fragment<'_>,
    ) {
        if !fragment.is_whole() {
            self.counters.fragmented_client_hellos += 1;
            return;
        }
        let Ok(hello) = ClientHello::parse(fragment.body) else {
            self.counters.malformed_messages += 1;
            return;
        };
        // RFC 6347 §4.2.1: our numbers go on from the hello's, so that none is used twice although
        // nothing is remembered.
        let mut plain = PlainSequence::starting_at(sequence);
        if !self.cookies.accepts(peer, &hello) {
            self.send_hello_verify_request(peer, &mut plain, fragment.message_seq, &hello);
            return;
        }
        if let Some(id) = self.handshakes.by_peer(peer)
            && self.repeat_flight(now, id, &hello)
        {
            return;
        }
        let (all, each) = (
            self.config.handshake_rate,
            self.config.handshake_rate_per_source,
        );
        let terms = Terms::read(&hello);
        let count = terms.as_ref().map_or(1, |terms| self.count(&hello, terms));
        if !self.budget.take(now, peer, count, all, each) {
            self.counters.refused_by_rate += 1;
            return;
        }
        match terms {
            Ok(terms) => self.on_arrival(
                now,
                Arrival {
                    peer,
                    plain,
                    message_seq: fragment.message_seq,
                    raw: fragment.raw,
                    hello,
                    terms,
                    expires: now + self.config.handshake_timeout,
                },
            ),
            Err(reason) => self.refuse(peer, &mut plain, reason),
        }
    }

    /// How many handshakes a hello counts for.
    fn count(&self, hello: &ClientHello<'_>, terms: &Terms<'_>) -> u32 {
        let agreed = agree(&self.config.suites, &self.credentials, hello, terms);
        agreed.map_or(1, |agreement| count_of(agreement.suite))
    }

    fn on_arrival(&mut self, now: Instant, mut arrival: Arrival<'_>) {
        if let Some(wanted) = self.wanted(&arrival) {
            if self.make_room(&arrival) {
                self.ask(&arrival, wanted);
            }
            return;
        }
        let suites = &self.config.suites;
        let agreed = agree(suites, &self.credentials, &arrival.hello, &arrival.terms);
        let begun = match agreed {
            Ok(_) if !self.make_room(&arrival) => return,
            Ok(agreement) => self.full(now, &arrival, &agreement),
            Err(reason) => Err(reason),
        };
        match begun {
            Ok(pending) => {
                let id = self.handshakes.insert(pending);
                self.counters.handshakes_started += 1;
                self.transmit_flight(id);
            }
            Err(reason) => self.refuse(arrival.peer, &mut arrival.plain, reason),
        }
    }

    fn send_hello_verify_request(
        &mut self,
        peer: SocketAddr,
        plain: &mut PlainSequence,
        message_seq: u16,
        hello: &ClientHello<'_>,
    ) {
        let cookie = self.cookies.issue(peer, hello);
        let message = hello_verify_request::encode(message_seq, &cookie);
        let mut datagram = Vec::with_capacity(64);
        put_plain(&mut datagram, ContentType::Handshake, plain, &message);
        self.counters.hello_verify_requests += 1;
        self.outputs.push_back(Output::Transmit { peer, datagram });
    }

    /// Whether the hello is a repetition of the one that started the handshake.
    fn repeat_flight(&mut self, now: Instant, id: HandshakeId, hello: &ClientHello<'_>) -> bool {
        if self.handshakes.client_random(id) != Some(&hello.random) {
            return false;
        }
        match self.handshakes.get_mut(id) {
            Some(pending) if pending.repeats_flight() => {
                pending.timer = Some(RetransmitTimer::start(now, &self.config.retransmission));
                self.transmit_flight(id);
                self.counters.retransmissions += 1;
                self.handshakes.reschedule(id);
            }
            _ => self.counters.repeated_messages += 1,
        }
        true
    }

    fn refuse(&mut self, peer: SocketAddr, plain: &mut PlainSequence, reason: HandshakeFailure) {
        if let Some(description) = reason.alert() {
            let datagram = plain_alert(plain, Alert::fatal(description));
            self.outputs.push_back(Output::Transmit { peer, datagram });
        }
        self.counters.handshakes_failed += 1;
        self.outputs.push_back(Output::HandshakeFailed {
            handshake: None,
            peer,
            reason,
        });
    }

    /// Whether another handshake of the peer can begin. One that it has begun before ends.
    fn make_room(&mut self, arrival: &Arrival<'_>) -> bool {
        let peer = arrival.peer;
        if let Some(id) = self.handshakes.by_peer(peer) {
            self.fail(id, HandshakeFailure::Superseded);
        }
        // A flight of ours has at most five messages, and one more after it.
        if arrival.message_seq > u16::MAX - 8 {
            self.counters.malformed_messages += 1;
            return false;
        }
        let has_room = self.sessions.len() < self.config.max_sessions
            && self.handshakes.len() < self.config.max_handshakes
            && self.handshakes.count_of_source(peer) < self.config.max_handshakes_per_source;
        if !has_room {
            self.counters.refused_by_limit += 1;
        }
        has_room
    }

    pub(super) fn transmit_flight(&mut self, id: HandshakeId) {
        let Some(pending) = self.handshakes.get_mut(id) else {
            return;
        };
        let Pending {
            peer,
            plain,
            flight,
            cids,
            awaiting,
            ..
        } = pending;
        let sealer = match awaiting {
            Awaiting::Finished(waiting) => Some(Sealer {
                keys: &waiting.keys,
                cid: cids.as_ref().map_or(&[], |cids| &cids.client),
                write: &mut waiting.write,
            }),
            _ => None,
        };
        let (peer, outputs) = (*peer, &mut self.outputs);
        flight::transmit(flight, plain, sealer, self.config.mtu, |datagram| {
            outputs.push_back(Output::Transmit { peer, datagram });
        });
    }
}
