//! What a session can be resumed from (RFC 5246 §7.3, figure 2), as a value for the state tier.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use crate::export::{DecodeExportError, read_psk_identity};
use crate::identity::PeerIdentity;
use crate::key_schedule::{MASTER_SECRET, MasterSecret, MasterSecretKind, Psk, PskTag};
use crate::random::Random;
use crate::suite::CipherSuite;
use crate::wire::{Malformed, Reader, put_u16, put_vec8};

/// First byte of the encoding. A new layout gets a new number; this one never changes.
const VERSION: u8 = 1;
/// Where a [`PeerIdentity`] writes another kind of itself. Never change.
const KIND_PSK: u8 = 0;
/// How the master secret came about. Never change.
const CLASSIC: u8 = 0;
const EXTENDED: u8 = 1;

/// Which of the two handshakes of RFC 5246 §7.3 led to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeKind {
    /// A new session.
    Full,
    /// The session that was asked for is resumed.
    Abbreviated,
}

/// A session id that the server issues. The layout never changes: byte 0 is the format version
/// `0x01`, bytes 1–2 the logical partition (big endian), bytes 3–31 are random.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResumptionId([u8; Self::LENGTH]);

impl ResumptionId {
    /// Bytes of an id: as many as RFC 5246 §7.4.1.2 allows.
    pub const LENGTH: usize = 32;
    const FORMAT: u8 = 0x01;

    pub(crate) fn generate(random: &mut Random, partition: u16) -> Self {
        let [high, low] = partition.to_be_bytes();
        let mut bytes = random.bytes();
        [bytes[0], bytes[1], bytes[2]] = [Self::FORMAT, high, low];
        Self(bytes)
    }

    /// `None` when the bytes are not in the layout above.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; Self::LENGTH] = bytes.try_into().ok()?;
        (bytes[0] == Self::FORMAT).then_some(Self(bytes))
    }

    /// The logical partition: the shard that stores what is resumed, and the Connection IDs of all
    /// sessions that come of it.
    pub const fn partition(self) -> u16 {
        u16::from_be_bytes([self.0[1], self.0[2]])
    }

    /// The bytes on the wire.
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl fmt::Debug for ResumptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResumptionId({self})")
    }
}

impl fmt::Display for ResumptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Everything that a server needs to resume a session. It holds the master secret: store it like a
/// password.
#[derive(Clone, PartialEq, Eq)]
pub struct ResumptionExport {
    /// What the client asks for it by.
    pub id: ResumptionId,
    /// The negotiated suite.
    pub suite: CipherSuite,
    /// How the master secret was derived.
    pub master_secret: MasterSecretKind,
    /// Who the client proved to be.
    pub identity: PeerIdentity,
    /// The host name that the client asked for (RFC 6066 §3).
    pub(crate) server_name: Option<Box<str>>,
    pub(crate) secret: Zeroizing<[u8; MASTER_SECRET]>,
    /// Of the pre-shared key, if the client proved to have one.
    pub(crate) psk_tag: Option<PskTag>,
}

impl fmt::Debug for ResumptionExport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResumptionExport")
            .field("id", &self.id)
            .field("suite", &self.suite)
            .field("master_secret", &self.master_secret)
            .finish_non_exhaustive()
    }
}

impl ResumptionExport {
    /// The longest server name that an encoding can hold, and that DNS knows (RFC 1035 §2.3.4).
    pub(crate) const MAX_SERVER_NAME: usize = 255;

    pub(crate) fn master_secret(&self) -> MasterSecret {
        MasterSecret::from_bytes(self.secret.clone())
    }

    /// Whether the session came about under this key. If the identity has another key by now, the
    /// session is not to be resumed.
    pub fn is_under(&self, psk: &Psk) -> bool {
        self.psk_tag
            .is_some_and(|tag| verify_slices_are_equal(&tag, &psk.tag(&self.id)).is_ok())
    }

    /// Whether a hello that asks for `name` asks for this session's server.
    pub(crate) fn is_for(&self, name: Option<&str>) -> bool {
        match (&self.server_name, name) {
            // RFC 6066 §3: host names do not differ in case.
            (Some(own), Some(name)) => own.eq_ignore_ascii_case(name),
            (None, None) => true,
            _ => false,
        }
    }

    /// The bytes for the state tier: 103 with a pre-shared key, else 86, and the identity and the server name. They hold the master
    /// secret.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Enough for every identity: a vector that grows would leave copies of the secret behind.
        let mut out = Zeroizing::new(Vec::with_capacity(2048));
        out.push(VERSION);
        out.extend_from_slice(self.id.as_bytes());
        put_u16(&mut out, self.suite.code());
        out.push(match self.master_secret {
            MasterSecretKind::Classic => CLASSIC,
            MasterSecretKind::Extended => EXTENDED,
        });
        out.extend_from_slice(&*self.secret);
        match &self.server_name {
            None => out.push(0),
            Some(name) => {
                out.push(1);
                put_vec8(&mut out, name.as_bytes());
            }
        }
        match &self.identity {
            PeerIdentity::Psk(identity) => {
                out.push(KIND_PSK);
                put_vec8(&mut out, identity);
                out.extend_from_slice(&self.psk_tag.unwrap_or_default());
            }
            key => key.put_key(&mut out),
        }
        out
    }

    /// Reads what [`ResumptionExport::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeExportError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if version != VERSION {
            return Err(DecodeExportError::UnknownVersion(version));
        }
        let id = ResumptionId::from_bytes(reader.take(ResumptionId::LENGTH)?);
        let id = id.ok_or(DecodeExportError::Malformed)?;
        let code = reader.u16()?;
        let suite = CipherSuite::from_code(code).ok_or(DecodeExportError::UnknownSuite(code))?;
        let master_secret = match reader.u8()? {
            CLASSIC => MasterSecretKind::Classic,
            EXTENDED => MasterSecretKind::Extended,
            _ => return Err(DecodeExportError::Malformed),
        };
        let secret = Zeroizing::new(reader.array()?);
        let server_name = match reader.u8()? {
            0 => None,
            1 => Some(read_name(&mut reader)?),
            _ => return Err(DecodeExportError::Malformed),
        };
        let (identity, psk_tag) = match reader.rest().first() {
            Some(&KIND_PSK) => {
                reader.u8()?;
                (read_psk_identity(&mut reader)?, Some(reader.array()?))
            }
            _ => (PeerIdentity::read_key(&mut reader)?, None),
        };
        reader.finish()?;
        Ok(Self {
            id,
            suite,
            master_secret,
            identity,
            server_name,
            secret,
            psk_tag,
        })
    }
}

fn read_name(reader: &mut Reader<'_>) -> Result<Box<str>, Malformed> {
    let name = std::str::from_utf8(reader.vec8()?).map_err(|_| Malformed)?;
    Ok(name.into())
}

#[cfg(test)]
mod tests;
