//! Peers on TCP and TLS (RFC 8323).

use coap::Message;
use coap::reliable;

use super::{Driver, Peer, now};
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
                if let Some(origin) = self.streams.origin(id) {
                    self.engine.handle_message(now, peer, &origin, message);
                }
            }
            reliable::Output::Closed(reason) => {
                tracing::debug!(%reason, "connection closed");
                self.engine.forget_peer(now, peer);
            }
        }
    }

    pub(super) fn send_on_stream(&mut self, id: StreamId, message: &Message) {
        self.metrics.messages_sent.inc();
        if !self.streams.send(id, message) {
            self.stream_gone(id);
        }
    }

    /// The engine still holds a device at a connection that has ended, because a commit or a fetch was under way when
    /// it did.
    pub(super) fn stream_gone(&mut self, id: StreamId) {
        self.engine.forget_peer(now(), Peer::Stream(id));
    }
}
