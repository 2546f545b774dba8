//! ClientKeyExchange (RFC 4279 §2, RFC 5489 §2, RFC 8422 §5.7).

use crate::handshake::{self, MessageType};
use crate::suite::KeyExchange;
use crate::wire::{Malformed, Reader, put_vec8, put_vec16};

/// RFC 4279 §5.3: identities of up to 128 bytes are supported; ours go no further.
pub(crate) const MAX_IDENTITY: usize = 128;

/// The parts that the key exchange has; the others are empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ClientKeyExchange<'a> {
    pub(crate) identity: &'a [u8],
    pub(crate) point: &'a [u8],
}

impl<'a> ClientKeyExchange<'a> {
    pub(crate) fn parse(kind: KeyExchange, body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let mut parsed = Self::default();
        if matches!(kind, KeyExchange::Psk | KeyExchange::EcdhePsk) {
            parsed.identity = reader.vec16()?;
        }
        if matches!(kind, KeyExchange::EcdhePsk | KeyExchange::EcdheEcdsa) {
            parsed.point = reader.vec8()?;
        }
        reader.finish()?;
        Ok(parsed)
    }

    pub(crate) fn encode(&self, kind: KeyExchange, message_seq: u16) -> Vec<u8> {
        handshake::message(MessageType::ClientKeyExchange, message_seq, |out| {
            if matches!(kind, KeyExchange::Psk | KeyExchange::EcdhePsk) {
                put_vec16(out, self.identity);
            }
            if matches!(kind, KeyExchange::EcdhePsk | KeyExchange::EcdheEcdsa) {
                put_vec8(out, self.point);
            }
        })
    }
}
