//! TLS by rustls: this node's certificate, and what devices show.
//!
//! The handshake refuses what can never be believed, so that the device is told by the right alert. Everything else is
//! judged after it, by the same rules and the same look-up as in DTLS: a session that is resumed shows nothing in its
//! handshake.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use dtls::{CertifiedIdentity, PeerRejection, TrustAnchors};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};

use super::judgement::{Judgement, judge};
use super::pem;
use crate::config::Config;

/// Whether devices have to show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Certificates {
    Required,
    /// Without one they are as unknown as without TLS.
    Optional,
}

/// The files for TLS.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) devices: Certificates,
}

impl TlsFiles {
    /// `None` if TLS is not served.
    pub(crate) fn of(config: &Config) -> anyhow::Result<Option<Self>> {
        if config.coaps_tcp_listen.is_none() {
            return Ok(None);
        }
        let certificate = config.tls_certificate_file.clone();
        let key = config.tls_key_file.clone();
        Ok(Some(Self {
            certificate: certificate.context("coaps_tcp_listen needs tls_certificate_file")?,
            key: key.context("coaps_tcp_listen needs tls_key_file")?,
            devices: if config.coaps_tcp_requires_certificate {
                Certificates::Required
            } else {
                Certificates::Optional
            },
        }))
    }

    pub(super) fn paths(&self) -> [&Path; 2] {
        [&self.certificate, &self.key]
    }

    /// What secures connections.
    pub(super) fn read(&self, anchors: &Arc<TrustAnchors>) -> anyhow::Result<TlsAcceptor> {
        let chain = pem::<CertificateDer<'_>>("tls_certificate_file", &self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .with_context(|| format!("tls_key_file: cannot read {}", self.key.display()))?;
        let builder = ServerConfig::builder();
        let devices = ClientCertificates {
            anchors: anchors.clone(),
            certificates: self.devices,
            provider: builder.crypto_provider().clone(),
        };
        let config = builder
            .with_client_cert_verifier(Arc::new(devices))
            .with_single_cert(chain, key)
            .with_context(|| {
                let (certificate, key) = (self.certificate.display(), self.key.display());
                format!(
                    "tls_certificate_file and tls_key_file: cannot use {certificate} with {key}"
                )
            })?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// Looks at the certificates that devices show.
#[derive(Debug)]
struct ClientCertificates {
    anchors: Arc<TrustAnchors>,
    certificates: Certificates,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for ClientCertificates {
    /// None: a certificate that nobody vouches for may have a key that is a credential.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        self.certificates == Certificates::Required
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let identity = CertifiedIdentity::of_certificate(end_entity).ok_or(
            Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure),
        )?;
        let chain = std::iter::once(end_entity).chain(intermediates);
        let chain: Vec<_> = chain.map(|certificate| certificate.to_vec()).collect();
        let now = Duration::from_secs(now.as_secs());
        match judge(&self.anchors, &chain, identity.key, now) {
            Judgement::Refused(reason) => Err(Error::InvalidCertificate(refusal(reason))),
            Judgement::Certified(_) | Judgement::ByKey { .. } => {
                Ok(ClientCertVerified::assertion())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

fn refusal(reason: PeerRejection) -> CertificateError {
    match reason {
        PeerRejection::Revoked => CertificateError::Revoked,
        PeerRejection::Expired => CertificateError::Expired,
        PeerRejection::RevocationUnknown => CertificateError::UnknownRevocationStatus,
        _ => CertificateError::ApplicationVerificationFailure,
    }
}
