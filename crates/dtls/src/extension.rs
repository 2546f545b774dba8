//! Hello extensions (RFC 5246 §7.4.1.4).

use crate::credentials::CertificateType;
use crate::wire::{Malformed, Reader, put_u16, put_vec16};

const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const EC_POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
const CLIENT_CERTIFICATE_TYPE: u16 = 19;
const SERVER_CERTIFICATE_TYPE: u16 = 20;
const ENCRYPT_THEN_MAC: u16 = 22;
const EXTENDED_MASTER_SECRET: u16 = 23;
const CONNECTION_ID: u16 = 54;
const RENEGOTIATION_INFO: u16 = 0xFF01;

/// RFC 6066 §3: `host_name`.
const HOST_NAME: u8 = 0;
/// RFC 8422 §5.1.2: only the uncompressed form.
pub(crate) const POINT_FORMATS: &[u8] = &[1, 0];

/// The extensions that either hello may use. Others are passed over. Where the two hellos differ
/// in form, the field is the extension's content as it is on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Extensions<'a> {
    /// RFC 6066 §3.
    pub(crate) server_name: Option<&'a [u8]>,
    /// RFC 8422 §5.1.1.
    pub(crate) supported_groups: Option<&'a [u8]>,
    /// RFC 8422 §5.1.2.
    pub(crate) point_formats: Option<&'a [u8]>,
    /// RFC 5246 §7.4.1.4.1.
    pub(crate) signature_algorithms: Option<&'a [u8]>,
    /// RFC 7250 §3.
    pub(crate) client_certificate_type: Option<&'a [u8]>,
    /// RFC 7250 §3.
    pub(crate) server_certificate_type: Option<&'a [u8]>,
    /// RFC 7366 §2.
    pub(crate) encrypt_then_mac: bool,
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
                SERVER_NAME => set_once(&mut extensions.server_name, data)?,
                SUPPORTED_GROUPS => set_once(&mut extensions.supported_groups, data)?,
                EC_POINT_FORMATS => set_once(&mut extensions.point_formats, data)?,
                SIGNATURE_ALGORITHMS => set_once(&mut extensions.signature_algorithms, data)?,
                CLIENT_CERTIFICATE_TYPE => {
                    set_once(&mut extensions.client_certificate_type, data)?;
                }
                SERVER_CERTIFICATE_TYPE => {
                    set_once(&mut extensions.server_certificate_type, data)?;
                }
                ENCRYPT_THEN_MAC => set_flag(&mut extensions.encrypt_then_mac, data)?,
                EXTENDED_MASTER_SECRET => set_flag(&mut extensions.extended_master_secret, data)?,
                RENEGOTIATION_INFO => {
                    set_once(&mut extensions.renegotiation_info, opaque8(data)?)?;
                }
                CONNECTION_ID => set_once(&mut extensions.connection_id, opaque8(data)?)?,
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
        let flags = [
            (EXTENDED_MASTER_SECRET, self.extended_master_secret),
            (ENCRYPT_THEN_MAC, self.encrypt_then_mac),
        ];
        for (code, _) in flags.into_iter().filter(|&(_, is_set)| is_set) {
            put_u16(out, code);
            put_vec16(out, &[]);
        }
        let contents = [
            (SERVER_NAME, self.server_name),
            (SUPPORTED_GROUPS, self.supported_groups),
            (EC_POINT_FORMATS, self.point_formats),
            (SIGNATURE_ALGORITHMS, self.signature_algorithms),
            (CLIENT_CERTIFICATE_TYPE, self.client_certificate_type),
            (SERVER_CERTIFICATE_TYPE, self.server_certificate_type),
        ];
        for (code, content) in contents {
            if let Some(content) = content {
                put_u16(out, code);
                put_vec16(out, content);
            }
        }
        if let Some(cid) = self.connection_id {
            put_u16(out, CONNECTION_ID);
            put_opaque8(out, cid);
        }
    }

    /// The host name that a client asks for; `None` also for one that is not ASCII.
    pub(crate) fn host_name(&self) -> Result<Option<&'a str>, Malformed> {
        let Some(content) = self.server_name else {
            return Ok(None);
        };
        let mut reader = Reader::new(content);
        let mut names = Reader::new(reader.vec16()?);
        reader.finish()?;
        let mut found = None;
        while !names.is_empty() {
            let kind = names.u8()?;
            let name = names.vec16()?;
            if kind == HOST_NAME {
                found = found.or(Some(name));
            }
        }
        Ok(found
            .filter(|name| name.is_ascii())
            .and_then(|name| std::str::from_utf8(name).ok()))
    }
}

/// The content of a client's server_name.
pub(crate) fn host_name_content(name: &str) -> Vec<u8> {
    let mut content = Vec::with_capacity(5 + name.len());
    put_u16(&mut content, name.len() as u16 + 3);
    content.push(HOST_NAME);
    put_vec16(&mut content, name.as_bytes());
    content
}

/// The certificate type that a server answers with.
pub(crate) fn chosen_type(content: Option<&[u8]>) -> Result<CertificateType, Malformed> {
    match content {
        None => Ok(CertificateType::X509),
        Some(&[code]) => CertificateType::from_code(code).ok_or(Malformed),
        Some(_) => Err(Malformed),
    }
}

/// Extension data that consists of one vector with a one-byte length.
fn put_opaque8(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u16(out, bytes.len() as u16 + 1);
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

fn opaque8(data: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(data);
    let value = reader.vec8()?;
    reader.finish()?;
    Ok(value)
}

// RFC 5246 §7.4.1.4: no extension comes twice.

fn set_once<'a>(field: &mut Option<&'a [u8]>, value: &'a [u8]) -> Result<(), Malformed> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(Malformed),
    }
}

fn set_flag(field: &mut bool, data: &[u8]) -> Result<(), Malformed> {
    if *field || !data.is_empty() {
        return Err(Malformed);
    }
    *field = true;
    Ok(())
}
