#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use proptest::prelude::*;

use super::*;
use crate::credentials::CertificateType;
use crate::extension::Extensions;
use crate::handshake::client_hello::{ClientHello, Offer};
use crate::handshake::client_key_exchange::ClientKeyExchange;
use crate::suite::{CipherSuite, KeyExchange};

fn whole(bytes: &[u8]) -> Fragment<'_> {
    let mut reader = Reader::new(bytes);
    let fragment = Fragment::read(&mut reader).unwrap();
    reader.finish().unwrap();
    assert!(fragment.is_whole());
    assert_eq!(fragment.raw, bytes);
    fragment
}

#[test]
fn a_client_hello_survives_the_wire() {
    let offer = Offer {
        random: &[7; 32],
        session_id: &[8; 32],
        cookie: b"cookie",
        suites: &[CipherSuite::PskAes128Ccm8],
        extensions: Extensions {
            extended_master_secret: true,
            connection_id: Some(&[1, 2]),
            server_name: Some(&crate::extension::host_name_content("bs.example")),
            ..Extensions::default()
        },
    };
    let bytes = offer.encode(3);
    let fragment = whole(&bytes);
    assert_eq!(fragment.kind, MessageType::ClientHello);
    assert_eq!(fragment.message_seq, 3);
    let hello = ClientHello::parse(fragment.body).unwrap();
    assert_eq!(hello.random, [7; 32]);
    assert_eq!(hello.session_id, [8; 32]);
    assert_eq!(hello.cookie, b"cookie");
    assert_eq!(hello.suites().collect::<Vec<_>>(), [0xC0A8, 0x00FF]);
    let extensions = hello.extensions().unwrap();
    assert!(extensions.extended_master_secret);
    assert_eq!(extensions.host_name(), Ok(Some("bs.example")));
    assert_eq!(extensions.connection_id, Some(&[1, 2][..]));
}

#[test]
fn a_server_hello_survives_the_wire() {
    let extensions = Extensions {
        extended_master_secret: true,
        renegotiation_info: Some(&[]),
        connection_id: Some(&[]),
        ..Extensions::default()
    };
    let bytes = server_hello::encode(
        1,
        &[9; 32],
        &[7; 32],
        CipherSuite::PskAes128Ccm8,
        &extensions,
    );
    let hello = server_hello::ServerHello::parse(whole(&bytes).body).unwrap();
    assert_eq!(hello.session_id, [7; 32]);
    assert_eq!(hello.suite, 0xC0A8);
    assert_eq!(hello.extensions.renegotiation_info, Some(&[][..]));
    assert_eq!(hello.extensions.connection_id, Some(&[][..]));
}

#[test]
fn a_fragment_beyond_its_message_is_malformed() {
    let mut bytes = finished::encode(0, &[0; 12]);
    bytes[8] = 1;
    assert!(Fragment::read(&mut Reader::new(&bytes)).is_err());
}

#[test]
fn an_extension_that_comes_twice_is_malformed() {
    assert!(Extensions::parse(&[0, 23, 0, 0, 0, 23, 0, 0]).is_err());
    assert!(Extensions::parse(&[0, 54, 0, 1, 0, 0, 54, 0, 1, 0]).is_err());
}

proptest! {
    #[test]
    fn no_bytes_panic_a_parser(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Fragment::read(&mut Reader::new(&bytes));
        if let Ok(hello) = ClientHello::parse(&bytes) {
            let _ = hello.extensions();
        }
        let _ = server_hello::ServerHello::parse(&bytes);
        let _ = hello_verify_request::parse(&bytes);
        for kind in [KeyExchange::Psk, KeyExchange::EcdhePsk, KeyExchange::EcdheEcdsa] {
            let _ = ClientKeyExchange::parse(kind, &bytes);
        }
        for kind in [CertificateType::X509, CertificateType::RawPublicKey] {
            let _ = certificate::parse(kind, &bytes);
        }
        let _ = certificate_request::parse(&bytes);
        let _ = certificate_verify::parse(&bytes);
        let _ = server_key_exchange::parse_signed(&bytes);
        let _ = server_key_exchange::parse_psk(&bytes);
        if let Ok(extensions) = Extensions::parse(&bytes) {
            let _ = extensions.host_name();
        }
    }
}
