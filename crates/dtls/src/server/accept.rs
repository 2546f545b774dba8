//! Hellos: the stateless cookie exchange and the start of a handshake (RFC 6347 §4.2.1).

use std::net::SocketAddr;
use std::time::Instant;

use crate::alert::Alert;
use crate::cid::{CidPair, ConnectionId};
use crate::error::HandshakeFailure;
use crate::extension::{self, Extensions};
use crate::flight::{self, Part, RetransmitTimer};
use crate::handshake::client_hello::ClientHello;
use crate::handshake::{
    Fragment, certificate, certificate_request, hello_verify_request, server_hello,
    server_key_exchange,
};
use crate::key_agreement::EphemeralKey;
use crate::key_schedule::{HelloRandoms, MasterSecretKind};
use crate::prf::Transcript;
use crate::reassembly::Reassembly;
use crate::record::{ContentType, PlainSequence, put_plain};
use crate::server::Server;
use crate::server::agree::{Agreement, Exchange, agree};
use crate::server::output::{HandshakeId, Output};
use crate::server::pending::{Awaiting, Pending};

/// All messages of a client's flight with a pre-shared key: an identity of 128 bytes, a point.
const MAX_PSK_FLIGHT: usize = 512;
/// The same with a chain of certificates and a signature.
const MAX_KEY_FLIGHT: usize = certificate::MAX_LENGTH + 512;

/// Our flight in the making.
struct Flight {
    next_seq: u16,
    transcript: Transcript,
    parts: Vec<Part>,
}

impl Flight {
    fn push(&mut self, message: Vec<u8>) {
        self.transcript.add(&message);
        self.parts.push(Part::Plain(message));
        self.next_seq += 1;
    }
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
        let before = self.handshakes.by_peer(peer);
        if let Some(id) = before
            && self.repeat_flight(now, id, &hello)
        {
            return;
        }
        let (all, each) = (
            self.config.handshake_rate,
            self.config.handshake_rate_per_source,
        );
        if !self.budget.take(now, peer, all, each) {
            self.counters.refused_by_rate += 1;
            return;
        }
        match agree(&self.config.suites, &self.credentials, &hello) {
            Ok(agreement) => self.begin(now, peer, plain, fragment, &hello, &agreement),
            Err(reason) => self.refuse(peer, &mut plain, reason),
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
        let Some(pending) = self.handshakes.get_mut(id) else {
            return false;
        };
        if pending.randoms.client != hello.random {
            return false;
        }
        if pending.repeats_flight() {
            pending.timer = Some(RetransmitTimer::start(now, &self.config.retransmission));
            self.transmit_flight(id);
            self.counters.retransmissions += 1;
            self.handshakes.reschedule(id);
        } else {
            self.counters.repeated_messages += 1;
        }
        true
    }

    fn refuse(&mut self, peer: SocketAddr, plain: &mut PlainSequence, reason: HandshakeFailure) {
        if let Some(description) = reason.alert() {
            let alert = Alert::fatal(description).encode();
            let mut datagram = Vec::new();
            put_plain(&mut datagram, ContentType::Alert, plain, &alert);
            self.outputs.push_back(Output::Transmit { peer, datagram });
        }
        self.counters.handshakes_failed += 1;
        self.outputs.push_back(Output::HandshakeFailed {
            handshake: None,
            peer,
            reason,
        });
    }

    fn has_room_for(&self, peer: SocketAddr) -> bool {
        self.sessions.len() < self.config.max_sessions
            && self.handshakes.len() < self.config.max_handshakes
            && self.handshakes.count_of_source(peer) < self.config.max_handshakes_per_source
    }

    fn begin(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        mut plain: PlainSequence,
        fragment: &Fragment<'_>,
        hello: &ClientHello<'_>,
        agreement: &Agreement<'_>,
    ) {
        if let Some(id) = self.handshakes.by_peer(peer) {
            self.fail(id, HandshakeFailure::Superseded);
        }
        // A flight of ours has at most five messages, and one more after it.
        if fragment.message_seq > u16::MAX - 8 {
            self.counters.malformed_messages += 1;
            return;
        }
        if !self.has_room_for(peer) {
            self.counters.refused_by_limit += 1;
            return;
        }
        let cids = agreement.client_cid.map(|client| CidPair {
            server: self.unused_cid(),
            client: client.into(),
        });
        let randoms = HelloRandoms {
            client: hello.random,
            server: self.random.bytes(),
        };
        let mut flight = Flight {
            next_seq: fragment.message_seq,
            transcript: Transcript::new(),
            parts: Vec::new(),
        };
        flight.transcript.add(fragment.raw);
        flight.push(server_hello(
            flight.next_seq,
            agreement,
            &randoms,
            cids.as_ref(),
        ));
        let Some(awaiting) = self.exchange_keys(&mut flight, &agreement.exchange, &randoms) else {
            self.refuse(peer, &mut plain, HandshakeFailure::Cryptography);
            return;
        };
        flight.push(server_hello::encode_done(flight.next_seq));
        let limit = match agreement.exchange {
            Exchange::Psk | Exchange::EcdhePsk(_) => MAX_PSK_FLIGHT,
            Exchange::EcdheEcdsa { .. } => MAX_KEY_FLIGHT,
        };
        let timer = RetransmitTimer::start(now, &self.config.retransmission);
        let expires = now + self.config.handshake_timeout;
        let id = self.handshakes.insert(Pending {
            peer,
            expires,
            deadline: timer.at().min(expires),
            timer: Some(timer),
            randoms,
            suite: agreement.suite,
            master_secret: agreement.master_secret,
            cids,
            transcript: flight.transcript,
            // The client's numbers go on from the hello's.
            reassembly: Reassembly::new(fragment.message_seq + 1, limit),
            plain,
            final_message_seq: flight.next_seq,
            flight: flight.parts,
            early: Vec::new(),
            awaiting,
        });
        self.counters.handshakes_started += 1;
        self.transmit_flight(id);
    }

    /// The messages between the hello and its end; `None` when a signature fails.
    fn exchange_keys(
        &mut self,
        flight: &mut Flight,
        exchange: &Exchange,
        randoms: &HelloRandoms,
    ) -> Option<Awaiting> {
        match exchange {
            Exchange::Psk => Some(Awaiting::PskKeyExchange(None)),
            &Exchange::EcdhePsk(group) => {
                let key = EphemeralKey::generate(group, &mut self.random);
                flight.push(server_key_exchange::encode_psk(
                    flight.next_seq,
                    key.public(),
                ));
                Some(Awaiting::PskKeyExchange(Some(Box::new(key))))
            }
            Exchange::EcdheEcdsa {
                group,
                credential,
                client_type,
                ..
            } => {
                let key = EphemeralKey::generate(*group, &mut self.random);
                flight.push(certificate::encode(flight.next_seq, credential.presented()));
                flight.push(server_key_exchange::encode_signed(
                    flight.next_seq,
                    key.public(),
                    randoms,
                    |digest| credential.key().sign(digest),
                )?);
                flight.push(certificate_request::encode(flight.next_seq));
                Some(Awaiting::Certificate(*client_type, Box::new(key)))
            }
        }
    }

    fn unused_cid(&mut self) -> ConnectionId {
        loop {
            let cid = ConnectionId::generate(&mut self.random, self.config.partitions);
            if self.sessions.by_cid(cid).is_none() {
                return cid;
            }
        }
    }

    pub(super) fn transmit_flight(&mut self, id: HandshakeId) {
        let Some(pending) = self.handshakes.get_mut(id) else {
            return;
        };
        let peer = pending.peer;
        let outputs = &mut self.outputs;
        flight::transmit(
            &pending.flight,
            &mut pending.plain,
            None,
            self.config.mtu,
            |datagram| outputs.push_back(Output::Transmit { peer, datagram }),
        );
    }
}

fn server_hello(
    message_seq: u16,
    agreement: &Agreement<'_>,
    randoms: &HelloRandoms,
    cids: Option<&CidPair>,
) -> Vec<u8> {
    let (client_type, server_type);
    let mut extensions = Extensions {
        extended_master_secret: agreement.master_secret == MasterSecretKind::Extended,
        encrypt_then_mac: agreement.suite.needs_encrypt_then_mac(),
        renegotiation_info: agreement.renegotiation_info,
        connection_id: cids.map(|cids| cids.server.as_bytes().as_slice()),
        point_formats: agreement.point_formats.then_some(extension::POINT_FORMATS),
        ..Extensions::default()
    };
    if let Exchange::EcdheEcdsa {
        credential,
        by_name,
        client_type: chosen,
        client_type_offered,
        server_type_offered,
        ..
    } = &agreement.exchange
    {
        client_type = [chosen.code()];
        server_type = [credential.kind().code()];
        extensions.client_certificate_type = client_type_offered.then_some(&client_type[..]);
        extensions.server_certificate_type = server_type_offered.then_some(&server_type[..]);
        // RFC 6066 §3: empty, when the name was made use of.
        extensions.server_name = by_name.then_some(&[]);
    }
    server_hello::encode(message_seq, &randoms.server, agreement.suite, &extensions)
}
