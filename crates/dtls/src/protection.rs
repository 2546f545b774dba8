//! Record protection (RFC 5246 §6.2.3, RFC 6347 §4.1.2, RFC 9146 §5).

mod additional_data;
mod aead;
mod cbc;

use std::fmt;

use crate::protection::additional_data::AdditionalData;
use crate::protection::aead::{AeadKey, Algorithm, EXPLICIT_NONCE};
use crate::protection::cbc::{CbcKey, CbcKeys};
use crate::record::{self, ContentType, MAX_PLAINTEXT, Record, VERSION};
use crate::suite::{CipherSuite, Protection};

/// Which end of the connection we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

/// The keys of both directions, by the construction that the suite uses. Those of CBC suites are
/// boxed: few sessions have them, and each would make all others larger.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum RecordKeys {
    Aead {
        algorithm: Algorithm,
        read: AeadKey,
        write: AeadKey,
    },
    Cbc(Box<CbcKeys>),
}

impl fmt::Debug for RecordKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordKeys(..)")
    }
}

/// An authenticated record.
#[derive(Debug)]
pub(crate) struct Opened<'a> {
    pub(crate) content_type: ContentType,
    pub(crate) content: &'a [u8],
}

/// What goes into the header of a record to be sealed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    pub(crate) content_type: ContentType,
    pub(crate) epoch: u16,
    pub(crate) sequence: u64,
    /// The receiver's Connection ID; empty for a plain header.
    pub(crate) cid: &'a [u8],
}

impl RecordKeys {
    /// Length of the key block of RFC 5246 §6.3 and of [`RecordKeys::put_key_block`].
    pub(crate) const fn length(suite: CipherSuite) -> usize {
        match suite.protection() {
            Protection::Aes128Ccm8 | Protection::Aes128Gcm => 40,
            Protection::Aes128CbcSha256 => 96,
        }
    }

    /// Cuts a key block: each time the client's part and then the server's, MAC keys, cipher keys,
    /// salts. `None` when its length is not [`RecordKeys::length`].
    pub(crate) fn from_key_block(suite: CipherSuite, role: Role, block: &[u8]) -> Option<Self> {
        match suite.protection() {
            Protection::Aes128Ccm8 => Self::aead(Algorithm::Ccm8, role, block),
            Protection::Aes128Gcm => Self::aead(Algorithm::Gcm, role, block),
            Protection::Aes128CbcSha256 => Self::cbc(role, block),
        }
    }

    fn aead(algorithm: Algorithm, role: Role, block: &[u8]) -> Option<Self> {
        let (client_key, rest) = block.split_first_chunk::<16>()?;
        let (server_key, rest) = rest.split_first_chunk::<16>()?;
        let (client_salt, server_salt) = rest.split_first_chunk::<4>()?;
        let client = AeadKey {
            key: *client_key,
            salt: *client_salt,
        };
        let server = AeadKey {
            key: *server_key,
            salt: server_salt.try_into().ok()?,
        };
        let (read, write) = match role {
            Role::Client => (server, client),
            Role::Server => (client, server),
        };
        Some(Self::Aead {
            algorithm,
            read,
            write,
        })
    }

    fn cbc(role: Role, block: &[u8]) -> Option<Self> {
        let (client_mac, rest) = block.split_first_chunk::<32>()?;
        let (server_mac, rest) = rest.split_first_chunk::<32>()?;
        let (client_key, server_key) = rest.split_first_chunk::<16>()?;
        let client = CbcKey {
            mac: *client_mac,
            key: *client_key,
        };
        let server = CbcKey {
            mac: *server_mac,
            key: server_key.try_into().ok()?,
        };
        let (read, write) = match role {
            Role::Client => (server, client),
            Role::Server => (client, server),
        };
        Some(Self::Cbc(Box::new(CbcKeys { read, write })))
    }

    /// Appends the server's keys as the key block that they came from.
    pub(crate) fn put_key_block(&self, out: &mut Vec<u8>) {
        match self {
            Self::Aead { read, write, .. } => {
                out.extend_from_slice(&read.key);
                out.extend_from_slice(&write.key);
                out.extend_from_slice(&read.salt);
                out.extend_from_slice(&write.salt);
            }
            Self::Cbc(keys) => {
                out.extend_from_slice(&keys.read.mac);
                out.extend_from_slice(&keys.write.mac);
                out.extend_from_slice(&keys.read.key);
                out.extend_from_slice(&keys.write.key);
            }
        }
    }

    /// How many bytes a record is longer than its content, at most.
    pub(crate) const fn overhead(&self, cid: &[u8]) -> usize {
        let inner_type = if cid.is_empty() { 0 } else { 1 };
        let body = match self {
            Self::Aead { algorithm, .. } => EXPLICIT_NONCE + algorithm.tag_length(),
            Self::Cbc(_) => cbc::IV + cbc::ciphertext_length(0) + cbc::MAC,
        };
        record::HEADER + cid.len() + inner_type + body
    }

    /// Decrypts in place. `None` when the record does not authenticate or its content type is not
    /// valid inside a protected record.
    pub(crate) fn open<'a>(&self, record: Record<'a>) -> Option<Opened<'a>> {
        let payload = record.bytes.len().checked_sub(record.header_length)?;
        let described = match self {
            Self::Aead { algorithm, .. } => {
                payload.checked_sub(EXPLICIT_NONCE + algorithm.tag_length())?
            }
            Self::Cbc(_) => payload.checked_sub(cbc::MAC)?,
        };
        let mut aad = AdditionalData::new();
        aad.describe(
            record.content_type,
            record.version,
            record.epoch,
            record.sequence,
            record.cid(),
            described,
        )?;
        let content_type = record.content_type;
        let (_, payload) = record.bytes.split_at_mut_checked(record.header_length)?;
        let content: &'a [u8] = match self {
            Self::Aead {
                algorithm, read, ..
            } => {
                let (explicit, body) = payload.split_first_chunk_mut::<EXPLICIT_NONCE>()?;
                let (content, tag) = body.split_at_mut_checked(described)?;
                read.open(*algorithm, *explicit, aad.as_slice(), content, tag)?;
                content
            }
            Self::Cbc(keys) => keys.read.open(aad.as_slice(), payload)?,
        };
        // The type and the padding of a record with a Connection ID count as content.
        if content.len() > MAX_PLAINTEXT + 1 {
            return None;
        }
        unwrap_inner(content_type, content)
    }

    /// Appends a sealed record. The caller has never used the sequence number before and keeps
    /// `content` within 2^14 bytes and the Connection ID within [`record::MAX_CID`].
    pub(crate) fn seal(&self, outgoing: Outgoing<'_>, content: &[u8], out: &mut Vec<u8>) {
        let Outgoing {
            content_type,
            epoch,
            sequence,
            cid,
        } = outgoing;
        let inner = content.len() + usize::from(!cid.is_empty());
        let outer_type = if cid.is_empty() {
            content_type
        } else {
            ContentType::Tls12Cid
        };
        let (payload, described) = match self {
            Self::Aead { algorithm, .. } => {
                (EXPLICIT_NONCE + inner + algorithm.tag_length(), inner)
            }
            Self::Cbc(_) => {
                let sealed = cbc::IV + cbc::ciphertext_length(inner);
                (sealed + cbc::MAC, sealed)
            }
        };
        out.reserve(record::HEADER + cid.len() + payload);
        record::put_header(out, outer_type, epoch, sequence, cid, payload);
        let number = u64::from(epoch) << 48 | sequence;
        let mut aad = AdditionalData::new();
        aad.describe(outer_type, VERSION, epoch, sequence, cid, described)
            .expect("own Connection IDs are within MAX_CID");
        let start = out.len();
        match self {
            // RFC 6655 §3, RFC 5288 §3: the explicit nonce may be the sequence number, which never
            // repeats.
            Self::Aead { .. } => out.extend_from_slice(&number.to_be_bytes()),
            Self::Cbc(_) => out.extend_from_slice(&[0; cbc::IV]),
        }
        out.extend_from_slice(content);
        if !cid.is_empty() {
            out.push(content_type.code());
        }
        match self {
            Self::Aead {
                algorithm, write, ..
            } => {
                let explicit = number.to_be_bytes();
                let start = start + EXPLICIT_NONCE;
                write.seal(*algorithm, explicit, aad.as_slice(), out, start);
            }
            Self::Cbc(keys) => keys.write.seal(aad.as_slice(), number, out, start),
        }
    }
}

/// RFC 9146 §4: strips the padding and the real type of a `DTLSInnerPlaintext`.
fn unwrap_inner(outer: ContentType, content: &[u8]) -> Option<Opened<'_>> {
    if outer != ContentType::Tls12Cid {
        return Some(Opened {
            content_type: outer,
            content,
        });
    }
    let end = content.iter().rposition(|&byte| byte != 0)?;
    let (content, tail) = content.split_at(end);
    match ContentType::from_code(*tail.first()?)? {
        ContentType::Tls12Cid => None,
        content_type => Some(Opened {
            content_type,
            content,
        }),
    }
}

#[cfg(test)]
mod tests;
