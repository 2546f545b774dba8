//! TLS 1.3 between nodes and of the API, by rustls: certificates from files that are replaced while the node runs.
//!
//! A connection is secured by what the files say when it is made; connections that are there stay. There is no session
//! resumption, so that every connection shows its certificates and every authority that was taken out counts at once.
//!
//! Who is on the other side is decided in one of two ways: a client of the API looks for the host name that it asked for
//! ([`Peer::Host`]), nodes look for names that say what their peer is ([`Peer::Named`]), whatever address it has.

mod client;
mod names;
mod server;

use std::path::{Path, PathBuf};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use tokio_rustls::rustls;
use tokio_rustls::rustls::RootCertStore;

pub use client::{ClientStream, ConnectError, Connector, Peer, https};
pub use names::{Name, Names};
pub use server::{Acceptor, ClientCertificates, ServerStream};

/// HTTP/2, which gRPC is spoken over.
const ALPN: &[u8] = b"h2";
/// The name of a state node between nodes.
pub const STATE_NAME: &str = "spiffe://drover.dev/state";
/// The name of an ingress node between nodes.
pub const INGRESS_NAME: &str = "spiffe://drover.dev/ingress";

/// Mutual TLS between nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeTls {
    /// PEM file with this node's certificate and those that lead to the authority. It is shown to clients and to servers.
    pub certificate_file: PathBuf,
    /// PEM file with the key of that certificate.
    pub key_file: PathBuf,
    /// PEM file with the authorities of the certificates of all nodes.
    pub authorities_file: PathBuf,
    /// URIs or DNS names, one of which the certificate of a state node has as a subject alternative name.
    #[serde(default = "state_names")]
    pub state_names: Vec<Name>,
    /// The same for ingress nodes.
    #[serde(default = "ingress_names")]
    pub ingress_names: Vec<Name>,
}

fn state_names() -> Vec<Name> {
    vec![Name::new(STATE_NAME)]
}

fn ingress_names() -> Vec<Name> {
    vec![Name::new(INGRESS_NAME)]
}

/// What a client of the API secures its connections with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientTls {
    /// PEM file with the authorities of the server's certificate; unset: those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities_file: Option<PathBuf>,
    /// PEM file with the certificate that is shown, and those that lead to its authority; unset: none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<PathBuf>,
    /// PEM file with the key of that certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
}

/// Why files make no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        source: rustls_pki_types::pem::Error,
    },
    #[error("{} holds no certificate in PEM", path.display())]
    Empty { path: PathBuf },
    #[error("{} holds an authority that cannot be used", path.display())]
    Authority {
        path: PathBuf,
        source: rustls::Error,
    },
    #[error("cannot use {} with {}", certificate.display(), key.display())]
    Pair {
        certificate: PathBuf,
        key: PathBuf,
        source: rustls::Error,
    },
    #[error("a certificate file and a key file belong together; only one of them is given")]
    HalfAPair,
    #[error("the system has no authorities that certificates could be checked by")]
    NoSystemAuthorities,
    #[error("the authorities cannot be used")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// A certificate with its chain, and its key.
struct Pair {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Pair {
    fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Ok(Self {
            chain: certificates(certificate)?,
            key: PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::Read {
                path: key.to_owned(),
                source,
            })?,
        })
    }
}

/// All certificates of a file; there has to be one at least.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| TlsError::Read {
            path: path.to_owned(),
            source,
        })?;
    if found.is_empty() {
        return Err(TlsError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(found)
}

/// The authorities of a file.
fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|source| TlsError::Authority {
                path: path.to_owned(),
                source,
            })?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests;
