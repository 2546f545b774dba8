//! Who a peer is: what its session keeps, and the key that it presents in a handshake.

use std::fmt;

use crate::alert::AlertDescription;
use crate::signature::{PublicKey, digest_of};
use crate::wire::{Malformed, Reader, put_vec8};
use crate::x509;

/// SHA-256 of a SubjectPublicKeyInfo, or of an issuer's name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of the DER of a SubjectPublicKeyInfo or a Name.
    pub fn of(der: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest_of(&[der]).as_ref());
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// The names in an end entity's certificate. All together take at most
/// [`SubjectNames::MAX_LENGTH`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubjectNames {
    /// The last common name of the subject.
    pub common_name: Option<String>,
    /// DNS names of the subjectAltName extension.
    pub dns_names: Vec<String>,
    /// URIs of the subjectAltName extension.
    pub uris: Vec<String>,
}

impl SubjectNames {
    /// Every session keeps them. A certificate with more is refused.
    pub const MAX_LENGTH: usize = 512;

    pub(crate) fn fit(&self) -> bool {
        let all = || {
            self.common_name
                .iter()
                .chain(&self.dns_names)
                .chain(&self.uris)
        };
        all().map(String::len).sum::<usize>() <= Self::MAX_LENGTH
            && all().all(|name| name.len() <= 0xFF)
            && self.dns_names.len().max(self.uris.len()) <= 0xFF
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_vec8(
            out,
            self.common_name.as_deref().unwrap_or_default().as_bytes(),
        );
        for names in [&self.dns_names, &self.uris] {
            out.push(names.len() as u8);
            for name in names {
                put_vec8(out, name.as_bytes());
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let common_name = read_name(reader)?;
        let names = Self {
            common_name: Some(common_name).filter(|name| !name.is_empty()),
            dns_names: read_names(reader)?,
            uris: read_names(reader)?,
        };
        if names.fit() {
            Ok(names)
        } else {
            Err(Malformed)
        }
    }
}

fn read_name(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    let bytes = reader.vec8()?.to_vec();
    String::from_utf8(bytes).map_err(|_| Malformed)
}

fn read_names(reader: &mut Reader<'_>) -> Result<Vec<String>, Malformed> {
    let count = reader.u8()?;
    (0..count).map(|_| read_name(reader)).collect()
}

/// The end entity of a certificate chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedIdentity {
    /// Of the certificate's key.
    pub key: Fingerprint,
    /// Of the issuer's name; with the serial number it is what revocation lists say.
    pub issuer: Fingerprint,
    /// At most 21 bytes.
    pub serial: Box<[u8]>,
    /// As in the certificate.
    pub names: SubjectNames,
}

impl CertifiedIdentity {
    /// Of the DER of a certificate, for which nobody vouches yet. `None` when it does not parse, or
    /// its names or its serial number are too long.
    pub fn of_certificate(der: &[u8]) -> Option<Self> {
        x509::end_entity(der).map(|(_, identity)| identity)
    }
}

/// Who the peer of a session has proved to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerIdentity {
    /// It has the key of this identity: 0 to 128 bytes, not necessarily UTF-8.
    Psk(Box<[u8]>),
    /// It has this key, which it presented without a certificate.
    RawPublicKey(Box<Fingerprint>),
    /// It has the key of this certificate.
    Certificate(Box<CertifiedIdentity>),
}

/// Kinds of identity in an exported session. Never change.
const KIND_RAW_PUBLIC_KEY: u8 = 1;
const KIND_CERTIFICATE: u8 = 2;

impl PeerIdentity {
    /// The identity of a pre-shared key; `None` for the other kinds.
    pub fn as_psk(&self) -> Option<&[u8]> {
        match self {
            Self::Psk(identity) => Some(identity),
            Self::RawPublicKey(_) | Self::Certificate(_) => None,
        }
    }

    /// Appends an identity that is not of a pre-shared key.
    pub(crate) fn put_key(&self, out: &mut Vec<u8>) {
        match self {
            Self::Psk(_) => {}
            Self::RawPublicKey(key) => {
                out.push(KIND_RAW_PUBLIC_KEY);
                out.extend_from_slice(&key.0);
            }
            Self::Certificate(identity) => {
                out.push(KIND_CERTIFICATE);
                out.extend_from_slice(&identity.key.0);
                out.extend_from_slice(&identity.issuer.0);
                put_vec8(out, &identity.serial);
                identity.names.put(out);
            }
        }
    }

    /// Reads what [`PeerIdentity::put_key`] wrote.
    pub(crate) fn read_key(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let kind = reader.u8()?;
        let key = Fingerprint(reader.array()?);
        match kind {
            KIND_RAW_PUBLIC_KEY => Ok(Self::RawPublicKey(Box::new(key))),
            KIND_CERTIFICATE => Ok(Self::Certificate(Box::new(CertifiedIdentity {
                key,
                issuer: Fingerprint(reader.array()?),
                serial: reader.vec8()?.into(),
                names: SubjectNames::read(reader)?,
            }))),
            _ => Err(Malformed),
        }
    }
}

/// What a peer presents to prove who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerKey {
    /// The DER of a SubjectPublicKeyInfo (RFC 7250).
    RawPublicKey(Vec<u8>),
    /// The DER of X.509 certificates, the end entity's first.
    Certificates(Vec<Vec<u8>>),
}

/// A peer's key that was read, but not judged.
#[derive(Debug, Clone)]
pub(crate) struct Presented {
    pub(crate) key: PeerKey,
    pub(crate) identity: PeerIdentity,
    pub(crate) public: PublicKey,
}

impl Presented {
    /// `None` when there is no P-256 key, or the end entity's certificate does not parse.
    pub(crate) fn read(key: PeerKey) -> Option<Self> {
        let (identity, public) = match &key {
            PeerKey::RawPublicKey(info) => {
                let fingerprint = Fingerprint::of(info);
                let identity = PeerIdentity::RawPublicKey(Box::new(fingerprint));
                (identity, PublicKey::from_info(info)?)
            }
            PeerKey::Certificates(chain) => {
                let (info, identity) = x509::end_entity(chain.first()?)?;
                let identity = PeerIdentity::Certificate(Box::new(identity));
                (identity, PublicKey::from_info(&info)?)
            }
        };
        Some(Self {
            key,
            identity,
            public,
        })
    }

    pub(crate) fn fingerprint(&self) -> Option<Fingerprint> {
        match &self.identity {
            PeerIdentity::Psk(_) => None,
            PeerIdentity::RawPublicKey(key) => Some(**key),
            PeerIdentity::Certificate(identity) => Some(identity.key),
        }
    }
}

/// Why a peer's key is not accepted; the peer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PeerRejection {
    /// Nobody knows the key or the name.
    #[error("key or name is unknown")]
    Unknown,
    /// No path leads to a trust anchor.
    #[error("issuer is unknown")]
    UnknownIssuer,
    /// Not valid yet, or no longer.
    #[error("certificate is out of its time")]
    Expired,
    /// On a revocation list.
    #[error("certificate is revoked")]
    Revoked,
    /// Its issuer's revocation list is past its time, so that nobody can tell.
    #[error("revocation list of the issuer has expired")]
    RevocationUnknown,
    /// Damaged, or not for this use or this name.
    #[error("certificate is invalid")]
    Invalid,
}

impl PeerRejection {
    pub(crate) const fn alert(self) -> AlertDescription {
        match self {
            // RFC 5246 §7.2.2: certificate_unknown, for what no other alert is about.
            Self::Unknown | Self::RevocationUnknown => AlertDescription::CERTIFICATE_UNKNOWN,
            Self::UnknownIssuer => AlertDescription::UNKNOWN_CA,
            Self::Expired => AlertDescription::CERTIFICATE_EXPIRED,
            Self::Revoked => AlertDescription::CERTIFICATE_REVOKED,
            Self::Invalid => AlertDescription::BAD_CERTIFICATE,
        }
    }
}
