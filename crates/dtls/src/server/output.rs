//! What the server asks of its driver and tells it.

use std::fmt;
use std::net::SocketAddr;

use crate::cid::ConnectionId;
use crate::error::{CloseReason, HandshakeFailure};
use crate::export::SessionExport;
use crate::identity::{PeerIdentity, PeerKey};
use crate::resumption::{HandshakeKind, ResumptionExport, ResumptionId};
use crate::session::SessionId;

/// Names a handshake under way. Never reused by the same server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandshakeId(pub(super) u64);

impl fmt::Debug for HandshakeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HandshakeId({:x})", self.0)
    }
}

/// The answer to [`Output::StoreSession`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreOutcome {
    /// The session is safe: the client may learn that it exists.
    Stored,
    /// It is not, for example because its Connection ID is taken.
    Refused,
}

/// Which handshake led to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionOrigin {
    /// A full one.
    New {
        /// To be stored with the session: what the client may resume it from. Its id has the
        /// partition of the session's Connection ID, if that has one. `None` with
        /// [`crate::Config::resumption`] off.
        resumption: Option<Box<ResumptionExport>>,
    },
    /// An abbreviated one. The client had the master secret of this resumption, which stays what it
    /// is; the session replaces the one that came of it before. If the resumption is gone by now,
    /// refuse the session.
    Resumed(ResumptionId),
}

/// From [`crate::Server::poll_output`].
#[derive(Debug)]
pub enum Output {
    /// Send a datagram.
    Transmit {
        /// Where to.
        peer: SocketAddr,
        /// One or more records.
        datagram: Vec<u8>,
    },
    /// A hello asks for an earlier session. Look the id up, make sure that its identity may still
    /// connect (with a pre-shared key: [`ResumptionExport::is_under`] the one that it has now), and
    /// answer with [`crate::Server::resume`]. Whoever asks has shown its address and
    /// nothing else: ids travel in the clear.
    ResumptionNeeded {
        /// For the answer.
        handshake: HandshakeId,
        /// Where the client is.
        peer: SocketAddr,
        /// In our layout, and of one of our partitions.
        id: ResumptionId,
    },
    /// Look the key of an identity up and answer with [`crate::Server::provide_psk`].
    PskNeeded {
        /// For the answer.
        handshake: HandshakeId,
        /// Where the client is.
        peer: SocketAddr,
        /// 0 to 128 unauthenticated bytes, not necessarily UTF-8.
        identity: Vec<u8>,
    },
    /// The client has proved that it has the private key to what it presents. Judge whether it may
    /// connect and answer with [`crate::Server::accept_peer`]: a raw public key by its fingerprint,
    /// certificates by [`crate::TrustAnchors::validate_client`] and the names in them.
    PeerKeyPresented {
        /// For the answer.
        handshake: HandshakeId,
        /// Where the client is.
        peer: SocketAddr,
        /// As it was sent.
        key: PeerKey,
        /// What the session will keep of it. The names of a certificate are worth nothing before
        /// its path is validated.
        identity: PeerIdentity,
    },
    /// The client has proved its key. Store the session, then answer with
    /// [`crate::Server::session_stored`]; a client that does not resume waits for it.
    StoreSession {
        /// For the answer.
        handshake: HandshakeId,
        /// Of generation 0.
        session: SessionExport,
        /// The handshake.
        origin: SessionOrigin,
    },
    /// A handshake has led to a session. An older session of the same identity is not touched,
    /// unless both have no Connection ID and come from the same address.
    Connected {
        /// The new session.
        session: SessionId,
        /// Where the client is.
        peer: SocketAddr,
        /// Who the client has proved to be.
        identity: PeerIdentity,
        /// `None` when the client does not do Connection IDs.
        cid: Option<ConnectionId>,
        /// Which handshake.
        how: HandshakeKind,
    },
    /// Application data, in the order of arrival.
    Plaintext {
        /// Whose.
        session: SessionId,
        /// The session's address, which this record may just have moved.
        peer: SocketAddr,
        /// At least one byte.
        data: Vec<u8>,
    },
    /// RFC 9146 §6: the newest authenticated record came from another address, which replies go to
    /// from now on.
    PeerMoved {
        /// Whose.
        session: SessionId,
        /// Where to.
        peer: SocketAddr,
    },
    /// A session is gone.
    Closed {
        /// Which.
        session: SessionId,
        /// Why.
        reason: CloseReason,
    },
    /// A record for a session that is not here, but whose Connection ID has our layout and one of
    /// our partitions. To take the session over, [`crate::Server::import`] it and hand the
    /// datagram in again. At most one for each datagram handed in.
    UnknownCid {
        /// Which session.
        cid: ConnectionId,
        /// Where the datagram came from.
        peer: SocketAddr,
        /// The record and everything after it.
        datagram: Vec<u8>,
    },
    /// A handshake that got past the cookie has failed. If a session was being stored for it, that
    /// session is of no use.
    HandshakeFailed {
        /// `None` when the hello with the valid cookie was refused at once.
        handshake: Option<HandshakeId>,
        /// Whose.
        peer: SocketAddr,
        /// Why.
        reason: HandshakeFailure,
    },
}
