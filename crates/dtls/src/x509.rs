//! What the engine itself reads of X.509: the end entity's key and names, and when a revocation list is due.

use std::time::Duration;

use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::identity::{CertifiedIdentity, Fingerprint, SubjectNames};

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
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

/// When the next revocation list is to be expected at the latest (RFC 5280 §5.1.2.5), since 1970.
pub(crate) fn next_update(mut der: &[u8]) -> Option<Duration> {
    let mut list = take(&mut der, SEQUENCE)?;
    let mut signed = take(&mut list, SEQUENCE)?;
    // Version, algorithm of the signature, issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        take(&mut signed, tag)?;
    }
    let _this_update = time(&mut signed)?;
    time(&mut signed)
}

/// A Time of RFC 5280 §4.1.2.5, since 1970: both forms end in seconds and a Z.
fn time(input: &mut &[u8]) -> Option<Duration> {
    let tag = *input.first()?;
    let text = take(input, tag)?.strip_suffix(b"Z")?;
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |digits: &[u8]| {
        digits
            .iter()
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
    };
    let (year, rest) = match (tag, text.len()) {
        (UTC_TIME, 12) => {
            let (year, rest) = text.split_at_checked(2)?;
            let year = number(year);
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        (GENERALIZED_TIME, 14) => {
            let (year, rest) = text.split_at_checked(4)?;
            (number(year), rest)
        }
        _ => return None,
    };
    let mut fields = rest.chunks(2).map(number);
    let mut next =
        |range: std::ops::RangeInclusive<u64>| fields.next().filter(|field| range.contains(field));
    let days = days_since_1970(year, next(1..=12)?, next(1..=31)?)?;
    let (hour, minute, second) = (next(0..=23)?, next(0..=59)?, next(0..=59)?);
    Some(Duration::from_secs(
        ((days * 24 + hour) * 60 + minute) * 60 + second,
    ))
}

/// Of a day in the Gregorian calendar.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    const BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let since = year.checked_sub(1970)?;
    // Leap days from the year 1 to the end of a year.
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    let is_leap = leaps(year) > leaps(year - 1);
    let in_year = BEFORE.get(month.checked_sub(1)? as usize)? + u64::from(is_leap && month > 2);
    Some(since * 365 + leaps(year - 1) - leaps(1969) + in_year + day - 1)
}

/// The content of the element at the front, which has this tag, in DER with less than 16 MiB.
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
        0x83 => {
            let (&[high, middle, low], rest) = rest.split_first_chunk::<3>()?;
            let length = u32::from_be_bytes([0, high, middle, low]);
            (usize::try_from(length).ok()?, rest)
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

    #[test]
    fn both_forms_of_a_time_are_read() {
        for (tag, text, seconds) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "241129123456Z", Some(1_732_883_696)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, "20000229000000Z", Some(951_782_400)),
            (GENERALIZED_TIME, "21000301000000Z", Some(4_107_542_400)),
            (UTC_TIME, "690101000000Z", None),
            (UTC_TIME, "241329123456Z", None),
            (UTC_TIME, "24112912345Z", None),
            (GENERALIZED_TIME, "20241129123456", None),
            (UTF8_STRING, "241129123456Z", None),
        ] {
            let element = element(tag, text.as_bytes());
            let read = time(&mut element.as_slice());
            assert_eq!(read, seconds.map(Duration::from_secs), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = common_name(&bytes);
            let _ = end_entity(&bytes);
            let _ = next_update(&bytes);
            let _ = time(&mut bytes.as_slice());
        }
    }
}
