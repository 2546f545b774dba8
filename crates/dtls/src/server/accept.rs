//! Hellos: the stateless cookie exchange and the start of a handshake (RFC 6347 §4.2.1).

use std::net::SocketAddr;
use std::time::Instant;

use crate::alert::Alert;
use crate::cid::{CidPair, ConnectionId};
use crate::error::HandshakeFailure;
use crate::extension::Extensions;
use crate::flight::{self, Part, RetransmitTimer};
use crate::handshake::client_hello::{ClientHello, RENEGOTIATION_SCSV};
use crate::handshake::{Fragment, hello_verify_request, server_hello};
use crate::key_schedule::{HelloRandoms, MasterSecretKind};
use crate::prf::Transcript;
use crate::reassembly::Reassembly;
use crate::record::{ContentType, MAX_CID, PlainSequence, VERSION, put_plain};
use crate::server::Server;
use crate::server::output::{HandshakeId, Output};
use crate::server::pending::{Awaiting, Pending};
use crate::suite::CipherSuite;

/// The longest client message after the hello: an identity of 128 bytes with its length.
const MAX_MESSAGE: usize = 512;
/// What the major version byte of every DTLS version makes of the smallest version number.
const LOWEST_VERSION: u16 = 0xFE00;

/// What a hello and the server agree on.
struct Agreement<'a> {
    suite: CipherSuite,
    master_secret: MasterSecretKind,
    renegotiation_info: Option<&'static [u8]>,
    client_cid: Option<&'a [u8]>,
}

fn agree<'a>(hello: &ClientHello<'a>) -> Result<Agreement<'a>, HandshakeFailure> {
    // DTLS versions count downwards.
    if !(LOWEST_VERSION..=VERSION).contains(&hello.version) {
        return Err(HandshakeFailure::UnsupportedVersion);
    }
    if !hello.compression.contains(&0) {
        return Err(HandshakeFailure::IllegalParameter);
    }
    let suite = CipherSuite::PREFERENCE
        .iter()
        .copied()
        .find(|suite| hello.suites().any(|code| code == suite.code()))
        .ok_or(HandshakeFailure::NoCommonSuite)?;
    let extensions = hello
        .extensions()
        .map_err(|_| HandshakeFailure::Malformed)?;
    // RFC 5746 §3.6: empty in an initial handshake, and ours always are.
    let renegotiation_info: Option<&'static [u8]> = match extensions.renegotiation_info {
        Some([]) => Some(&[]),
        Some(_) => return Err(HandshakeFailure::IllegalParameter),
        None if hello.suites().any(|code| code == RENEGOTIATION_SCSV) => Some(&[]),
        None => None,
    };
    Ok(Agreement {
        suite,
        master_secret: if extensions.extended_master_secret {
            MasterSecretKind::Extended
        } else {
            MasterSecretKind::Classic
        },
        renegotiation_info,
        // Going without Connection IDs is all that a server can do about one it will not keep.
        client_cid: extensions.connection_id.filter(|cid| cid.len() <= MAX_CID),
    })
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
        match agree(&hello) {
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
        if matches!(pending.awaiting, Awaiting::KeyExchange) {
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
        plain: PlainSequence,
        fragment: &Fragment<'_>,
        hello: &ClientHello<'_>,
        agreement: &Agreement<'_>,
    ) {
        if let Some(id) = self.handshakes.by_peer(peer) {
            self.fail(id, HandshakeFailure::Superseded);
        }
        let first = fragment.message_seq;
        let (Some(done_seq), Some(final_seq), Some(next)) = (
            first.checked_add(1),
            first.checked_add(2),
            first.checked_add(1),
        ) else {
            self.counters.malformed_messages += 1;
            return;
        };
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
        let extensions = Extensions {
            extended_master_secret: agreement.master_secret == MasterSecretKind::Extended,
            renegotiation_info: agreement.renegotiation_info,
            connection_id: cids.as_ref().map(|cids| cids.server.as_bytes().as_slice()),
        };
        let server_hello =
            server_hello::encode(first, &randoms.server, agreement.suite, &extensions);
        let done = server_hello::encode_done(done_seq);
        let mut transcript = Transcript::new();
        for message in [fragment.raw, &server_hello, &done] {
            transcript.add(message);
        }
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
            transcript,
            reassembly: Reassembly::new(next, MAX_MESSAGE),
            plain,
            final_message_seq: final_seq,
            flight: vec![Part::Plain(server_hello), Part::Plain(done)],
            early: Vec::new(),
            awaiting: Awaiting::KeyExchange,
        });
        self.counters.handshakes_started += 1;
        self.transmit_flight(id);
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
