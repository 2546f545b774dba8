//! Validation of X.509 paths (RFC 5280 §6) by `rustls-webpki`.

use std::fmt;
use std::time::Duration;

use rustls_pki_types::{
    CertificateDer, ServerName, SignatureVerificationAlgorithm, TrustAnchor, UnixTime,
};
use webpki::aws_lc_rs as algorithms;
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationOptionsBuilder, UnknownStatusPolicy, anchor_from_trusted_cert,
};

use crate::identity::{CertifiedIdentity, Fingerprint, PeerRejection, SubjectNames};
use crate::x509;

/// Signatures of issuers that are accepted. In DTLS the end entity's own key is P-256 in any case.
static SIGNATURES: &[&dyn SignatureVerificationAlgorithm] = &[
    algorithms::ECDSA_P256_SHA256,
    algorithms::ECDSA_P256_SHA384,
    algorithms::ECDSA_P384_SHA256,
    algorithms::ECDSA_P384_SHA384,
    algorithms::ED25519,
    algorithms::RSA_PKCS1_2048_8192_SHA256,
    algorithms::RSA_PKCS1_2048_8192_SHA384,
];

/// The authorities whose certificates are accepted, and what they have revoked.
pub struct TrustAnchors {
    anchors: Vec<TrustAnchor<'static>>,
    revocations: Vec<CertRevocationList<'static>>,
    /// Of the lists, in their order.
    next_updates: Vec<Duration>,
    expired_lists: ExpiredLists,
}

/// What becomes of certificates whose issuer's revocation list is past its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExpiredLists {
    /// They are refused: what has been revoked since is not known (RFC 5280 §6.3.3, UNDETERMINED).
    #[default]
    Refuse,
    /// They are accepted unless the list names them.
    Trust,
}

/// Why bytes are not [`TrustAnchors`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrustAnchorsError {
    /// This certificate does not parse.
    #[error("trust anchor {0} is not a certificate")]
    Anchor(usize),
    /// This revocation list does not parse.
    #[error("revocation list {0} is malformed, or not of version 2 with a number (RFC 5280 §5)")]
    RevocationList(usize),
}

impl fmt::Debug for TrustAnchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustAnchors")
            .field("anchors", &self.anchors.len())
            .field("revocations", &self.revocations.len())
            .finish_non_exhaustive()
    }
}

impl TrustAnchors {
    /// From the DER of certificates and of revocation lists. A certificate whose issuer has no list
    /// here counts as not revoked; one whose issuer's list has expired is refused, unless
    /// [`TrustAnchors::with_expired_lists`] says otherwise.
    pub fn new(
        anchors: &[impl AsRef<[u8]>],
        revocation_lists: &[impl AsRef<[u8]>],
    ) -> Result<Self, TrustAnchorsError> {
        let anchor = |(index, der): (usize, &_)| {
            let der = CertificateDer::from(AsRef::<[u8]>::as_ref(der));
            let anchor = anchor_from_trusted_cert(&der);
            anchor
                .map(|anchor| anchor.to_owned())
                .map_err(|_| TrustAnchorsError::Anchor(index))
        };
        let list = |(index, der): (usize, &_)| {
            OwnedCertRevocationList::from_der(AsRef::<[u8]>::as_ref(der))
                .map(CertRevocationList::Owned)
                .map_err(|_| TrustAnchorsError::RevocationList(index))
        };
        let next_update = |(index, der): (usize, &_)| {
            x509::next_update(AsRef::<[u8]>::as_ref(der))
                .ok_or(TrustAnchorsError::RevocationList(index))
        };
        Ok(Self {
            anchors: anchors
                .iter()
                .enumerate()
                .map(anchor)
                .collect::<Result<_, _>>()?,
            revocations: revocation_lists
                .iter()
                .enumerate()
                .map(list)
                .collect::<Result<_, _>>()?,
            next_updates: revocation_lists
                .iter()
                .enumerate()
                .map(next_update)
                .collect::<Result<_, _>>()?,
            expired_lists: ExpiredLists::default(),
        })
    }

    /// The same with another rule for lists that are past their time.
    #[must_use]
    pub fn with_expired_lists(self, expired_lists: ExpiredLists) -> Self {
        Self {
            expired_lists,
            ..self
        }
    }

    /// When each list expires, since 1970, in the order in which they were given.
    pub fn next_updates(&self) -> &[Duration] {
        &self.next_updates
    }

    /// Validates a client's chain, the end entity's certificate first, at a time since 1970.
    pub fn validate_client(
        &self,
        chain: &[Vec<u8>],
        unix_time: Duration,
    ) -> Result<SubjectNames, PeerRejection> {
        let first = self.validate(chain, unix_time, KeyUsage::client_auth())?;
        let (_, identity) = x509::end_entity(first).ok_or(PeerRejection::Invalid)?;
        Ok(identity.names)
    }

    /// Whether a certificate that was valid once is on a revocation list now. What an expired list
    /// names stays revoked.
    pub fn is_revoked(&self, identity: &CertifiedIdentity) -> bool {
        self.revocations.iter().any(|list| {
            Fingerprint::of(list.issuer()) == identity.issuer
                && matches!(list.find_serial(&identity.serial), Ok(Some(_)))
        })
    }

    /// Validates a server's chain and that it is for `server_name`, a DNS name or an IP address.
    pub fn validate_server(
        &self,
        chain: &[Vec<u8>],
        server_name: &str,
        unix_time: Duration,
    ) -> Result<(), PeerRejection> {
        let name = ServerName::try_from(server_name).map_err(|_| PeerRejection::Invalid)?;
        let first = self.validate(chain, unix_time, KeyUsage::server_auth())?;
        let der = CertificateDer::from(first);
        EndEntityCert::try_from(&der)
            .and_then(|certificate| certificate.verify_is_valid_for_subject_name(&name))
            .map_err(|error| rejection(&error))
    }

    fn validate<'a>(
        &self,
        chain: &'a [Vec<u8>],
        unix_time: Duration,
        usage: KeyUsage,
    ) -> Result<&'a [u8], PeerRejection> {
        let (first, rest) = chain.split_first().ok_or(PeerRejection::Invalid)?;
        let der = CertificateDer::from(first.as_slice());
        let certificate = EndEntityCert::try_from(&der).map_err(|error| rejection(&error))?;
        let intermediates: Vec<_> = rest
            .iter()
            .map(|der| CertificateDer::from(der.as_slice()))
            .collect();
        let lists: Vec<_> = self.revocations.iter().collect();
        let expiration = match self.expired_lists {
            ExpiredLists::Refuse => ExpirationPolicy::Enforce,
            ExpiredLists::Trust => ExpirationPolicy::Ignore,
        };
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|builder| {
            builder
                .with_status_policy(UnknownStatusPolicy::Allow)
                .with_expiration_policy(expiration)
                .build()
        });
        certificate
            .verify_for_usage(
                SIGNATURES,
                &self.anchors,
                &intermediates,
                UnixTime::since_unix_epoch(unix_time),
                usage,
                revocation,
                None,
            )
            .map_err(|error| rejection(&error))?;
        Ok(first)
    }
}

fn rejection(error: &webpki::Error) -> PeerRejection {
    match error {
        webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. } => {
            PeerRejection::Expired
        }
        webpki::Error::CertRevoked => PeerRejection::Revoked,
        webpki::Error::CrlExpired { .. } => PeerRejection::RevocationUnknown,
        webpki::Error::UnknownIssuer => PeerRejection::UnknownIssuer,
        _ => PeerRejection::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! fixture {
        ($name:literal) => {
            include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/fixtures/",
                $name
            ))
        };
    }

    #[test]
    fn a_session_outlives_no_revocation() {
        let identity = |der: &[u8]| x509::end_entity(der).map(|(_, identity)| identity);
        let before = TrustAnchors::new(&[fixture!("ca.der")], &[&[0; 0]; 0]).expect("an anchor");
        let after = TrustAnchors::new(&[fixture!("ca.der")], &[fixture!("issuer.crl")]);
        let after = after.expect("an anchor and a list");
        let revoked = identity(fixture!("revoked.der")).expect("a certificate");
        assert!(!before.is_revoked(&revoked));
        assert!(after.is_revoked(&revoked));
        let device = identity(fixture!("device.der")).expect("a certificate");
        assert!(!after.is_revoked(&device));
        // The same number from another issuer is another certificate.
        let foreign = CertifiedIdentity {
            issuer: device.key,
            ..revoked
        };
        assert!(!after.is_revoked(&foreign));
    }
}
