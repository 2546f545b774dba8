//! CertificateVerify (RFC 5246 §7.4.8).

use crate::handshake::{self, MessageType};
use crate::signature::{put_signed, read_signed};
use crate::wire::{Malformed, Reader};

/// The signature; `None` when its algorithm is not the one that was asked for.
pub(crate) fn parse(body: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    let mut reader = Reader::new(body);
    let signature = read_signed(&mut reader)?;
    reader.finish()?;
    Ok(signature)
}

pub(crate) fn encode(message_seq: u16, signature: &[u8]) -> Vec<u8> {
    handshake::message(MessageType::CertificateVerify, message_seq, |out| {
        put_signed(out, signature);
    })
}
