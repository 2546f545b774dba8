//! ClientHello (RFC 6347 §4.2.1).

use crate::extension::Extensions;
use crate::handshake::{self, MessageType};
use crate::key_schedule::HelloRandom;
use crate::record::VERSION;
use crate::suite::CipherSuite;
use crate::wire::{Malformed, Reader, put_u16, put_vec8, put_vec16};

/// RFC 5746 §3.3: `TLS_EMPTY_RENEGOTIATION_INFO_SCSV`.
pub(crate) const RENEGOTIATION_SCSV: u16 = 0x00FF;

/// A parsed hello that borrows from the datagram.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientHello<'a> {
    pub(crate) version: u16,
    pub(crate) random: HelloRandom,
    pub(crate) session_id: &'a [u8],
    pub(crate) cookie: &'a [u8],
    suites: &'a [u8],
    pub(crate) compression: &'a [u8],
    extensions: &'a [u8],
}

impl<'a> ClientHello<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let version = reader.u16()?;
        let random = reader.array()?;
        let session_id = reader.vec8()?;
        let cookie = reader.vec8()?;
        let suites = reader.vec16()?;
        let compression = reader.vec8()?;
        // RFC 5246 §7.4.1.2: the extensions may be missing altogether.
        let extensions = if reader.is_empty() {
            &[]
        } else {
            reader.vec16()?
        };
        reader.finish()?;
        if session_id.len() > 32 || suites.is_empty() || !suites.len().is_multiple_of(2) {
            return Err(Malformed);
        }
        Ok(Self {
            version,
            random,
            session_id,
            cookie,
            suites,
            compression,
            extensions,
        })
    }

    /// The suite list as on the wire.
    pub(crate) const fn raw_suites(&self) -> &'a [u8] {
        self.suites
    }

    pub(crate) fn suites(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.suites
            .chunks_exact(2)
            .map(|code| u16::from_be_bytes([code[0], code[1]]))
    }

    pub(crate) fn extensions(&self) -> Result<Extensions<'a>, Malformed> {
        Extensions::parse(self.extensions)
    }
}

/// What our client puts into its hello.
#[derive(Debug)]
pub(crate) struct Offer<'a> {
    pub(crate) random: &'a HelloRandom,
    /// Of a session to be resumed; at most 32 bytes.
    pub(crate) session_id: &'a [u8],
    pub(crate) cookie: &'a [u8],
    pub(crate) suites: &'a [CipherSuite],
    pub(crate) extensions: Extensions<'a>,
}

impl Offer<'_> {
    pub(crate) fn encode(&self, message_seq: u16) -> Vec<u8> {
        handshake::message(MessageType::ClientHello, message_seq, |out| {
            put_u16(out, VERSION);
            out.extend_from_slice(self.random);
            put_vec8(out, self.session_id);
            put_vec8(out, self.cookie);
            put_u16(out, (self.suites.len() as u16 + 1) * 2);
            for suite in self.suites {
                put_u16(out, suite.code());
            }
            put_u16(out, RENEGOTIATION_SCSV);
            put_vec8(out, &[0]);
            let mut extensions = Vec::new();
            self.extensions.encode(&mut extensions);
            if !extensions.is_empty() {
                put_vec16(out, &extensions);
            }
        })
    }
}
