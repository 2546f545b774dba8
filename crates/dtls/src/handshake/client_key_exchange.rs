//! ClientKeyExchange of the PSK suites (RFC 4279 §2).

use crate::handshake::{self, MessageType};
use crate::wire::{Malformed, Reader, put_vec16};

/// RFC 4279 §5.3: identities of up to 128 bytes are supported; ours go no further.
pub(crate) const MAX_IDENTITY: usize = 128;

/// The identity of a client.
pub(crate) fn parse(body: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(body);
    let identity = reader.vec16()?;
    reader.finish()?;
    Ok(identity)
}

pub(crate) fn encode(message_seq: u16, identity: &[u8]) -> Vec<u8> {
    handshake::message(MessageType::ClientKeyExchange, message_seq, |out| {
        put_vec16(out, identity);
    })
}
