//! The two ends of a TCP connection, without the TCP.

use std::time::Instant;

use coap::Message;
use coap::reliable::{Capabilities, Config, Connection, Output};

pub(crate) struct Streams {
    peer: u8,
    device: Connection,
    server: Connection,
    /// What the server sends on other connections.
    pub(crate) astray: Vec<(u8, Message)>,
}

/// What came out at an end.
pub(crate) enum Arrival {
    ServerReady(u8, Capabilities),
    AtServer(u8, Message),
    DeviceReady(Capabilities),
    AtDevice(Message),
}

impl Streams {
    /// `peer` is what the server calls the device on this connection.
    pub(crate) fn new(now: Instant, peer: u8, max_message_size: usize) -> Self {
        let config = Config {
            max_message_size,
            ..Config::default()
        };
        Self {
            peer,
            device: Connection::new(now, config.clone()),
            server: Connection::new(now, config),
            astray: Vec::new(),
        }
    }

    pub(crate) fn peer(&self) -> u8 {
        self.peer
    }

    pub(crate) fn send_to_server(&mut self, message: &Message) {
        self.device.send(message).unwrap();
    }

    pub(crate) fn send_to_device(&mut self, peer: u8, message: Message) {
        if peer == self.peer {
            self.server.send(&message).unwrap();
        } else {
            self.astray.push((peer, message));
        }
    }

    pub(crate) fn poll(&mut self, now: Instant) -> Option<Arrival> {
        if let Some(bytes) = self.device.poll_transmit() {
            self.server.handle_bytes(now, &bytes);
        }
        match self.server.poll_output() {
            Some(Output::Ready(capabilities)) => {
                return Some(Arrival::ServerReady(self.peer, capabilities));
            }
            Some(Output::Message(message)) => return Some(Arrival::AtServer(self.peer, message)),
            Some(other @ Output::Closed(_)) => panic!("{other:?}"),
            None => {}
        }
        if let Some(bytes) = self.server.poll_transmit() {
            self.device.handle_bytes(now, &bytes);
        }
        match self.device.poll_output()? {
            Output::Ready(capabilities) => Some(Arrival::DeviceReady(capabilities)),
            Output::Message(message) => Some(Arrival::AtDevice(message)),
            other @ Output::Closed(_) => panic!("{other:?}"),
        }
    }
}
