//! Peers on TCP and TLS (RFC 8323).

use coap::{Code, Message, reliable};
use device_state::Transport;
use lwm2m_server::Now;
use oscore::Disposition;

use super::carrier::{Carrier, refusal};
use super::{Driver, Peer, Unsecured, now};
use crate::tcp::event::{Event, StreamId};

impl Driver {
    pub(super) fn stream_event(&mut self, event: Event) {
        self.streams.handle_event(now().instant, event);
    }

    pub(super) fn stream_output(&mut self, id: StreamId, output: reliable::Output) {
        let (now, peer) = (now(), Peer::Stream(id));
        match output {
            reliable::Output::Ready(capabilities) => {
                if !self.engine.open_stream(now, peer, capabilities) {
                    self.streams.release(now.instant, id);
                }
            }
            reliable::Output::Message(message) => {
                self.metrics.messages_received.inc();
                self.stream_message(now, id, message);
            }
            reliable::Output::Closed(reason) => {
                tracing::debug!(%reason, "connection closed");
                self.stream_gone(id);
            }
        }
    }

    fn stream_message(&mut self, now: Now, id: StreamId, message: Message) {
        let carrier = Carrier::Stream(id);
        let layer = &mut self.contexts.layer;
        if layer.handle_message(now.instant, carrier, &message) == Disposition::Taken {
            return;
        }
        let Some(origin) = self.streams.origin(id) else {
            return;
        };
        if (origin.transport, self.limits.unsecured) == (Transport::Tcp, Unsecured::Refused) {
            if let Some(refusal) = refusal(&message, Code::UNAUTHORIZED_4_01) {
                self.send_on_stream(id, &refusal);
            }
            return;
        }
        let peer = Peer::Stream(id);
        self.engine.handle_message(now, peer, &origin, message);
    }

    pub(super) fn send_on_stream(&mut self, id: StreamId, message: &Message) {
        self.metrics.messages_sent.inc();
        if !self.streams.send(id, message) {
            self.stream_gone(id);
        }
    }

    /// A connection has ended. The engine may hold a device there later as well, because a commit or a fetch was under
    /// way when it did.
    pub(super) fn stream_gone(&mut self, id: StreamId) {
        self.engine.forget_peer(now(), Peer::Stream(id));
        self.contexts.layer.forget_peer(Carrier::Stream(id));
    }
}
