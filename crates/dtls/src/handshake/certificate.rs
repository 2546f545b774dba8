//! Certificate (RFC 5246 §7.4.2, RFC 7250 §3).

use crate::credentials::{CertificateType, Credential};
use crate::handshake::{self, MessageType};
use crate::identity::PeerKey;
use crate::wire::{Malformed, Reader, put_u24};

/// Certificates of one chain that are looked at.
const MAX_CERTIFICATES: usize = 8;
/// The longest body: a chain of the greatest length within its list.
pub(crate) const MAX_LENGTH: usize = Credential::MAX_CHAIN + 3;

/// What the peer presents; `None` when that is nothing.
pub(crate) fn parse(kind: CertificateType, body: &[u8]) -> Result<Option<PeerKey>, Malformed> {
    let mut reader = Reader::new(body);
    let content = reader.vec24()?;
    reader.finish()?;
    if content.is_empty() {
        return Ok(None);
    }
    if kind == CertificateType::RawPublicKey {
        return Ok(Some(PeerKey::RawPublicKey(content.to_vec())));
    }
    let mut chain = Vec::new();
    let mut reader = Reader::new(content);
    while !reader.is_empty() {
        if chain.len() == MAX_CERTIFICATES {
            return Err(Malformed);
        }
        chain.push(reader.vec24()?.to_vec());
    }
    Ok(Some(PeerKey::Certificates(chain)))
}

pub(crate) fn encode(message_seq: u16, key: &PeerKey) -> Vec<u8> {
    handshake::message(MessageType::Certificate, message_seq, |out| match key {
        PeerKey::RawPublicKey(info) => {
            put_u24(out, info.len());
            out.extend_from_slice(info);
        }
        PeerKey::Certificates(chain) => {
            put_u24(
                out,
                chain.iter().map(|certificate| certificate.len() + 3).sum(),
            );
            for certificate in chain {
                put_u24(out, certificate.len());
                out.extend_from_slice(certificate);
            }
        }
    })
}
