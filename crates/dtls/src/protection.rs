//! Record protection (RFC 6655 §3, RFC 6347 §4.1.2, RFC 9146 §5).

use std::fmt;

use aes::Aes128Enc;
use ccm::aead::generic_array::GenericArray;
use ccm::aead::generic_array::typenum::{U8, U12};
use ccm::{AeadInPlace as _, Ccm, KeyInit as _};
use zeroize::Zeroize as _;

use crate::record::{self, ContentType, MAX_CID, MAX_PLAINTEXT, Record, VERSION};
use crate::suite::CipherSuite;

type Aes128Ccm8 = Ccm<Aes128Enc, U8, U12>;

const EXPLICIT_NONCE: usize = 8;
const TAG: usize = 8;

/// Which end of the connection we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

/// One direction of an AEAD suite. Only the 16 key bytes are kept and the schedule is expanded for
/// every record: measured, that is 14 ns beside 160 ns for sealing 64 bytes, and it saves 320 bytes
/// a session.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct AeadKey {
    key: [u8; 16],
    salt: [u8; 4],
}

impl AeadKey {
    fn nonce(&self, explicit: [u8; EXPLICIT_NONCE]) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&self.salt);
        nonce[4..].copy_from_slice(&explicit);
        nonce
    }

    fn cipher(&self) -> Aes128Ccm8 {
        Aes128Ccm8::new(GenericArray::from_slice(&self.key))
    }
}

impl Drop for AeadKey {
    fn drop(&mut self) {
        self.key.zeroize();
        self.salt.zeroize();
    }
}

/// The keys of both directions, by the construction that the suite uses.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum RecordKeys {
    Aes128Ccm8 { read: AeadKey, write: AeadKey },
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
    /// Length of the key block of RFC 5246 §6.3 and of [`RecordKeys::to_bytes`].
    pub(crate) const fn length(suite: CipherSuite) -> usize {
        match suite {
            CipherSuite::PskAes128Ccm8 => 40,
        }
    }

    /// Cuts a key block: client key, server key, client salt, server salt. `None` when its length
    /// is not [`RecordKeys::length`].
    pub(crate) fn from_key_block(suite: CipherSuite, role: Role, block: &[u8]) -> Option<Self> {
        let CipherSuite::PskAes128Ccm8 = suite;
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
        Some(Self::Aes128Ccm8 { read, write })
    }

    /// Appends the server's keys as the key block that they came from.
    pub(crate) fn put_key_block(&self, out: &mut Vec<u8>) {
        let Self::Aes128Ccm8 { read, write } = self;
        out.extend_from_slice(&read.key);
        out.extend_from_slice(&write.key);
        out.extend_from_slice(&read.salt);
        out.extend_from_slice(&write.salt);
    }

    /// How many bytes a record is longer than its content.
    pub(crate) const fn overhead(&self, cid: &[u8]) -> usize {
        let Self::Aes128Ccm8 { .. } = self;
        let inner_type = if cid.is_empty() { 0 } else { 1 };
        record::HEADER + cid.len() + EXPLICIT_NONCE + inner_type + TAG
    }

    /// Decrypts in place. `None` when the record does not authenticate or its content type is not
    /// valid inside a protected record.
    pub(crate) fn open<'a>(&self, record: Record<'a>) -> Option<Opened<'a>> {
        let Self::Aes128Ccm8 { read, .. } = self;
        let header = record.header_length;
        let payload = record.bytes.len().checked_sub(header)?;
        let length = payload.checked_sub(EXPLICIT_NONCE + TAG)?;
        // One byte of type and up to 2^14 of padding surround the content with a Connection ID.
        if length > MAX_PLAINTEXT + 1 {
            return None;
        }
        let mut aad = AdditionalData::new();
        let cid = record.cid();
        aad.describe(
            record.content_type,
            record.version,
            record.epoch,
            record.sequence,
            cid,
            length,
        )?;
        let content_type = record.content_type;
        let Record { bytes, .. } = record;
        let (_, body) = bytes.split_at_mut(header);
        let (explicit, body) = body.split_first_chunk_mut::<EXPLICIT_NONCE>()?;
        let (content, tag) = body.split_at_mut_checked(length)?;
        read.cipher()
            .decrypt_in_place_detached(
                GenericArray::from_slice(&read.nonce(*explicit)),
                aad.as_slice(),
                content,
                GenericArray::from_slice(tag),
            )
            .ok()?;
        unwrap_inner(content_type, content)
    }

    /// Appends a sealed record. The caller has never used the sequence number before and keeps
    /// `content` within 2^14 bytes and the Connection ID within [`MAX_CID`].
    pub(crate) fn seal(&self, outgoing: Outgoing<'_>, content: &[u8], out: &mut Vec<u8>) {
        let Self::Aes128Ccm8 { write, .. } = self;
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
        out.reserve(record::HEADER + cid.len() + EXPLICIT_NONCE + inner + TAG);
        let payload = EXPLICIT_NONCE + inner + TAG;
        record::put_header(out, outer_type, epoch, sequence, cid, payload);
        // RFC 6655 §3: the explicit nonce may be the sequence number, which never repeats.
        let explicit = (u64::from(epoch) << 48 | sequence).to_be_bytes();
        out.extend_from_slice(&explicit);
        let start = out.len();
        out.extend_from_slice(content);
        if !cid.is_empty() {
            out.push(content_type.code());
        }
        let mut aad = AdditionalData::new();
        aad.describe(outer_type, VERSION, epoch, sequence, cid, inner)
            .expect("own Connection IDs are within MAX_CID");
        let tag = write
            .cipher()
            .encrypt_in_place_detached(
                GenericArray::from_slice(&write.nonce(explicit)),
                aad.as_slice(),
                &mut out[start..],
            )
            .expect("a record is below the length limit of CCM");
        out.extend_from_slice(&tag);
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

/// The additional data of a record, on the stack.
struct AdditionalData {
    bytes: [u8; Self::CAPACITY],
    length: usize,
}

impl AdditionalData {
    const CAPACITY: usize = 23 + MAX_CID;

    const fn new() -> Self {
        Self {
            bytes: [0; Self::CAPACITY],
            length: 0,
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.length + bytes.len();
        self.bytes.get_mut(self.length..end)?.copy_from_slice(bytes);
        self.length = end;
        Some(())
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// `None` when the Connection ID is longer than [`MAX_CID`].
    fn describe(
        &mut self,
        content_type: ContentType,
        version: u16,
        epoch: u16,
        sequence: u64,
        cid: &[u8],
        plaintext_length: usize,
    ) -> Option<()> {
        let number = (u64::from(epoch) << 48 | sequence).to_be_bytes();
        let version = version.to_be_bytes();
        let code = content_type.code();
        if content_type == ContentType::Tls12Cid {
            // RFC 9146 §5.3: seq_num_placeholder, tls12_cid, cid_length, tls12_cid, version,
            // epoch, sequence_number, cid, length_of_DTLSInnerPlaintext.
            self.put(&[0xFF; 8])?;
            self.put(&[code, cid.len() as u8, code])?;
            self.put(&version)?;
            self.put(&number)?;
            self.put(cid)?;
        } else {
            // RFC 5246 §6.2.3.3 with the epoch in the sequence number (RFC 6347 §4.1.2.1).
            self.put(&number)?;
            self.put(&[code])?;
            self.put(&version)?;
        }
        self.put(&(plaintext_length as u16).to_be_bytes())
    }
}

#[cfg(test)]
mod tests;
