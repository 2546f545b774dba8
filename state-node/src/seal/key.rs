//! The keys that data keys are wrapped with, and the one cipher that everything here is sealed with.

use std::fmt;
use std::fs;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{digest, hmac, rand};
use zeroize::Zeroizing;

use crate::seal::{KeyError, SealError, signer};

/// Bytes of a key.
pub const KEY_LEN: usize = 32;
/// What a wrapped data key is bound to, besides the key that wrapped it.
const WRAPPED: &[u8] = b"drover data key";

/// A key in clear, wiped from memory when it goes.
pub type ClearKey = Zeroizing<[u8; KEY_LEN]>;

/// Names a key that wraps others: the first 8 bytes of its SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// What wraps data keys: a key in a file, or whatever keeps one where nobody can read it.
pub trait KeyEncryption: Send + Sync {
    /// Stored with everything that it wrapped.
    fn id(&self) -> KeyId;

    /// Makes a data key unreadable.
    fn wrap(&self, key: &ClearKey) -> Result<Vec<u8>, SealError>;

    /// Gives back what [`Self::wrap`] was given.
    fn unwrap(&self, wrapped: &[u8]) -> Result<ClearKey, SealError>;
}

/// A key from a file of 64 hex digits.
pub struct FileKey {
    id: KeyId,
    cipher: Cipher,
    token_key: hmac::Key,
}

impl FileKey {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let text = fs::read_to_string(path).map(Zeroizing::new);
        let text = text.map_err(|source| KeyError::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut key = ClearKey::default();
        hex::decode_to_slice(text.trim(), &mut *key).map_err(|_| KeyError::Form {
            path: path.to_owned(),
        })?;
        Ok(Self::new(&key))
    }

    /// Uses `key`.
    pub fn new(key: &[u8; KEY_LEN]) -> Self {
        let mut id = KeyId([0; 8]);
        let digest = digest::digest(&digest::SHA256, key);
        id.0.iter_mut()
            .zip(digest.as_ref())
            .for_each(|(to, from)| *to = *from);
        Self {
            id,
            cipher: Cipher::new(key),
            token_key: signer::derive(key),
        }
    }

    /// What signs tokens.
    pub(super) fn token_key(&self) -> &hmac::Key {
        &self.token_key
    }

    /// What secrets were sealed with before there were data keys.
    pub(super) fn cipher(&self) -> &Cipher {
        &self.cipher
    }
}

impl KeyEncryption for FileKey {
    fn id(&self) -> KeyId {
        self.id
    }

    fn wrap(&self, key: &ClearKey) -> Result<Vec<u8>, SealError> {
        self.cipher.seal(WRAPPED, &key[..])
    }

    fn unwrap(&self, wrapped: &[u8]) -> Result<ClearKey, SealError> {
        let clear = Zeroizing::new(self.cipher.open(WRAPPED, wrapped)?);
        let key = <[u8; KEY_LEN]>::try_from(clear.as_slice()).map_err(|_| SealError::Unsealed)?;
        Ok(Zeroizing::new(key))
    }
}

/// AES-256-GCM with random nonces, which stand in front of what is sealed.
pub(super) struct Cipher(LessSafeKey);

impl Cipher {
    pub(super) fn new(key: &[u8; KEY_LEN]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("32 bytes are a key of AES-256-GCM");
        Self(LessSafeKey::new(key))
    }

    pub(super) fn seal(&self, bound: &[u8], clear: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| SealError::Randomness)?;
        let mut sealed = Vec::with_capacity(NONCE_LEN + clear.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&nonce);
        let mut text = Vec::with_capacity(clear.len() + AES_256_GCM.tag_len());
        text.extend_from_slice(clear);
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0
            .seal_in_place_append_tag(nonce, Aad::from(bound), &mut text)
            .map_err(|_| SealError::Unsealed)?;
        sealed.append(&mut text);
        Ok(sealed)
    }

    pub(super) fn open(&self, bound: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, text) = sealed
            .split_at_checked(NONCE_LEN)
            .ok_or(SealError::Unsealed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Unsealed)?;
        let mut text = text.to_vec();
        let clear = self
            .0
            .open_in_place(nonce, Aad::from(bound), &mut text)
            .map_err(|_| SealError::Unsealed)?;
        let length = clear.len();
        text.truncate(length);
        Ok(text)
    }
}
