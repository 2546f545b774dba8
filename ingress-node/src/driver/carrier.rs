//! What carries the messages of an OSCORE context: the socket of unsecured CoAP, a DTLS session, a connection.

use std::net::SocketAddr;

use coap::{Code, Message, Type};
use device_state::Transport;
use forward::Channel;
use lwm2m_server::Origin;
use oscore::Carried;

use super::Driver;
use crate::tcp::event::StreamId;

/// Where a protected message comes from, and its answer goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Carrier {
    Udp(SocketAddr),
    Dtls(dtls::SessionId),
    Stream(StreamId),
}

impl oscore::Carrier for Carrier {
    /// A translator gives a device another address, of which it knows nothing. A session or a connection it makes
    /// itself, and begins anew with it.
    fn continues_at(self, other: Self) -> bool {
        self == other || matches!((self, other), (Self::Udp(_), Self::Udp(_)))
    }
}

impl Driver {
    /// What is known of a sender by what carried its message; `None` if that has ended.
    pub(super) fn origin_of(&self, carrier: Carrier) -> Option<Origin> {
        match carrier {
            Carrier::Udp(address) => Some(Origin {
                address,
                transport: Transport::Udp,
                principal: self.anyone.clone(),
                session: None,
            }),
            Carrier::Dtls(session) => self.origin(session, self.dtls.peer(session)?),
            Carrier::Stream(id) => self.streams.origin(id),
        }
    }

    /// Sends a protected message.
    pub(super) fn carry(&mut self, carrier: Carrier, message: Carried) {
        match (carrier, message) {
            (Carrier::Udp(peer), Carried::Datagram(datagram)) => {
                self.transmit(Channel::Plain, peer, datagram);
            }
            (Carrier::Dtls(session), Carried::Datagram(datagram)) => {
                if self.dtls.send(session, &datagram).is_err() {
                    self.metrics.datagrams_lost.inc();
                    // Its end came before the answer of the state tier that this message waited for.
                    if self.dtls.peer(session).is_none() {
                        self.contexts.layer.forget_peer(carrier);
                    }
                }
            }
            (Carrier::Stream(id), Carried::Message(message)) => self.send_on_stream(id, &message),
            // The layer sends in the form in which it was sent to.
            (Carrier::Udp(_) | Carrier::Dtls(_), Carried::Message(_))
            | (Carrier::Stream(_), Carried::Datagram(_)) => {
                self.metrics.datagrams_lost.inc();
            }
        }
    }

    /// A request gets no answer. On datagrams it is sent again; on a connection its device waits in vain, so that ends
    /// and the device makes another.
    pub(super) fn give_up(&mut self, carrier: Carrier) {
        match carrier {
            Carrier::Udp(_) | Carrier::Dtls(_) => {}
            Carrier::Stream(id) => self.streams.release(super::now().instant, id),
        }
    }
}

/// The answer to a request that is not handled; `None` if it is no request.
pub(super) fn refusal(request: &Message, code: Code) -> Option<Message> {
    if !request.code.is_request() {
        return None;
    }
    let kind = match request.kind {
        Type::Confirmable => Type::Acknowledgement,
        _ => Type::NonConfirmable,
    };
    Some(Message {
        token: request.token,
        ..Message::new(kind, code, request.id)
    })
}
