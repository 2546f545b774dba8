//! What the engine itself reads of an X.509 certificate: the end entity's key and names.

use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::identity::{CertifiedIdentity, Fingerprint, SubjectNames};

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0C;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
/// id-at-commonName, 2.5.4.3 (RFC 5280 appendix A.1).
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// RFC 5280 §4.1.2.2: a serial number has at most 20 bytes; some have a zero in front of them.
const MAX_SERIAL: usize = 21;

/// The SubjectPublicKeyInfo of a certificate, and what its session keeps of it. Nothing vouches for
/// it before the path is validated. `None` when the certificate does not parse or its names or its
/// serial number are too long.
pub(crate) fn end_entity(der: &[u8]) -> Option<(Vec<u8>, CertifiedIdentity)> {
    let der = CertificateDer::from(der);
    let certificate = EndEntityCert::try_from(&der).ok()?;
    let names = SubjectNames {
        common_name: common_name(certificate.subject()).map(str::to_owned),
        dns_names: certificate.valid_dns_names().map(str::to_owned).collect(),
        uris: certificate.valid_uri_names().map(str::to_owned).collect(),
    };
    let info = certificate.subject_public_key_info().to_vec();
    let serial = certificate.serial();
    if !names.fit() || serial.len() > MAX_SERIAL {
        return None;
    }
    let identity = CertifiedIdentity {
        key: Fingerprint::of(&info),
        issuer: Fingerprint::of(certificate.issuer()),
        serial: serial.into(),
        names,
    };
    Some((info, identity))
}

/// The last common name of an RDNSequence (RFC 5280 §4.1.2.4), given without its outer tag: the
/// most specific one comes last.
fn common_name(mut sequence: &[u8]) -> Option<&str> {
    let mut found = None;
    while !sequence.is_empty() {
        let mut set = take(&mut sequence, SET)?;
        while !set.is_empty() {
            let mut attribute = take(&mut set, SEQUENCE)?;
            if take(&mut attribute, OBJECT_IDENTIFIER)? == COMMON_NAME {
                found = Some(directory_string(attribute)?);
            }
        }
    }
    found
}

/// A string in one of the forms that are subsets of UTF-8.
fn directory_string(mut value: &[u8]) -> Option<&str> {
    let tag = *value.first()?;
    let is_utf8 = matches!(tag, UTF8_STRING | PRINTABLE_STRING | IA5_STRING);
    let content = take(&mut value, tag)?;
    let text = std::str::from_utf8(content).ok()?;
    (is_utf8 && value.is_empty() && !text.is_empty()).then_some(text)
}

/// The content of the element at the front, which has this tag, in DER with up to 65,535 bytes.
fn take<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (&[found, first], rest) = input.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81 => {
            let (&length, rest) = rest.split_first()?;
            (usize::from(length), rest)
        }
        0x82 => {
            let (&length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(length)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *input = rest;
    (found == tag).then_some(content)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len() as u8;
        match length {
            0..=0x7F => [&[tag, length], content].concat(),
            _ => [&[tag, 0x81, length], content].concat(),
        }
    }

    fn attribute(oid: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
        let content = [element(OBJECT_IDENTIFIER, oid), element(tag, value)].concat();
        element(SET, &element(SEQUENCE, &content))
    }

    #[test]
    fn the_last_common_name_counts() {
        let organization = attribute(&[0x55, 0x04, 0x0A], UTF8_STRING, b"Drover");
        let first = attribute(COMMON_NAME, PRINTABLE_STRING, b"first");
        let long = "x".repeat(200);
        let last = attribute(COMMON_NAME, UTF8_STRING, long.as_bytes());
        assert_eq!(common_name(&organization), None);
        let subject = [&organization[..], &first, &last].concat();
        assert_eq!(common_name(&subject), Some(long.as_str()));
        // Latin-1 and the like: no guess is made.
        assert_eq!(common_name(&attribute(COMMON_NAME, 0x14, b"x")), None);
        assert_eq!(
            common_name(&attribute(COMMON_NAME, UTF8_STRING, b"\xFF")),
            None
        );
        assert_eq!(common_name(&attribute(COMMON_NAME, UTF8_STRING, b"")), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = common_name(&bytes);
            let _ = end_entity(&bytes);
        }
    }
}
