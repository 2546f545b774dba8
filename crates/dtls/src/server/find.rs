//! Whether a datagram is for this server, before it is handled.

use std::net::SocketAddr;

use crate::cid::ConnectionId;
use crate::record::ContentType;
use crate::server::Server;

/// Where the session or handshake of a datagram is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Here.
    Here,
    /// Not here; it can be looked for by its Connection ID.
    Session(ConnectionId),
    /// Not here, and only its peer's address can tell: a first hello, or a record without
    /// Connection ID.
    Nothing,
}

impl Server {
    /// Looks at the first record of a datagram. Changes and promises nothing: the record may be
    /// forged.
    pub fn find(&self, peer: SocketAddr, datagram: &[u8]) -> Found {
        let is_pending = self.handshakes.by_peer(peer).is_some();
        let is_secured = datagram.first() == Some(&ContentType::Tls12Cid.code());
        if !is_secured {
            let is_here = is_pending || self.sessions.by_peer(peer).is_some();
            return if is_here { Found::Here } else { Found::Nothing };
        }
        let cid = ConnectionId::of_datagram(datagram)
            .filter(|cid| cid.partition() < self.config.partitions.get());
        match cid {
            Some(cid) if self.sessions.by_cid(cid).is_none() && !is_pending => Found::Session(cid),
            // What is malformed is counted where it is handled.
            Some(_) | None => Found::Here,
        }
    }
}
