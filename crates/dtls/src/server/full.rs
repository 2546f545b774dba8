//! The flight that begins a full handshake (RFC 5246 §7.3, figure 1).

use std::time::Instant;

use crate::cid::{CidPair, ConnectionId};
use crate::error::HandshakeFailure;
use crate::extension::{self, Extensions};
use crate::flight::{Part, RetransmitTimer};
use crate::handshake::{certificate, certificate_request, server_hello, server_key_exchange};
use crate::key_agreement::EphemeralKey;
use crate::key_schedule::{HelloRandoms, MasterSecretKind};
use crate::prf::Transcript;
use crate::reassembly::Reassembly;
use crate::resumption::{ResumptionExport, ResumptionId};
use crate::server::Server;
use crate::server::accept::Arrival;
use crate::server::agree::{Agreement, Exchange, Terms};
use crate::server::pending::{Awaiting, Course, Issued, Pending};

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
    pub(super) fn full(
        &mut self,
        now: Instant,
        arrival: &Arrival<'_>,
        agreement: &Agreement,
    ) -> Result<Pending, HandshakeFailure> {
        let terms = &arrival.terms;
        // One partition, so that one commit stores the session and what it is resumed from.
        let partition = self.random.below(self.config.partitions.get());
        let issued = self.issue(terms, partition);
        let cids = terms.client_cid.map(|client| CidPair {
            server: self.unused_cid(partition),
            client: client.into(),
        });
        let randoms = HelloRandoms {
            client: arrival.hello.random,
            server: self.random.bytes(),
        };
        let mut flight = Flight {
            next_seq: arrival.message_seq,
            transcript: Transcript::new(),
            parts: Vec::new(),
        };
        flight.transcript.add(arrival.raw);
        flight.push(server_hello(
            flight.next_seq,
            agreement,
            terms,
            &randoms,
            issued.as_deref(),
            cids.as_ref(),
        ));
        let awaiting = self
            .exchange_keys(&mut flight, &agreement.exchange, &randoms)
            .ok_or(HandshakeFailure::Cryptography)?;
        flight.push(server_hello::encode_done(flight.next_seq));
        let limit = match agreement.exchange {
            Exchange::Psk | Exchange::EcdhePsk(_) => MAX_PSK_FLIGHT,
            Exchange::EcdheEcdsa { .. } => MAX_KEY_FLIGHT,
        };
        let timer = RetransmitTimer::start(now, &self.config.retransmission);
        Ok(Pending {
            peer: arrival.peer,
            expires: arrival.expires,
            deadline: timer.at().min(arrival.expires),
            timer: Some(timer),
            randoms,
            suite: agreement.suite,
            master_secret: terms.master_secret,
            cids,
            transcript: flight.transcript,
            // The client's numbers go on from the hello's.
            reassembly: Reassembly::new(arrival.message_seq + 1, limit),
            plain: arrival.plain,
            flight: flight.parts,
            early: Vec::new(),
            course: Course::Full {
                message_seq: flight.next_seq,
                issued,
            },
            awaiting,
        })
    }

    /// What the client can resume its session by, unless its server name is longer than a name.
    fn issue(&mut self, terms: &Terms<'_>, partition: u16) -> Option<Box<Issued>> {
        if !self.config.resumption {
            return None;
        }
        let server_name = terms.server_name().ok()?;
        if server_name.is_some_and(|name| name.len() > ResumptionExport::MAX_SERVER_NAME) {
            return None;
        }
        Some(Box::new(Issued {
            id: ResumptionId::generate(&mut self.random, partition),
            server_name: server_name.map(Into::into),
            psk_tag: None,
        }))
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

    pub(super) fn unused_cid(&mut self, partition: u16) -> ConnectionId {
        loop {
            let cid = ConnectionId::generate(&mut self.random, partition);
            if self.sessions.by_cid(cid).is_none() {
                return cid;
            }
        }
    }
}

fn server_hello(
    message_seq: u16,
    agreement: &Agreement,
    terms: &Terms<'_>,
    randoms: &HelloRandoms,
    issued: Option<&Issued>,
    cids: Option<&CidPair>,
) -> Vec<u8> {
    let (client_type, server_type);
    let mut extensions = Extensions {
        extended_master_secret: terms.master_secret == MasterSecretKind::Extended,
        encrypt_then_mac: agreement.suite.needs_encrypt_then_mac(),
        renegotiation_info: terms.renegotiation_info,
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
    let session_id = issued.map_or(&[][..], |issued| issued.id.as_bytes());
    server_hello::encode(
        message_seq,
        &randoms.server,
        session_id,
        agreement.suite,
        &extensions,
    )
}
