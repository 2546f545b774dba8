//! What a record's authentication covers besides its content.

use crate::record::{ContentType, MAX_CID};

/// The additional data of an AEAD record, or what the MAC of an encrypt_then_mac record begins
/// with: the two are laid out alike (RFC 9146 §5.2, §5.3; RFC 5246 §6.2.3.3, RFC 7366 §3).
pub(super) struct AdditionalData {
    bytes: [u8; Self::CAPACITY],
    length: usize,
}

impl AdditionalData {
    const CAPACITY: usize = 23 + MAX_CID;

    pub(super) const fn new() -> Self {
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

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// `length` is that of the (inner) plaintext of an AEAD record, of IV and ciphertext of an
    /// encrypt_then_mac record. `None` when the Connection ID is longer than [`MAX_CID`].
    pub(super) fn describe(
        &mut self,
        content_type: ContentType,
        version: u16,
        epoch: u16,
        sequence: u64,
        cid: &[u8],
        length: usize,
    ) -> Option<()> {
        let number = (u64::from(epoch) << 48 | sequence).to_be_bytes();
        let version = version.to_be_bytes();
        let code = content_type.code();
        if content_type == ContentType::Tls12Cid {
            // RFC 9146 §5.2, §5.3: seq_num_placeholder, tls12_cid, cid_length, tls12_cid, version,
            // epoch, sequence_number, cid, length.
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
        self.put(&(length as u16).to_be_bytes())
    }
}
