#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use proptest::prelude::*;

use super::*;
use crate::identity::{CertifiedIdentity, Fingerprint, SubjectNames};

const ID: [u8; 32] = *b"\x01\x00\x07these are twenty-nine bytes..";

fn export() -> ResumptionExport {
    let mut secret = [0; MASTER_SECRET];
    for (byte, value) in secret.iter_mut().zip(0x80..) {
        *byte = value;
    }
    ResumptionExport {
        id: ResumptionId::from_bytes(&ID).unwrap(),
        suite: CipherSuite::PskAes128Ccm8,
        master_secret: MasterSecretKind::Extended,
        identity: PeerIdentity::Psk(b"urn:dev:1"[..].into()),
        server_name: None,
        secret: Zeroizing::new(secret),
        psk_tag: Some([0xEE; 16]),
    }
}

fn certified() -> ResumptionExport {
    ResumptionExport {
        suite: CipherSuite::EcdheEcdsaAes128GcmSha256,
        master_secret: MasterSecretKind::Classic,
        identity: PeerIdentity::Certificate(Box::new(CertifiedIdentity {
            key: Fingerprint([0xAB; 32]),
            issuer: Fingerprint([0xCC; 32]),
            serial: [5, 6].into(),
            names: SubjectNames {
                common_name: Some("cn".to_owned()),
                dns_names: vec!["a.b".to_owned()],
                uris: vec![],
            },
        })),
        server_name: Some("lwm2m.example".into()),
        psk_tag: None,
        ..export()
    }
}

/// What is stored outlives releases: when this fails, the version byte has to change.
#[test]
fn the_stored_layout_is_the_one_of_version_1() {
    let mut golden = vec![1];
    golden.extend(ID);
    golden.extend([0xC0, 0xA8, 1]);
    golden.extend(0x80..0x80 + 48);
    golden.extend([0, 0, 9]);
    golden.extend(b"urn:dev:1");
    golden.extend([0xEE; 16]);
    assert_eq!(*export().encode(), golden);
    assert_eq!(ResumptionExport::decode(&golden), Ok(export()));

    let mut golden = vec![1];
    golden.extend(ID);
    golden.extend([0xC0, 0x2B, 0]);
    golden.extend(0x80..0x80 + 48);
    golden.extend(b"\x01\x0dlwm2m.example\x02");
    golden.extend([0xAB; 32]);
    golden.extend([0xCC; 32]);
    golden.extend(b"\x02\x05\x06\x02cn\x01\x03a.b\x00");
    assert_eq!(*certified().encode(), golden);
    assert_eq!(ResumptionExport::decode(&golden), Ok(certified()));
    for length in 0..golden.len() {
        assert!(ResumptionExport::decode(&golden[..length]).is_err());
    }

    let raw = ResumptionExport {
        identity: PeerIdentity::RawPublicKey(Box::new(Fingerprint([0xCD; 32]))),
        psk_tag: None,
        ..export()
    };
    let bytes = raw.encode();
    assert_eq!(bytes[84..87], [0, 1, 0xCD]);
    assert_eq!(ResumptionExport::decode(&bytes), Ok(raw));
}

#[test]
fn an_id_says_its_format_and_its_partition() {
    let id = ResumptionId::generate(&mut Random::from_seed([3; 32]), 0x1234);
    assert_eq!(id.partition(), 0x1234);
    assert_eq!(id.as_bytes()[..3], [1, 0x12, 0x34]);
    assert_eq!(ResumptionId::from_bytes(id.as_bytes()), Some(id));
    assert_eq!(ResumptionId::from_bytes(&id.as_bytes()[1..]), None);
    let mut foreign = *id.as_bytes();
    foreign[0] = 2;
    assert_eq!(ResumptionId::from_bytes(&foreign), None);
}

/// The tag is stored, too.
#[test]
fn the_tag_of_a_key_never_changes() {
    let psk = Psk::new(b"sixteen byte key").unwrap();
    let tag = psk.tag(&export().id);
    let golden = [
        0x23, 0x1B, 0xC2, 0xA5, 0x27, 0x02, 0xC1, 0x20, 0x32, 0x47, 0x2A, 0xC7, 0xE8, 0x40, 0x60,
        0xD4,
    ];
    assert_eq!(tag, golden);
}

#[test]
fn unknown_versions_and_suites_are_named() {
    let mut bytes = export().encode();
    bytes[34] = 0xFF;
    assert_eq!(
        ResumptionExport::decode(&bytes),
        Err(DecodeExportError::UnknownSuite(0xC0FF))
    );
    bytes[0] = 2;
    assert_eq!(
        ResumptionExport::decode(&bytes),
        Err(DecodeExportError::UnknownVersion(2))
    );
}

#[test]
fn the_master_secret_is_not_printed() {
    let printed = format!("{:?}", export());
    assert!(printed.contains("PskAes128Ccm8"));
    assert!(!printed.contains("128, 129") && !printed.contains(" secret: "));
}

proptest! {
    #[test]
    fn damage_never_panics(at in 0usize..200, value: u8, cut in 0usize..200) {
        let mut bytes = certified().encode();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
        let _ = ResumptionExport::decode(&bytes);
        let _ = ResumptionExport::decode(&bytes[..cut.min(bytes.len())]);
    }
}
