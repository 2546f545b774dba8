//! The signatures of tokens that callers carry.

use std::fmt;

use aws_lc_rs::{constant_time, hkdf, hmac};

use crate::seal::key::{FileKey, KEY_LEN};

/// What the key that signs tokens is derived by. Never change: tokens of other releases would be refused.
const LABEL: &[u8] = b"drover tokens 1";

/// Signs with the first of the cluster's keys, and knows the signatures of all of them.
#[derive(Clone)]
pub struct Signer(Vec<hmac::Key>);

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Signer")
    }
}

/// The key that signs tokens, of a cluster key.
// RFC 5869: a cluster key is random, so it needs no salt.
pub(super) fn derive(key: &[u8; KEY_LEN]) -> hmac::Key {
    let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(key);
    let derived = secret
        .expand(&[LABEL], hmac::HMAC_SHA256)
        .expect("an HMAC key is no longer than HKDF can make");
    derived.into()
}

impl Signer {
    /// Bytes of a signature: half of an HMAC-SHA256, as RFC 2104 §5 allows.
    pub const LENGTH: usize = 16;

    /// Uses `keys`, of which there is at least one.
    pub(super) fn new(keys: &[FileKey]) -> Self {
        Self(keys.iter().map(|key| key.token_key().clone()).collect())
    }

    /// The signature of `text`. What is signed for one purpose is not valid for another.
    pub fn sign(&self, purpose: &[u8], text: &[u8]) -> [u8; Self::LENGTH] {
        let key = self.0.first().expect("a node has a cluster key");
        signature(key, purpose, text)
    }

    /// Whether the signature is that of `text`.
    pub fn is_signed(&self, purpose: &[u8], text: &[u8], signed: &[u8]) -> bool {
        let fits = |key| {
            let own = signature(key, purpose, text);
            constant_time::verify_slices_are_equal(&own, signed).is_ok()
        };
        self.0.iter().any(fits)
    }
}

fn signature(key: &hmac::Key, purpose: &[u8], text: &[u8]) -> [u8; Signer::LENGTH] {
    let mut context = hmac::Context::with_key(key);
    context.update(purpose);
    context.update(&[0]);
    context.update(text);
    let tag = context.sign();
    let half = tag.as_ref().first_chunk();
    *half.expect("an HMAC-SHA256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(keys: &[u8]) -> Signer {
        let keys: Vec<FileKey> = keys
            .iter()
            .map(|byte| FileKey::new(&[*byte; KEY_LEN]))
            .collect();
        Signer::new(&keys)
    }

    #[test]
    fn what_is_signed_is_taken_for_its_purpose_and_by_its_cluster_only() {
        let (own, other) = (signer(&[7]), signer(&[8]));
        let signature = own.sign(b"page", b"text");
        assert!(own.is_signed(b"page", b"text", &signature));
        assert!(!own.is_signed(b"resume", b"text", &signature));
        assert!(!own.is_signed(b"page", b"texts", &signature));
        assert!(!own.is_signed(b"page", b"text", &signature[..8]));
        assert!(!other.is_signed(b"page", b"text", &signature));
        // Tokens of earlier releases stay good.
        assert_eq!(hex::encode(signature), "061a922144bcd23ffe212db8ab4d7f71");
    }

    #[test]
    fn tokens_outlive_the_key_that_signed_them_while_it_is_known() {
        let signature = signer(&[7]).sign(b"page", b"text");
        assert!(signer(&[8, 7]).is_signed(b"page", b"text", &signature));
        assert_ne!(signer(&[8, 7]).sign(b"page", b"text"), signature);
    }
}
