//! The side that connects.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, InvalidDnsNameError, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use tower_service::Service;
use webpki::{EndEntityCert, KeyUsage};

use super::{ALPN, ClientTls, Name, Names, NodeTls, Pair, TlsError, authorities};
use crate::files::{Reloading, Watched};

/// A connection to a server.
pub type ClientStream = tokio_rustls::client::TlsStream<TcpStream>;

/// Which server is the right one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The one whose certificate is for the host name or address that is connected to.
    Host,
    /// Any with one of these names.
    Named(Vec<Name>),
}

/// Makes TLS connections; what `tonic` connects its channels with.
#[derive(Clone, Debug)]
pub struct Connector(Watched<ClientConfig>);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("{0} names no host and port")]
    Address(Uri),
    #[error("{host} is not a host name")]
    Host {
        host: String,
        source: InvalidDnsNameError,
    },
    #[error("cannot connect to {host}: {source}")]
    Connect { host: String, source: io::Error },
    #[error("TLS with {host} failed: {source}")]
    Handshake { host: String, source: io::Error },
}

impl Connector {
    /// To state nodes, as a node.
    pub fn between_nodes(tls: &NodeTls, reloading: &Reloading) -> Result<Self, TlsError> {
        let files = ClientTls {
            authorities_file: Some(tls.authorities_file.clone()),
            certificate_file: Some(tls.certificate_file.clone()),
            key_file: Some(tls.key_file.clone()),
        };
        let peer = Peer::Named(tls.state_names.clone());
        let read = move || config(&files, &peer);
        let paths = vec![
            tls.authorities_file.clone(),
            tls.certificate_file.clone(),
            tls.key_file.clone(),
        ];
        Ok(Self(reloading.watch("client-tls", paths, read)?))
    }

    /// To the API, with files that are read again.
    pub fn to_api(tls: &ClientTls, reloading: &Reloading) -> Result<Self, TlsError> {
        let paths: Vec<PathBuf> = [&tls.authorities_file, &tls.certificate_file, &tls.key_file]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let files = tls.clone();
        let read = move || config(&files, &Peer::Host);
        Ok(Self(reloading.watch("api-tls", paths, read)?))
    }

    /// With files that are read once.
    pub fn once(tls: &ClientTls, peer: &Peer) -> Result<Self, TlsError> {
        Ok(Self(Watched::fixed(config(tls, peer)?)))
    }

    /// Connects to the host and port of `uri`.
    pub async fn connect(&self, uri: &Uri) -> Result<ClientStream, ConnectError> {
        let config = self.0.current();
        let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else {
            return Err(ConnectError::Address(uri.clone()));
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let owned = || host.to_owned();
        let name = ServerName::try_from(owned()).map_err(|source| ConnectError::Host {
            host: owned(),
            source,
        })?;
        let failed = |source| ConnectError::Connect {
            host: owned(),
            source,
        };
        let stream = TcpStream::connect((host, port)).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let connector = TlsConnector::from(config);
        let secured = connector.connect(name, stream).await;
        secured.map_err(|source| ConnectError::Handshake {
            host: owned(),
            source,
        })
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<ClientStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect(&uri).await.map(TokioIo::new) })
    }
}

/// For an HTTPS client of a library that connects by itself.
pub fn https(authorities_file: Option<&Path>) -> Result<ClientConfig, TlsError> {
    Ok(ClientConfig::builder()
        .with_root_certificates(roots(authorities_file)?)
        .with_no_client_auth())
}

fn roots(authorities_file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    match authorities_file {
        Some(path) => authorities(path),
        None => system_authorities(),
    }
}

fn config(files: &ClientTls, peer: &Peer) -> Result<ClientConfig, TlsError> {
    let roots = roots(files.authorities_file.as_deref())?;
    let builder = ClientConfig::builder_with_protocol_versions(&[&TLS13]);
    let provider = builder.crypto_provider().clone();
    let builder = match peer {
        Peer::Host => builder.with_root_certificates(roots),
        Peer::Named(names) => {
            let verifier = NamedServer {
                roots,
                names: names.clone(),
                provider,
            };
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    let mut config = match (&files.certificate_file, &files.key_file) {
        (None, None) => builder.with_no_client_auth(),
        (Some(certificate), Some(key)) => {
            let pair = Pair::read(certificate, key)?;
            builder
                .with_client_auth_cert(pair.chain, pair.key)
                .map_err(|source| TlsError::Pair {
                    certificate: certificate.clone(),
                    key: key.clone(),
                    source,
                })?
        }
        _ => return Err(TlsError::HalfAPair),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn system_authorities() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let (added, _) =
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        return Err(TlsError::NoSystemAuthorities);
    }
    Ok(roots)
}

/// A valid certificate that has one of the names, whatever address its owner has.
#[derive(Debug)]
struct NamedServer {
    roots: RootCertStore,
    names: Vec<Name>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for NamedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let refused = |error: webpki::Error| {
            let reason = match error {
                webpki::Error::CertExpired { .. } => CertificateError::Expired,
                webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
                webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
                error => CertificateError::Other(OtherError(Arc::new(error))),
            };
            Error::InvalidCertificate(reason)
        };
        EndEntityCert::try_from(end_entity)
            .map_err(refused)?
            .verify_for_usage(
                self.provider.signature_verification_algorithms.all,
                &self.roots.roots,
                intermediates,
                now,
                KeyUsage::server_auth(),
                None,
                None,
            )
            .map_err(refused)?;
        if Names::of(end_entity).has_any(&self.names) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidForName))
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
