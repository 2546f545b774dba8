//! A session as a value that another process can go on with.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use zeroize::Zeroizing;

use crate::cid::{CidPair, ConnectionId};
use crate::handshake::client_key_exchange::MAX_IDENTITY;
use crate::identity::PeerIdentity;
use crate::protection::{RecordKeys, Role};
use crate::record::{self, EPOCH_PROTECTED, MAX_CID};
use crate::session::open_fresh;
use crate::suite::CipherSuite;
use crate::wire::{Malformed, Reader, put_u16, put_u48, put_vec8};
use replay::ReplayWindow;

/// First byte of the encoding: the layouts of sessions with a pre-shared key and of those with
/// another key. A new layout gets a new number; these never change. The former are written as ever,
/// so that a release that knows nothing of the latter can still take them over.
const VERSION_PSK: u8 = 1;
const VERSION_KEY: u8 = 2;

/// Everything that a server needs to go on with a session. It holds the record keys: store it like
/// a password.
///
/// **Replay bound.** The read window goes on from the export. Of the records that the exporting
/// server accepted afterwards, each can be accepted once more by the importing server, and no
/// other. After an orderly hand-over ([`crate::Server::release`]) there are none.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionExport {
    /// The negotiated suite.
    pub suite: CipherSuite,
    /// Generation of the owner that exported; see [`crate::Server::import`].
    pub generation: u16,
    /// The peer's last known address.
    pub peer: SocketAddr,
    /// Who the client proved to be.
    pub identity: PeerIdentity,
    pub(crate) cids: Option<CidPair>,
    pub(crate) window: ReplayWindow,
    pub(crate) keys: RecordKeys,
}

impl fmt::Debug for SessionExport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionExport")
            .field("suite", &self.suite)
            .field("generation", &self.generation)
            .field("peer", &self.peer)
            .field("cids", &self.cids)
            .finish_non_exhaustive()
    }
}

/// Why bytes are not a [`SessionExport`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeExportError {
    /// Written by a newer release.
    #[error("exported session has the unknown version {0}")]
    UnknownVersion(u8),
    /// A suite that this release does not have.
    #[error("exported session has the unknown cipher suite {0:#06x}")]
    UnknownSuite(u16),
    /// Damaged.
    #[error("exported session is truncated or malformed")]
    Malformed,
}

impl From<Malformed> for DecodeExportError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl SessionExport {
    /// The server's Connection ID, if the session has Connection IDs.
    pub fn cid(&self) -> Option<ConnectionId> {
        self.cids.as_ref().map(|cids| cids.server)
    }

    /// Whether the first record of `datagram` is a fresh one of this session's client. Ask before anything is done for
    /// the sender: a Connection ID travels in the clear, and whoever has seen it can write it on a record.
    pub fn authenticates(&self, datagram: &[u8]) -> bool {
        // Decryption is in place.
        let mut copy = datagram.to_vec();
        let mut window = self.window;
        record::split_first(&mut copy, ConnectionId::LENGTH)
            .filter(|(record, _)| self.cid().is_some_and(|cid| record.cid() == cid.as_bytes()))
            .is_some_and(|(record, _)| open_fresh(&self.keys, &mut window, record).is_ok())
    }

    /// The bytes for the state tier: 74 for an IPv4 peer and an AEAD suite, 56 more for CBC, and the
    /// identity and the client's Connection ID. They hold the record keys.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Enough for every identity: a vector that grows would leave copies of the keys behind.
        let mut out = Zeroizing::new(Vec::with_capacity(1024));
        out.push(match self.identity {
            PeerIdentity::Psk(_) => VERSION_PSK,
            PeerIdentity::RawPublicKey(_) | PeerIdentity::Certificate(_) => VERSION_KEY,
        });
        put_u16(&mut out, self.suite.code());
        put_u16(&mut out, EPOCH_PROTECTED);
        put_u16(&mut out, self.generation);
        let (next, seen) = self.window.parts();
        // The highest number itself: one above it may be 2^48, which 48 bits do not hold.
        put_u48(&mut out, next.saturating_sub(1));
        out.extend_from_slice(&seen.to_be_bytes());
        put_peer(&mut out, self.peer);
        match &self.cids {
            None => out.push(0),
            Some(cids) => {
                out.push(1);
                out.extend_from_slice(cids.server.as_bytes());
                put_vec8(&mut out, &cids.client);
            }
        }
        match &self.identity {
            PeerIdentity::Psk(identity) => put_vec8(&mut out, identity),
            key => key.put_key(&mut out),
        }
        self.keys.put_key_block(&mut out);
        out
    }

    /// Reads what [`SessionExport::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeExportError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if !matches!(version, VERSION_PSK | VERSION_KEY) {
            return Err(DecodeExportError::UnknownVersion(version));
        }
        let code = reader.u16()?;
        let suite = CipherSuite::from_code(code).ok_or(DecodeExportError::UnknownSuite(code))?;
        if reader.u16()? != EPOCH_PROTECTED {
            return Err(DecodeExportError::Malformed);
        }
        let generation = reader.u16()?;
        let (highest, seen) = (reader.u48()?, reader.u64()?);
        let window = if seen & 1 == 1 {
            ReplayWindow::restore(highest + 1, seen)
        } else {
            ReplayWindow::default()
        };
        let peer = read_peer(&mut reader)?;
        let cids = match reader.u8()? {
            0 => None,
            1 => Some(read_cids(&mut reader)?),
            _ => return Err(DecodeExportError::Malformed),
        };
        let identity = match version {
            VERSION_PSK => read_psk_identity(&mut reader)?,
            _ => PeerIdentity::read_key(&mut reader)?,
        };
        let keys = reader.take(RecordKeys::length(suite))?;
        let keys = RecordKeys::from_key_block(suite, Role::Server, keys)
            .ok_or(DecodeExportError::Malformed)?;
        reader.finish()?;
        Ok(Self {
            suite,
            generation,
            peer,
            identity,
            cids,
            window,
            keys,
        })
    }
}

fn put_peer(out: &mut Vec<u8>, peer: SocketAddr) {
    match peer {
        SocketAddr::V4(peer) => {
            out.push(4);
            out.extend_from_slice(&peer.ip().octets());
        }
        SocketAddr::V6(peer) => {
            out.push(6);
            out.extend_from_slice(&peer.ip().octets());
            out.extend_from_slice(&peer.scope_id().to_be_bytes());
        }
    }
    put_u16(out, peer.port());
}

fn read_peer(reader: &mut Reader<'_>) -> Result<SocketAddr, DecodeExportError> {
    match reader.u8()? {
        4 => {
            let address = Ipv4Addr::from(reader.array::<4>()?);
            Ok(SocketAddr::new(IpAddr::V4(address), reader.u16()?))
        }
        6 => {
            let address = Ipv6Addr::from(reader.array::<16>()?);
            let scope = u32::from_be_bytes(reader.array()?);
            let peer = SocketAddrV6::new(address, reader.u16()?, 0, scope);
            Ok(SocketAddr::V6(peer))
        }
        _ => Err(DecodeExportError::Malformed),
    }
}

pub(crate) fn read_psk_identity(
    reader: &mut Reader<'_>,
) -> Result<PeerIdentity, DecodeExportError> {
    let identity = reader.vec8()?;
    if identity.len() > MAX_IDENTITY {
        return Err(DecodeExportError::Malformed);
    }
    Ok(PeerIdentity::Psk(identity.into()))
}

fn read_cids(reader: &mut Reader<'_>) -> Result<CidPair, DecodeExportError> {
    let server = reader.take(ConnectionId::LENGTH)?;
    let server = ConnectionId::from_bytes(server).ok_or(DecodeExportError::Malformed)?;
    let client = reader.vec8()?;
    if client.len() > MAX_CID {
        return Err(DecodeExportError::Malformed);
    }
    Ok(CidPair {
        server,
        client: client.into(),
    })
}

#[cfg(test)]
mod tests;
