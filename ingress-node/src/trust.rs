//! What the node proves itself with to devices, and which certificates of theirs it believes: read from files, and read
//! again when they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use dtls::{Credential, ServerCredentials, SigningKey, TrustAnchors};
use node_runtime::Drain;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::config::Config;
use crate::driver::Input;
use crate::metrics::Metrics;

/// A key of this node in DTLS.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DtlsKey {
    /// PEM file with a P-256 private key (PKCS#8 or SEC1).
    key_file: PathBuf,
    /// PEM file with the certificate of that key and those that lead to the root; without it the key is shown raw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate_file: Option<PathBuf>,
    /// Server names (SNI) that it is for. Without any it is for the DNS names in the certificate; the first key of each
    /// type is also for devices that ask for no name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    server_names: Vec<String>,
}

/// The content of all files.
#[derive(Debug)]
pub(crate) struct Trust {
    pub(crate) credentials: ServerCredentials,
    /// Of devices.
    pub(crate) anchors: TrustAnchors,
}

/// The files.
#[derive(Clone, Debug)]
pub(crate) struct TrustFiles {
    keys: Vec<DtlsKey>,
    authorities: Option<PathBuf>,
    revocations: Vec<PathBuf>,
}

impl TrustFiles {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            keys: config.dtls_keys.clone(),
            authorities: config.client_authorities_file.clone(),
            revocations: config.revocation_list_files.clone(),
        }
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        let keys = self.keys.iter().flat_map(|key| {
            let certificate = key.certificate_file.as_deref();
            std::iter::once(key.key_file.as_path()).chain(certificate)
        });
        keys.chain(self.authorities.as_deref())
            .chain(self.revocations.iter().map(PathBuf::as_path))
    }

    /// Changes with the content of the files.
    fn digest(&self) -> [u8; 32] {
        let digest = self.paths().fold(Sha256::new(), |digest, path| {
            // A file that is missing now is told of when it is read.
            let content = std::fs::read(path).unwrap_or_default();
            digest.chain_update(Sha256::digest(content))
        });
        digest.finalize().into()
    }

    pub(crate) fn read(&self) -> anyhow::Result<Trust> {
        let mut credentials = ServerCredentials::default();
        for key in &self.keys {
            let (names, credential) = key.read()?;
            credentials.add(names, credential);
        }
        let authorities = match &self.authorities {
            Some(path) => pem::<CertificateDer<'_>>("client_authorities_file", path)?,
            None => Vec::new(),
        };
        let mut lists = Vec::new();
        for path in &self.revocations {
            lists.extend(pem::<CertificateRevocationListDer<'_>>(
                "revocation_list_files",
                path,
            )?);
        }
        let anchors = TrustAnchors::new(&authorities, &lists)
            .context("client_authorities_file or revocation_list_files")?;
        Ok(Trust {
            credentials,
            anchors,
        })
    }
}

impl DtlsKey {
    fn read(&self) -> anyhow::Result<(Vec<String>, Credential)> {
        let place = || format!("dtls_keys: cannot use {}", self.key_file.display());
        let der = PrivateKeyDer::from_pem_file(&self.key_file).with_context(place)?;
        let key = SigningKey::from_der(der.secret_der()).with_context(place)?;
        let Some(file) = &self.certificate_file else {
            return Ok((self.server_names.clone(), Credential::raw_public_key(key)));
        };
        let chain = pem::<CertificateDer<'_>>("dtls_keys", file)?;
        let chain = chain.iter().map(|certificate| certificate.to_vec());
        let credential = Credential::certificates(chain.collect(), key)
            .with_context(|| format!("dtls_keys: cannot use {}", file.display()))?;
        let names = if self.server_names.is_empty() {
            credential.dns_names()
        } else {
            self.server_names.clone()
        };
        Ok((names, credential))
    }
}

/// All items of a kind in a PEM file; there has to be one at least.
fn pem<T: PemObject>(key: &str, path: &Path) -> anyhow::Result<Vec<T>> {
    let items = T::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<T>, _>>)
        .with_context(|| format!("{key}: cannot read {}", path.display()))?;
    anyhow::ensure!(
        !items.is_empty(),
        "{key}: {} holds nothing of the kind that is expected in PEM",
        path.display()
    );
    Ok(items)
}

/// Reads the files again whenever they change, and hands what they say to the workers. Files that cannot be used leave
/// everything as it was.
pub(crate) async fn watch(
    files: TrustFiles,
    every: Duration,
    workers: Vec<mpsc::Sender<Input>>,
    metrics: Metrics,
    drain: Drain,
) {
    let mut seen = files.digest();
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = drain.started() => return,
        }
        let digest = files.digest();
        if digest == seen {
            continue;
        }
        match files.read() {
            Ok(trust) => {
                let trust = Arc::new(trust);
                for worker in &workers {
                    if worker.send(Input::Trust(trust.clone())).await.is_err() {
                        return;
                    }
                }
                seen = digest;
                metrics.trust_reloads.inc();
                tracing::info!("keys, authorities and revocation lists were read again");
            }
            Err(error) => {
                // Said once for each state that the files are in.
                seen = digest;
                metrics.trust_reload_failures.inc();
                tracing::error!(
                    error = format!("{error:#}"),
                    "changed keys, authorities or revocation lists cannot be used; those before stay"
                );
            }
        }
    }
}
