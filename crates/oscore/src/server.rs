//! The layer of a server: many contexts, found by the identifiers in a request.
//!
//! A message goes one of these ways:
//!
//! 1. no OSCORE option, and no context at its source: [`Disposition::Plain`], for a caller that
//!    also speaks unprotected CoAP;
//! 2. a protected request: its context is found by kid and kid context; the newest one moves the
//!    context's peer (as RFC 9146 §6 has it for DTLS);
//! 3. a protected response, an acknowledgement, a reset: the context is found by the source.
//!
//! A peer that moves to where it does not go on as before ([`Carrier::continues_at`]), or whose
//! carrier ended, has a new name: [`Output::Renamed`].

mod places;

use std::collections::VecDeque;
use std::time::Instant;

use coap::{Message, Token, Type};
use hashbrown::HashMap;

use crate::carrier::{Carried, Carrier, Form, on_stream};
use crate::config::{Config, Counters};
use crate::error::{ImportError, SendError, UnprotectError};
use crate::identifier::{IdContext, Identifier};
use crate::option::{self, OSCORE, OscoreOption};
use crate::random::Random;
use crate::session::{Outcome, Ownership, Session, Surroundings};
use crate::state::ContextState;

use places::Places;

/// Names a context of a [`Server`]. Never reused by the same server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContextId(u64);

/// What the caller is to do with a message that it handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Nothing; what follows comes out of [`Server::poll_output`].
    Taken,
    /// It is none of this layer's: unprotected CoAP, or no CoAP at all.
    Plain,
}

/// What a [`Server`] wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output<P> {
    /// Send a message, in the form in which those of the peer come.
    Transmit { peer: P, message: Carried },
    /// An unprotected message for the CoAP endpoint, whose peer is the context. It is a message of
    /// its own, which never came over the network like that.
    Inner {
        context: ContextId,
        message: Carried,
    },
    /// Nothing that was under way in the context can end any more: its carrier ended, or its peer
    /// came by another one. For the CoAP endpoint the context is a peer that is gone, and another
    /// one that it has not met.
    Renamed { from: ContextId, to: ContextId },
    /// A request of a context that is not here. Find its state, see that it
    /// [`ContextState::authenticates`] the request, [`Server::import`] it and hand the request in
    /// again ([`Server::handle`]); or [`Server::refuse_unknown`].
    UnknownContext {
        peer: P,
        kid: Identifier,
        id_context: Option<IdContext>,
        request: Carried,
    },
}

/// The two identifiers that a request carries.
type Name = (Identifier, Option<IdContext>);

struct Entry<P> {
    session: Session,
    /// Where the peer's newest request came from.
    peer: Option<P>,
}

/// OSCORE between sockets and a CoAP endpoint that serves many peers. `P` is the caller's name for
/// where a peer is; one name always has messages of one form.
pub struct Server<P> {
    config: Config,
    counters: Counters,
    random: Random,
    entries: HashMap<ContextId, Entry<P>>,
    by_name: HashMap<Name, ContextId>,
    places: Places<P>,
    next_id: u64,
    outputs: VecDeque<Output<P>>,
}

impl<P: Carrier> Server<P> {
    /// `seed` must never be used twice.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            config,
            counters: Counters::default(),
            random: Random::from_seed(seed),
            entries: HashMap::new(),
            by_name: HashMap::new(),
            places: Places::new(),
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
        let id = self.next_id();
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

    /// Takes the context out, with its replay window unless a request waits for its answer: the
    /// orderly hand-over. Store the state in place of the claimed one before anyone else imports
    /// it, or its [`ContextState::window`] where the keys are known anyway.
    pub fn release(&mut self, context: ContextId) -> Option<ContextState> {
        let entry = self.entries.remove(&context)?;
        let inner = &entry.session.context;
        let name = (inner.recipient_id(), inner.id_context().cloned());
        self.by_name.remove(&name);
        if let Some(peer) = entry.peer {
            self.places.leave(peer, context);
        }
        Some(entry.session.release())
    }

    /// Takes a datagram of the network.
    pub fn handle_datagram(&mut self, now: Instant, peer: P, datagram: &[u8]) -> Disposition {
        if !self.holds_peer(peer) && !option::is_in(datagram) {
            return Disposition::Plain;
        }
        match coap::decode(datagram) {
            Ok(message) => self.received(now, Form::Datagram, peer, message),
            Err(_) => Disposition::Plain,
        }
    }

    /// Takes a message of a stream.
    pub fn handle_message(&mut self, now: Instant, peer: P, message: &Message) -> Disposition {
        self.received(now, Form::Message, peer, on_stream(message))
    }

    /// Takes a message of either form.
    pub fn handle(&mut self, now: Instant, peer: P, message: &Carried) -> Disposition {
        match message {
            Carried::Datagram(datagram) => self.handle_datagram(now, peer, datagram),
            Carried::Message(message) => self.handle_message(now, peer, message),
        }
    }

    /// The session or stream ended: nothing will come from there, and nothing goes there.
    pub fn forget_peer(&mut self, peer: P) {
        let gone: Vec<_> = self.places.clear(peer).collect();
        for context in gone {
            if let Some(entry) = self.entries.get_mut(&context) {
                entry.peer = None;
                entry.session.forget_exchanges();
                self.rename(context);
            }
        }
    }

    /// Protects a datagram of the CoAP endpoint.
    pub fn send(
        &mut self,
        now: Instant,
        context: ContextId,
        datagram: &[u8],
    ) -> Result<(), SendError> {
        let message = coap::decode(datagram)?;
        self.protect(now, Form::Datagram, context, &message)
    }

    /// Protects a message of the CoAP endpoint for a peer on a stream.
    pub fn send_message(
        &mut self,
        now: Instant,
        context: ContextId,
        message: &Message,
    ) -> Result<(), SendError> {
        self.protect(now, Form::Message, context, &on_stream(message))
    }

    fn protect(
        &mut self,
        now: Instant,
        form: Form,
        context: ContextId,
        message: &Message,
    ) -> Result<(), SendError> {
        let entry = self
            .entries
            .get_mut(&context)
            .ok_or(SendError::UnknownContext)?;
        let peer = entry.peer.ok_or(SendError::UnknownPeer)?;
        let mut with = Surroundings {
            now,
            form,
            config: &self.config,
            counters: &mut self.counters,
            random: &mut self.random,
        };
        let outer = entry.session.send(&mut with, message)?;
        self.transmit(form, peer, outer);
        Ok(())
    }

    /// Answers the request of [`Output::UnknownContext`], whose context is nowhere.
    pub fn refuse_unknown(&mut self, now: Instant, peer: P, request: &Carried) {
        let form = match request {
            Carried::Datagram(_) => Form::Datagram,
            Carried::Message(_) => Form::Message,
        };
        if let Some(request) = request.decode()
            && request.code.is_request()
        {
            self.refuse(now, form, peer, &request, UnprotectError::OtherContext);
        }
    }

    /// What is to be done next; call until it is `None`.
    pub fn poll_output(&mut self) -> Option<Output<P>> {
        self.outputs.pop_front()
    }

    /// Where the peer's newest request came from, unless that has ended.
    pub fn peer(&self, context: ContextId) -> Option<P> {
        self.entries.get(&context)?.peer
    }

    /// Whether a context's newest request came from there.
    pub fn holds_peer(&self, peer: P) -> bool {
        self.places.newest(peer).is_some()
    }

    /// Bytes by which protection makes a message of the context longer, at most.
    pub fn overhead(&self, context: ContextId) -> usize {
        let entry = self.entries.get(&context);
        entry.map_or(0, |entry| entry.session.context.overhead())
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

    fn next_id(&mut self) -> ContextId {
        let id = ContextId(self.next_id);
        self.next_id += 1;
        id
    }

    fn received(&mut self, now: Instant, form: Form, peer: P, message: Message) -> Disposition {
        let is_protected = message.options.first(OSCORE).is_some();
        if message.code.is_request() && is_protected {
            self.request(now, form, peer, message);
            return Disposition::Taken;
        }
        let Some(context) = self.places.newest(peer) else {
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
                self.with_session(now, form, context, |session, with| {
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
            self.settle(form, context, peer, outcome);
        }
        Disposition::Taken
    }

    fn request(&mut self, now: Instant, form: Form, peer: P, request: Message) {
        let value = request.options.first(OSCORE).unwrap_or_default();
        let option = OscoreOption::decode(value).unwrap_or_default();
        let Some(kid) = option.kid else {
            self.refuse(now, form, peer, &request, UnprotectError::MalformedOption);
            return;
        };
        let name = (kid, option.kid_context);
        let Some(&context) = self.by_name.get(&name) else {
            self.outputs.push_back(Output::UnknownContext {
                peer,
                kid,
                id_context: name.1,
                request: form.carry(request),
            });
            return;
        };
        if self.is_left_behind(context, peer, &request) {
            self.counters.left_behind += 1;
            return;
        }
        let outcome = self.with_session(now, form, context, |session, with| {
            session.receive_request(with, &request)
        });
        if let Some(outcome) = outcome {
            let context = if outcome.newest {
                self.move_peer(context, peer)
            } else {
                context
            };
            self.settle(form, context, peer, outcome);
        }
    }

    /// Whether a newer request has come by another carrier already. Where the peer was, nobody
    /// waits for an answer any more.
    fn is_left_behind(&self, context: ContextId, peer: P, request: &Message) -> bool {
        let Some(entry) = self.entries.get(&context) else {
            return false;
        };
        let has_left = |at: P| at != peer && !at.continues_at(peer);
        entry.peer.is_some_and(has_left) && entry.session.is_overtaken(request)
    }

    fn refuse(
        &mut self,
        now: Instant,
        form: Form,
        peer: P,
        request: &Message,
        error: UnprotectError,
    ) {
        let mut with = Surroundings {
            now,
            form,
            config: &self.config,
            counters: &mut self.counters,
            random: &mut self.random,
        };
        let outcome = Session::refuse(&mut with, request, error);
        for message in outcome.down {
            self.transmit(form, peer, message);
        }
    }

    fn awaits(&self, context: ContextId, token: Token) -> bool {
        let entry = self.entries.get(&context);
        entry.is_some_and(|entry| entry.session.awaits(token))
    }

    fn with_session(
        &mut self,
        now: Instant,
        form: Form,
        context: ContextId,
        run: impl FnOnce(&mut Session, &mut Surroundings<'_>) -> Outcome,
    ) -> Option<Outcome> {
        let entry = self.entries.get_mut(&context)?;
        let mut with = Surroundings {
            now,
            form,
            config: &self.config,
            counters: &mut self.counters,
            random: &mut self.random,
        };
        Some(run(&mut entry.session, &mut with))
    }

    /// The newest request came from `peer`; what the context is called from now on.
    fn move_peer(&mut self, context: ContextId, peer: P) -> ContextId {
        let Some(entry) = self.entries.get_mut(&context) else {
            return context;
        };
        let mut name = context;
        if let Some(old) = entry.peer.replace(peer)
            && old != peer
        {
            self.counters.peers_moved += 1;
            self.places.leave(old, context);
            if !old.continues_at(peer) {
                entry.session.forget_all_but_the_newest_request();
                name = self.rename(context);
            }
        }
        // Entered even if it did not move: another context may have come there since.
        self.places.enter(peer, name);
        name
    }

    fn rename(&mut self, from: ContextId) -> ContextId {
        let to = self.next_id();
        if let Some(entry) = self.entries.remove(&from) {
            let inner = &entry.session.context;
            let name = (inner.recipient_id(), inner.id_context().cloned());
            self.by_name.insert(name, to);
            self.entries.insert(to, entry);
            self.outputs.push_back(Output::Renamed { from, to });
        }
        to
    }

    fn settle(&mut self, form: Form, context: ContextId, peer: P, outcome: Outcome) {
        for message in outcome.down {
            self.transmit(form, peer, message);
        }
        if let Some(message) = outcome.up {
            self.outputs.push_back(Output::Inner {
                context,
                message: form.carry(message),
            });
        }
    }

    fn transmit(&mut self, form: Form, peer: P, message: Message) {
        let message = form.carry(message);
        self.outputs.push_back(Output::Transmit { peer, message });
    }
}
