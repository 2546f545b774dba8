//! What keeps secrets unreadable on the disk, the signatures of tokens, and the digests that name requests. The only place that knows `aws-lc-rs`.
//!
//! ```text
//!  key of a file ──wraps──▶ data key ──seals──▶ secret
//!  (`cluster_key_file`)     (one per process)
//! ```
//!
//! With every secret stands the wrapped data key and the name of the key that wrapped it, so that old secrets open with a
//! retired key while new ones are sealed with another.

use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use device_state::{
    Command, Credential, CredentialId, CredentialName, Resumption, Row, Secret, Session,
};
use proto::convert::{decode_secret, encode_secret};

use data_key::{DataKeys, MAX_USES, Wrapped};
use key::{FileKey, KEY_LEN, KeyEncryption, KeyId};
pub use signer::Signer;

pub mod canary;
mod data_key;
pub mod key;
mod signer;
#[cfg(test)]
mod tests;

/// First byte of everything sealed. Never change one; another format gets another number.
///
/// Sealed by a cluster key itself: nonce, text. Read only.
const DIRECT: u8 = 1;
/// The wrapped data key ([`Wrapped::encode`]), nonce, text.
const ENVELOPE: u8 = 2;

/// The keys of a node.
pub struct Seal {
    /// The first one seals; all of them open.
    keys: Vec<FileKey>,
    data: DataKeys,
    signer: Signer,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Seal")
    }
}

/// What is sealed; one kind never opens as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    PreSharedKey,
    OscoreSecret,
    SessionExport,
    ResumptionState,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::PreSharedKey => b"drover psk",
            Self::OscoreSecret => b"drover oscore",
            Self::SessionExport => b"drover session",
            Self::ResumptionState => b"drover resumption",
        }
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot read the cluster key {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the cluster key {} is not 64 hex digits", path.display())]
    Form { path: PathBuf },
}

/// Why something was not sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("the system gave no randomness")]
    Randomness,
    #[error("a wrapped key is too long")]
    Wrapping,
    #[error("it was sealed with key {0}, which is none of this node's keys")]
    UnknownKey(KeyId),
    #[error("it was not sealed with this cluster's key, or it is damaged")]
    Unsealed,
}

impl Seal {
    /// Reads the keys from files of 64 hex digits: one that seals and opens, and others that only open.
    pub fn from_files(primary: &Path, retired: &[PathBuf]) -> Result<Self, KeyError> {
        let paths = std::iter::once(primary).chain(retired.iter().map(PathBuf::as_path));
        let keys = paths.map(FileKey::read).collect::<Result<_, _>>()?;
        Ok(Self::with(keys, MAX_USES))
    }

    /// Uses `key` alone.
    pub fn new(key: &[u8; KEY_LEN]) -> Self {
        Self::with(vec![FileKey::new(key)], MAX_USES)
    }

    fn with(keys: Vec<FileKey>, max_uses: u64) -> Self {
        Self {
            signer: Signer::new(&keys),
            keys,
            data: DataKeys::new(max_uses),
        }
    }

    /// The keys, the one that seals first.
    pub fn keys(&self) -> impl Iterator<Item = &FileKey> {
        self.keys.iter()
    }

    /// What signs tokens.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Seals `clear`. `owner` (an identity, a connection id) is needed to open it again.
    pub fn seal(&self, purpose: Purpose, owner: &[u8], clear: &[u8]) -> Result<Vec<u8>, SealError> {
        let primary = self.keys.first().ok_or(SealError::Unsealed)?;
        let (wrapped, cipher) = self.data.take(primary)?;
        let mut sealed = vec![ENVELOPE];
        wrapped.encode(&mut sealed);
        sealed.extend(cipher.seal(&bind(purpose, owner), clear)?);
        Ok(sealed)
    }

    /// Opens what [`Self::seal`] made for the same purpose and owner, with whichever of the keys.
    pub fn open(
        &self,
        purpose: Purpose,
        owner: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let (format, rest) = sealed.split_first().ok_or(SealError::Unsealed)?;
        let bound = bind(purpose, owner);
        match *format {
            DIRECT => {
                let mut opened = self.keys().map(|key| key.cipher().open(&bound, rest));
                opened.find(Result::is_ok).ok_or(SealError::Unsealed)?
            }
            ENVELOPE => {
                let (wrapped, text) = Wrapped::decode(rest).ok_or(SealError::Unsealed)?;
                let key = self
                    .key(wrapped.by)
                    .ok_or(SealError::UnknownKey(wrapped.by))?;
                self.data.open(wrapped, key)?.open(&bound, text)
            }
            _ => Err(SealError::Unsealed),
        }
    }

    fn key(&self, id: KeyId) -> Option<&FileKey> {
        self.keys().find(|key| key.id() == id)
    }

    /// Whether this node has the key that the secret of a row was sealed with; if not, which one that is, if it says so.
    pub fn can_open(&self, row: &Row) -> Result<(), Option<KeyId>> {
        let (purpose, owner, sealed): (_, Vec<u8>, &[u8]) = match row {
            Row::Session(row) => (Purpose::SessionExport, row.cid.0.to_vec(), &row.export),
            Row::Resumption(row) => (Purpose::ResumptionState, row.id.0.to_vec(), &row.state),
            Row::Credential(row) => match purpose_of(&row.id) {
                Some(purpose) => (purpose, owner_of(&row.name()), &row.sealed_secret),
                None => return Ok(()),
            },
            _ => return Ok(()),
        };
        match sealed.split_first() {
            // Its data key need not be unwrapped for that.
            Some((&ENVELOPE, rest)) => match Wrapped::decode(rest) {
                Some((wrapped, _)) if self.key(wrapped.by).is_none() => Err(Some(wrapped.by)),
                Some(_) => Ok(()),
                None => Err(None),
            },
            _ => match self.open(purpose, &owner, sealed) {
                Ok(_) => Ok(()),
                Err(_) => Err(None),
            },
        }
    }
}

/// Secrets of DTLS sessions.
impl Seal {
    /// The command as it may go into the log: what was secret in it is sealed. `None` if nothing was.
    pub fn seal_command(&self, command: Command) -> Result<Option<Command>, SealError> {
        Ok(Some(match command {
            Command::StoreSession {
                mut session,
                mut resumption,
            } => {
                self.seal_session(&mut session)?;
                if let Some(resumption) = &mut resumption {
                    self.seal_resumption(resumption)?;
                }
                Command::StoreSession {
                    session,
                    resumption,
                }
            }
            Command::StoreResumption { mut resumption } => {
                self.seal_resumption(&mut resumption)?;
                Command::StoreResumption { resumption }
            }
            Command::Resume {
                id,
                session: Some(mut session),
            } => {
                self.seal_session(&mut session)?;
                let session = Some(session);
                Command::Resume { id, session }
            }
            _ => return Ok(None),
        }))
    }

    fn seal_session(&self, session: &mut Session) -> Result<(), SealError> {
        session.export = self.seal(Purpose::SessionExport, &session.cid.0, &session.export)?;
        Ok(())
    }

    fn seal_resumption(&self, resumption: &mut Resumption) -> Result<(), SealError> {
        let Resumption { id, state, .. } = resumption;
        *state = self.seal(Purpose::ResumptionState, &id.0, state)?;
        Ok(())
    }

    /// Opens a stored session's export in place.
    pub fn open_session(&self, session: &mut Session) -> Result<(), SealError> {
        session.export = self.open(Purpose::SessionExport, &session.cid.0, &session.export)?;
        Ok(())
    }

    /// Opens in place what is stored to resume from.
    pub fn open_resumption(&self, resumption: &mut Resumption) -> Result<(), SealError> {
        let Resumption { id, state, .. } = resumption;
        *state = self.open(Purpose::ResumptionState, &id.0, state)?;
        Ok(())
    }
}

/// Secrets of credentials.
impl Seal {
    /// Seals the secret of a credential; of a public key there is nothing to seal.
    pub fn seal_secret(
        &self,
        name: &CredentialName,
        secret: &Secret,
    ) -> Result<Vec<u8>, SealError> {
        match purpose_of(&name.id) {
            Some(purpose) => self.seal(purpose, &owner_of(name), &encode_secret(secret)),
            None => Ok(Vec::new()),
        }
    }

    /// Opens what [`Self::seal_secret`] made for the same credential.
    pub fn open_secret(&self, credential: &Credential) -> Result<Secret, SealError> {
        let Credential {
            id, sealed_secret, ..
        } = credential;
        let clear = match purpose_of(id) {
            Some(purpose) => self.open(purpose, &owner_of(&credential.name()), sealed_secret)?,
            None => Vec::new(),
        };
        decode_secret(id, clear).ok_or(SealError::Unsealed)
    }
}

/// What the secret of a credential is bound to: in another namespace the same id is another credential.
fn owner_of(name: &CredentialName) -> Vec<u8> {
    [name.namespace.qualify("").as_bytes(), name.id.as_bytes()].concat()
}

const fn purpose_of(id: &CredentialId) -> Option<Purpose> {
    match id {
        CredentialId::PskIdentity(_) => Some(Purpose::PreSharedKey),
        CredentialId::OscoreId(_) => Some(Purpose::OscoreSecret),
        CredentialId::PublicKey(_) => None,
    }
}

fn bind(purpose: Purpose, owner: &[u8]) -> Vec<u8> {
    [purpose.label(), &[0], owner].concat()
}

/// 128 bits that stand for `parts`; different parts practically never give the same.
pub fn fingerprint(parts: &[&[u8]]) -> (u64, u64) {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let digest = context.finish();
    let half = |at: usize| {
        let bytes = digest
            .as_ref()
            .get(at..at + 8)
            .and_then(|bytes| bytes.try_into().ok());
        u64::from_be_bytes(bytes.unwrap_or_default())
    };
    (half(0), half(8))
}
