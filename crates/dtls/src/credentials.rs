//! The keys that we prove who we are with.

use std::sync::Arc;

use crate::identity::PeerKey;
use crate::signature::SigningKey;
use crate::wire::{Malformed, Reader};
use crate::x509;

/// How a key is presented (RFC 7250 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertificateType {
    /// In a chain of certificates.
    X509,
    /// By itself.
    RawPublicKey,
}

impl CertificateType {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::X509 => 0,
            Self::RawPublicKey => 2,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::X509),
            2 => Some(Self::RawPublicKey),
            _ => None,
        }
    }

    /// The types that a client's extension lists, as far as they are known. RFC 7250 §4.1: without
    /// the extension it is X.509.
    pub(crate) fn offered(extension: Option<&[u8]>) -> Result<Vec<Self>, Malformed> {
        let Some(extension) = extension else {
            return Ok(vec![Self::X509]);
        };
        let mut reader = Reader::new(extension);
        let list = reader.vec8()?;
        reader.finish()?;
        Ok(list
            .iter()
            .filter_map(|&code| Self::from_code(code))
            .collect())
    }
}

/// A private key with what presents it.
#[derive(Debug, Clone)]
pub struct Credential(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    presented: PeerKey,
    key: SigningKey,
}

/// Why a key and a chain are not a [`Credential`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The chain has no certificate, or its first one does not parse.
    #[error("certificate chain does not begin with a valid certificate")]
    BadCertificate,
    /// The first certificate is of another key.
    #[error("private key is not that of the certificate")]
    WrongKey,
    /// The chain does not fit into a handshake message that peers accept.
    #[error(
        "certificate chain of {length} bytes is longer than {}",
        Credential::MAX_CHAIN
    )]
    TooLong {
        /// Bytes given.
        length: usize,
    },
}

impl Credential {
    /// The longest chain of our own and of a peer, in bytes.
    pub const MAX_CHAIN: usize = 8192;

    /// A key without a certificate.
    pub fn raw_public_key(key: SigningKey) -> Self {
        let presented = PeerKey::RawPublicKey(key.public_key_info());
        Self(Arc::new(Inner { presented, key }))
    }

    /// A key with its chain in DER, the end entity's certificate first, without the trust anchor.
    pub fn certificates(chain: Vec<Vec<u8>>, key: SigningKey) -> Result<Self, CredentialError> {
        let length = chain.iter().map(|certificate| certificate.len() + 3).sum();
        if length > Self::MAX_CHAIN {
            return Err(CredentialError::TooLong { length });
        }
        let (info, _) = chain
            .first()
            .and_then(|first| x509::end_entity(first))
            .ok_or(CredentialError::BadCertificate)?;
        if info != key.public_key_info() {
            return Err(CredentialError::WrongKey);
        }
        let presented = PeerKey::Certificates(chain);
        Ok(Self(Arc::new(Inner { presented, key })))
    }

    /// The DNS names in the certificate; none for a raw key.
    pub fn dns_names(&self) -> Vec<String> {
        let PeerKey::Certificates(chain) = &self.0.presented else {
            return Vec::new();
        };
        let first = chain.first().and_then(|first| x509::end_entity(first));
        first.map_or_else(Vec::new, |(_, identity)| identity.names.dns_names)
    }

    pub(crate) fn kind(&self) -> CertificateType {
        match self.0.presented {
            PeerKey::RawPublicKey(_) => CertificateType::RawPublicKey,
            PeerKey::Certificates(_) => CertificateType::X509,
        }
    }

    pub(crate) fn presented(&self) -> &PeerKey {
        &self.0.presented
    }

    pub(crate) fn key(&self) -> &SigningKey {
        &self.0.key
    }
}

/// The server's credentials, picked by the name that a client asks for and the type that it takes.
/// Without any, suites with ECDSA are not negotiated.
#[derive(Debug, Clone, Default)]
pub struct ServerCredentials {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    names: Vec<String>,
    credential: Credential,
}

/// What a client is answered with.
pub(crate) struct Selection {
    pub(crate) credential: Credential,
    /// Whether the client's server name decided.
    pub(crate) by_name: bool,
}

impl ServerCredentials {
    /// Adds a credential for clients that ask for one of `names` (RFC 6066 §3). The first of each
    /// type is also for those that ask for no name or for an unknown one.
    pub fn add<N: Into<String>>(
        &mut self,
        names: impl IntoIterator<Item = N>,
        credential: Credential,
    ) {
        let names = names.into_iter().map(Into::into).collect();
        self.entries.push(Entry { names, credential });
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// `types` is in the client's order.
    pub(crate) fn select(
        &self,
        types: &[CertificateType],
        name: Option<&str>,
    ) -> Option<Selection> {
        let of_type = |kind: CertificateType| {
            let entries = self.entries.iter();
            entries.filter(move |entry| entry.credential.kind() == kind)
        };
        let named = |entry: &&Entry| {
            // RFC 6066 §3: host names do not differ in case.
            let mut names = entry.names.iter();
            name.is_some_and(|name| names.any(|own| own.eq_ignore_ascii_case(name)))
        };
        let by_name = types.iter().find_map(|&kind| of_type(kind).find(named));
        let entry = by_name.or_else(|| types.iter().find_map(|&kind| of_type(kind).next()))?;
        Some(Selection {
            credential: entry.credential.clone(),
            by_name: by_name.is_some(),
        })
    }
}
