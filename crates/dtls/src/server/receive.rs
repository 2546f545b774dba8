//! Finds out whom a received record is for.

use std::net::SocketAddr;
use std::time::Instant;

use crate::cid::ConnectionId;
use crate::handshake::{Fragment, MessageType};
use crate::record::{self, ContentType, EPOCH_PLAIN, Record};
use crate::server::Server;
use crate::server::output::{HandshakeId, Output};
use crate::session::Rejection;
use crate::wire::Reader;

/// Records looked at in one datagram. A flight has at most eight.
const MAX_RECORDS: usize = 32;

impl Server {
    /// Takes a datagram in; it is decrypted in place. Bytes of a peer have no effect other than
    /// outputs and counters.
    pub fn handle_datagram(&mut self, now: Instant, peer: SocketAddr, datagram: &mut [u8]) {
        self.counters.datagrams += 1;
        let mut rest = datagram;
        for _ in 0..MAX_RECORDS {
            if rest.is_empty() {
                return;
            }
            let Some((record, tail)) = record::split_first(rest, ConnectionId::LENGTH) else {
                self.counters.malformed_records += 1;
                return;
            };
            match record.content_type {
                ContentType::Tls12Cid => {
                    let Some(cid) = self.own_cid(&record) else {
                        return;
                    };
                    if let Some(id) = self.sessions.by_cid(cid) {
                        if let Err(rejection) = self.on_session_record(now, peer, id, record) {
                            self.reject(rejection);
                        }
                    } else if let Some(id) = self.pending_with(peer, cid) {
                        self.on_handshake_record(now, id, record);
                    } else {
                        let datagram = [&*record.bytes, &*tail].concat();
                        self.outputs.push_back(Output::UnknownCid {
                            cid,
                            peer,
                            datagram,
                        });
                        return;
                    }
                }
                _ if record.epoch == EPOCH_PLAIN => self.on_plain_record(now, peer, &record),
                _ => self.on_address_record(now, peer, record),
            }
            rest = tail;
        }
    }

    /// The Connection ID of a record, if this cluster can have issued it.
    fn own_cid(&mut self, record: &Record<'_>) -> Option<ConnectionId> {
        let cid = ConnectionId::from_bytes(record.cid())
            .filter(|cid| cid.partition() < self.config.partitions.get());
        if cid.is_none() {
            self.counters.foreign_cid += 1;
        }
        cid
    }

    fn pending_with(&mut self, peer: SocketAddr, cid: ConnectionId) -> Option<HandshakeId> {
        let id = self.handshakes.by_peer(peer)?;
        let cids = self.handshakes.get_mut(id)?.cids.as_ref()?;
        (cids.server == cid).then_some(id)
    }

    /// A protected record without Connection ID.
    fn on_address_record(&mut self, now: Instant, peer: SocketAddr, record: Record<'_>) {
        match (self.sessions.by_peer(peer), self.handshakes.by_peer(peer)) {
            (Some(session), None) => {
                if let Err(rejection) = self.on_session_record(now, peer, session, record) {
                    self.reject(rejection);
                }
            }
            (None, Some(handshake)) => self.on_handshake_record(now, handshake, record),
            (Some(session), Some(handshake)) => {
                // RFC 6347 §4.2.8: both the old session and the new handshake are alive. A failed
                // attempt to decrypt spoils the bytes, so the first one gets a copy.
                let mut copy = record.bytes.to_vec();
                let attempt = record.over(&mut copy);
                match self.on_session_record(now, peer, session, attempt) {
                    Ok(()) => {}
                    Err(Rejection::Replayed | Rejection::Unauthentic) => {
                        self.on_handshake_record(now, handshake, record);
                    }
                    Err(rejection) => self.reject(rejection),
                }
            }
            (None, None) => self.counters.unknown_session += 1,
        }
    }

    fn on_plain_record(&mut self, now: Instant, peer: SocketAddr, record: &Record<'_>) {
        match record.content_type {
            ContentType::Handshake => self.on_plain_handshake(now, peer, record),
            ContentType::Alert => match self.handshakes.by_peer(peer) {
                Some(id) => self.on_handshake_alert(id, EPOCH_PLAIN, record.payload()),
                // Nobody vouches for it, so it cannot end a session.
                None => self.counters.ignored_alerts += 1,
            },
            ContentType::ChangeCipherSpec => {}
            ContentType::ApplicationData | ContentType::Tls12Cid => {
                self.counters.out_of_place += 1;
            }
        }
    }

    fn on_plain_handshake(&mut self, now: Instant, peer: SocketAddr, record: &Record<'_>) {
        let mut reader = Reader::new(record.payload());
        while !reader.is_empty() {
            let Ok(fragment) = Fragment::read(&mut reader) else {
                self.counters.malformed_messages += 1;
                return;
            };
            if fragment.kind == MessageType::ClientHello {
                // One hello for each record, so that a datagram cannot draw many answers.
                self.on_client_hello(now, peer, record.sequence, &fragment);
                return;
            }
            self.on_plain_fragment(now, peer, &fragment);
        }
    }
}
