//! Hello extensions (RFC 5246 §7.4.1.4).

use crate::wire::{Malformed, Reader, put_u16, put_vec16};

const EXTENDED_MASTER_SECRET: u16 = 23;
const CONNECTION_ID: u16 = 54;
const RENEGOTIATION_INFO: u16 = 0xFF01;

/// The extensions that either hello may use. Others, such as encrypt_then_mac, which means nothing
/// to an AEAD suite, are passed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Extensions<'a> {
    /// RFC 7627.
    pub(crate) extended_master_secret: bool,
    /// RFC 5746: the verify data of the previous handshake.
    pub(crate) renegotiation_info: Option<&'a [u8]>,
    /// RFC 9146: the Connection ID that the sender wants to receive.
    pub(crate) connection_id: Option<&'a [u8]>,
}

impl<'a> Extensions<'a> {
    pub(crate) fn parse(block: &'a [u8]) -> Result<Self, Malformed> {
        let mut extensions = Self::default();
        let mut reader = Reader::new(block);
        while !reader.is_empty() {
            let code = reader.u16()?;
            let data = reader.vec16()?;
            match code {
                EXTENDED_MASTER_SECRET => {
                    // RFC 5246 §7.4.1.4: no extension comes twice.
                    if extensions.extended_master_secret || !data.is_empty() {
                        return Err(Malformed);
                    }
                    extensions.extended_master_secret = true;
                }
                RENEGOTIATION_INFO => set_once(&mut extensions.renegotiation_info, data)?,
                CONNECTION_ID => set_once(&mut extensions.connection_id, data)?,
                _ => {}
            }
        }
        Ok(extensions)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        if let Some(verify_data) = self.renegotiation_info {
            put_u16(out, RENEGOTIATION_INFO);
            put_opaque8(out, verify_data);
        }
        if self.extended_master_secret {
            put_u16(out, EXTENDED_MASTER_SECRET);
            put_vec16(out, &[]);
        }
        if let Some(cid) = self.connection_id {
            put_u16(out, CONNECTION_ID);
            put_opaque8(out, cid);
        }
    }
}

/// Extension data that consists of one vector with a one-byte length.
fn put_opaque8(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u16(out, bytes.len() as u16 + 1);
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

fn set_once<'a>(field: &mut Option<&'a [u8]>, data: &'a [u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(data);
    let value = reader.vec8()?;
    reader.finish()?;
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(Malformed),
    }
}
