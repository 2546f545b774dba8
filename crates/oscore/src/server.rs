//! The layer of a server: many contexts, found by the identifiers in a request.
//!
//! A datagram goes one of these ways:
//!
//! 1. no OSCORE option, and no context at its source: [`Disposition::Plain`], for a caller that
//!    also speaks unprotected CoAP;
//! 2. a protected request: its context is found by kid and kid context; the newest one moves the
//!    context's peer address (as RFC 9146 §6 has it for DTLS);
//! 3. a protected response, an acknowledgement, a reset: the context is found by the source.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use coap::{Message, Token, Type};
use hashbrown::HashMap;

use crate::config::{Config, Counters};
use crate::error::{ImportError, SendError, UnprotectError};
use crate::identifier::{IdContext, Identifier};
use crate::option::{OSCORE, OscoreOption};
use crate::random::Random;
use crate::session::{Outcome, Ownership, Session, Surroundings};
use crate::state::ContextState;

/// Names a context of a [`Server`]. Never reused by the same server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContextId(u64);

/// What the caller is to do with a datagram that it handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Nothing; what follows comes out of [`Server::poll_output`].
    Taken,
    /// It is none of this layer's: unprotected CoAP, or no CoAP at all.
    Plain,
}

/// What a [`Server`] wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a datagram.
    Transmit { peer: SocketAddr, datagram: Vec<u8> },
    /// An unprotected message for the CoAP endpoint, whose peer is the context. It is an encoded
    /// message of its own, which never came over the network like that.
    Inner {
        context: ContextId,
        datagram: Vec<u8>,
    },
    /// A request of a context that is not here. Find its state, see that it
    /// [`ContextState::authenticates`] the datagram, [`Server::import`] it and hand the datagram in
    /// again; or [`Server::refuse_unknown`].
    UnknownContext {
        peer: SocketAddr,
        kid: Identifier,
        id_context: Option<IdContext>,
        datagram: Vec<u8>,
    },
}

/// The two identifiers that a request carries.
type Name = (Identifier, Option<IdContext>);

struct Entry {
    session: Session,
    /// Where the peer's newest request came from.
    peer: Option<SocketAddr>,
}

/// OSCORE between sockets and a CoAP endpoint that serves many peers.
pub struct Server {
    config: Config,
    counters: Counters,
    random: Random,
    entries: HashMap<ContextId, Entry>,
    by_name: HashMap<Name, ContextId>,
    /// At an address lives one context: message ids are one number space an address.
    by_peer: HashMap<SocketAddr, ContextId>,
    next_id: u64,
    outputs: VecDeque<Output>,
}

impl Server {
    /// `seed` must never be used twice.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            config,
            counters: Counters::default(),
            random: Random::from_seed(seed),
            entries: HashMap::new(),
            by_name: HashMap::new(),
            by_peer: HashMap::new(),
            next_id: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Goes on with a context as the owner of `generation`, which must be above the exported one
    /// and must have been won for this server: see [`ContextState::claim`].
    pub fn import(
        &mut self,
        state: ContextState,
        generation: u16,
    ) -> Result<ContextId, ImportError> {
        let name = (state.recipient_id(), state.id_context().cloned());
        let context = state.into_context(generation)?;
        if self.by_name.contains_key(&name) {
            return Err(ImportError::AlreadyPresent);
        }
        if self.entries.len() >= self.config.max_contexts {
            return Err(ImportError::TableFull);
        }
        let id = ContextId(self.next_id);
        self.next_id += 1;
        let session = Session::new(context, Ownership::Moving, &mut self.random);
        self.by_name.insert(name, id);
        self.entries.insert(
            id,
            Entry {
                session,
                peer: None,
            },
        );
        Ok(id)
    }

    /// The context as a state that is valid after a crash; the context stays.
    pub fn export(&self, context: ContextId) -> Option<ContextState> {
        let entry = self.entries.get(&context)?;
        Some(entry.session.context.export())
    }

    /// Takes the context out, with its replay window: the orderly hand-over. Store the state in
    /// place of the claimed one before anyone else imports it.
    pub fn release(&mut self, context: ContextId) -> Option<ContextState> {
        let entry = self.entries.remove(&context)?;
        let inner = entry.session.context;
        let name = (inner.recipient_id(), inner.id_context().cloned());
        self.by_name.remove(&name);
        if let Some(peer) = entry.peer
            && self.by_peer.get(&peer) == Some(&context)
        {
            self.by_peer.remove(&peer);
        }
        Some(ContextState::of_released(inner))
    }

    /// Takes a datagram of the network.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        datagram: &[u8],
    ) -> Disposition {
        let Ok(message) = coap::decode(datagram) else {
            return Disposition::Plain;
        };
        let is_protected = message.options.first(OSCORE).is_some();
        if message.code.is_request() && is_protected {
            self.request(now, peer, &message, datagram);
            return Disposition::Taken;
        }
        let Some(&context) = self.by_peer.get(&peer) else {
            return Disposition::Plain;
        };
        let outcome = match message.code {
            code if code.is_empty() => match message.kind {
                Type::Acknowledgement | Type::Reset => self
                    .entries
                    .get(&context)
                    .map(|entry| entry.session.receive_empty(message)),
                // A ping needs no context.
                _ => return Disposition::Plain,
            },
            code if code.is_response() && is_protected => {
                self.with_session(now, context, |session, with| {
                    session.receive_response(with, &message)
                })
            }
            code if code.is_response() && self.awaits(context, message.token) => {
                // RFC 8613 §8.4: the peer's own error would end the exchange, and so would anyone
                // else's. The exchange ends by its timeout.
                self.counters.unprotected += 1;
                None
            }
            _ => return Disposition::Plain,
        };
        if let Some(outcome) = outcome {
            self.settle(context, peer, outcome);
        }
        Disposition::Taken
    }

    /// Protects a datagram of the CoAP endpoint.
    pub fn send(
        &mut self,
        now: Instant,
        context: ContextId,
        datagram: &[u8],
    ) -> Result<(), SendError> {
        let entry = self
            .entries
            .get_mut(&context)
            .ok_or(SendError::UnknownContext)?;
        let peer = entry.peer.ok_or(SendError::UnknownPeer)?;
        let mut with = Surroundings {
            now,
            config: &self.config,
            counters: &mut self.counters,
            random: &mut self.random,
        };
        let outer = entry.session.send(&mut with, datagram)?;
        self.transmit(peer, &outer);
        Ok(())
    }

    /// Answers the request of [`Output::UnknownContext`], whose context is nowhere.
    pub fn refuse_unknown(&mut self, now: Instant, peer: SocketAddr, datagram: &[u8]) {
        if let Ok(request) = coap::decode(datagram)
            && request.code.is_request()
        {
            self.refuse(now, peer, &request, UnprotectError::OtherContext);
        }
    }

    /// What is to be done next; call until it is `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Where the peer's newest request came from.
    pub fn peer(&self, context: ContextId) -> Option<SocketAddr> {
        self.entries.get(&context)?.peer
    }

    /// Whether a context's newest request came from this address.
    pub fn holds_peer(&self, peer: SocketAddr) -> bool {
        self.by_peer.contains_key(&peer)
    }

    /// Sequence numbers that are left to the context's generation. Below a few thousand, release
    /// the context and import it with the next generation.
    pub fn remaining_sequence_numbers(&self, context: ContextId) -> Option<u32> {
        let entry = self.entries.get(&context)?;
        Some(entry.session.context.remaining_sequence_numbers())
    }

    /// Contexts that are here.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn request(&mut self, now: Instant, peer: SocketAddr, request: &Message, datagram: &[u8]) {
        let value = request.options.first(OSCORE).unwrap_or_default();
        let option = OscoreOption::decode(value).unwrap_or_default();
        let Some(kid) = option.kid else {
            self.refuse(now, peer, request, UnprotectError::MalformedOption);
            return;
        };
        let name = (kid, option.kid_context);
        let Some(&context) = self.by_name.get(&name) else {
            self.outputs.push_back(Output::UnknownContext {
                peer,
                kid,
                id_context: name.1,
                datagram: datagram.to_vec(),
            });
            return;
        };
        let outcome = self.with_session(now, context, |session, with| {
            session.receive_request(with, request)
        });
        if let Some(outcome) = outcome {
            if outcome.newest {
                self.move_peer(context, peer);
            }
            self.settle(context, peer, outcome);
        }
    }

    fn refuse(&mut self, now: Instant, peer: SocketAddr, request: &Message, error: UnprotectError) {
        let mut with = Surroundings {
            now,
            config: &self.config,
            counters: &mut self.counters,
            random: &mut self.random,
        };
        let outcome = Session::refuse(&mut with, request, error);
        for message in outcome.down {
            self.transmit(peer, &message);
        }
    }

    fn awaits(&self, context: ContextId, token: Token) -> bool {
        let entry = self.entries.get(&context);
        entry.is_some_and(|entry| entry.session.awaits(token))
    }

    fn with_session(
        &mut self,
        now: Instant,
        context: ContextId,
        run: impl FnOnce(&mut Session, &mut Surroundings<'_>) -> Outcome,
    ) -> Option<Outcome> {
        let entry = self.entries.get_mut(&context)?;
        let mut with = Surroundings {
            now,
            config: &self.config,
            counters: &mut self.counters,
            random: &mut self.random,
        };
        Some(run(&mut entry.session, &mut with))
    }

    fn move_peer(&mut self, context: ContextId, peer: SocketAddr) {
        let Some(entry) = self.entries.get_mut(&context) else {
            return;
        };
        // Looked up even if it did not move: another context may have come to the address since.
        if let Some(old) = entry.peer.replace(peer)
            && old != peer
        {
            self.counters.peers_moved += 1;
            if self.by_peer.get(&old) == Some(&context) {
                self.by_peer.remove(&old);
            }
        }
        self.by_peer.insert(peer, context);
    }

    fn settle(&mut self, context: ContextId, peer: SocketAddr, outcome: Outcome) {
        for message in outcome.down {
            self.transmit(peer, &message);
        }
        if let Some(message) = outcome.up {
            self.outputs.push_back(Output::Inner {
                context,
                datagram: message.to_datagram(),
            });
        }
    }

    fn transmit(&mut self, peer: SocketAddr, message: &Message) {
        self.outputs.push_back(Output::Transmit {
            peer,
            datagram: message.to_datagram(),
        });
    }
}
