//! How the exchange of messages with each device goes.

use std::net::SocketAddr;

use coap::PeerKey;
use device_state::{Contact, Move, Registration, Timestamp};
use lwm2m::EndpointName;

use crate::engine::Engine;
use crate::output::{Now, Output};

/// Counts what is exchanged with one device, whose address it knows.
#[derive(Debug)]
pub(crate) struct ContactBook {
    address: SocketAddr,
    pub(crate) counts: Contact,
}

impl ContactBook {
    pub(crate) fn new(now: Timestamp, registration: &Registration) -> Self {
        Self {
            address: registration.peer,
            counts: Contact::beginning(now),
        }
    }

    /// A message of the device arrived.
    pub(crate) fn heard(&mut self, now: Timestamp, from: SocketAddr) {
        self.counts.heard = self.counts.heard.saturating_add(1);
        self.counts.heard_at = now;
        self.talks_from(now, from);
    }

    /// The device talks from this address now.
    pub(crate) fn talks_from(&mut self, now: Timestamp, to: SocketAddr) {
        if self.address == to {
            return;
        }
        self.counts.moves = self.counts.moves.saturating_add(1);
        self.counts.last_move = Some(Box::new(Move {
            at: now,
            from: self.address,
            to,
        }));
        self.address = to;
    }

    /// The device talked from elsewhere before it came here.
    fn came_from(&mut self, now: Timestamp, from: SocketAddr) {
        let here = std::mem::replace(&mut self.address, from);
        self.talks_from(now, here);
    }

    /// What was counted of the device before goes on.
    pub(crate) fn go_on(&mut self, now: Timestamp, former: &Self, again: Again) {
        let address = self.address;
        self.address = former.address;
        self.counts = former.counts.clone();
        if again == Again::Registered {
            self.counts.registered_again = self.counts.registered_again.saturating_add(1);
        }
        self.talks_from(now, address);
    }
}

/// Why a device is taken in that was here already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    Registered,
    /// By the registration that it had.
    TakenOn,
}

impl<P: PeerKey> Engine<P> {
    /// How the exchange of messages with a device goes; `None` if it is not here.
    pub fn contact(&self, endpoint: &EndpointName) -> Option<&Contact> {
        let (_, device) = self.devices.of_endpoint(endpoint)?;
        Some(&device.contact.counts)
    }

    /// A device that was just taken on talked from elsewhere before. One that was here already is known to.
    pub fn came_from(&mut self, now: Now, endpoint: &EndpointName, from: SocketAddr) {
        if let Some(device) = self.devices.of_endpoint_mut(endpoint)
            && device.contact.counts.last_move.is_none()
        {
            device.contact.came_from(now.wall, from);
        }
    }

    /// Somebody was refused who wanted to register as a device.
    pub(crate) fn tell_refused(
        &mut self,
        endpoint: EndpointName,
        from: SocketAddr,
        reason: String,
    ) {
        self.outputs.push_back(Output::Refused {
            endpoint,
            from,
            reason,
        });
    }

    /// Takes note of something about the device that talks from `peer`.
    pub(crate) fn note(&mut self, peer: P, count: impl FnOnce(&mut Contact) -> &mut u32) {
        if let Some((_, device)) = self.devices.at_peer_mut(peer) {
            let count = count(&mut device.contact.counts);
            *count = count.saturating_add(1);
        }
    }
}
