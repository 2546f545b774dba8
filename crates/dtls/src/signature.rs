//! ECDSA keys on P-256 with SHA-256, the one signature algorithm (RFC 8422 §5.10, RFC 5480).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};

use crate::wire::{Malformed, Reader, put_u16, put_vec16};

/// `ecdsa_secp256r1_sha256` (RFC 8422 §5.1.3).
pub(crate) const ECDSA_SHA256: u16 = 0x0403;
/// The content of our client's signature_algorithms.
pub(crate) const OFFER: [u8; 4] = [0, 2, 0x04, 0x03];
/// The SubjectPublicKeyInfo of an uncompressed P-256 point up to the point (RFC 5480 §2).
const INFO_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A,
    0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const POINT: usize = 65;
/// The first byte of an uncompressed point.
const UNCOMPRESSED: u8 = 4;

/// A private P-256 key that proves who we are. The key stays inside; it is never printed.
#[derive(Clone)]
pub struct SigningKey(Arc<EcdsaKeyPair>);

/// Why bytes are not a [`SigningKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a P-256 private key in PKCS#8 or SEC 1 form")]
pub struct SigningKeyError;

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl SigningKey {
    /// Reads the DER of a PKCS#8 (RFC 5958) or SEC 1 (RFC 5915) private key.
    pub fn from_der(der: &[u8]) -> Result<Self, SigningKeyError> {
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        EcdsaKeyPair::from_pkcs8(algorithm, der)
            .or_else(|_| EcdsaKeyPair::from_private_key_der(algorithm, der))
            .map(|pair| Self(Arc::new(pair)))
            .map_err(|_| SigningKeyError)
    }

    /// The DER of the SubjectPublicKeyInfo: what a raw public key (RFC 7250) is on the wire.
    pub fn public_key_info(&self) -> Vec<u8> {
        [&INFO_PREFIX, self.0.public_key().as_ref()].concat()
    }

    /// `None` when the cryptographic library fails. The nonce of a signature is drawn by that
    /// library: it does not come from the engine's seed.
    pub(crate) fn sign(&self, digest: &Digest) -> Option<Vec<u8>> {
        let signature = self.0.sign_digest(digest).ok()?;
        Some(signature.as_ref().to_vec())
    }
}

/// A peer's public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey([u8; POINT]);

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo; `None` unless it holds an uncompressed point of P-256.
    pub(crate) fn from_info(info: &[u8]) -> Option<Self> {
        let point: [u8; POINT] = info.strip_prefix(&INFO_PREFIX)?.try_into().ok()?;
        (point[0] == UNCOMPRESSED).then_some(Self(point))
    }

    pub(crate) fn verifies(&self, digest: &Digest, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, self.0)
            .verify_digest(digest, signature)
            .is_ok()
    }
}

/// SHA-256 over the concatenation of `parts`.
pub(crate) fn digest_of(parts: &[&[u8]]) -> Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    context.finish()
}

/// A `DigitallySigned` (RFC 5246 §4.7); `None` when its algorithm was not offered.
pub(crate) fn read_signed<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    let algorithm = reader.u16()?;
    let signature = reader.vec16()?;
    Ok((algorithm == ECDSA_SHA256).then_some(signature))
}

pub(crate) fn put_signed(out: &mut Vec<u8>, signature: &[u8]) {
    put_u16(out, ECDSA_SHA256);
    put_vec16(out, signature);
}

/// Whether a `supported_signature_algorithms` vector names ours.
pub(crate) fn is_offered(algorithms: &[u8]) -> bool {
    algorithms
        .chunks_exact(2)
        .any(|code| code == ECDSA_SHA256.to_be_bytes())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn a_signature_verifies_under_the_key_that_made_it_and_no_other() {
        let key = || {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
            let document = pair.to_pkcs8v1().unwrap();
            SigningKey::from_der(document.as_ref()).unwrap()
        };
        let (key, other) = (key(), key());
        let public = PublicKey::from_info(&key.public_key_info()).unwrap();
        let digest = digest_of(&[b"to be ", b"signed"]);
        let signature = key.sign(&digest).unwrap();
        assert!(public.verifies(&digest_of(&[b"to be signed"]), &signature));
        assert!(!public.verifies(&digest_of(&[b"not signed"]), &signature));
        let other = PublicKey::from_info(&other.public_key_info()).unwrap();
        assert!(!other.verifies(&digest, &signature));
        assert!(PublicKey::from_info(&key.public_key_info()[1..]).is_none());
        assert_eq!(format!("{key:?}"), "SigningKey(..)");
        assert!(SigningKey::from_der(b"no key").is_err());
    }
}
