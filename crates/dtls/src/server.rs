//! The server.
//!
//! ```text
//! Client                                     Server
//! 1. ClientHello                  ─────►
//!                                 ◄─────     HelloVerifyRequest (nothing is remembered)
//! 2. ClientHello with cookie      ─────►
//!                                 ◄─────     ServerHello, [Certificate], [ServerKeyExchange],
//!                                            [CertificateRequest], ServerHelloDone (repeated)
//! 3. [Certificate],               ─────►     PskNeeded … provide_psk, or
//!    ClientKeyExchange,                      PeerKeyPresented … accept_peer
//!    [CertificateVerify],
//!    ChangeCipherSpec, Finished              StoreSession … session_stored
//!                                 ◄─────     ChangeCipherSpec, Finished (repeated on request)
//! ```
//! [`resume`] has the handshake of a client that resumes a session.

mod accept;
mod agree;
mod established;
mod find;
mod full;
mod handshakes;
mod negotiate;
mod output;
mod pending;
mod receive;
mod resume;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub use find::Found;
pub use output::{HandshakeId, Output, SessionOrigin, StoreOutcome};

use crate::alert::{Alert, AlertDescription};
use crate::cid::ConnectionId;
use crate::config::Config;
use crate::cookie::{CookieSecret, CookieSecrets};
use crate::counters::Counters;
use crate::credentials::ServerCredentials;
use crate::error::{CloseReason, HandshakeFailure, ImportError, SendError};
use crate::export::SessionExport;
use crate::flight::Expiry;
use crate::identity::PeerIdentity;
use crate::random::Random;
use crate::rate::HandshakeBudget;
use crate::record::{ContentType, MAX_PLAINTEXT};
use crate::sequence::WriteSequence;
use crate::server::handshakes::Handshakes;
use crate::session::{Session, SessionId};
use crate::table::SessionTable;

/// How often a part of the sessions is checked for being idle.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// In how many parts all sessions are checked.
const SWEEP_PARTS: usize = 64;

/// Looks for idle sessions, a few slots at a time.
#[derive(Default)]
struct Sweep {
    due: Option<Instant>,
    slot: u32,
}

/// The server side of any number of sessions. See the crate's documentation for how to drive it.
pub struct Server {
    config: Config,
    credentials: ServerCredentials,
    random: Random,
    cookies: CookieSecrets,
    sessions: SessionTable,
    handshakes: Handshakes,
    budget: HandshakeBudget,
    outputs: VecDeque<Output>,
    counters: Counters,
    sweep: Sweep,
}

impl Server {
    /// A server without sessions. `seed` comes from the operating system's generator: all
    /// randoms and Connection IDs come from it.
    pub fn new(config: Config, cookie_secret: &CookieSecret, seed: [u8; 32]) -> Self {
        let mut random = Random::from_seed(seed);
        Self {
            config,
            credentials: ServerCredentials::default(),
            cookies: CookieSecrets::new(cookie_secret),
            sessions: SessionTable::new(&mut random),
            handshakes: Handshakes::new(&mut random),
            budget: HandshakeBudget::keyed(random.hash_key()),
            random,
            outputs: VecDeque::new(),
            counters: Counters::default(),
            sweep: Sweep::default(),
        }
    }

    /// Takes the keys that new handshakes prove this server with; sessions and handshakes under way
    /// go on. A new server has none, and negotiates pre-shared keys only.
    pub fn set_credentials(&mut self, credentials: ServerCredentials) {
        self.credentials = credentials;
    }

    /// Issues cookies under a new secret; those under the one before stay valid until the next
    /// call.
    pub fn rotate_cookie_secret(&mut self, secret: &CookieSecret) {
        self.cookies.rotate(secret);
    }

    /// Sends application data of up to 2^14 bytes in one record of one datagram.
    pub fn send(&mut self, session: SessionId, plaintext: &[u8]) -> Result<(), SendError> {
        if plaintext.len() > MAX_PLAINTEXT {
            let length = plaintext.len();
            return Err(SendError::TooLong { length });
        }
        let entry = self.sessions.get_mut(session).ok_or(SendError::NoSession)?;
        let peer = entry.peer;
        let Some(datagram) = entry.seal(ContentType::ApplicationData, plaintext) else {
            self.sessions.remove(session);
            self.closed(session, CloseReason::SequenceExhausted);
            return Err(SendError::SequenceExhausted);
        };
        self.outputs.push_back(Output::Transmit { peer, datagram });
        Ok(())
    }

    /// Ends a session and tells the peer.
    pub fn close(&mut self, session: SessionId) {
        self.send_alert(session, Alert::warning(AlertDescription::CLOSE_NOTIFY));
        if self.sessions.remove(session).is_some() {
            self.closed(session, CloseReason::Local);
        }
    }

    /// A copy of a session for the state tier.
    pub fn export(&self, session: SessionId) -> Option<SessionExport> {
        self.sessions.get(session).map(Session::export)
    }

    /// Hands a session over: gives it out and forgets it, without telling the peer.
    pub fn release(&mut self, session: SessionId) -> Option<SessionExport> {
        self.sessions
            .remove(session)
            .map(|session| session.export())
    }

    /// Goes on with a session of another server. `generation` is above the exported one, and the
    /// caller has made sure (with a compare-and-swap in the state tier) that no other owner has
    /// it: the write sequence starts at `generation ‖ 0`, and a number must never be used twice.
    /// [`SessionExport`] says which records can be replayed.
    pub fn import(
        &mut self,
        now: Instant,
        session: SessionExport,
        generation: u16,
    ) -> Result<SessionId, ImportError> {
        if generation <= session.generation {
            return Err(ImportError::StaleGeneration {
                given: generation,
                exported: session.generation,
            });
        }
        let session = Session {
            peer: session.peer,
            last_heard: now,
            keys: session.keys,
            suite: session.suite,
            cids: session.cids,
            identity: session.identity,
            window: session.window,
            write: WriteSequence::of_generation(generation),
            final_flight: None,
        };
        if let Some(present) = self.sessions.conflict(&session) {
            return Err(ImportError::AlreadyPresent(present));
        }
        if self.sessions.len() >= self.config.max_sessions {
            return Err(ImportError::TableFull);
        }
        let id = self.sessions.insert(session);
        self.start_sweep(now);
        Ok(id)
    }

    /// The next output. Drain them all after every call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Server::handle_timeout`] is to be called, unless an input changes that.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let handshake = self.handshakes.first_deadline().map(|(at, _)| at);
        match (handshake, self.sweep.due) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Repeats flights, gives handshakes up and forgets idle sessions.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, id)) = self.handshakes.first_deadline() {
            if at > now {
                break;
            }
            let pending = self.handshakes.get_mut(id);
            let timer = pending
                .filter(|pending| now < pending.expires)
                .and_then(|pending| pending.timer.as_mut());
            let expiry = timer.map_or(Expiry::GiveUp, |timer| {
                timer.expire(now, &self.config.retransmission)
            });
            match expiry {
                Expiry::Retransmit => {
                    self.counters.retransmissions += 1;
                    self.transmit_flight(id);
                    self.handshakes.reschedule(id);
                }
                Expiry::GiveUp => self.fail(id, HandshakeFailure::TimedOut),
            }
        }
        if self.sweep.due.is_some_and(|due| due <= now) {
            self.sweep(now);
        }
    }

    /// Called whenever a session was added.
    fn start_sweep(&mut self, now: Instant) {
        if self.config.session_idle.is_some() && self.sweep.due.is_none() {
            self.sweep.due = Some(now + SWEEP_INTERVAL);
        }
    }

    fn sweep(&mut self, now: Instant) {
        let Some(limit) = self.config.session_idle else {
            return;
        };
        let slots = self.sessions.slots();
        for _ in 0..=slots / SWEEP_PARTS {
            let idle = self
                .sessions
                .at(self.sweep.slot)
                .filter(|(_, session)| now.saturating_duration_since(session.last_heard) >= limit);
            if let Some((id, _)) = idle {
                self.sessions.remove(id);
                self.closed(id, CloseReason::Idle);
            }
            self.sweep.slot += 1;
            if self.sweep.slot as usize >= slots {
                self.sweep.slot = 0;
            }
        }
        let is_empty = self.sessions.len() == 0;
        self.sweep.due = (!is_empty).then(|| now + SWEEP_INTERVAL);
    }

    /// What was dropped and done so far.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many sessions there are.
    pub const fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// How many handshakes are under way.
    pub const fn handshake_count(&self) -> usize {
        self.handshakes.len()
    }

    /// The address that records of a session go to.
    pub fn peer(&self, session: SessionId) -> Option<SocketAddr> {
        self.sessions.get(session).map(|session| session.peer)
    }

    /// Who the client of a session has proved to be.
    pub fn identity(&self, session: SessionId) -> Option<&PeerIdentity> {
        self.sessions.get(session).map(|session| &session.identity)
    }

    /// The Connection ID that a session's client puts into its records.
    pub fn cid(&self, session: SessionId) -> Option<ConnectionId> {
        let cids = self.sessions.get(session)?.cids.as_ref()?;
        Some(cids.server)
    }

    /// The session with a Connection ID, if it is here.
    pub fn session_of(&self, cid: ConnectionId) -> Option<SessionId> {
        self.sessions.by_cid(cid)
    }

    /// The generation that a session's records are written under.
    pub fn generation(&self, session: SessionId) -> Option<u16> {
        let session = self.sessions.get(session)?;
        Some(session.write.generation())
    }
}

#[cfg(test)]
mod tests;
