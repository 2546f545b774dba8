//! Data keys: each seals many secrets, and stands wrapped in front of every one of them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::rand;

use crate::seal::SealError;
use crate::seal::key::{Cipher, ClearKey, KeyEncryption, KeyId};

/// Secrets under one data key. NIST SP 800-38D §8.3: random nonces are good for 2^32 messages under one key.
pub(super) const MAX_USES: u64 = 1 << 32;
/// Data keys that are kept in clear, so that not every secret costs an unwrapping.
const MAX_OPENED: usize = 1_024;
/// A wrapped key is not longer than this, whoever wraps it.
const MAX_WRAPPED: usize = 1_024;

/// In front of a secret: who wrapped its data key, and that key, wrapped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wrapped {
    pub by: KeyId,
    key: Arc<[u8]>,
}

impl Wrapped {
    /// Appends `key id (8 bytes), length (u16, big-endian), wrapped key`. On disks: never change it.
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.by.0);
        bytes.extend_from_slice(&(self.key.len() as u16).to_be_bytes());
        bytes.extend_from_slice(&self.key);
    }

    /// Splits what [`Self::encode`] wrote from what follows it.
    pub(super) fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (id, rest) = bytes.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (key, rest) = rest.split_at_checked(length)?;
        let wrapped = Self {
            by: KeyId(*id),
            key: key.into(),
        };
        Some((wrapped, rest))
    }
}

/// The data key that is in use.
struct Current {
    wrapped: Wrapped,
    cipher: Arc<Cipher>,
    left: u64,
}

/// The data keys of a process.
pub(super) struct DataKeys {
    max_uses: u64,
    current: Mutex<Option<Current>>,
    opened: Mutex<Opened>,
}

#[derive(Default)]
struct Opened {
    ciphers: HashMap<Wrapped, Arc<Cipher>>,
    /// In the order in which they came.
    order: VecDeque<Wrapped>,
}

impl DataKeys {
    /// None yet. A process begins with a key of its own, so that none has to know how often another used one.
    pub(super) fn new(max_uses: u64) -> Self {
        Self {
            max_uses,
            current: Mutex::default(),
            opened: Mutex::default(),
        }
    }

    /// A key to seal one secret with.
    pub(super) fn take(&self, by: &dyn KeyEncryption) -> Result<(Wrapped, Arc<Cipher>), SealError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let key = match current.take().filter(|current| current.left > 0) {
            Some(key) => key,
            None => self.fresh(by)?,
        };
        let key = current.insert(key);
        key.left -= 1;
        Ok((key.wrapped.clone(), key.cipher.clone()))
    }

    fn fresh(&self, by: &dyn KeyEncryption) -> Result<Current, SealError> {
        let mut key = ClearKey::default();
        rand::fill(&mut key[..]).map_err(|_| SealError::Randomness)?;
        let wrapped = by.wrap(&key)?;
        if wrapped.len() > MAX_WRAPPED {
            return Err(SealError::Wrapping);
        }
        let wrapped = Wrapped {
            by: by.id(),
            key: wrapped.into(),
        };
        let cipher = Arc::new(Cipher::new(&key));
        self.remember(wrapped.clone(), cipher.clone());
        Ok(Current {
            wrapped,
            cipher,
            left: self.max_uses,
        })
    }

    /// The key that a stored secret was sealed with.
    pub(super) fn open(
        &self,
        wrapped: Wrapped,
        by: &dyn KeyEncryption,
    ) -> Result<Arc<Cipher>, SealError> {
        let known = self.opened().ciphers.get(&wrapped).cloned();
        if let Some(cipher) = known {
            return Ok(cipher);
        }
        let key = by.unwrap(&wrapped.key)?;
        let cipher = Arc::new(Cipher::new(&key));
        self.remember(wrapped, cipher.clone());
        Ok(cipher)
    }

    fn opened(&self) -> std::sync::MutexGuard<'_, Opened> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, wrapped: Wrapped, cipher: Arc<Cipher>) {
        let mut opened = self.opened();
        if opened.ciphers.insert(wrapped.clone(), cipher).is_none() {
            opened.order.push_back(wrapped);
        }
        if opened.order.len() > MAX_OPENED
            && let Some(oldest) = opened.order.pop_front()
        {
            opened.ciphers.remove(&oldest);
        }
    }
}
