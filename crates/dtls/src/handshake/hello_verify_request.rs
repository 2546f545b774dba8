//! HelloVerifyRequest (RFC 6347 §4.2.1).

use crate::handshake::{self, MessageType};
use crate::record::VERSION_1_0;
use crate::wire::{Malformed, Reader, put_u16, put_vec8};

/// The cookie of a server's request.
pub(crate) fn parse(body: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(body);
    let _version = reader.u16()?;
    let cookie = reader.vec8()?;
    reader.finish()?;
    Ok(cookie)
}

pub(crate) fn encode(message_seq: u16, cookie: &[u8]) -> Vec<u8> {
    handshake::message(MessageType::HelloVerifyRequest, message_seq, |out| {
        // RFC 6347 §4.2.1: DTLS 1.0 regardless of the version to be negotiated.
        put_u16(out, VERSION_1_0);
        put_vec8(out, cookie);
    })
}
