//! The security context (RFC 8613 §3).

use std::fmt;

use zeroize::Zeroize as _;

use crate::algorithm::{Algorithm, Derivation, KEY, MAX_NONCE, Nonce};
use crate::cbor;
use crate::error::DeriveError;
use crate::identifier::{IdContext, Identifier};
use crate::partial_iv::{PartialIv, SenderSequence};
use replay::ReplayWindow;

/// What two endpoints agree on before their first message (RFC 8613 §3.2), seen from this one.
#[derive(Clone, Copy)]
pub struct Secrets<'a> {
    pub algorithm: Algorithm,
    pub master_secret: &'a [u8],
    /// Empty when there is none.
    pub master_salt: &'a [u8],
    pub id_context: Option<&'a [u8]>,
    /// The identifier that this endpoint sends with.
    pub sender_id: &'a [u8],
    /// The identifier that the peer sends with.
    pub recipient_id: &'a [u8],
}

impl fmt::Debug for Secrets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// What is derived from the [`Secrets`].
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) sender: [u8; KEY],
    pub(crate) recipient: [u8; KEY],
    /// Unused bytes at the end are zero.
    pub(crate) common_iv: [u8; MAX_NONCE],
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.sender.zeroize();
        self.recipient.zeroize();
        self.common_iv.zeroize();
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

/// The part of a context that never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Material {
    pub(crate) algorithm: Algorithm,
    pub(crate) sender_id: Identifier,
    pub(crate) recipient_id: Identifier,
    pub(crate) id_context: Option<IdContext>,
    pub(crate) keys: Keys,
}

impl Material {
    pub(crate) fn derive(secrets: &Secrets<'_>) -> Result<Self, DeriveError> {
        let algorithm = secrets.algorithm;
        let limit = algorithm.max_id_length();
        let identifier = |bytes: &[u8]| {
            Identifier::new(bytes)
                .filter(|id| id.as_bytes().len() <= limit)
                .ok_or(DeriveError::IdentifierTooLong { limit })
        };
        let (sender_id, recipient_id) = (
            identifier(secrets.sender_id)?,
            identifier(secrets.recipient_id)?,
        );
        if sender_id == recipient_id {
            return Err(DeriveError::SameIdentifiers);
        }
        if secrets.master_secret.is_empty() {
            return Err(DeriveError::EmptySecret);
        }
        let id_context = match secrets.id_context {
            Some(bytes) => Some(IdContext::new(bytes).ok_or(DeriveError::IdContextTooLong)?),
            None => None,
        };
        let derivation = Derivation::extract(secrets.master_secret, secrets.master_salt);
        let expand = |id: &[u8], kind: &str, out: &mut [u8]| {
            let length = out.len() as u8;
            let info = cbor::info(id, secrets.id_context, algorithm.code(), kind, length);
            derivation.expand(&info, out);
        };
        let mut keys = Keys {
            sender: [0; KEY],
            recipient: [0; KEY],
            common_iv: [0; MAX_NONCE],
        };
        expand(secrets.sender_id, "Key", &mut keys.sender);
        expand(secrets.recipient_id, "Key", &mut keys.recipient);
        let length = algorithm.nonce_length();
        expand(&[], "IV", &mut keys.common_iv[..length]);
        Ok(Self {
            algorithm,
            sender_id,
            recipient_id,
            id_context,
            keys,
        })
    }

    /// RFC 8613 §5.2: length and bytes of the identifier whose number it is, and the number, all
    /// left-padded, exclusive-or the Common IV.
    pub(crate) fn nonce(&self, id: Identifier, number: PartialIv) -> Nonce {
        let id = id.as_bytes();
        let length = self.algorithm.nonce_length();
        let mut nonce = [0; MAX_NONCE];
        nonce[0] = id.len() as u8;
        nonce[length - 5 - id.len()..length - 5].copy_from_slice(id);
        nonce[length - 5..length].copy_from_slice(&number.to_array());
        for (byte, mask) in nonce.iter_mut().zip(self.keys.common_iv) {
            *byte ^= mask;
        }
        Nonce(nonce)
    }
}

/// Whether a request can be told from a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recipient {
    Synchronised(ReplayWindow),
    /// The window is lost (RFC 8613 §7.5.2).
    Lost,
}

/// A security context: keys, the numbers that we send with, and the replay window.
///
/// One context serves both roles: each side may send requests to the other.
#[derive(Debug)]
pub struct SecurityContext {
    pub(crate) material: Material,
    pub(crate) sequence: SenderSequence,
    pub(crate) recipient: Recipient,
}

impl SecurityContext {
    /// A context that was never used before, by either side. A context that may have been used
    /// goes through [`crate::ContextState`].
    pub fn derive(secrets: &Secrets<'_>) -> Result<Self, DeriveError> {
        Ok(Self {
            material: Material::derive(secrets)?,
            sequence: SenderSequence::of_generation(0),
            recipient: Recipient::Synchronised(ReplayWindow::default()),
        })
    }

    /// The identifier that the peer sends with.
    pub fn recipient_id(&self) -> Identifier {
        self.material.recipient_id
    }

    /// The identifier that this endpoint sends with.
    pub fn sender_id(&self) -> Identifier {
        self.material.sender_id
    }

    pub fn id_context(&self) -> Option<&IdContext> {
        self.material.id_context.as_ref()
    }

    /// Bytes by which protection makes a message longer, at most: the option with its head, the
    /// code, a marker before the ciphertext, an outer Observe, and the tag (RFC 8613 §4 to §6).
    pub(crate) fn overhead(&self) -> usize {
        const OPTION_HEAD: usize = 4;
        const FLAGS_AND_NUMBER: usize = 6;
        const CODE_AND_MARKER: usize = 2;
        const OBSERVE: usize = 4;
        let id_context = self
            .id_context()
            .map_or(0, |context| 1 + context.as_bytes().len());
        let option = OPTION_HEAD + FLAGS_AND_NUMBER + self.sender_id().as_bytes().len();
        option + id_context + CODE_AND_MARKER + OBSERVE + self.material.algorithm.tag_length()
    }

    /// Sequence numbers that are left in this generation.
    pub fn remaining_sequence_numbers(&self) -> u32 {
        self.sequence.remaining()
    }

    /// RFC 8613 appendix B.1.2: the request with this number is known to be fresh.
    pub(crate) fn synchronise(&mut self, number: PartialIv) {
        self.recipient = Recipient::Synchronised(ReplayWindow::starting_after(number.number()));
    }
}
