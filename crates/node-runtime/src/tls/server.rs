//! The side that is connected to.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};

use super::{ALPN, Name, Names, NodeTls, Pair, TlsError, authorities};
use crate::files::{Reloading, Watched};

/// How long a client may take to show itself.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that a client made.
pub type ServerStream = tokio_rustls::server::TlsStream<TcpStream>;

/// Which certificates clients show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// None; they are not asked for.
    None,
    /// One of these authorities, or none.
    Optional { authorities_file: PathBuf },
    /// One of these authorities, with one of these names.
    Named {
        authorities_file: PathBuf,
        names: Vec<Name>,
    },
}

/// Secures the connections of a listener.
#[derive(Clone, Debug)]
pub struct Acceptor(Watched<ServerConfig>);

impl Acceptor {
    /// For the internal listener: whoever connects is a state node or an ingress node.
    pub fn between_nodes(tls: &NodeTls, reloading: &Reloading) -> Result<Self, TlsError> {
        let names = tls.state_names.iter().chain(&tls.ingress_names);
        let clients = ClientCertificates::Named {
            authorities_file: tls.authorities_file.clone(),
            names: names.cloned().collect(),
        };
        let (certificate, key) = (tls.certificate_file.clone(), tls.key_file.clone());
        Self::new("internal-tls", certificate, key, clients, reloading)
    }

    /// Shows the certificate, and looks at those of clients.
    pub fn new(
        name: &'static str,
        certificate: PathBuf,
        key: PathBuf,
        clients: ClientCertificates,
        reloading: &Reloading,
    ) -> Result<Self, TlsError> {
        let mut paths = vec![certificate.clone(), key.clone()];
        match &clients {
            ClientCertificates::None => {}
            ClientCertificates::Optional { authorities_file }
            | ClientCertificates::Named {
                authorities_file, ..
            } => paths.push(authorities_file.clone()),
        }
        let read = move || config(&certificate, &key, &clients);
        Ok(Self(reloading.watch(name, paths, read)?))
    }

    /// The handshake of one connection.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<ServerStream> {
        let acceptor = TlsAcceptor::from(self.0.current());
        tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

fn config(
    certificate: &std::path::Path,
    key: &std::path::Path,
    clients: &ClientCertificates,
) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_protocol_versions(&[&TLS13]);
    let builder = match clients {
        ClientCertificates::None => builder.with_no_client_auth(),
        ClientCertificates::Optional { authorities_file } => {
            let roots = Arc::new(authorities(authorities_file)?);
            let verifier = WebPkiClientVerifier::builder(roots)
                .allow_unauthenticated()
                .build()?;
            builder.with_client_cert_verifier(verifier)
        }
        ClientCertificates::Named {
            authorities_file,
            names,
        } => {
            let roots = Arc::new(authorities(authorities_file)?);
            let chain = WebPkiClientVerifier::builder(roots).build()?;
            let names = names.clone();
            builder.with_client_cert_verifier(Arc::new(NamedClient { chain, names }))
        }
    };
    let pair = Pair::read(certificate, key)?;
    let mut config = builder
        .with_single_cert(pair.chain, pair.key)
        .map_err(|source| TlsError::Pair {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            source,
        })?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// A valid certificate that has one of the names.
#[derive(Debug)]
struct NamedClient {
    chain: Arc<dyn ClientCertVerifier>,
    names: Vec<Name>,
}

impl ClientCertVerifier for NamedClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .chain
            .verify_client_cert(end_entity, intermediates, now)?;
        if Names::of(end_entity).has_any(&self.names) {
            return Ok(verified);
        }
        Err(Error::InvalidCertificate(
            CertificateError::ApplicationVerificationFailure,
        ))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
