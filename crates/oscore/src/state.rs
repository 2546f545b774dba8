//! A context as a value that another process can go on with.

use std::fmt;

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::algorithm::{Algorithm, KEY, MAX_NONCE};
use crate::carrier::Carried;
use crate::context::{Keys, Material, Recipient, Secrets, SecurityContext};
use crate::error::{DeriveError, ImportError};
use crate::identifier::{IdContext, Identifier};
use crate::partial_iv::{PartialIv, SenderSequence};
use replay::{Freshness, ReplayWindow};

/// First byte of the encoding. A new layout gets a new number; this one never changes.
const VERSION: u8 = 1;

/// Bytes of a window that is stored by itself: version, generation, the two numbers, the tag.
const WINDOW: usize = 1 + 2 + 8 + 8 + WINDOW_TAG;
const WINDOW_TAG: usize = 32;

const HAS_WINDOW: u8 = 0b01;
const HAS_ID_CONTEXT: u8 = 0b10;

/// Everything that an endpoint needs to go on with a context. It holds the keys: store it like a
/// password.
///
/// **Numbers.** An importer's generation must be above the stored one, and a compare-and-swap of
/// the stored state decides who has it ([`ContextState::claim`]); then no number is ever used
/// twice, and none has to be stored while messages flow.
///
/// **Replays.** Only [`crate::Server::release`] gives a state with a replay window, which
/// [`ContextState::with_window`] keeps. With any other,
/// the first request of the peer is answered by an Echo challenge (RFC 8613 appendix B.1.2), so
/// nothing that an earlier owner accepted is accepted again.
#[derive(Clone, PartialEq, Eq)]
pub struct ContextState {
    pub(crate) material: Material,
    pub(crate) generation: u16,
    pub(crate) window: Option<ReplayWindow>,
}

impl fmt::Debug for ContextState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextState")
            .field("recipient_id", &self.material.recipient_id)
            .field("id_context", &self.material.id_context)
            .field("generation", &self.generation)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

/// Why bytes are not a [`ContextState`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeStateError {
    /// Written by a newer release.
    #[error("stored context has the unknown version {0}")]
    UnknownVersion(u8),
    /// An algorithm that this release does not have.
    #[error("stored context has the unknown algorithm {0}")]
    UnknownAlgorithm(u8),
    /// Damaged.
    #[error("stored context is truncated or malformed")]
    Malformed,
}

impl ContextState {
    /// From credentials that may have been used before, by an owner that left no state.
    pub fn provision(secrets: &Secrets<'_>) -> Result<Self, DeriveError> {
        Ok(Self {
            material: Material::derive(secrets)?,
            generation: 0,
            window: None,
        })
    }

    /// From credentials that no message was ever protected with, by either side.
    pub fn never_used(secrets: &Secrets<'_>) -> Result<Self, DeriveError> {
        Ok(Self {
            window: Some(ReplayWindow::default()),
            ..Self::provision(secrets)?
        })
    }

    /// Generation of the owner that exported.
    pub fn generation(&self) -> u16 {
        self.generation
    }

    /// The identifier that the peer sends with.
    pub fn recipient_id(&self) -> Identifier {
        self.material.recipient_id
    }

    pub fn id_context(&self) -> Option<&IdContext> {
        self.material.id_context.as_ref()
    }

    /// What to store in the place of this state before it is imported with `generation`: whoever
    /// takes over from the importer, without its release, needs a higher generation and has no
    /// replay window.
    pub fn claim(&self, generation: u16) -> Result<Self, ImportError> {
        self.check_generation(generation)?;
        Ok(Self {
            material: self.material.clone(),
            generation,
            window: None,
        })
    }

    /// Whether `message` is a request of this context's peer, and no replay as far as this state
    /// tells. Ask before anything is done for the sender: identifiers travel in the clear.
    pub fn authenticates(&self, message: &Carried) -> bool {
        message.decode().is_some_and(|outer| {
            self.material
                .open_request(&outer)
                .is_ok_and(|(_, binding)| {
                    let number = binding.partial_iv();
                    self.window
                        .is_none_or(|window| window.check(number.number()) != Freshness::Replayed)
                })
        })
    }

    fn check_generation(&self, given: u16) -> Result<(), ImportError> {
        if given <= self.generation {
            return Err(ImportError::StaleGeneration {
                given,
                exported: self.generation,
            });
        }
        Ok(())
    }

    pub(crate) fn into_context(self, generation: u16) -> Result<SecurityContext, ImportError> {
        self.check_generation(generation)?;
        Ok(SecurityContext {
            material: self.material,
            sequence: SenderSequence::of_generation(generation),
            recipient: self.window.map_or(Recipient::Lost, Recipient::Synchronised),
        })
    }

    /// The state with the window as it is now, for an owner that accepts nothing any more.
    pub(crate) fn of_released(context: SecurityContext) -> Self {
        Self {
            generation: context.sequence.generation(),
            window: match context.recipient {
                Recipient::Synchronised(window) => Some(window),
                Recipient::Lost => None,
            },
            material: context.material,
        }
    }

    /// Only the replay window, if there is one, for a place where no keys are. It is bound to the
    /// keys and the generation.
    pub fn window(&self) -> Option<Vec<u8>> {
        let (next, seen) = self.window?.parts();
        let mut out = Vec::with_capacity(WINDOW);
        out.push(VERSION);
        out.extend_from_slice(&self.generation.to_be_bytes());
        out.extend_from_slice(&next.to_be_bytes());
        out.extend_from_slice(&seen.to_be_bytes());
        let tag = hmac::sign(&self.window_key(), &out);
        out.extend_from_slice(tag.as_ref());
        Some(out)
    }

    /// The state of the owner that stored its window, made whole from credentials. Without a window
    /// if that is of other keys, or nothing that [`ContextState::window`] wrote.
    #[must_use]
    pub fn with_window(self, stored: &[u8]) -> Self {
        match self.read_window(stored) {
            Some((generation, window)) => Self {
                generation,
                window: Some(window),
                ..self
            },
            None => self,
        }
    }

    fn read_window(&self, stored: &[u8]) -> Option<(u16, ReplayWindow)> {
        let (content, tag) = stored.split_at_checked(WINDOW - WINDOW_TAG)?;
        hmac::verify(&self.window_key(), content, tag).ok()?;
        let mut reader = Reader(content);
        let [version] = reader.array().ok()?;
        if version != VERSION {
            return None;
        }
        let generation = u16::from_be_bytes(reader.array().ok()?);
        let next = u64::from_be_bytes(reader.array().ok()?);
        let seen = u64::from_be_bytes(reader.array().ok()?);
        Some((generation, ReplayWindow::restore(next, seen)))
    }

    fn window_key(&self) -> hmac::Key {
        let keys = &self.material.keys;
        let mut both = Zeroizing::new([0; 2 * KEY]);
        both[..KEY].copy_from_slice(&keys.sender);
        both[KEY..].copy_from_slice(&keys.recipient);
        hmac::Key::new(hmac::HMAC_SHA256, &*both)
    }

    /// The bytes to store. They hold the keys.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let material = &self.material;
        let mut out = Zeroizing::new(Vec::with_capacity(96));
        out.push(VERSION);
        out.push(material.algorithm.code());
        out.extend_from_slice(&self.generation.to_be_bytes());
        let window = if self.window.is_some() { HAS_WINDOW } else { 0 };
        let id_context = if material.id_context.is_some() {
            HAS_ID_CONTEXT
        } else {
            0
        };
        out.push(window | id_context);
        if let Some(window) = self.window {
            let (next, seen) = window.parts();
            out.extend_from_slice(&next.to_be_bytes());
            out.extend_from_slice(&seen.to_be_bytes());
        }
        put_vec8(&mut out, material.sender_id.as_bytes());
        put_vec8(&mut out, material.recipient_id.as_bytes());
        if let Some(context) = &material.id_context {
            put_vec8(&mut out, context.as_bytes());
        }
        out.extend_from_slice(&material.keys.sender);
        out.extend_from_slice(&material.keys.recipient);
        let length = material.algorithm.nonce_length();
        out.extend_from_slice(&material.keys.common_iv[..length]);
        out
    }

    /// Reads what [`ContextState::encode`] wrote, and nothing else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeStateError> {
        let mut reader = Reader(bytes);
        let [version, code] = reader.array()?;
        if version != VERSION {
            return Err(DecodeStateError::UnknownVersion(version));
        }
        let algorithm =
            Algorithm::from_code(code).ok_or(DecodeStateError::UnknownAlgorithm(code))?;
        let generation = u16::from_be_bytes(reader.array()?);
        let [flags] = reader.array()?;
        if flags & !(HAS_WINDOW | HAS_ID_CONTEXT) != 0 {
            return Err(DecodeStateError::Malformed);
        }
        let window = if flags & HAS_WINDOW == 0 {
            None
        } else {
            let next = u64::from_be_bytes(reader.array()?);
            let seen = u64::from_be_bytes(reader.array()?);
            if next > PartialIv::MAX.number() + 1 || (next == 0 && seen != 0) {
                return Err(DecodeStateError::Malformed);
            }
            Some(ReplayWindow::restore(next, seen))
        };
        let (sender_id, recipient_id) = (reader.id(algorithm)?, reader.id(algorithm)?);
        if sender_id == recipient_id {
            return Err(DecodeStateError::Malformed);
        }
        let id_context = if flags & HAS_ID_CONTEXT == 0 {
            None
        } else {
            IdContext::new(reader.vec8()?)
        };
        let mut keys = Keys {
            sender: reader.array::<KEY>()?,
            recipient: reader.array::<KEY>()?,
            common_iv: [0; MAX_NONCE],
        };
        let common_iv = reader.take(algorithm.nonce_length())?;
        keys.common_iv[..common_iv.len()].copy_from_slice(common_iv);
        if !reader.0.is_empty() {
            return Err(DecodeStateError::Malformed);
        }
        Ok(Self {
            material: Material {
                algorithm,
                sender_id,
                recipient_id,
                id_context,
                keys,
            },
            generation,
            window,
        })
    }
}

impl SecurityContext {
    /// The state for a crash: without a replay window, because it is not stored with every
    /// message.
    pub fn export(&self) -> ContextState {
        ContextState {
            material: self.material.clone(),
            generation: self.sequence.generation(),
            window: None,
        }
    }
}

/// Callers keep `bytes` within 255.
fn put_vec8(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeStateError> {
        let (head, tail) = self
            .0
            .split_at_checked(length)
            .ok_or(DecodeStateError::Malformed)?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeStateError> {
        let (head, tail) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(DecodeStateError::Malformed)?;
        self.0 = tail;
        Ok(*head)
    }

    fn vec8(&mut self) -> Result<&'a [u8], DecodeStateError> {
        let [length] = self.array()?;
        self.take(usize::from(length))
    }

    fn id(&mut self, algorithm: Algorithm) -> Result<Identifier, DecodeStateError> {
        let bytes = self.vec8()?;
        Identifier::new(bytes)
            .filter(|_| bytes.len() <= algorithm.max_id_length())
            .ok_or(DecodeStateError::Malformed)
    }
}

#[cfg(test)]
mod tests;
