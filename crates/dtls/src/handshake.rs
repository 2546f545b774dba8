//! The handshake messages (RFC 6347 §4.2, §4.3.2).

pub(crate) mod certificate;
pub(crate) mod certificate_request;
pub(crate) mod certificate_verify;
pub(crate) mod client_hello;
pub(crate) mod client_key_exchange;
pub(crate) mod finished;
pub(crate) mod hello_verify_request;
pub(crate) mod server_hello;
pub(crate) mod server_key_exchange;

use crate::wire::{Malformed, Reader, put_u16, put_u24};

/// Bytes before a message's body.
pub(crate) const HEADER: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageType {
    HelloRequest,
    ClientHello,
    ServerHello,
    HelloVerifyRequest,
    Certificate,
    ServerKeyExchange,
    CertificateRequest,
    ServerHelloDone,
    CertificateVerify,
    ClientKeyExchange,
    Finished,
    /// A number that no state waits for.
    Other(u8),
}

impl MessageType {
    pub(crate) const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::HelloRequest,
            1 => Self::ClientHello,
            2 => Self::ServerHello,
            3 => Self::HelloVerifyRequest,
            11 => Self::Certificate,
            12 => Self::ServerKeyExchange,
            13 => Self::CertificateRequest,
            14 => Self::ServerHelloDone,
            15 => Self::CertificateVerify,
            16 => Self::ClientKeyExchange,
            20 => Self::Finished,
            other => Self::Other(other),
        }
    }

    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::HelloRequest => 0,
            Self::ClientHello => 1,
            Self::ServerHello => 2,
            Self::HelloVerifyRequest => 3,
            Self::Certificate => 11,
            Self::ServerKeyExchange => 12,
            Self::CertificateRequest => 13,
            Self::ServerHelloDone => 14,
            Self::CertificateVerify => 15,
            Self::ClientKeyExchange => 16,
            Self::Finished => 20,
            Self::Other(other) => other,
        }
    }
}

/// One fragment, or a whole message, inside a handshake record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fragment<'a> {
    pub(crate) kind: MessageType,
    /// Of the whole message's body.
    pub(crate) length: usize,
    pub(crate) message_seq: u16,
    pub(crate) offset: usize,
    pub(crate) body: &'a [u8],
    /// Header and body as received.
    pub(crate) raw: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// Reads the next fragment of a record's content.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let start = reader.rest();
        let kind = MessageType::from_code(reader.u8()?);
        let length = reader.u24()?;
        let message_seq = reader.u16()?;
        let offset = reader.u24()?;
        let fragment_length = reader.u24()?;
        if offset + fragment_length > length {
            return Err(Malformed);
        }
        let body = reader.take(fragment_length)?;
        let raw = start.get(..HEADER + fragment_length).ok_or(Malformed)?;
        Ok(Self {
            kind,
            length,
            message_seq,
            offset,
            body,
            raw,
        })
    }

    pub(crate) const fn is_whole(&self) -> bool {
        self.offset == 0 && self.body.len() == self.length
    }
}

/// Encodes an unfragmented message.
pub(crate) fn message(
    kind: MessageType,
    message_seq: u16,
    body: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(&[0; HEADER]);
    body(&mut out);
    let mut header = Vec::with_capacity(HEADER);
    put_message_header(&mut header, kind, out.len() - HEADER, message_seq);
    out[..HEADER].copy_from_slice(&header);
    out
}

/// The header of an unfragmented message.
pub(crate) fn put_message_header(
    out: &mut Vec<u8>,
    kind: MessageType,
    length: usize,
    message_seq: u16,
) {
    out.push(kind.code());
    put_u24(out, length);
    put_u16(out, message_seq);
    put_u24(out, 0);
    put_u24(out, length);
}

#[cfg(test)]
mod tests;
