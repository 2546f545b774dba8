//! The AEAD algorithms and the key derivation (RFC 8613 §3.2, RFC 9053 §4).

use aes::Aes128Enc;
use aws_lc_rs::{aead, hkdf};
use ccm::aead::generic_array::GenericArray;
use ccm::aead::generic_array::typenum::{U8, U13};
use ccm::{AeadInPlace as _, Ccm, KeyInit as _};

/// Bytes of every key.
pub(crate) const KEY: usize = 16;

/// Room for the longest nonce.
pub(crate) const MAX_NONCE: usize = 13;

type Aes128Ccm = Ccm<Aes128Enc, U8, U13>;

/// An AEAD algorithm, by its COSE name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Algorithm {
    /// COSE 10: nonce of 13 bytes, tag of 8. Mandatory to implement (RFC 8613 §3.2).
    #[default]
    AesCcm16_64_128,
    /// COSE 1: nonce of 12 bytes, tag of 16.
    A128Gcm,
}

impl Algorithm {
    /// Its value in COSE; all of them take one byte of CBOR.
    pub const fn code(self) -> u8 {
        match self {
            Self::AesCcm16_64_128 => 10,
            Self::A128Gcm => 1,
        }
    }

    /// The algorithm with this value.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            10 => Some(Self::AesCcm16_64_128),
            1 => Some(Self::A128Gcm),
            _ => None,
        }
    }

    pub(crate) const fn nonce_length(self) -> usize {
        match self {
            Self::AesCcm16_64_128 => 13,
            Self::A128Gcm => 12,
        }
    }

    /// Bytes that a ciphertext is longer than its plaintext.
    pub const fn tag_length(self) -> usize {
        match self {
            Self::AesCcm16_64_128 => 8,
            Self::A128Gcm => 16,
        }
    }

    /// RFC 8613 §3.3: the longest Sender ID, so that it fits into the nonce.
    pub const fn max_id_length(self) -> usize {
        self.nonce_length() - 6
    }
}

/// A nonce in a buffer for the longest one.
#[derive(Clone, Copy)]
pub(crate) struct Nonce(pub(crate) [u8; MAX_NONCE]);

impl Nonce {
    fn gcm(self) -> aead::Nonce {
        let mut bytes = [0; 12];
        bytes.copy_from_slice(&self.0[..12]);
        aead::Nonce::assume_unique_for_key(bytes)
    }
}

fn gcm(key: &[u8; KEY]) -> aead::LessSafeKey {
    let key = aead::UnboundKey::new(&aead::AES_128_GCM, key).expect("the key has 16 bytes");
    aead::LessSafeKey::new(key)
}

/// Encrypts `bytes` from `start` on and appends the tag. The caller has never used the nonce with
/// another plaintext under this key.
pub(crate) fn seal(
    algorithm: Algorithm,
    key: &[u8; KEY],
    nonce: Nonce,
    additional: &[u8],
    bytes: &mut Vec<u8>,
    start: usize,
) {
    let (_, plaintext) = bytes.split_at_mut(start);
    match algorithm {
        Algorithm::AesCcm16_64_128 => {
            // CCM with a nonce of 13 bytes takes 65,535 bytes, more than any datagram;
            // `protect` refuses what is longer.
            let tag = Aes128Ccm::new(GenericArray::from_slice(key))
                .encrypt_in_place_detached(
                    GenericArray::from_slice(&nonce.0),
                    additional,
                    plaintext,
                )
                .expect("the plaintext is below the length limit of CCM");
            bytes.extend_from_slice(&tag);
        }
        Algorithm::A128Gcm => {
            let tag = gcm(key)
                .seal_in_place_separate_tag(nonce.gcm(), aead::Aad::from(additional), plaintext)
                .expect("the plaintext is below the length limit of GCM");
            bytes.extend_from_slice(tag.as_ref());
        }
    }
}

/// Decrypts `bytes` from `start` on and takes the tag off. `None` when it does not authenticate;
/// `bytes` are of no use then.
pub(crate) fn open(
    algorithm: Algorithm,
    key: &[u8; KEY],
    nonce: Nonce,
    additional: &[u8],
    bytes: &mut Vec<u8>,
    start: usize,
) -> Option<()> {
    let end = bytes.len().checked_sub(algorithm.tag_length())?;
    let (_, ciphertext) = bytes.split_at_mut_checked(start)?;
    let (content, tag) = ciphertext.split_at_mut_checked(end.checked_sub(start)?)?;
    match algorithm {
        Algorithm::AesCcm16_64_128 => Aes128Ccm::new(GenericArray::from_slice(key))
            .decrypt_in_place_detached(
                GenericArray::from_slice(&nonce.0),
                additional,
                content,
                GenericArray::from_slice(tag),
            )
            .ok()?,
        Algorithm::A128Gcm => {
            gcm(key)
                .open_in_place(nonce.gcm(), aead::Aad::from(additional), ciphertext)
                .ok()?;
        }
    }
    bytes.truncate(end);
    Some(())
}

/// HKDF with SHA-256 (RFC 8613 §3.2.1).
pub(crate) struct Derivation(hkdf::Prk);

/// How much to expand, in the form that the library asks for.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Derivation {
    pub(crate) fn extract(secret: &[u8], salt: &[u8]) -> Self {
        Self(hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret))
    }

    pub(crate) fn expand(&self, info: &[u8], out: &mut [u8]) {
        self.0
            .expand(&[info], Length(out.len()))
            .and_then(|material| material.fill(out))
            .expect("16 bytes are within the limit of HKDF");
    }
}
