//! What a client needs to know.

use std::sync::Arc;
use std::time::Duration;

use crate::certificates::TrustAnchors;
use crate::client::resumption::ClientResumption;
use crate::credentials::{CertificateType, Credential};
use crate::flight::Retransmission;
use crate::identity::{Fingerprint, PeerKey, PeerRejection, Presented};
use crate::key_schedule::{MasterSecretKind, Psk};
use crate::random::Random;
use crate::record::MAX_CID;
use crate::suite::{CipherSuite, KeyExchange};

/// Whether the client offers Connection IDs, and which one it wants to receive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CidOffer {
    /// No extension: the server finds the session by address.
    None,
    /// A random one of this length, cut to 32 bytes. 0: only the server gets a Connection ID.
    Length(u8),
    /// This one, cut to 32 bytes.
    Exact(Vec<u8>),
}

impl CidOffer {
    pub(super) fn resolve(&self, random: &mut Random) -> Option<Vec<u8>> {
        match self {
            Self::None => None,
            Self::Length(length) => {
                let mut cid = vec![0; usize::from(*length).min(MAX_CID)];
                random.fill(&mut cid);
                Some(cid)
            }
            Self::Exact(cid) => Some(cid.iter().copied().take(MAX_CID).collect()),
        }
    }
}

/// What the client proves who it is with, and expects of the server in turn.
#[derive(Debug, Clone)]
pub enum ClientCredentials {
    /// Both ends prove that they have the same key.
    Psk {
        /// Up to 65,535 bytes; our server accepts 128.
        identity: Vec<u8>,
        /// The key of the identity.
        key: Psk,
    },
    /// Each end has a key of its own.
    Key {
        /// The client's.
        credential: Credential,
        /// Which servers are the right ones.
        server: ServerTrust,
    },
}

/// Which server's key a client accepts.
#[derive(Debug, Clone)]
pub enum ServerTrust {
    /// One of these keys, raw or in a certificate, which is then not looked at otherwise.
    PinnedKeys(Vec<Fingerprint>),
    /// A certificate for this name under one of the anchors.
    Anchors {
        /// The authorities.
        anchors: Arc<TrustAnchors>,
        /// A DNS name or an IP address.
        server_name: String,
        /// The time of validation, since 1970.
        unix_time: Duration,
    },
}

impl ServerTrust {
    /// In which forms the server may present its key, most preferred first.
    pub(super) const fn certificate_types(&self) -> &'static [CertificateType] {
        match self {
            Self::PinnedKeys(_) => &[CertificateType::RawPublicKey, CertificateType::X509],
            Self::Anchors { .. } => &[CertificateType::X509],
        }
    }

    pub(super) fn judge(&self, presented: &Presented) -> Result<(), PeerRejection> {
        match (self, &presented.key) {
            (Self::PinnedKeys(pinned), _) => match presented.fingerprint() {
                Some(fingerprint) if pinned.contains(&fingerprint) => Ok(()),
                _ => Err(PeerRejection::Unknown),
            },
            (
                Self::Anchors {
                    anchors,
                    server_name,
                    unix_time,
                },
                PeerKey::Certificates(chain),
            ) => anchors.validate_server(chain, server_name, *unix_time),
            (Self::Anchors { .. }, PeerKey::RawPublicKey(_)) => Err(PeerRejection::Unknown),
        }
    }
}

/// What a [`crate::Client`] needs to know.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Who the client is.
    pub credentials: ClientCredentials,
    /// Suites to offer, most preferred first; those that the credentials are of no use for are left
    /// out.
    pub suites: Vec<CipherSuite>,
    /// The name that the server is asked for (RFC 6066 §3), up to 255 bytes.
    pub server_name: Option<String>,
    /// Connection IDs.
    pub cid: CidOffer,
    /// Whether the extended master secret is offered.
    pub master_secret: MasterSecretKind,
    /// The largest datagram of a handshake flight in bytes; values below 256 count as 256.
    pub mtu: usize,
    /// Of every flight.
    pub retransmission: Retransmission,
    /// What the server is asked to resume; it is of no use for another name, suite or kind of
    /// master secret than it came about with. A server that resumes is not judged again: it has the
    /// master secret.
    pub resumption: Option<ClientResumption>,
}

impl ClientConfig {
    /// With a pre-shared key. Offers every suite, a zero-length Connection ID and the extended
    /// master secret.
    pub fn new(identity: Vec<u8>, key: Psk) -> Self {
        Self::with_credentials(ClientCredentials::Psk { identity, key })
    }

    /// With a key of its own. Offers the same as [`ClientConfig::new`].
    pub fn with_key(credential: Credential, server: ServerTrust) -> Self {
        Self::with_credentials(ClientCredentials::Key { credential, server })
    }

    fn with_credentials(credentials: ClientCredentials) -> Self {
        Self {
            credentials,
            suites: CipherSuite::ALL.to_vec(),
            server_name: None,
            cid: CidOffer::Length(0),
            master_secret: MasterSecretKind::Extended,
            mtu: 1200,
            retransmission: Retransmission::default(),
            resumption: None,
        }
    }

    /// The same client, asking for a session that it had ([`crate::Client::resumption`]).
    #[must_use]
    pub fn with_resumption(self, resumption: Option<ClientResumption>) -> Self {
        Self { resumption, ..self }
    }

    /// The session that the hello asks for.
    pub(super) fn wanted(&self) -> Option<&ClientResumption> {
        self.resumption
            .as_ref()
            .filter(|resumption| resumption.fits(self))
    }

    /// The suites that go into the hello.
    pub(super) fn usable_suites(&self) -> Vec<CipherSuite> {
        let has_psk = matches!(self.credentials, ClientCredentials::Psk { .. });
        let suites = self.suites.iter().copied();
        suites
            .filter(|suite| has_psk == (suite.key_exchange() != KeyExchange::EcdheEcdsa))
            .collect()
    }
}
