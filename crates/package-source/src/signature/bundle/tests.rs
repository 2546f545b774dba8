//! Keys and signatures were made by `openssl`, over the encoding of DSSE; the private keys were thrown away.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::signature::tests::key;
use crate::signature::{CosignSignature, SignatureError, SignatureFault, verify_cosign};

const P256_PEM: &str = "\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEXcbyQL3MenbHZuw/Mgvgq9lDH6ye
CP4Scm0xutJnAUXrmxuJig2wSRURn7hAy7jfssVC2yyKKO5L9ETwu5W9Pw==
-----END PUBLIC KEY-----
";
const ED25519_PEM: &str = "\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA8r4CsJceU/jEyGqxGKxX8Ywx82Ce27flxtzlX8UKIcc=
-----END PUBLIC KEY-----
";
const MANIFEST: &str = "sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f";

/// As cosign 3 writes it.
const STATEMENT: &str = r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f"},"annotations":{}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}"#;
const BY_P256: &str = "MEQCH0TQ1dMfoq2DmDchb5FZqNBGtGTpxWPAjNk9AvCUQP8CIQCVncD7e/Dbg0NWpvAa1OkLnWtn2WzE2wplFlC2cs+8WA==";
const BY_ED25519: &str =
    "sZrTUcfqeD/lbZ15/2EPe1Pm9JjWmgqRsLNImQXEqqAkZlRORc0iQUL5Cd6ry06hZgX7drSW2doFDT1Jw8bjCg==";
/// Other things that the key in [`P256_PEM`] signed.
const OTHER_ARTEFACT: &str = r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"0000000000000000000000000000000000000000000000000000000000000007"},"annotations":{}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}"#;
const OTHER_ARTEFACT_BY_P256: &str = "MEUCICa6wq6uZGm+aWlG2wgKLqW/qxldLUttt8S4DzZYit90AiEA4yygRUDZzSN11Kv6ABhCuMBlLoAA0zhAT2QfbzcL1/8=";
const BUILT: &str = r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f"},"annotations":{}}],"predicateType":"https://slsa.dev/provenance/v1","predicate":{}}"#;
const BUILT_BY_P256: &str = "MEUCIAaY1QTDz6GFDYi9EYUESC1r7g2Y7sAABCOkEg3sd4j8AiEAuafiFP7Y4TkVPRu9TzctstuQQNYywk9xFyRLlq+GKy4=";
const TWO: &str = r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f"},"annotations":{}},{"digest":{"sha256":"05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f"},"annotations":{}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}"#;
const TWO_BY_P256: &str = "MEUCIGRLcWeI1Gvu5a5jJfYQCJOzCiVyRN/6lb10HVdN5EHHAiEA1JwhJD6+OudpVGn2XKZbkKVBSBkRrI4yJu0SwWsLqHY=";

fn bundle(payload_type: &str, payload: &str, signatures: &[&str]) -> CosignSignature {
    let signatures: Vec<_> = signatures.iter().map(|sig| json!({"sig": sig})).collect();
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": "x"}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": STANDARD.encode(payload),
            "payloadType": payload_type,
            "signatures": signatures,
        },
    });
    CosignSignature::Bundle(Bytes::from(bundle.to_string()))
}

fn of_cosign(payload: &str, signature: &str) -> CosignSignature {
    bundle(STATEMENT_TYPE, payload, &[signature])
}

const STATEMENT_TYPE: &str = super::STATEMENT;

fn verify(pem: &str, signatures: &[CosignSignature]) -> Result<(), SignatureError> {
    verify_cosign(&key(pem), signatures, &MANIFEST.parse().unwrap())
}

#[test]
fn bundles_are_verified_with_keys_of_both_kinds() {
    let by_both = [
        of_cosign(STATEMENT, BY_P256),
        of_cosign(STATEMENT, BY_ED25519),
    ];
    assert_eq!(verify(P256_PEM, &by_both), Ok(()));
    assert_eq!(verify(ED25519_PEM, &by_both), Ok(()));
    let [one, other] = by_both;
    let untrusted = verify(ED25519_PEM, &[one]).unwrap_err();
    assert_eq!(untrusted, SignatureError::UntrustedEd25519Key);
    assert!(untrusted.to_string().contains("Ed25519ph"), "{untrusted}");
    let untrusted = Err(SignatureError::UntrustedKey);
    assert_eq!(verify(P256_PEM, &[other]), untrusted);
}

#[test]
fn what_a_bundle_says_has_to_be_that_this_artefact_is_signed() {
    let named = "sha256:0000000000000000000000000000000000000000000000000000000000000007";
    for (payload, by, fault) in [
        (
            OTHER_ARTEFACT,
            OTHER_ARTEFACT_BY_P256,
            SignatureFault::Artefact(named.parse().unwrap()),
        ),
        (BUILT, BUILT_BY_P256, SignatureFault::Statement),
        (TWO, TWO_BY_P256, SignatureFault::Statement),
    ] {
        let found = verify(P256_PEM, &[of_cosign(payload, by)]);
        assert_eq!(found, Err(SignatureError::Invalid(fault)), "{payload}");
    }
}

#[test]
fn a_statement_is_of_in_toto_1_and_names_a_digest() {
    let signed = |text: &str| Statement::read(STATEMENT_TYPE, text.as_bytes())?.signed();
    let manifest: Digest = MANIFEST.parse().unwrap();
    assert_eq!(signed(STATEMENT), Some(manifest));
    for (part, other) in [
        ("Statement/v1", "Statement/v0.1"),
        ("05b3abf2", "5b3abf2"),
        ("sha256", "sha512"),
        ("cosign/sign/v1", "cosign/sign/v2"),
    ] {
        assert_eq!(signed(&STATEMENT.replace(part, other)), None, "{other}");
    }
}

#[test]
fn an_attestation_of_somebody_else_is_no_signature() {
    let built = of_cosign(BUILT, BY_P256);
    let missing = Err(SignatureError::Missing);
    assert_eq!(verify(P256_PEM, std::slice::from_ref(&built)), missing);
    let and_signed = [built, of_cosign(STATEMENT, BY_ED25519)];
    let untrusted = Err(SignatureError::UntrustedKey);
    assert_eq!(verify(P256_PEM, &and_signed), untrusted);
}

#[test]
fn a_signature_is_over_the_type_and_the_payload() {
    let untrusted = Err(SignatureError::UntrustedKey);
    let moved = of_cosign(OTHER_ARTEFACT, BY_P256);
    assert_eq!(verify(P256_PEM, &[moved]), untrusted);
    let of_another_type = bundle("text/plain", STATEMENT, &[BY_P256]);
    assert_eq!(verify(P256_PEM, &[of_another_type]), untrusted);
}

#[test]
fn what_is_no_bundle_with_one_signature_says_so() {
    let no_bundle = |bundle: &str| CosignSignature::Bundle(Bytes::from(bundle.to_owned()));
    for odd in [
        no_bundle("{}"),
        no_bundle("not json"),
        no_bundle(r#"{"messageSignature": {"signature": "AA=="}}"#),
        bundle(STATEMENT_TYPE, STATEMENT, &[]),
        bundle(STATEMENT_TYPE, STATEMENT, &[BY_P256, BY_P256]),
    ] {
        let fault = SignatureError::Invalid(SignatureFault::Bundle);
        assert_eq!(verify(P256_PEM, &[odd]), Err(fault));
    }
    let encoding = SignatureError::Invalid(SignatureFault::Encoding);
    assert_eq!(
        verify(P256_PEM, &[of_cosign(STATEMENT, "!")]),
        Err(encoding)
    );
}

#[test]
fn the_encoding_is_that_of_the_specification() {
    // DSSE 1.0, "Test Vectors".
    let encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
    assert_eq!(
        encoded,
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    );
}
