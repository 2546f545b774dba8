//! What a worker serves devices with: management or bootstrap.

use std::time::Instant;

use coap::reliable::Capabilities;
use lwm2m_server::bootstrap::{BootstrapEngine, BootstrapOutput};
use lwm2m_server::{Engine, Now, Origin, Output};

use super::Peer;

/// The engine behind the transports.
pub(crate) enum Application {
    Management(Box<Engine<Peer>>),
    Bootstrap(Box<BootstrapEngine<Peer>>),
}

/// What an application wants.
pub(super) enum Wanted {
    Management(Output<Peer>),
    Bootstrap(BootstrapOutput<Peer>),
}

/// One call for either engine.
macro_rules! either {
    ($application:expr, $engine:ident => $call:expr) => {
        match $application {
            Application::Management($engine) => $call,
            Application::Bootstrap($engine) => $call,
        }
    };
}

impl Application {
    /// The management server, if this is one.
    pub(super) fn management(&mut self) -> Option<&mut Engine<Peer>> {
        match self {
            Self::Management(engine) => Some(engine),
            Self::Bootstrap(_) => None,
        }
    }

    /// The bootstrap server, if this is one.
    pub(super) fn bootstrap(&mut self) -> Option<&mut BootstrapEngine<Peer>> {
        match self {
            Self::Management(_) => None,
            Self::Bootstrap(engine) => Some(engine),
        }
    }

    pub(super) fn handle_datagram(
        &mut self,
        now: Now,
        peer: Peer,
        origin: &Origin,
        datagram: &[u8],
    ) {
        either!(self, engine => engine.handle_datagram(now, peer, origin, datagram));
    }

    pub(super) fn handle_message(
        &mut self,
        now: Now,
        peer: Peer,
        origin: &Origin,
        message: coap::Message,
    ) {
        either!(self, engine => engine.handle_message(now, peer, origin, message));
    }

    #[must_use]
    pub(super) fn open_stream(&mut self, now: Now, peer: Peer, takes: Capabilities) -> bool {
        either!(self, engine => engine.open_stream(now, peer, takes))
    }

    pub(super) fn holds_peer(&self, peer: Peer) -> bool {
        either!(self, engine => engine.holds_peer(peer))
    }

    pub(super) fn forget_peer(&mut self, now: Now, peer: Peer) {
        either!(self, engine => engine.forget_peer(now, peer));
    }

    pub(super) fn poll_output(&mut self) -> Option<Wanted> {
        match self {
            Self::Management(engine) => engine.poll_output().map(Wanted::Management),
            Self::Bootstrap(engine) => engine.poll_output().map(Wanted::Bootstrap),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        either!(self, engine => engine.poll_timeout())
    }

    pub(super) fn handle_timeout(&mut self, now: Now) {
        either!(self, engine => engine.handle_timeout(now));
    }

    /// What the CoAP layer has counted.
    pub(crate) fn coap_counters(&self) -> coap::Counters {
        either!(self, engine => engine.coap_counters())
    }
}
