//! The layer of a device: one context, towards one server.

use std::collections::VecDeque;
use std::time::Instant;

use crate::carrier::{Carried, Form, on_stream};
use crate::config::{Config, Counters};
use crate::error::{ImportError, SendError};
use crate::option::OSCORE;
use crate::random::Random;
use crate::session::{Ownership, Session, Surroundings};
use crate::state::ContextState;

use coap::{Message, Type};

/// What a [`Client`] wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientOutput {
    /// Send a message to the server.
    Transmit(Carried),
    /// An unprotected message for the CoAP endpoint.
    Inner(Carried),
}

/// OSCORE between a socket and the CoAP endpoint of a device.
pub struct Client {
    config: Config,
    counters: Counters,
    random: Random,
    session: Session,
    outputs: VecDeque<ClientOutput>,
}

impl Client {
    /// A device counts its starts: `generation` is above the stored one, and
    /// [`ContextState::claim`] is stored before anything is sent. `seed` must never be used twice.
    pub fn new(
        config: Config,
        state: ContextState,
        generation: u16,
        seed: [u8; 32],
    ) -> Result<Self, ImportError> {
        let mut random = Random::from_seed(seed);
        let context = state.into_context(generation)?;
        Ok(Self {
            config,
            counters: Counters::default(),
            session: Session::new(context, Ownership::Sole, &mut random),
            random,
            outputs: VecDeque::new(),
        })
    }

    /// The context with its replay window, for an orderly end.
    pub fn release(self) -> ContextState {
        self.session.release()
    }

    /// Takes a datagram of the network. What should be protected and is not, is dropped.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        match coap::decode(datagram) {
            Ok(message) => self.received(now, Form::Datagram, message),
            Err(_) => self.counters.malformed += 1,
        }
    }

    /// The same with a message of a stream.
    pub fn handle_message(&mut self, now: Instant, message: &Message) {
        self.received(now, Form::Message, on_stream(message));
    }

    /// The same with a message of either form.
    pub fn handle(&mut self, now: Instant, message: &Carried) {
        match message {
            Carried::Datagram(datagram) => self.handle_datagram(now, datagram),
            Carried::Message(message) => self.handle_message(now, message),
        }
    }

    fn received(&mut self, now: Instant, form: Form, message: Message) {
        let mut with = Surroundings {
            now,
            form,
            config: &self.config,
            counters: &mut self.counters,
            random: &mut self.random,
        };
        let outcome = match message.code {
            code if code.is_empty() => self.session.receive_empty(message),
            _ if message.options.first(OSCORE).is_none() => {
                with.counters.unprotected += 1;
                return;
            }
            code if code.is_request() && message.kind != Type::Acknowledgement => {
                self.session.receive_request(&mut with, &message)
            }
            code if code.is_response() => self.session.receive_response(&mut with, &message),
            _ => return,
        };
        for message in outcome.down {
            let output = ClientOutput::Transmit(form.carry(message));
            self.outputs.push_back(output);
        }
        if let Some(message) = outcome.up {
            let output = ClientOutput::Inner(form.carry(message));
            self.outputs.push_back(output);
        }
    }

    /// The device has another session or stream, or starts anew: nothing that was under way ends.
    pub fn forget_exchanges(&mut self) {
        self.session.forget_exchanges();
    }

    /// Protects a datagram of the CoAP endpoint.
    pub fn send(&mut self, now: Instant, datagram: &[u8]) -> Result<(), SendError> {
        let message = coap::decode(datagram)?;
        self.protect(now, Form::Datagram, &message)
    }

    /// Protects a message of the CoAP endpoint for a stream.
    pub fn send_message(&mut self, now: Instant, message: &Message) -> Result<(), SendError> {
        self.protect(now, Form::Message, &on_stream(message))
    }

    fn protect(&mut self, now: Instant, form: Form, message: &Message) -> Result<(), SendError> {
        let mut with = Surroundings {
            now,
            form,
            config: &self.config,
            counters: &mut self.counters,
            random: &mut self.random,
        };
        let outer = self.session.send(&mut with, message)?;
        let output = ClientOutput::Transmit(form.carry(outer));
        self.outputs.push_back(output);
        Ok(())
    }

    /// What is to be done next; call until it is `None`.
    pub fn poll_output(&mut self) -> Option<ClientOutput> {
        self.outputs.pop_front()
    }

    /// Bytes by which protection makes a message longer, at most.
    pub fn overhead(&self) -> usize {
        self.session.context.overhead()
    }

    /// Sequence numbers that are left to the generation.
    pub fn remaining_sequence_numbers(&self) -> u32 {
        self.session.context.remaining_sequence_numbers()
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }
}
