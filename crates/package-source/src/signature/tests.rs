//! Keys and signatures were made by `openssl genpkey`, `openssl pkeyutl -sign -rawin` and `openssl dgst -sha256 -sign`;
//! the private keys were thrown away.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use super::*;

pub(crate) const ED25519_PEM: &str = "\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAEFj3HfB+LKb7DR4+s2b4/3c/Zi1+J5YooG/bFxVdl+E=
-----END PUBLIC KEY-----
";
pub(crate) const OTHER_ED25519_PEM: &str = "\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAR2mgv6vIacG18DO/MqrvwKO2VO6xIWcH7YzwNMgSduY=
-----END PUBLIC KEY-----
";
const P256_PEM: &str = "\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAENG44/S5A5AisSDXSiSgxgkJ92R8s
5GnR+j77pLZDc9vWpfhoVo1AxoNT1AWJ6J8PXfPgQiyrVqxCKJjQbLbB3g==
-----END PUBLIC KEY-----
";
const OTHER_P256_PEM: &str = "\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQPYszzdrDxBY4UKfI8pdUsrQQLxQ
6sJ0Lj2+AcwA+63nBcSdC7K0YaVZLkn9GhGv8pyo5fEgjWVqII/JjY/3mw==
-----END PUBLIC KEY-----
";
const P384_PEM: &str = "\
-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEgAVXcYWIMm16zKeqVx/QW/sttahPtBlP
WVmhr+mgRjT8lQIYtwMBusWSjSVejPYNS/Bz66QsrH+bR2DAngvyKPDS74PUaZR0
HbcbS/jl8x//PF71mzh+TqqNHqtj9J68
-----END PUBLIC KEY-----
";

pub(crate) const PACKAGE: &[u8] = b"firmware 1.2.3";
/// Over [`PACKAGE`], by [`ED25519_PEM`].
const RAW: &str = "\
5913590673f58fc3f7ab3eb2168cd02291dc795e329684ba0c70f8ef8752d4c8\
de88e8bb18557e437dafbc1286d6ca35926b040a918059196f765baadc0c660c";

const MANIFEST: &str = "sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f";
/// As cosign writes it.
const PAYLOAD: &str = r#"{"critical":{"identity":{"docker-reference":"registry.example/pump/firmware"},"image":{"docker-manifest-digest":"sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f"},"type":"cosign container image signature"},"optional":null}"#;
const BY_P256: &str = "MEUCIH70gWhwBcEzXHbpeFloMW15M1wfX5CCAunyJfuaQoy1AiEAxyYGwMuv+StttKmWwAuRW9Fs/BxPJQAEf/HYJTujpfQ=";
const BY_ED25519: &str =
    "/Spz1RJaHyc8DQQDyOwqzdpy3Ysqaie5K9XtM/91P1XhpHcpHU0KH/S+Jd8Kidb4Wr0gh/TOUkinWyLYBT0uDA==";

/// Other things that the key in [`P256_PEM`] signed.
const OTHER_ARTEFACT: &str = r#"{"critical":{"identity":{"docker-reference":""},"image":{"docker-manifest-digest":"sha256:0000000000000000000000000000000000000000000000000000000000000007"},"type":"cosign container image signature"},"optional":null}"#;
const OTHER_ARTEFACT_BY_P256: &str = "MEUCIQDPrIPzm8zbtWz2/iLfwo85W2LYQu0CtCCalTz7tx0jQQIgPUHkpPgYE9GpRyY8IHgrk4Wc81mSvZw8R2nTqflfLdY=";
const OTHER_TYPE: &str = r#"{"critical":{"identity":{"docker-reference":"registry.example/pump/firmware"},"image":{"docker-manifest-digest":"sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f"},"type":"atomic container signature"},"optional":null}"#;
const OTHER_TYPE_BY_P256: &str = "MEYCIQDAvbDC5td3/wfhS+wC+9CgHv/wF2Y9X4KTzz1tCfse/AIhANUcLO1rd8tEEkeid6AB771+zs2JhZnDh+/ZDAPAHHnS";
const NO_JSON: &str = "not json";
const NO_JSON_BY_P256: &str = "MEQCIGxdUeL8DDTfAZFGo191upTNgrcIp6CL/lpNlUEtfjF5AiA4IRac0XuXDSEPDirimPRZv4K50Ca9Z5pfhYs7LGmevA==";

pub(crate) fn key(pem: &str) -> PublicKey {
    PublicKey::from_pem(pem).unwrap()
}

pub(crate) fn raw() -> [u8; 64] {
    hex::decode(RAW).unwrap().try_into().unwrap()
}

fn signature(payload: &'static str, signature: &str) -> CosignSignature {
    CosignSignature::Layer {
        payload: Bytes::from_static(payload.as_bytes()),
        signature: signature.to_owned(),
    }
}

fn verify(pem: &str, signatures: &[CosignSignature]) -> Result<(), SignatureError> {
    verify_cosign(&key(pem), signatures, &MANIFEST.parse().unwrap())
}

#[test]
fn keys_of_two_kinds_are_read() {
    assert_eq!(key(ED25519_PEM).kind, Kind::Ed25519);
    assert_eq!(key(P256_PEM).kind, Kind::P256);
    assert!(matches!(PublicKey::from_pem(P384_PEM), Err(KeyError::Kind)));
    for text in [
        "",
        "ssh-ed25519 AAAA",
        "-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----",
    ] {
        assert!(
            matches!(PublicKey::from_pem(text), Err(KeyError::Pem(_))),
            "{text}"
        );
    }
}

#[test]
fn a_raw_signature_is_over_the_whole_package() {
    assert_eq!(verify_raw(&key(ED25519_PEM), &raw(), PACKAGE), Ok(()));
    let other = Err(SignatureError::Invalid(SignatureFault::Package));
    assert_eq!(verify_raw(&key(ED25519_PEM), &raw(), &PACKAGE[1..]), other);
    assert_eq!(verify_raw(&key(OTHER_ED25519_PEM), &raw(), PACKAGE), other);
    let mut changed = raw();
    changed[3] ^= 1;
    assert_eq!(verify_raw(&key(ED25519_PEM), &changed, PACKAGE), other);
}

#[test]
fn a_raw_signature_is_read_from_base64() {
    assert_eq!(raw_signature(&STANDARD.encode(raw())), Ok(raw()));
    assert_eq!(raw_signature("%"), Err(SignatureFault::Encoding));
    assert_eq!(raw_signature(BY_P256), Err(SignatureFault::Length(71)));
}

#[test]
fn a_raw_signature_needs_a_key_of_its_kind() {
    let kind = SignatureError::Invalid(SignatureFault::KeyKind);
    assert_eq!(verify_raw(&key(P256_PEM), &raw(), PACKAGE), Err(kind));
}

#[test]
fn what_cosign_signed_is_verified_with_keys_of_both_kinds() {
    assert_eq!(verify(P256_PEM, &[signature(PAYLOAD, BY_P256)]), Ok(()));
    assert_eq!(
        verify(ED25519_PEM, &[signature(PAYLOAD, BY_ED25519)]),
        Ok(())
    );
}

#[test]
fn one_signature_of_the_trusted_key_is_enough() {
    let signatures = [
        signature(PAYLOAD, "!"),
        signature(OTHER_ARTEFACT, OTHER_ARTEFACT_BY_P256),
        signature(PAYLOAD, BY_P256),
        signature(PAYLOAD, BY_ED25519),
    ];
    assert_eq!(verify(P256_PEM, &signatures), Ok(()));
    assert_eq!(verify(ED25519_PEM, &signatures), Ok(()));
}

#[test]
fn an_artefact_that_nobody_signed_is_not_one_that_somebody_else_signed() {
    assert_eq!(verify(P256_PEM, &[]), Err(SignatureError::Missing));
    let signatures = [signature(PAYLOAD, BY_P256), signature(PAYLOAD, "!")];
    for (other, untrusted) in [
        (OTHER_P256_PEM, SignatureError::UntrustedKey),
        (OTHER_ED25519_PEM, SignatureError::UntrustedEd25519Key),
    ] {
        assert!(untrusted.is_of_another_key());
        assert_eq!(verify(other, &signatures), Err(untrusted));
    }
}

#[test]
fn a_signature_does_not_go_with_another_payload() {
    let moved = [signature(OTHER_ARTEFACT, BY_P256)];
    assert_eq!(verify(P256_PEM, &moved), Err(SignatureError::UntrustedKey));
}

#[test]
fn what_the_trusted_key_signed_has_to_be_this_artefact() {
    let named = "sha256:0000000000000000000000000000000000000000000000000000000000000007";
    for (payload, by, fault) in [
        (
            OTHER_ARTEFACT,
            OTHER_ARTEFACT_BY_P256,
            SignatureFault::Artefact(named.parse().unwrap()),
        ),
        (OTHER_TYPE, OTHER_TYPE_BY_P256, SignatureFault::Payload),
        (NO_JSON, NO_JSON_BY_P256, SignatureFault::Payload),
        (PAYLOAD, "!", SignatureFault::Encoding),
    ] {
        let found = verify(P256_PEM, &[signature(payload, by)]);
        assert_eq!(found, Err(SignatureError::Invalid(fault)));
    }
}

#[test]
fn what_others_left_there_does_not_hide_what_the_trusted_key_signed() {
    let mut signatures = vec![
        signature(OTHER_TYPE, OTHER_TYPE_BY_P256),
        signature(PAYLOAD, BY_ED25519),
        signature(PAYLOAD, "!"),
    ];
    let payload = SignatureError::Invalid(SignatureFault::Payload);
    for _ in 0..signatures.len() {
        signatures.rotate_left(1);
        assert_eq!(verify(P256_PEM, &signatures), Err(payload.clone()));
    }
}

#[test]
fn further_signatures_are_told_of_if_none_of_the_others_is_valid() {
    let more = CosignSignature::More { limit: 32 };
    let signatures = [signature(PAYLOAD, BY_P256), more.clone()];
    assert_eq!(verify(P256_PEM, &signatures), Ok(()));
    let too_many = Err(SignatureError::TooMany { limit: 32 });
    assert_eq!(verify(OTHER_P256_PEM, &signatures), too_many);
    let signatures = [more, signature(OTHER_TYPE, OTHER_TYPE_BY_P256)];
    let payload = SignatureError::Invalid(SignatureFault::Payload);
    assert_eq!(verify(P256_PEM, &signatures), Err(payload));
}
