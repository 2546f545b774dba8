//! Connection IDs (RFC 9146).

use std::fmt;

use crate::random::Random;
use crate::record::{CID_OFFSET, ContentType};

/// A Connection ID that the server issues. The layout never changes: byte 0 is the format version
/// `0x01`, bytes 1–2 the logical partition (big endian), bytes 3–7 are random.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId([u8; Self::LENGTH]);

impl ConnectionId {
    /// Bytes of a server Connection ID. Never change: records do not state the length.
    pub const LENGTH: usize = 8;
    const FORMAT: u8 = 0x01;

    pub(crate) fn generate(random: &mut Random, partition: u16) -> Self {
        let [high, low] = partition.to_be_bytes();
        let mut bytes = [0; Self::LENGTH];
        random.fill(&mut bytes);
        bytes[..3].copy_from_slice(&[Self::FORMAT, high, low]);
        Self(bytes)
    }

    /// `None` when the bytes are not in the layout above.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; Self::LENGTH] = bytes.try_into().ok()?;
        (bytes[0] == Self::FORMAT).then_some(Self(bytes))
    }

    /// The Connection ID of a datagram's first record, without looking at anything else. For
    /// routing a datagram to the node that owns the session.
    pub fn of_datagram(datagram: &[u8]) -> Option<Self> {
        if *datagram.first()? != ContentType::Tls12Cid.code() {
            return None;
        }
        Self::from_bytes(datagram.get(CID_OFFSET..CID_OFFSET + Self::LENGTH)?)
    }

    /// The logical partition: the shard that stores the session.
    pub const fn partition(self) -> u16 {
        u16::from_be_bytes([self.0[1], self.0[2]])
    }

    /// The bytes on the wire.
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionId({self})")
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The Connection IDs of a session that negotiated them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CidPair {
    /// Ours: in the records that we receive.
    pub(crate) server: ConnectionId,
    /// The client's: in the records that we send. When it is empty they have the plain header.
    pub(crate) client: Box<[u8]>,
}
