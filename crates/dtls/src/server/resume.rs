//! Abbreviated handshakes (RFC 5246 §7.3, figure 2).
//!
//! ```text
//! Client                                     Server
//! 1. ClientHello with cookie      ─────►     ResumptionNeeded … resume; without an answer that
//!    and session id                          fits, a full handshake follows
//!                                 ◄─────     ServerHello, ChangeCipherSpec, Finished (repeated)
//! 2. ChangeCipherSpec, Finished   ─────►     StoreSession … session_stored
//! ```
//! The session is stored after the client's Finished: whoever has seen a session id could make us
//! store one otherwise. The client does not wait for it, so its records are kept meanwhile.

use std::net::SocketAddr;
use std::time::Instant;

use crate::cid::CidPair;
use crate::error::HandshakeFailure;
use crate::extension::Extensions;
use crate::flight::{Part, RetransmitTimer};
use crate::handshake::client_hello::ClientHello;
use crate::handshake::{Fragment, finished, server_hello};
use crate::key_schedule::{HelloRandom, HelloRandoms, MasterSecretKind};
use crate::prf::Transcript;
use crate::protection::Role;
use crate::reassembly::Reassembly;
use crate::record::PlainSequence;
use crate::resumption::{ResumptionExport, ResumptionId};
use crate::sequence::WriteSequence;
use crate::server::Server;
use crate::server::accept::Arrival;
use crate::server::agree::{Terms, agree, resumes};
use crate::server::output::{HandshakeId, Output};
use crate::server::pending::{Awaiting, AwaitingFinished, Course, Kept, Pending};
use crate::wire::Reader;

/// A longer hello is not kept for the driver's answer, so it begins a full handshake. Devices' have
/// 100 to 300 bytes.
const MAX_HELLO: usize = 1024;
/// The client's flight is its Finished.
const MAX_FLIGHT: usize = 64;

/// A hello that waits for the driver to say what its session id stands for.
pub(super) struct Asked {
    pub(super) peer: SocketAddr,
    pub(super) expires: Instant,
    pub(super) plain: PlainSequence,
    pub(super) client_random: HelloRandom,
    id: ResumptionId,
    /// The whole message.
    hello: Vec<u8>,
}

impl Asked {
    /// Leaves what ends the handshake, without the hello.
    pub(super) fn take(&mut self) -> Self {
        Self {
            hello: std::mem::take(&mut self.hello),
            ..*self
        }
    }
}

impl<'a> Arrival<'a> {
    /// The hello again.
    fn of(asked: &'a Asked) -> Result<Self, HandshakeFailure> {
        let fragment = Fragment::read(&mut Reader::new(&asked.hello));
        let fragment = fragment.map_err(|_| HandshakeFailure::Malformed)?;
        let hello = ClientHello::parse(fragment.body).map_err(|_| HandshakeFailure::Malformed)?;
        Ok(Self {
            peer: asked.peer,
            plain: asked.plain,
            message_seq: fragment.message_seq,
            raw: &asked.hello,
            terms: Terms::read(&hello)?,
            hello,
            expires: asked.expires,
        })
    }
}

impl Server {
    /// The session that a hello wants to resume, if this cluster can have issued its id.
    pub(super) fn wanted(&self, arrival: &Arrival<'_>) -> Option<ResumptionId> {
        if !self.config.resumption || arrival.raw.len() > MAX_HELLO {
            return None;
        }
        ResumptionId::from_bytes(arrival.hello.session_id)
            .filter(|id| id.partition() < self.config.partitions.get())
    }

    pub(super) fn ask(&mut self, arrival: &Arrival<'_>, wanted: ResumptionId) {
        let peer = arrival.peer;
        let handshake = self.handshakes.insert(Asked {
            peer,
            expires: arrival.expires,
            plain: arrival.plain,
            client_random: arrival.hello.random,
            id: wanted,
            hello: arrival.raw.to_vec(),
        });
        self.counters.handshakes_started += 1;
        self.outputs.push_back(Output::ResumptionNeeded {
            handshake,
            peer,
            id: wanted,
        });
    }

    /// Answers [`Output::ResumptionNeeded`]. With `None`, and when what was found does not fit the
    /// hello, a full handshake follows. Says whether the session is being resumed: then nobody
    /// proves anything but that it has the master secret, and the driver has made sure that the
    /// session's identity may still connect.
    pub fn resume(
        &mut self,
        now: Instant,
        handshake: HandshakeId,
        found: Option<ResumptionExport>,
    ) -> bool {
        let Some(asked) = self.handshakes.take_asked(handshake) else {
            return false;
        };
        let found = found.filter(|found| found.id == asked.id);
        let (pending, resumed) = match self.answer(now, &asked, found) {
            Ok(answer) => answer,
            Err(reason) => {
                self.fail(handshake, reason);
                return false;
            }
        };
        self.handshakes.go_on(handshake, pending);
        self.transmit_flight(handshake);
        resumed
    }

    /// The handshake that follows, and whether it is an abbreviated one.
    fn answer(
        &mut self,
        now: Instant,
        asked: &Asked,
        found: Option<ResumptionExport>,
    ) -> Result<(Pending, bool), HandshakeFailure> {
        let arrival = Arrival::of(asked)?;
        let (hello, terms) = (&arrival.hello, &arrival.terms);
        let suites = &self.config.suites;
        if let Some(found) = found
            && resumes(suites, hello, terms, &found)?
        {
            return Ok((self.abbreviated(now, &arrival, found), true));
        }
        let agreement = agree(suites, &self.credentials, hello, terms)?;
        Ok((self.full(now, &arrival, &agreement)?, false))
    }

    fn abbreviated(
        &mut self,
        now: Instant,
        arrival: &Arrival<'_>,
        session: ResumptionExport,
    ) -> Pending {
        let terms = &arrival.terms;
        // RFC 9146 §3: Connection IDs are negotiated anew.
        let cids = terms.client_cid.map(|client| CidPair {
            server: self.unused_cid(session.id.partition()),
            client: client.into(),
        });
        let randoms = HelloRandoms {
            client: arrival.hello.random,
            server: self.random.bytes(),
        };
        let extensions = Extensions {
            extended_master_secret: session.master_secret == MasterSecretKind::Extended,
            encrypt_then_mac: session.suite.needs_encrypt_then_mac(),
            renegotiation_info: terms.renegotiation_info,
            connection_id: cids.as_ref().map(|cids| cids.server.as_bytes().as_slice()),
            // RFC 6066 §3 forbids a server_name here. Everything else belongs to the exchange of
            // keys, which does not happen (RFC 5246 §7.4.1.4).
            ..Extensions::default()
        };
        let hello = server_hello::encode(
            arrival.message_seq,
            &randoms.server,
            session.id.as_bytes(),
            session.suite,
            &extensions,
        );
        let master = session.master_secret();
        let mut transcript = Transcript::new();
        transcript.add(arrival.raw);
        transcript.add(&hello);
        let verify_data = master.verify_data(Role::Server, &transcript);
        let last = finished::encode(arrival.message_seq + 1, &verify_data);
        transcript.add(&last);
        let timer = RetransmitTimer::start(now, &self.config.retransmission);
        Pending {
            peer: arrival.peer,
            expires: arrival.expires,
            deadline: timer.at().min(arrival.expires),
            timer: Some(timer),
            suite: session.suite,
            master_secret: session.master_secret,
            cids,
            transcript,
            // The client's numbers go on from the hello's.
            reassembly: Reassembly::new(arrival.message_seq + 1, MAX_FLIGHT),
            plain: arrival.plain,
            flight: vec![
                Part::Plain(hello),
                Part::ChangeCipherSpec,
                Part::Sealed(last),
            ],
            early: Vec::new(),
            course: Course::Abbreviated {
                resumes: session.id,
                kept: Kept::default(),
            },
            awaiting: Awaiting::Finished(Box::new(AwaitingFinished {
                keys: master.record_keys(session.suite, Role::Server, &randoms),
                identity: session.identity,
                master,
                window: replay::ReplayWindow::default(),
                write: WriteSequence::of_generation(0),
                undecryptable: 0,
            })),
            randoms,
        }
    }
}
