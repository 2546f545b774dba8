//! What keeps secrets unreadable on the disk, the signatures of tokens, and the digests that name requests. The only place that knows `aws-lc-rs`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{constant_time, digest, hkdf, hmac, rand};
use device_state::{Command, CredentialId, Resumption, Secret, Session};
use proto::convert::{decode_secret, encode_secret};

/// First byte of everything sealed. Never change; another format gets another number.
const FORMAT: u8 = 1;

/// What the key that signs tokens is derived by. Never change: tokens of other releases would be refused.
const SIGNER_LABEL: &[u8] = b"drover tokens 1";

/// The cluster key.
pub struct Seal {
    key: LessSafeKey,
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
    #[error("it was not sealed with this cluster's key, or it is damaged")]
    Unsealed,
}

impl Seal {
    /// Reads the key from a file of 64 hex digits.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let text = fs::read_to_string(path).map_err(|source| KeyError::Read {
            path: path.to_owned(),
            source,
        })?;
        let form = || KeyError::Form {
            path: path.to_owned(),
        };
        let bytes = hex::decode(text.trim()).map_err(|_| form())?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| form())?;
        Ok(Self::new(&bytes))
    }

    /// Uses `key`.
    pub fn new(key: &[u8; 32]) -> Self {
        let signer = Signer::derive(key);
        let key = UnboundKey::new(&AES_256_GCM, key).expect("32 bytes are a key of AES-256-GCM");
        Self {
            key: LessSafeKey::new(key),
            signer,
        }
    }

    /// What signs tokens.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Seals `clear`. `owner` (an identity, a connection id) is needed to open it again.
    // NIST SP 800-38D §8.3: random nonces are good for 2^32 messages under one key.
    pub fn seal(&self, purpose: Purpose, owner: &[u8], clear: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| SealError::Randomness)?;
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + clear.len() + AES_256_GCM.tag_len());
        sealed.push(FORMAT);
        sealed.extend_from_slice(&nonce);
        let mut text = clear.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key
            .seal_in_place_append_tag(nonce, Aad::from(bind(purpose, owner)), &mut text)
            .map_err(|_| SealError::Unsealed)?;
        sealed.append(&mut text);
        Ok(sealed)
    }

    /// Opens what [`Self::seal`] made for the same purpose and owner.
    pub fn open(
        &self,
        purpose: Purpose,
        owner: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let (format, rest) = sealed.split_first().ok_or(SealError::Unsealed)?;
        let (nonce, text) = rest
            .split_at_checked(NONCE_LEN)
            .ok_or(SealError::Unsealed)?;
        if *format != FORMAT {
            return Err(SealError::Unsealed);
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Unsealed)?;
        let mut text = text.to_vec();
        let aad = Aad::from(bind(purpose, owner));
        let clear = self
            .key
            .open_in_place(nonce, aad, &mut text)
            .map_err(|_| SealError::Unsealed)?;
        let length = clear.len();
        text.truncate(length);
        Ok(text)
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
    /// Seals the secret of the credential `id`; of a public key there is nothing to seal.
    pub fn seal_secret(&self, id: &CredentialId, secret: &Secret) -> Result<Vec<u8>, SealError> {
        match purpose_of(id) {
            Some(purpose) => self.seal(purpose, id.as_bytes(), &encode_secret(secret)),
            None => Ok(Vec::new()),
        }
    }

    /// Opens what [`Self::seal_secret`] made for the same credential.
    pub fn open_secret(&self, id: &CredentialId, sealed: &[u8]) -> Result<Secret, SealError> {
        let clear = match purpose_of(id) {
            Some(purpose) => self.open(purpose, id.as_bytes(), sealed)?,
            None => Vec::new(),
        };
        decode_secret(id, clear).ok_or(SealError::Unsealed)
    }
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

/// Signs what callers carry between calls, with a key derived from the cluster key: every node of the cluster takes what
/// another one signed.
#[derive(Clone)]
pub struct Signer {
    key: hmac::Key,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Signer")
    }
}

impl Signer {
    /// Bytes of a signature: half of an HMAC-SHA256, as RFC 2104 §5 allows.
    pub const LENGTH: usize = 16;

    // RFC 5869: a cluster key is random, so it needs no salt.
    fn derive(key: &[u8; 32]) -> Self {
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(key);
        let derived = secret
            .expand(&[SIGNER_LABEL], hmac::HMAC_SHA256)
            .expect("an HMAC key is no longer than HKDF can make");
        Self {
            key: derived.into(),
        }
    }

    /// The signature of `text`. What is signed for one purpose is not valid for another.
    pub fn sign(&self, purpose: &[u8], text: &[u8]) -> [u8; Self::LENGTH] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(purpose);
        context.update(&[0]);
        context.update(text);
        let tag = context.sign();
        let half = tag.as_ref().first_chunk();
        *half.expect("an HMAC-SHA256 has 32 bytes")
    }

    /// Whether the signature is that of `text`.
    pub fn is_signed(&self, purpose: &[u8], text: &[u8], signature: &[u8]) -> bool {
        let own = self.sign(purpose, text);
        constant_time::verify_slices_are_equal(&own, signature).is_ok()
    }
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

#[cfg(test)]
mod tests {
    use device_state::{
        NodeId, ResumptionId, SecurityIdentity, SessionCid, SessionGeneration, Timestamp,
    };

    use super::*;

    #[test]
    fn what_is_sealed_opens_for_its_owner_and_purpose_only() {
        let seal = Seal::new(&[7; 32]);
        let sealed = seal
            .seal(Purpose::PreSharedKey, b"identity", b"secret")
            .expect("sealed");
        assert_eq!(
            seal.open(Purpose::PreSharedKey, b"identity", &sealed),
            Ok(b"secret".to_vec())
        );
        assert_eq!(
            seal.open(Purpose::PreSharedKey, b"other", &sealed),
            Err(SealError::Unsealed)
        );
        assert_eq!(
            seal.open(Purpose::SessionExport, b"identity", &sealed),
            Err(SealError::Unsealed)
        );
        let mut damaged = sealed.clone();
        damaged[20] ^= 1;
        assert_eq!(
            seal.open(Purpose::PreSharedKey, b"identity", &damaged),
            Err(SealError::Unsealed)
        );
        assert_eq!(
            seal.open(Purpose::PreSharedKey, b"identity", &sealed[..5]),
            Err(SealError::Unsealed)
        );
    }

    #[test]
    fn what_a_session_is_stored_and_resumed_from_goes_into_the_log_sealed() {
        let seal = Seal::new(&[7; 32]);
        let clear = (Box::new(session()), Box::new(resumption()));
        let command = Command::StoreSession {
            session: clear.0.clone(),
            resumption: Some(clear.1.clone()),
        };
        let sealed = seal.seal_command(command).expect("sealed");
        let Some(Command::StoreSession {
            mut session,
            resumption: Some(mut resumption),
        }) = sealed
        else {
            panic!("another command")
        };
        assert_ne!(session.export, clear.0.export);
        assert_ne!(resumption.state, clear.1.state);
        seal.open_session(&mut session).expect("opened");
        seal.open_resumption(&mut resumption).expect("opened");
        assert_eq!((session, resumption), clear);
        let resume = Command::Resume {
            id: clear.1.id,
            session: Some(clear.0.clone()),
        };
        let Ok(Some(Command::Resume {
            session: Some(session),
            ..
        })) = seal.seal_command(resume)
        else {
            panic!("another command")
        };
        assert_ne!(session.export, clear.0.export);
        let store = Command::StoreResumption {
            resumption: clear.1.clone(),
        };
        let Ok(Some(Command::StoreResumption { resumption })) = seal.seal_command(store) else {
            panic!("another command")
        };
        assert_ne!(resumption.state, clear.1.state);
        let remove = Command::RemoveResumption { id: clear.1.id };
        assert_eq!(seal.seal_command(remove), Ok(None));
    }

    fn session() -> Session {
        Session {
            cid: SessionCid([1; 8]),
            export: b"keys".to_vec(),
            identity: SecurityIdentity::Unauthenticated,
            peer: ([192, 0, 2, 7], 5684).into(),
            owner: NodeId(1),
            generation: SessionGeneration(0),
            stored_at: Timestamp(0),
            expires_at: Timestamp(1),
        }
    }

    fn resumption() -> Resumption {
        Resumption {
            id: ResumptionId([1; 32]),
            state: b"master secret".to_vec(),
            identity: SecurityIdentity::Unauthenticated,
            session: None,
            stored_at: Timestamp(0),
            expires_at: Timestamp(1),
        }
    }

    #[test]
    fn what_is_signed_is_taken_for_its_purpose_and_by_its_cluster_only() {
        let (seal, other) = (Seal::new(&[7; 32]), Seal::new(&[8; 32]));
        let signature = seal.signer().sign(b"page", b"text");
        assert!(seal.signer().is_signed(b"page", b"text", &signature));
        assert!(!seal.signer().is_signed(b"resume", b"text", &signature));
        assert!(!seal.signer().is_signed(b"page", b"texts", &signature));
        assert!(!seal.signer().is_signed(b"page", b"text", &signature[..8]));
        assert!(!other.signer().is_signed(b"page", b"text", &signature));
        // Tokens of earlier releases stay good.
        assert_eq!(hex::encode(signature), "061a922144bcd23ffe212db8ab4d7f71");
    }

    #[test]
    fn fingerprints_tell_where_one_part_ends() {
        assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
    }
}
