//! ServerHello and ServerHelloDone (RFC 5246 §7.4.1.3, §7.4.5).

use crate::extension::Extensions;
use crate::handshake::{self, MessageType};
use crate::key_schedule::HelloRandom;
use crate::record::VERSION;
use crate::suite::CipherSuite;
use crate::wire::{Malformed, Reader, put_u16, put_vec8, put_vec16};

#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerHello<'a> {
    pub(crate) version: u16,
    pub(crate) random: HelloRandom,
    pub(crate) session_id: &'a [u8],
    pub(crate) suite: u16,
    pub(crate) compression: u8,
    pub(crate) extensions: Extensions<'a>,
}

impl<'a> ServerHello<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let version = reader.u16()?;
        let random = reader.array()?;
        let session_id = reader.vec8()?;
        let suite = reader.u16()?;
        let compression = reader.u8()?;
        let extensions = if reader.is_empty() {
            &[]
        } else {
            reader.vec16()?
        };
        reader.finish()?;
        if session_id.len() > 32 {
            return Err(Malformed);
        }
        Ok(Self {
            version,
            random,
            session_id,
            suite,
            compression,
            extensions: Extensions::parse(extensions)?,
        })
    }
}

/// Our hello. The session id is empty when the session cannot be resumed.
pub(crate) fn encode(
    message_seq: u16,
    random: &HelloRandom,
    session_id: &[u8],
    suite: CipherSuite,
    extensions: &Extensions<'_>,
) -> Vec<u8> {
    handshake::message(MessageType::ServerHello, message_seq, |out| {
        put_u16(out, VERSION);
        out.extend_from_slice(random);
        put_vec8(out, session_id);
        put_u16(out, suite.code());
        out.push(0);
        let mut encoded = Vec::with_capacity(32);
        extensions.encode(&mut encoded);
        if !encoded.is_empty() {
            put_vec16(out, &encoded);
        }
    })
}

pub(crate) fn encode_done(message_seq: u16) -> Vec<u8> {
    handshake::message(MessageType::ServerHelloDone, message_seq, |_| {})
}
