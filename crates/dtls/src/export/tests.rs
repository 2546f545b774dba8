#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use proptest::prelude::*;

use super::*;
use crate::identity::{CertifiedIdentity, Fingerprint, SubjectNames};

fn export() -> SessionExport {
    let block: Vec<u8> = (0x80..0x80 + 40).collect();
    SessionExport {
        suite: CipherSuite::PskAes128Ccm8,
        generation: 0x0203,
        peer: "192.0.2.1:5684".parse().unwrap(),
        identity: PeerIdentity::Psk(b"urn:dev:1"[..].into()),
        cids: Some(CidPair {
            server: ConnectionId::from_bytes(&[1, 0, 7, 1, 2, 3, 4, 5]).unwrap(),
            client: [0xC1, 0xC2].into(),
        }),
        window: ReplayWindow::restore(0x1122, 3),
        keys: RecordKeys::from_key_block(CipherSuite::PskAes128Ccm8, Role::Server, &block).unwrap(),
    }
}

/// Stored sessions outlive releases: when this fails, the version byte has to change.
#[test]
fn the_stored_layout_is_the_one_of_version_1() {
    let mut golden = vec![1, 0xC0, 0xA8, 0, 1, 2, 3];
    golden.extend([0, 0, 0, 0, 0x11, 0x21]);
    golden.extend([0, 0, 0, 0, 0, 0, 0, 3]);
    golden.extend([4, 192, 0, 2, 1, 0x16, 0x34]);
    golden.extend([1, 1, 0, 7, 1, 2, 3, 4, 5, 2, 0xC1, 0xC2]);
    golden.push(9);
    golden.extend(b"urn:dev:1");
    golden.extend(0x80..0x80 + 40);
    assert_eq!(*export().encode(), golden);
    assert_eq!(SessionExport::decode(&golden), Ok(export()));
    assert!(golden.len() <= 150);
}

/// The same for version 2.
#[test]
fn the_stored_layout_of_a_key_is_the_one_of_version_2() {
    let block: Vec<u8> = (0x80..0x80 + 96).collect();
    let suite = CipherSuite::EcdheEcdsaAes128GcmSha256;
    let original = SessionExport {
        suite,
        identity: PeerIdentity::Certificate(Box::new(CertifiedIdentity {
            key: Fingerprint([0xAB; 32]),
            issuer: Fingerprint([0xCC; 32]),
            serial: [5, 6].into(),
            names: SubjectNames {
                common_name: Some("cn".to_owned()),
                dns_names: vec!["a.b".to_owned()],
                uris: vec!["urn:x".to_owned(), "y".to_owned()],
            },
        })),
        cids: None,
        keys: RecordKeys::from_key_block(suite, Role::Server, &block[..40]).unwrap(),
        ..export()
    };
    let mut golden = vec![2, 0xC0, 0x2B, 0, 1, 2, 3];
    golden.extend([0, 0, 0, 0, 0x11, 0x21]);
    golden.extend([0, 0, 0, 0, 0, 0, 0, 3]);
    golden.extend([4, 192, 0, 2, 1, 0x16, 0x34, 0, 2]);
    golden.extend([0xAB; 32]);
    golden.extend([0xCC; 32]);
    golden.extend([2, 5, 6]);
    golden.extend(b"\x02cn\x01\x03a.b\x02\x05urn:x\x01y");
    golden.extend(&block[..40]);
    assert_eq!(*original.encode(), golden);
    assert_eq!(SessionExport::decode(&golden), Ok(original.clone()));

    let raw = SessionExport {
        identity: PeerIdentity::RawPublicKey(Box::new(Fingerprint([0xCD; 32]))),
        ..original
    };
    let bytes = raw.encode();
    assert_eq!(bytes[28..31], [0, 1, 0xCD]);
    assert_eq!(bytes.len(), 30 + 32 + 40);
    assert_eq!(SessionExport::decode(&bytes), Ok(raw));
    for length in 0..golden.len() {
        assert!(SessionExport::decode(&golden[..length]).is_err());
    }
}

#[test]
fn every_kind_of_peer_and_session_survives() {
    for peer in ["[2001:db8::1]:1", "[fe80::1%4]:65535", "127.0.0.1:0"] {
        let original = SessionExport {
            peer: peer.parse().unwrap(),
            cids: None,
            ..export()
        };
        assert_eq!(SessionExport::decode(&original.encode()), Ok(original));
    }
}

#[test]
fn unknown_versions_and_suites_are_named() {
    let mut bytes = export().encode();
    bytes[2] = 0xFF;
    assert_eq!(
        SessionExport::decode(&bytes),
        Err(DecodeExportError::UnknownSuite(0xC0FF))
    );
    bytes[0] = 3;
    assert_eq!(
        SessionExport::decode(&bytes),
        Err(DecodeExportError::UnknownVersion(3))
    );
}

#[test]
fn keys_are_not_printed() {
    assert!(!format!("{:?}", export()).contains("keys"));
}

proptest! {
    #[test]
    fn damage_never_panics(at in 0usize..90, value: u8, cut in 0usize..90) {
        let mut bytes = export().encode();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
        let _ = SessionExport::decode(&bytes);
        let _ = SessionExport::decode(&bytes[..cut.min(bytes.len())]);
    }
}
