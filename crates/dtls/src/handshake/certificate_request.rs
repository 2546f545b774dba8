//! CertificateRequest (RFC 5246 §7.4.4).

use crate::handshake::{self, MessageType};
use crate::signature::{self, ECDSA_SHA256};
use crate::wire::{Malformed, Reader, put_u16, put_vec8};

/// `ecdsa_sign` (RFC 8422 §5.5).
const ECDSA_SIGN: u8 = 64;

/// Whether a P-256 key can answer the request.
pub(crate) fn parse(body: &[u8]) -> Result<bool, Malformed> {
    let mut reader = Reader::new(body);
    let types = reader.vec8()?;
    let algorithms = reader.vec16()?;
    // The names of authorities are only a hint; we have one credential.
    let _authorities = reader.vec16()?;
    reader.finish()?;
    Ok(types.contains(&ECDSA_SIGN) && signature::is_offered(algorithms))
}

/// A request that names no authorities: devices have little choice, and the list may be long.
pub(crate) fn encode(message_seq: u16) -> Vec<u8> {
    handshake::message(MessageType::CertificateRequest, message_seq, |out| {
        put_vec8(out, &[ECDSA_SIGN]);
        put_u16(out, 2);
        put_u16(out, ECDSA_SHA256);
        put_u16(out, 0);
    })
}
