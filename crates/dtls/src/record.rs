//! The record layer's header (RFC 6347 §4.1, RFC 9146 §4).

use crate::wire::{put_u16, put_u48};

/// DTLS 1.2 on the wire.
pub(crate) const VERSION: u16 = 0xFEFD;
/// DTLS 1.0, which hellos and HelloVerifyRequest may carry.
pub(crate) const VERSION_1_0: u16 = 0xFEFF;
/// Type, version, epoch, sequence, length.
pub(crate) const HEADER: usize = 13;
/// Where the Connection ID of a `tls12_cid` record starts.
pub(crate) const CID_OFFSET: usize = 11;
/// RFC 5246 §6.2.1: the largest plaintext of a record in bytes.
pub(crate) const MAX_PLAINTEXT: usize = 1 << 14;
/// The longest Connection ID of a peer that is negotiated, in bytes. RFC 9146 allows 255; devices
/// use at most a few, and every session has to keep it.
pub(crate) const MAX_CID: usize = 32;
/// The epoch of plaintext records.
pub(crate) const EPOCH_PLAIN: u16 = 0;
/// The epoch of protected records: renegotiation is refused, so there is only this one.
pub(crate) const EPOCH_PROTECTED: u16 = 1;

const SEQUENCE_MASK: u64 = (1 << 48) - 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentType {
    ChangeCipherSpec,
    Alert,
    Handshake,
    ApplicationData,
    Tls12Cid,
}

impl ContentType {
    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            20 => Self::ChangeCipherSpec,
            21 => Self::Alert,
            22 => Self::Handshake,
            23 => Self::ApplicationData,
            25 => Self::Tls12Cid,
            _ => return None,
        })
    }

    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::ChangeCipherSpec => 20,
            Self::Alert => 21,
            Self::Handshake => 22,
            Self::ApplicationData => 23,
            Self::Tls12Cid => 25,
        }
    }
}

/// One record of a received datagram.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) content_type: ContentType,
    pub(crate) version: u16,
    pub(crate) epoch: u16,
    pub(crate) sequence: u64,
    /// Bytes before the payload: 13, or 13 and the Connection ID.
    pub(crate) header_length: usize,
    /// The whole record, header included.
    pub(crate) bytes: &'a mut [u8],
}

impl Record<'_> {
    /// The Connection ID of the header; empty unless the type is `tls12_cid`.
    pub(crate) fn cid(&self) -> &[u8] {
        self.bytes
            .get(CID_OFFSET..self.header_length - 2)
            .unwrap_or_default()
    }

    pub(crate) fn payload(&self) -> &[u8] {
        self.bytes.get(self.header_length..).unwrap_or_default()
    }

    /// The same record over a copy of its bytes.
    pub(crate) fn over<'b>(&self, bytes: &'b mut [u8]) -> Record<'b> {
        Record {
            content_type: self.content_type,
            version: self.version,
            epoch: self.epoch,
            sequence: self.sequence,
            header_length: self.header_length,
            bytes,
        }
    }
}

/// Splits the first record off a datagram. `cid_length` is the length of our own Connection ID,
/// which the header does not state. `None` when what is left is not a record of ours: the rest of
/// the datagram is then worthless too.
pub(crate) fn split_first(
    datagram: &mut [u8],
    cid_length: usize,
) -> Option<(Record<'_>, &mut [u8])> {
    let header = datagram.first_chunk::<CID_OFFSET>()?;
    let [kind, v0, v1, e0, e1, s0, s1, s2, s3, s4, s5] = *header;
    let content_type = ContentType::from_code(kind)?;
    let version = u16::from_be_bytes([v0, v1]);
    let epoch = u16::from_be_bytes([e0, e1]);
    // RFC 6347 §4.2.1: the first hellos may carry the DTLS 1.0 version.
    let version_fits = version == VERSION || (version == VERSION_1_0 && epoch == EPOCH_PLAIN);
    if !version_fits {
        return None;
    }
    let cid_length = match content_type {
        // RFC 9146 §4: only protected records carry a Connection ID, and never an empty one.
        ContentType::Tls12Cid if epoch == EPOCH_PLAIN || cid_length == 0 => return None,
        ContentType::Tls12Cid => cid_length,
        _ => 0,
    };
    let header_length = HEADER + cid_length;
    let length = datagram.get(header_length - 2..header_length)?;
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    let (bytes, rest) = datagram.split_at_mut_checked(header_length + length)?;
    let record = Record {
        content_type,
        version,
        epoch,
        sequence: u64::from_be_bytes([0, 0, s0, s1, s2, s3, s4, s5]),
        header_length,
        bytes,
    };
    Some((record, rest))
}

/// The write sequence of epoch 0. It carries no security, so it wraps instead of failing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlainSequence(u64);

impl PlainSequence {
    pub(crate) const fn starting_at(first: u64) -> Self {
        Self(first)
    }

    const fn next(&mut self) -> u64 {
        let sequence = self.0;
        self.0 = (self.0 + 1) & SEQUENCE_MASK;
        sequence
    }
}

pub(crate) fn put_header(
    out: &mut Vec<u8>,
    content_type: ContentType,
    epoch: u16,
    sequence: u64,
    cid: &[u8],
    length: usize,
) {
    out.push(content_type.code());
    put_u16(out, VERSION);
    put_u16(out, epoch);
    put_u48(out, sequence);
    out.extend_from_slice(cid);
    put_u16(out, length as u16);
}

/// Appends an unprotected record; `payload` is far below 2^14 bytes.
pub(crate) fn put_plain(
    out: &mut Vec<u8>,
    content_type: ContentType,
    sequence: &mut PlainSequence,
    payload: &[u8],
) {
    put_header(
        out,
        content_type,
        EPOCH_PLAIN,
        sequence.next(),
        &[],
        payload.len(),
    );
    out.extend_from_slice(payload);
}
