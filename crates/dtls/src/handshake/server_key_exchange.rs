//! ServerKeyExchange of the suites with ephemeral keys (RFC 8422 §5.4, RFC 5489 §2).

use aws_lc_rs::digest::Digest;

use crate::handshake::{self, MessageType};
use crate::key_agreement::PublicPoint;
use crate::key_schedule::HelloRandoms;
use crate::signature::{digest_of, put_signed, read_signed};
use crate::wire::{Malformed, Reader, put_vec16};

/// A server's ephemeral key with its signature.
pub(crate) struct Signed<'a> {
    /// `None` when the curve was not offered.
    pub(crate) public: Option<PublicPoint>,
    /// What is signed besides the hellos' randoms.
    parameters: &'a [u8],
    /// `None` when the algorithm was not offered.
    pub(crate) signature: Option<&'a [u8]>,
}

impl Signed<'_> {
    /// What the signature is made over.
    pub(crate) fn digest(&self, randoms: &HelloRandoms) -> Digest {
        digest_of(&[&randoms.client, &randoms.server, self.parameters])
    }
}

pub(crate) fn parse_signed(body: &[u8]) -> Result<Signed<'_>, Malformed> {
    let mut reader = Reader::new(body);
    let public = PublicPoint::read(&mut reader)?;
    let length = body.len() - reader.rest().len();
    let signature = read_signed(&mut reader)?;
    reader.finish()?;
    Ok(Signed {
        public,
        parameters: body.get(..length).ok_or(Malformed)?,
        signature,
    })
}

/// `sign` gets what the signature is made over.
pub(crate) fn encode_signed(
    message_seq: u16,
    public: &PublicPoint,
    randoms: &HelloRandoms,
    sign: impl FnOnce(&Digest) -> Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    let mut parameters = Vec::with_capacity(160);
    public.put(&mut parameters);
    let signature = sign(&digest_of(&[&randoms.client, &randoms.server, &parameters]))?;
    let kind = MessageType::ServerKeyExchange;
    Some(handshake::message(kind, message_seq, |out| {
        out.extend_from_slice(&parameters);
        put_signed(out, &signature);
    }))
}

/// A server's ephemeral key after an identity hint, which we have no use for.
pub(crate) fn parse_psk(body: &[u8]) -> Result<Option<PublicPoint>, Malformed> {
    let mut reader = Reader::new(body);
    let _hint = reader.vec16()?;
    let public = PublicPoint::read(&mut reader)?;
    reader.finish()?;
    Ok(public)
}

pub(crate) fn encode_psk(message_seq: u16, public: &PublicPoint) -> Vec<u8> {
    handshake::message(MessageType::ServerKeyExchange, message_seq, |out| {
        put_vec16(out, &[]);
        public.put(out);
    })
}
