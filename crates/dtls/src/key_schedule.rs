//! From a pre-shared key to record keys and Finished values (RFC 5246 §8.1, §6.3, §7.4.9).

use std::fmt;

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::key_agreement::SharedSecret;
use crate::prf::{Transcript, hmac_key, prf};
use crate::protection::{RecordKeys, Role};
use crate::resumption::ResumptionId;
use crate::suite::CipherSuite;
use crate::wire::put_vec16;

/// A hello's 32 random bytes.
pub(crate) type HelloRandom = [u8; 32];
/// The content of a Finished message.
pub(crate) type VerifyData = [u8; 12];

/// See [`Psk::tag`].
pub(crate) type PskTag = [u8; 16];

/// A pre-shared key of 1 to 64 bytes. Wiped when dropped, never printed.
#[derive(Clone)]
pub struct Psk(Zeroizing<Vec<u8>>);

/// Why bytes are not a [`Psk`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("pre-shared key of {length} bytes is not within 1 to 64")]
pub struct PskLengthError {
    /// Bytes given.
    pub length: usize,
}

impl Psk {
    /// RFC 4279 §5.3: implementations support keys of up to 64 bytes.
    pub const MAX_LENGTH: usize = 64;

    /// Copies the key.
    pub fn new(key: &[u8]) -> Result<Self, PskLengthError> {
        if key.is_empty() || key.len() > Self::MAX_LENGTH {
            return Err(PskLengthError { length: key.len() });
        }
        Ok(Self(Zeroizing::new(key.to_vec())))
    }

    /// By which a resumption is known to have come about under this key. Never change.
    pub(crate) fn tag(&self, id: &ResumptionId) -> PskTag {
        let mut tag = PskTag::default();
        let seeds: [&[u8]; 1] = [id.as_bytes()];
        prf(&hmac_key(&self.0), b"drover resumption", &seeds, &mut tag);
        tag
    }
}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Psk(..)")
    }
}

/// How the master secret is derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MasterSecretKind {
    /// Bound to the whole handshake (RFC 7627).
    #[default]
    Extended,
    /// From the hellos' random values only (RFC 5246 §8.1), for old peers.
    Classic,
}

/// The randoms of both hellos.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HelloRandoms {
    pub(crate) client: HelloRandom,
    pub(crate) server: HelloRandom,
}

/// The premaster secret. Wiped when dropped.
pub(crate) struct Premaster(Zeroizing<Vec<u8>>);

impl Premaster {
    /// RFC 4279 §2, RFC 5489 §2: the other secret and the key, each with its length. Without an
    /// agreement the other secret is as many zeros as the key is long.
    pub(crate) fn from_psk(psk: &Psk, agreed: Option<&SharedSecret>) -> Self {
        let zeros = Zeroizing::new(vec![0; psk.0.len()]);
        let other = agreed.unwrap_or(&zeros);
        let mut premaster = Zeroizing::new(Vec::with_capacity(4 + other.len() + psk.0.len()));
        put_vec16(&mut premaster, other);
        put_vec16(&mut premaster, &psk.0);
        Self(premaster)
    }

    /// RFC 8422 §5.10: the agreed secret itself.
    pub(crate) const fn from_agreement(agreed: SharedSecret) -> Self {
        Self(agreed)
    }
}

/// A master secret has 48 bytes (RFC 5246 §8.1).
pub(crate) const MASTER_SECRET: usize = 48;

/// The master secret: as the key of the pseudo-random function, and as the bytes that a resumption
/// starts from. Those are wiped when dropped.
pub(crate) struct MasterSecret {
    key: hmac::Key,
    bytes: Zeroizing<[u8; MASTER_SECRET]>,
}

impl MasterSecret {
    /// `transcript` ends with the ClientKeyExchange (RFC 7627 §3).
    pub(crate) fn derive(
        premaster: &Premaster,
        kind: MasterSecretKind,
        randoms: &HelloRandoms,
        transcript: &Transcript,
    ) -> Self {
        let premaster = hmac_key(&premaster.0);
        let mut master = Zeroizing::new([0; MASTER_SECRET]);
        match kind {
            MasterSecretKind::Extended => prf(
                &premaster,
                b"extended master secret",
                &[transcript.hash().as_ref()],
                &mut *master,
            ),
            MasterSecretKind::Classic => prf(
                &premaster,
                b"master secret",
                &[&randoms.client, &randoms.server],
                &mut *master,
            ),
        }
        Self::from_bytes(master)
    }

    /// That of an earlier handshake.
    pub(crate) fn from_bytes(bytes: Zeroizing<[u8; MASTER_SECRET]>) -> Self {
        Self {
            key: hmac_key(&*bytes),
            bytes,
        }
    }

    pub(crate) const fn bytes(&self) -> &Zeroizing<[u8; MASTER_SECRET]> {
        &self.bytes
    }

    pub(crate) fn record_keys(
        &self,
        suite: CipherSuite,
        role: Role,
        randoms: &HelloRandoms,
    ) -> RecordKeys {
        let mut block = Zeroizing::new([0; 128]);
        let block = &mut block[..RecordKeys::length(suite)];
        prf(
            &self.key,
            b"key expansion",
            &[&randoms.server, &randoms.client],
            block,
        );
        RecordKeys::from_key_block(suite, role, block).expect("the block has the suite's length")
    }

    /// The Finished of `sender` after the messages of `transcript`.
    pub(crate) fn verify_data(&self, sender: Role, transcript: &Transcript) -> VerifyData {
        let label: &[u8] = match sender {
            Role::Client => b"client finished",
            Role::Server => b"server finished",
        };
        let mut data = [0; 12];
        prf(&self.key, label, &[transcript.hash().as_ref()], &mut data);
        data
    }
}
